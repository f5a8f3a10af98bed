#include "plan/model.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace mn {
namespace {

// What an inference plan's activations may take when the library chooses its batch: enough to
// keep all threads busy, little enough to stay near the caches.
constexpr int64_t kInferenceBytes = int64_t{64} << 20;
constexpr int32_t kMaxInferenceBatch = 64;

// Plans for evaluation that a model keeps: for the losses of a training and its validation, not for
// every one of a search over losses.
constexpr size_t kMaxEvaluations = 4;

int32_t check_precision(int32_t precision, const Device& device) {
    constexpr const char* kNames[] = {"float32", "TF32", "bfloat16"};
    if (precision < MN_PRECISION_FLOAT32 || precision > MN_PRECISION_BFLOAT16)
        fail(MN_INVALID_ARGUMENT, "[model] there is no precision ", precision);
    const mn_device_info info = device.describe();
    if (info.precisions >> precision & 1u) return precision;
    fail(MN_UNSUPPORTED, "[model] the device \"", info.name, "\" (", info.architecture,
         ") does not compute with ", kNames[precision],
         info.kind == MN_DEVICE_CPU ? "; the CPU computes with float32 only"
                                    : ", which needs compute capability 8.0 or newer");
}

}  // namespace

// An execution borrowed from an inference plan for one call.
class Model::Lease {
public:
    explicit Lease(std::shared_ptr<Inference> inference) : inference_(std::move(inference)) {
        {
            std::lock_guard lock(inference_->mutex);
            if (!inference_->idle.empty()) {
                execution_ = std::move(inference_->idle.back());
                inference_->idle.pop_back();
                return;
            }
        }
        execution_ = std::make_unique<Execution>(*inference_->plan);
        std::lock_guard lock(inference_->mutex);
        inference_->idle.reserve(inference_->execution_count + 1);  // giving it back cannot fail
        inference_->execution_count++;
    }
    ~Lease() {
        execution_->drop_losses();
        std::lock_guard lock(inference_->mutex);
        inference_->idle.push_back(std::move(execution_));
    }
    Execution* operator->() { return execution_.get(); }
    Execution& operator*() { return *execution_; }

private:
    std::shared_ptr<Inference> inference_;  // also when the model has dropped it meanwhile
    std::unique_ptr<Execution> execution_;
};

Model::Model(std::shared_ptr<const Device> device, const Graph& graph, const mn_model_desc& desc)
    : device_(std::move(device)),
      graph_(graph),
      outputs_(desc.outputs, desc.outputs + desc.output_count),
      fuse_(!(desc.flags & MN_MODEL_NO_FUSION)),
      precision_(check_precision(desc.precision, *device_)) {
    for (int32_t output : outputs_) graph_.node(output);
    inference_batch_ = desc.inference_batch ? desc.inference_batch : choose_inference_batch();
    store_ = std::make_shared<ParameterStore>(device_, graph_, choose_layouts(graph_, *device_));
    seed_ = desc.seed;
    if (!(desc.flags & MN_MODEL_NO_INIT)) store_->initialize(desc.seed);
    forward_ = make_inference(LossList());
}

int32_t Model::choose_inference_batch() const {
    int64_t largest = 1;
    for (int32_t id = 0; id < graph_.size(); id++)
        largest = std::max(largest, element_count(graph_.node(id).shape));
    const int64_t bytes = 2 * largest * static_cast<int64_t>(sizeof(float));
    return static_cast<int32_t>(
        std::clamp<int64_t>(kInferenceBytes / bytes, 1, kMaxInferenceBatch));
}

std::shared_ptr<Model::Inference> Model::make_inference(LossList losses) const {
    PlanOptions options;
    options.fuse = fuse_;
    if (losses.size() == 0) options.lower.outputs = outputs_;
    options.lower.losses = losses.all();
    options.lower.max_batch = inference_batch_;
    options.lower.precision = precision_;
    auto made = std::make_shared<Inference>();
    made->losses = std::move(losses);
    made->plan = std::make_unique<Plan>(device_, graph_, store_, options);
    return made;
}

std::shared_ptr<Model::Inference> Model::evaluation(LossList losses) {
    std::lock_guard lock(evaluations_mutex_);
    auto place = std::find_if(evaluations_.begin(), evaluations_.end(), [&](const auto& known) {
        return std::equal(losses.all().begin(), losses.all().end(), known->losses.all().begin(),
                          known->losses.all().end(), same_loss);
    });
    if (place == evaluations_.end()) {
        std::shared_ptr<Inference> made = make_inference(std::move(losses));
        if (evaluations_.size() < kMaxEvaluations)
            evaluations_.push_back(std::move(made));
        else
            evaluations_.back() = std::move(made);
        place = std::prev(evaluations_.end());
    }
    std::rotate(evaluations_.begin(), place, place + 1);
    return evaluations_.front();
}

