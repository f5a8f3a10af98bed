#include "plan/plan.h"

#include <atomic>
#include <cstring>
#include <optional>
#include <type_traits>

#include "backend/image.h"
#include "graph/ops.h"
#include "plan/stop_watch.h"

namespace mn {

std::vector<mnb_param> choose_layouts(const Graph& graph, const Device& device) {
    LowerOptions options;
    options.whole_graph = true;
    Program program = lower(graph, options);
    assign_layouts(program, device);
    std::vector<mnb_param> chosen(graph.parameters().size());
    const auto in_own_shape = [&](size_t id, int32_t role, int32_t layout) {
        return stored_param(graph.parameters()[id].spec.shape, role, layout);
    };
    for (const Operation& operation : program.operations)
        for (size_t p = 0; p < operation.params.size(); p++) {
            const auto id = static_cast<size_t>(operation.param_ids[p]);
            const mnb_param& wish = operation.params[p];
            mnb_param& param = chosen[id];
            if (param.rank == 0)
                param = wish;
            else if (text_of(shape_of(param)) != text_of(shape_of(wish)) ||
                     param.layout != wish.layout)
                // Readers that disagree about the layout have kernels for plain parameters.
                param = in_own_shape(id, param.role,
                                     param.layout == wish.layout ? wish.layout : MNB_PARAM_PLAIN);
        }
    for (size_t id = 0; id < chosen.size(); id++)
        if (chosen[id].rank == 0) chosen[id] = in_own_shape(id, MNB_WEIGHT, MNB_PARAM_PLAIN);
    return chosen;
}

Plan::Plan(std::shared_ptr<const Device> device, const Graph& graph,
           std::shared_ptr<const ParameterStore> store, const PlanOptions& options)
    : device_(std::move(device)), store_(std::move(store)), seed_(options.seed) {
    StopWatch clock;
    LowerOptions lowering = options.lower;
    for (const Parameter& parameter : store_->parameters())
        lowering.parameters.push_back(parameter.storage);
    program_ = lower(graph, lowering);
    if (options.fuse) {
        fold_batch_norm(program_, *device_);
        fuse(program_, *device_);
    }
    assign_layouts(program_, *device_);
    if (program_.training)
        schedule_training(program_, *device_, options.input_gradient);
    else
        schedule_inference(program_, *device_);
    memory_ = plan_memory(program_);
    for (const Operation& operation : program_.operations)
        for (int32_t param : operation.param_ids)
            if (program_.training && traits_of(operation.op).statistics_moved &&
                store_->parameter(param).spec.counter)
                counters_.push_back(param);
    try {
        prepare_steps();
        compile_nanoseconds_ = static_cast<int64_t>(clock.lap() * 1e9);
        log(MN_LOG_DEBUG,
            text("[plan] ", program_.training ? "training" : "inference", ", batch ", max_batch(),
                 ": ", program_.steps.size(), " steps, arena ", arena_bytes(), " bytes, workspace ",
                 workspace_bytes(), ", packed ", packed_bytes()));
    } catch (...) {
        release_steps();
        throw;
    }
}

Plan::~Plan() {
    release_steps();
}

std::vector<bool> Plan::trained_parameters() const {
    std::vector<bool> trained(store_->parameters().size());
    for (const Step& step : program_.steps) {
        if (step.direction != MNB_BACKWARD) continue;
        const Operation& operation = program_.operations[step.operation];
        for (size_t p = 0; p < operation.params.size(); p++)
            if (operation.wants_diff_params[p]) trained[operation.param_ids[p]] = true;
    }
    return trained;
}

int64_t Plan::loss_elements(int32_t op) const {
    for (const Operation& operation : program_.operations)
        if (operation.op == op) return element_count(program_.values[operation.sources[0]].tensor);
    return 0;
}

bool Plan::moves_statistics() const {
    if (!program_.training) return false;
    for (const Operation& operation : program_.operations)
        if (traits_of(operation.op).statistics_moved) return true;
    return false;
}

void Plan::check_count(int32_t count) const {
    if (!program_.training) return;
    for (const Operation& operation : program_.operations) {
        const OpInfo& op = op_info(operation.op);
        if (!op.traits.statistics) continue;
        const mnb_tensor& source = program_.values[operation.sources[0]].tensor;
        const int64_t values = element_count(source);
        const int64_t channels = source.dims[0];
        if (count * values == op.traits.statistics(operation.desc, count, channels))
            fail(MN_INVALID_ARGUMENT, "[", op.name, " \"", operation.name,
                 "\"] expects more than 1 value per ",
                 op.traits.statistics_moved ? "channel" : "group",
                 " when training, got a batch of ", count, " with ", channels, " channels of ",
                 values / channels);
    }
}

void Plan::prepare_steps() {
    int64_t packed_bytes = 0;
    steps_.resize(program_.steps.size());
    for (size_t i = 0; i < steps_.size(); i++) {
        const Step& step = program_.steps[i];
        const Operation& operation = program_.operations[step.operation];
        mnb_node node = program_.node(operation);
        for (size_t s = 0; s < step.diff_sources.size(); s++)
            node.wants_diff_src[s] = step.diff_sources[s] >= 0;
        mnb_error error{};
        Device::check(device_->backend().prepare(device_->handle(), &node, step.direction,
                                                 &steps_[i].kernel, &error),
                      error);
        if (step.support.packed_bytes) {
            steps_[i].packed = packed_bytes;
            packed_bytes +=
                (step.support.packed_bytes + MNB_ALIGNMENT - 1) / MNB_ALIGNMENT * MNB_ALIGNMENT;
        }
    }
    packed_ = DeviceMemory(device_, packed_bytes);
}

void Plan::release_steps() {
    for (PlannedStep& step : steps_)
        if (step.kernel) device_->backend().release(device_->handle(), step.kernel);
    steps_.clear();
}

mnb_run Plan::bind(const Step& step, size_t index, const DeviceMemory& arena,
                   const DeviceMemory& losses) const {
    const Operation& operation = program_.operations[step.operation];
    const auto address = [&](int32_t value) -> float* {
        if (value < 0) return nullptr;
        const int64_t offset = memory_.storage[program_.values[value].storage];
        return offset < 0 ? nullptr : arena.at<float>(offset);
    };
    mnb_run run{};
    run.struct_size = sizeof run;
    for (size_t s = 0; s < step.sources.size(); s++) run.src[s] = address(step.sources[s]);
    run.dst = address(operation.dst);
    run.diff_dst = address(step.diff_dst);
    for (size_t s = 0; s < step.diff_sources.size(); s++)
        run.diff_src[s] = address(step.diff_sources[s]);
    for (size_t p = 0; p < operation.params.size(); p++) {
        const int32_t param = operation.param_ids[p];
        run.param[p] = store_->value(param);
        if (operation.wants_diff_params[p]) run.diff_param[p] = store_->gradient(param);
    }
    const int64_t saved =
        memory_.saved[operation.saved_of >= 0 ? operation.saved_of : step.operation];
    if (saved >= 0) run.saved = arena.at<void>(saved);
    if (memory_.workspace[index] >= 0) run.workspace = arena.at<void>(memory_.workspace[index]);
    if (steps_[index].packed >= 0) run.packed = packed_.at<void>(steps_[index].packed);
    if (operation.loss >= 0)
        run.loss = losses.at<mnb_loss_result>(operation.loss *
                                              static_cast<int64_t>(sizeof(mnb_loss_result)));
    return run;
}

void Plan::refresh() {
    if (packed_.bytes() == 0) return;
    std::lock_guard lock(refresh_mutex_);
    if (packed_version_ == store_->version()) return;
    for (size_t i = 0; i < steps_.size(); i++) {
        if (steps_[i].packed < 0) continue;
        const Step& step = program_.steps[i];
        const Operation& operation = program_.operations[step.operation];
        mnb_run run{};
        run.struct_size = sizeof run;
        for (size_t p = 0; p < operation.params.size(); p++)
            run.param[p] = store_->value(operation.param_ids[p]);
        run.packed = packed_.at<void>(steps_[i].packed);
        mnb_error error{};
        Device::check(device_->backend().refresh(device_->handle(), steps_[i].kernel, &run, &error),
                      error);
    }
    packed_version_ = store_->version();
}

namespace {

std::atomic<uint64_t> execution_count{0};

// From begin to end of a backend; what is left early ends incomplete.
class Sequence {
public:
    Sequence(const Device& device, const mnb_sequence& sequence) : device_(device) {
        mnb_error error{};
        Device::check(device.backend().begin(device.handle(), &sequence, &error), error);
    }
    ~Sequence() {
        mnb_error error{};
        if (!ended_) device_.backend().end(device_.handle(), 0, &error);
    }
    Sequence(const Sequence&) = delete;
    Sequence& operator=(const Sequence&) = delete;
    void end() {
        ended_ = true;
        mnb_error error{};
        Device::check(device_.backend().end(device_.handle(), 1, &error), error);
    }

private:
    const Device& device_;
    bool ended_ = false;
};

}  // namespace

Execution::Execution(Plan& plan)
    : plan_(plan),
      arena_(plan.device_, plan.memory_.arena_bytes),
      losses_(plan.device_,
              plan.program_.loss_count * static_cast<int64_t>(sizeof(mnb_loss_result))),
      number_(execution_count++) {
    inputs_.resize(plan.program_.input_gradients.size());
    if (plan.device_->backend().shares_host_memory)
        for (Posted& posted : posts_)
            posted.results.resize(static_cast<size_t>(plan.program_.loss_count));
    for (size_t i = 0; i < plan.steps_.size(); i++)
        runs_.push_back(plan.bind(plan.program_.steps[i], i, arena_, losses_));
}

Execution::~Execution() {
    drop_losses();
    const Device& device = *plan_.device_;
    if (device.backend().forget) device.backend().forget(device.handle(), number_);
}

void Execution::time_into(StepTimes* times) {
    times_ = times;
    if (times) times->steps.resize(runs_.size());
}

double Execution::timed(StopWatch& clock) const {
    plan_.device_->synchronize();
    return clock.lap();
}

void Execution::run(const CheckedBatch& batch, int64_t first, int32_t count, bool accumulate,
                    uint64_t step, const double* loss_scales) {
    const mnb_backend& backend = plan_.device_->backend();
    mnb_device* device = plan_.device_->handle();
    plan_.check_count(count);
    StopWatch clock;
    plan_.refresh();
    for (size_t i = 0; i < inputs_.size(); i++) inputs_[i] = batch.from(i, first);
    if (!backend.shares_host_memory) upload(batch, count);
    if (times_) times_->refresh_seconds += timed(clock);
    std::optional<Sequence> sequence;
    if (backend.begin && !times_) {
        const mnb_sequence described = {sizeof described, count,
                                        accumulate,       static_cast<int32_t>(inputs_.size()),
                                        inputs_.data(),   number_};
        sequence.emplace(*plan_.device_, described);
    }
    mnb_error error{};
    for (size_t i = 0; i < runs_.size(); i++) {
        mnb_run& run = runs_[i];
        run.count = count;
        const std::vector<bool>& adds = plan_.program_.steps[i].accumulate;
        for (size_t p = 0; p < adds.size(); p++) run.accumulate[p] = accumulate || adds[p];
        run.seed = plan_.seed_;
        run.step = step;
        const Operation& operation = plan_.program_.operations[plan_.program_.steps[i].operation];
        run.input = &inputs_[operation.input];
        run.loss_scale = loss_scales && operation.loss >= 0 ? loss_scales[operation.loss] : 1.0;
        Device::check(backend.run(device, plan_.steps_[i].kernel, &run, &error), error);
        if (times_) {
            times_->steps[i].seconds += timed(clock);
            times_->steps[i].dtype = run.input->dtype;
        }
    }
    if (sequence) sequence->end();
}

// Calls visit(pointer, bytes) for everything in host memory that kernels read.
template <typename Visit>
void Execution::for_each_upload(const CheckedBatch& batch, int32_t count, Visit visit) {
    constexpr int64_t float_size = sizeof(float), index_size = sizeof(int32_t);
    for (size_t i = 0; i < inputs_.size(); i++) {
        mnb_input& input = inputs_[i];
        const int64_t elements =
            i == 0 ? batch.image_elements : batch.further[i - 1].image_elements;
        if (input.indices) {
            visit(input.indices, count * index_size);
        } else {
            const int64_t size = input.dtype == MN_UINT8 ? 1 : float_size;
            visit(input.images, count * elements * size);
            if (input.labels) visit(input.labels, count * index_size);
        }
        if (input.output_gradients)
            visit(input.output_gradients,
                  count * plan_.loss_elements(MNB_OP_OUTPUT_GRADIENT) * float_size);
        if (input.targets)
            visit(input.targets, count * plan_.loss_elements(MNB_OP_TARGET_LOSS) * float_size);
    }
}

void Execution::upload(const CheckedBatch& batch, int32_t count) {
    const auto place = [](int64_t bytes) {
        return (bytes + MNB_ALIGNMENT - 1) / MNB_ALIGNMENT * MNB_ALIGNMENT;
    };
    int64_t total = 0;
    for_each_upload(batch, count, [&](const auto*, int64_t bytes) { total += place(bytes); });
    if (uploads_.bytes() < total) {
        uploads_ = DeviceMemory();
        uploads_ = DeviceMemory(plan_.device_, total);
    }
    int64_t at = 0;
    for_each_upload(batch, count, [&](auto*& data, int64_t bytes) {
        void* to = uploads_.at<void>(at);
        plan_.device_->copy_in(to, data, static_cast<size_t>(bytes));
        data = static_cast<std::remove_reference_t<decltype(data)>>(to);
        at += place(bytes);
    });
}

void Execution::read_value(int32_t value, int32_t count, float* values) {
    const mnb_tensor& t = plan_.program_.values[value].tensor;
    const float* stored =
        arena_.at<float>(plan_.memory_.storage[plan_.program_.values[value].storage]);
    const size_t size = static_cast<size_t>(t.image_stride);
    if (t.layout == MNB_NCHW || layout_is_trivial(t)) {
        plan_.device_->copy_out(values, stored, count * size * sizeof(float));
        return;
    }
    std::vector<float> copy(size);
    const ImageView image = image_of(t);
    for (int64_t n = 0; n < count; n++) {
        plan_.device_->copy_out(copy.data(), stored + n * t.image_stride, size * sizeof(float));
        for (int64_t c = 0; c < image.c; c++)
            for (int64_t h = 0; h < image.h; h++)
                for (int64_t w = 0; w < image.w; w++)
                    *values++ = copy[c * image.sc + h * image.sh + w * image.sw];
    }
}

void Execution::read_output(int32_t output, int32_t count, float* values) {
    read_value(plan_.program_.outputs[output], count, values);
}

void Execution::read_input_gradient(size_t input, int32_t count, float* values) {
    read_value(plan_.program_.input_gradients[input], count, values);
}

void Execution::post_losses(int32_t count) {
    Posted& posted = posts_[(first_posted_ + posted_) % kMaxPosted];
    const mnb_backend& backend = plan_.device_->backend();
    const size_t bytes = static_cast<size_t>(losses_.bytes());
    posted.count = count;
    if (backend.post) {
        mnb_error error{};
        Device::check(
            backend.post(plan_.device_->handle(), losses_.data(), bytes, &posted.ticket, &error),
            error);
    } else {
        std::memcpy(posted.results.data(), losses_.data(), bytes);
    }
    posted_++;
}

int32_t Execution::take_losses(mnb_loss_result* results) {
    const Posted& posted = posts_[first_posted_];
    const mnb_backend& backend = plan_.device_->backend();
    const size_t bytes = static_cast<size_t>(losses_.bytes());
    first_posted_ = (first_posted_ + 1) % kMaxPosted;
    posted_--;
    if (backend.collect) {
        mnb_error error{};
        Device::check(
            backend.collect(plan_.device_->handle(), posted.ticket, results, bytes, &error), error);
    } else {
        std::memcpy(results, posted.results.data(), bytes);
    }
    return posted.count;
}

void Execution::drop_losses() noexcept {
    const mnb_backend& backend = plan_.device_->backend();
    for (; posted_ > 0; posted_--, first_posted_ = (first_posted_ + 1) % kMaxPosted) {
        mnb_error error{};
        if (backend.collect)
            backend.collect(plan_.device_->handle(), posts_[first_posted_].ticket, nullptr, 0,
                            &error);
    }
}

}  // namespace mn
