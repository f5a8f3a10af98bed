#include "backend/cuda/step_graphs.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "backend/cuda/ops/ops.h"

namespace mn::cuda {
namespace {

uint64_t word(const void* address) {
    return reinterpret_cast<uintptr_t>(address);
}

}  // namespace

void StepGraphs::begin(const mnb_sequence& sequence, CUstream stream) {
    mode_ = Mode::kPlain;
    current_ = nullptr;
    stream_ = stream;
    if (!enabled_) return;
    key_.assign({sequence.owner, static_cast<uint64_t>(sequence.count),
                 static_cast<uint64_t>(sequence.accumulate)});
    for (int32_t i = 0; i < sequence.input_count; i++) {
        const mnb_input& input = sequence.inputs[i];
        for (const uint64_t part : {word(input.images), word(input.indices), word(input.labels),
                                    static_cast<uint64_t>(input.dtype),
                                    word(input.output_gradients), word(input.targets)})
            key_.push_back(part);
    }
    const auto known = recordings_.find(key_);
    if (known == recordings_.end()) {
        make_room(sequence.owner);
        recordings_[key_].last_use = ++uses_;
        return;
    }
    current_ = &known->second;
    current_->last_use = ++uses_;
    if (current_->graph) {
        mode_ = Mode::kReplaying;
    } else if (!current_->refused) {
        const CUresult result =
            driver_.cuStreamBeginCapture_v2(stream_, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        if (result == CUDA_SUCCESS)
            mode_ = Mode::kRecording;
        else
            give_up(driver_.name_of(result));
    }
}

void StepGraphs::run(Kernel& kernel, const mnb_run& run) {
    kernel.prepare(device_, run);
    if (mode_ == Mode::kReplaying) return;
    if (mode_ == Mode::kPlain) {
        kernel.run(device_, run);
        return;
    }
    runs_.push_back({&kernel, run});
    try {
        kernel.run(device_, run);
    } catch (const std::exception& failure) {
        give_up(failure.what());
    }
}

void StepGraphs::end(bool complete) {
    const Mode mode = mode_;
    if (mode == Mode::kReplaying && complete) {
        mode_ = Mode::kPlain;
        driver_.check(driver_.cuGraphLaunch(current_->graph, stream_), "cuGraphLaunch");
    } else if (mode == Mode::kRecording && complete) {
        finish();
    } else if (mode == Mode::kRecording) {
        CUresult result;
        if (CUgraph graph = end_capture(result)) driver_.cuGraphDestroy(graph);
        runs_.clear();
        copy_now();
    }
    mode_ = Mode::kPlain;
}

void StepGraphs::finish() {
    CUresult result;
    CUgraph graph = end_capture(result);
    if (result == CUDA_SUCCESS)
        result = driver_.cuGraphInstantiateWithFlags(&current_->graph, graph, 0);
    if (graph) driver_.cuGraphDestroy(graph);
    if (result != CUDA_SUCCESS) {
        current_->graph = nullptr;
        give_up(driver_.name_of(result));
        return;
    }
    runs_.clear();
    copy_now();
    driver_.check(driver_.cuGraphLaunch(current_->graph, stream_), "cuGraphLaunch");
}

// What was recorded has not run: it is launched now.
void StepGraphs::give_up(const std::string& reason) {
    if (mode_ == Mode::kRecording) {
        CUresult result;
        if (CUgraph graph = end_capture(result)) driver_.cuGraphDestroy(graph);
    }
    current_->refused = true;
    device_.log(MN_LOG_WARNING, "[device cuda] batches of " + std::to_string(key_[1]) +
                                    " images are not replayed as a graph: " + reason);
    copy_now();
    const std::vector<Run> runs = std::move(runs_);
    runs_.clear();
    for (const Run& run : runs) run.kernel->run(device_, run.run);
}

// Null where the capture was spoiled.
CUgraph StepGraphs::end_capture(CUresult& result) {
    CUgraph graph = nullptr;
    result = driver_.cuStreamEndCapture(stream_, &graph);
    mode_ = Mode::kPlain;
    return graph;
}

void StepGraphs::copy_ahead(void* dst, const void* src, size_t bytes) {
    const char* from = static_cast<const char*>(src);
    copies_.push_back({dst, std::vector<char>(from, from + bytes)});
}

void StepGraphs::copy_now() {
    for (const Copy& copy : copies_)
        device_.copy_in(copy.dst, copy.bytes.data(), copy.bytes.size());
    copies_.clear();
}

void StepGraphs::make_room(uint64_t owner) {
    const auto first = first_of(owner), last = first_of(owner + 1);
    if (static_cast<size_t>(std::distance(first, last)) < kMostOfOne) return;
    const auto oldest = std::min_element(first, last, [](const auto& a, const auto& b) {
        return a.second.last_use < b.second.last_use;
    });
    if (oldest->second.graph) {
        device_.synchronize();  // it may still run
        driver_.cuGraphExecDestroy(oldest->second.graph);
    }
    recordings_.erase(oldest);
}

void StepGraphs::forget(uint64_t owner) {
    const auto first = first_of(owner), last = first_of(owner + 1);
    for (auto i = first; i != last; ++i)
        if (i->second.graph) driver_.cuGraphExecDestroy(i->second.graph);
    recordings_.erase(first, last);
}

}  // namespace mn::cuda