void Model::read(int32_t index, int32_t part, float* values, uint64_t count) {
    std::shared_lock lock(step_mutex_);
    store_->read(index, part, values, count);
}

void Model::write(const mn_parameter_write* writes, int32_t count) {
    std::lock_guard lock(step_mutex_);
    store_->write(writes, count);
}

void Model::forward(const mn_batch& batch, std::shared_ptr<const Dataset> dataset,
                    const mn_output* outputs, int32_t output_count, StepTimes* times) {
    const CheckedBatch checked = check_batch(batch, std::move(dataset), *device_, graph_, {}, 0);
    for (int32_t i = 0; i < output_count; i++) {
        const mn_output& output = outputs[i];
        if (output.index < 0 || output.index >= static_cast<int32_t>(outputs_.size()))
            fail(MN_NOT_FOUND, "there is no output ", output.index, "; the model has ",
                 outputs_.size());
        const mn_shape& shape = graph_.node(outputs_[output.index]).shape;
        const uint64_t expected = static_cast<uint64_t>(checked.count * element_count(shape));
        if (output.value_count != expected)
            fail(MN_SHAPE_MISMATCH, "[output ", output.index, "] ", checked.count, " results of ",
                 text_of(shape), " are ", expected, " values, got a buffer of ",
                 output.value_count);
        if (!output.values)
            fail(MN_INVALID_ARGUMENT, "[output ", output.index, "] values must not be null");
    }
    std::shared_lock lock(step_mutex_);
    Lease execution(forward_);
    execution->time_into(times);
    for (int64_t first = 0; first < checked.count; first += inference_batch_) {
        const int32_t count =
            static_cast<int32_t>(std::min<int64_t>(inference_batch_, checked.count - first));
        execution->run(checked, first, count, false);
        for (int32_t i = 0; i < output_count; i++)
            execution->read_output(
                outputs[i].index, count,
                outputs[i].values +
                    first * element_count(graph_.node(outputs_[outputs[i].index]).shape));
    }
}

std::vector<ProfileEntry> Model::profile(const mn_batch& batch,
                                         std::shared_ptr<const Dataset> dataset) {
    StepTimes times;
    std::vector<ProfileEntry> entries = step_entries(*forward_->plan, graph_);
    forward(batch, std::move(dataset), nullptr, 0, &times);
    add_times(entries, *forward_->plan, graph_, times, batch.count);
    return entries;
}

int32_t Model::profile_size() const {
    return static_cast<int32_t>(forward_->plan->program().steps.size());
}

mn_metrics Model::evaluate(const mn_batch& batch, std::shared_ptr<const Dataset> dataset,
                           const mn_loss_desc& loss) {
    check_loss(graph_, loss);
    if (loss.kind == MN_LOSS_OUTPUT_GRADIENT)
        fail(MN_INVALID_ARGUMENT,
             "[loss] evaluation needs a loss of labels or targets, not one whose gradient comes "
             "with the batch");
    BatchNeeds needs;
    add_needs(graph_, loss, needs);
    const CheckedBatch checked = check_batch(batch, std::move(dataset), *device_, graph_, needs, 0);
    std::shared_lock lock(step_mutex_);
    const LossList losses(&loss, 1);
    Lease execution(evaluation(LossList(&loss, 1)));
    LossSum sum(losses);
    for (int64_t first = 0; first < checked.count; first += inference_batch_) {
        const int32_t count =
            static_cast<int32_t>(std::min<int64_t>(inference_batch_, checked.count - first));
        execution->run(checked, first, count, false);
        if (execution->posted() == Execution::kMaxPosted) sum.take(*execution);
        execution->post_losses(count);
    }
    while (execution->posted() > 0) sum.take(*execution);
    mn_metrics metrics = sum.metrics();
    metrics.labels = counted_labels(loss, checked);
    return metrics;
}

mn_memory_plan Model::memory_plan() {
    const Plan& plan = *forward_->plan;
    mn_memory_plan result{};
    result.struct_size = sizeof result;
    result.batch = plan.max_batch();
    result.parameter_bytes = store_->parameter_bytes();
    result.packed_bytes = plan.packed_bytes();
    result.arena_bytes = plan.arena_bytes();
    result.workspace_bytes = plan.workspace_bytes();
    result.compile_nanoseconds = plan.compile_nanoseconds();
    return result;
}

}  // namespace mn
