#include "plan/trainer.h"

#include <algorithm>
#include <cmath>

#include "plan/stop_watch.h"

namespace mn {
namespace {

constexpr int32_t kMaxBatch = MN_MAX_BATCH;

void check_learning_rate(float learning_rate) {
    if (!std::isfinite(learning_rate) || learning_rate < 0)
        fail(MN_INVALID_ARGUMENT, "[optimizer] learning_rate must be finite and not negative, got ",
             learning_rate);
}

// 0 where there is nothing to divide: the sums are zeros.
double inverse(double denominator) {
    return denominator == 0 ? 0 : 1.0 / denominator;
}

// Takes the right to train for as long as it lives, unless kept.
class TrainingRight {
public:
    explicit TrainingRight(std::atomic<bool>& taken) : taken_(&taken) {
        if (taken.exchange(true))
            fail(MN_BUSY, "the model is being trained: it has one trainer at a time");
    }
    ~TrainingRight() {
        if (taken_) *taken_ = false;
    }
    void keep() { taken_ = nullptr; }

private:
    std::atomic<bool>* taken_;
};

}  // namespace

void check_optimizer(const mn_optimizer_desc& o) {
    check_learning_rate(o.learning_rate);
    const auto expect = [](bool condition, const char* what, float value) {
        if (!condition) fail(MN_INVALID_ARGUMENT, "[optimizer] ", what, ", got ", value);
    };
    expect(std::isfinite(o.weight_decay) && o.weight_decay >= 0,
           "weight_decay must be finite and not negative", o.weight_decay);
    if (o.kind < MN_OPTIMIZER_SGD || o.kind > MN_OPTIMIZER_RMSPROP)
        fail(MN_INVALID_ARGUMENT, "[optimizer] there is no kind ", o.kind);
    const bool adam = o.kind == MN_OPTIMIZER_ADAM || o.kind == MN_OPTIMIZER_ADAMW;
    if (adam) {
        expect(o.beta1 >= 0 && o.beta1 < 1, "beta1 must be in [0, 1)", o.beta1);
        expect(o.beta2 >= 0 && o.beta2 < 1, "beta2 must be in [0, 1)", o.beta2);
    } else {
        expect(std::isfinite(o.momentum) && o.momentum >= 0,
               "momentum must be finite and not negative", o.momentum);
    }
    if (o.kind == MN_OPTIMIZER_RMSPROP)
        expect(o.alpha >= 0 && o.alpha < 1, "alpha must be in [0, 1)", o.alpha);
    if (o.kind == MN_OPTIMIZER_SGD) {
        expect(std::isfinite(o.dampening), "dampening must be finite", o.dampening);
        if (o.nesterov && !(o.momentum > 0 && o.dampening == 0))
            fail(MN_INVALID_ARGUMENT,
                 "[optimizer] nesterov requires momentum > 0 and dampening = 0, got momentum ",
                 o.momentum, " and dampening ", o.dampening);
    } else {
        expect(std::isfinite(o.epsilon) && o.epsilon > 0, "epsilon must be finite and above 0",
               o.epsilon);
    }
}

Trainer::Trainer(std::shared_ptr<Model> model, const mn_trainer_desc& desc)
    : model_(std::move(model)), optimizer_(*desc.optimizer) {
    if (desc.max_batch < 1 || desc.max_batch > kMaxBatch)
        fail(MN_INVALID_ARGUMENT, "[trainer] max_batch must be 1 to 2^20, got ", desc.max_batch);
    check_optimizer(optimizer_);
    for (int32_t i = 0; i < desc.loss_count; i++) {
        const mn_loss_desc& loss = desc.losses[i];
        check_loss(model_->graph_, loss);
        add_needs(model_->graph_, loss, needs_);
        if (loss.reduction != desc.losses[0].reduction)
            fail(MN_INVALID_ARGUMENT, "[trainer] all losses must have the same reduction");
    }
    losses_ = LossList(desc.losses, desc.loss_count);
    sum_ = LossSum(losses_);
    take_options(desc);
    TrainingRight right(model_->has_trainer_);
    std::lock_guard lock(model_->step_mutex_);
    PlanOptions options;
    options.fuse = model_->fuse_;
    options.input_gradient = desc.flags & MN_TRAINER_INPUT_GRADIENT;
    options.lower.losses = losses_.all();
    options.lower.training = true;
    options.seed = model_->seed_;
    for (const mn_parameter_options& o : options_) options.lower.frozen.push_back(o.frozen);
    options.lower.max_batch = desc.max_batch;
    options.lower.precision = model_->precision_;
    plan_ = std::make_unique<Plan>(model_->device_, model_->graph_, model_->store_, options);
    ParameterStore& store = *model_->store_;
    ParameterStore::Training training =
        store.make_training(optimizer_, plan_->trained_parameters(), options_);
    store.swap_training(training);
    try {
        execution_ = std::make_unique<Execution>(*plan_);
    } catch (...) {
        store.swap_training(training);
        throw;
    }
    right.keep();
}

// Completes the caller's list to one entry for each parameter.
void Trainer::take_options(const mn_trainer_desc& desc) {
    const auto check_clip = [](const char* what, float value) {
        if (!std::isfinite(value) || value < 0)
            fail(MN_INVALID_ARGUMENT, "[trainer] ", what, " must be finite and not negative, got ",
                 value);
        return value;
    };
    clip_norm_ = check_clip("clip_norm", desc.clip_norm);
    clip_value_ = check_clip("clip_value", desc.clip_value);
    const int32_t count = static_cast<int32_t>(model_->parameters().size());
    for (int32_t i = 0; i < count; i++)
        options_.push_back({sizeof(mn_parameter_options), -1, 0, 1, -1});
    for (int32_t i = 0; i < desc.option_count; i++) {
        const mn_parameter_options& o = desc.options[i];
        const Parameter& parameter = model_->parameter(o.parameter);
        if (options_[o.parameter].parameter >= 0)
            fail(MN_INVALID_ARGUMENT, "[", parameter.name, "] has two entries in the options");
        if (!std::isfinite(o.learning_rate_factor) || o.learning_rate_factor < 0)
            fail(MN_INVALID_ARGUMENT, "[", parameter.name,
                 "] learning_rate_factor must be finite and not negative, got ",
                 o.learning_rate_factor);
        if (o.weight_decay != -1 && (!std::isfinite(o.weight_decay) || o.weight_decay < 0))
            fail(MN_INVALID_ARGUMENT, "[", parameter.name,
                 "] weight_decay must be finite and not negative, or -1, got ", o.weight_decay);
        options_[o.parameter] = o;
    }
}

Trainer::~Trainer() {
    model_->has_trainer_ = false;
}

CheckedBatch Trainer::check(const mn_batch& batch, std::shared_ptr<const Dataset> dataset) const {
    return check_batch(batch, std::move(dataset), *model_->device_, model_->graph_, needs_,
                       plan_->max_batch());
}

void Trainer::forward_backward(const CheckedBatch& batch, bool adds, StepTimes* times) {
    scales_.compute(model_->graph_, losses_, batch);
    if (plan_->moves_statistics()) model_->store_->mark_changed();
    execution_->time_into(times);
    execution_->run(batch, 0, batch.count, adds, runs_, scales_.scales.data());
    for (int32_t counter : plan_->counters()) model_->store_->count(counter);
    runs_++;
    const bool adds_denominators = adds && losses_[0].reduction == MN_REDUCTION_MEAN;
    denominator_ = adds_denominators ? denominator_ + scales_.denominator : scales_.denominator;
    pending_ = true;
    last_count_ = batch.count;
    last_denominator_ = scales_.denominator;
    model_->store_->set_gradient_scale(inverse(denominator_));
    collect(Execution::kMaxPosted - 1);
    execution_->post_losses(batch.count);
}

void Trainer::collect(size_t left) {
    while (execution_->posted() > left) {
        const mn_metrics metrics = take_metrics();
        if (step_sums_.first_not_finite < 0 && !std::isfinite(metrics.loss_numerator))
            step_sums_.first_not_finite = step_sums_.steps;
        step_sums_.steps++;
        step_sums_.images += metrics.count;
        step_sums_.correct += metrics.correct;
        step_sums_.loss_numerator += metrics.loss_numerator;
        step_sums_.loss_denominator += metrics.loss_denominator;
    }
}

mn_metrics Trainer::take_metrics() {
    sum_.clear();
    sum_.take(*execution_);
    return sum_.metrics();
}

mn_metrics Trainer::take_metrics(const CheckedBatch& batch) {
    mn_metrics metrics = take_metrics();
    metrics.labels = counted_labels(losses_[0], batch);
    return metrics;
}

mn_step_sums Trainer::no_steps() {
    mn_step_sums sums{};
    sums.first_not_finite = -1;
    return sums;
}

void Trainer::update(StepTimes* times) {
    const mnb_update_options options = {sizeof options, clip_norm_, clip_value_,
                                        inverse(denominator_)};
    steps_++;
    StopWatch clock;
    model_->store_->update(optimizer_, options);
    if (times) {
        model_->device_->synchronize();
        times->update_seconds += clock.lap();
    }
    pending_ = false;
}

mn_metrics Trainer::step(const mn_batch& batch, std::shared_ptr<const Dataset> dataset,
                         StepTimes* times) {
    const CheckedBatch checked = check(batch, std::move(dataset));
    std::lock_guard lock(model_->step_mutex_);
    collect(0);
    forward_backward(checked, false, times);
    update(times);
    return take_metrics(checked);
}

void Trainer::begin_step(const mn_batch& batch, std::shared_ptr<const Dataset> dataset) {
    const CheckedBatch checked = check(batch, std::move(dataset));
    std::lock_guard lock(model_->step_mutex_);
    forward_backward(checked, false);
    update();
    step_sums_.labels += counted_labels(losses_[0], checked);
}

mn_step_sums Trainer::sums(bool restart) {
    std::lock_guard lock(model_->step_mutex_);
    collect(0);
    const mn_step_sums sums = step_sums_;
    if (restart) step_sums_ = no_steps();
    return sums;
}

std::vector<ProfileEntry> Trainer::profile(const mn_batch& batch,
                                           std::shared_ptr<const Dataset> dataset) {
    StepTimes times;
    std::vector<ProfileEntry> entries = step_entries(*plan_, model_->graph_);
    const bool refreshes = plan_->packed_bytes() != 0;
    if (refreshes) entries.push_back(refresh_entry(*plan_));
    entries.push_back(update_entry(*model_->store_));
    step(batch, std::move(dataset), &times);
    add_times(entries, *plan_, model_->graph_, times, batch.count);
    if (refreshes) entries[entries.size() - 2].seconds = times.refresh_seconds;
    entries.back().seconds = times.update_seconds;
    return entries;
}

int32_t Trainer::profile_size() const {
    const bool refreshes = plan_->packed_bytes() != 0;
    return static_cast<int32_t>(plan_->program().steps.size()) + refreshes + 1;
}

mn_metrics Trainer::accumulate(const mn_batch& batch, std::shared_ptr<const Dataset> dataset) {
    const CheckedBatch checked = check(batch, std::move(dataset));
    std::lock_guard lock(model_->step_mutex_);
    collect(0);
    forward_backward(checked, pending_);
    return take_metrics(checked);
}

void Trainer::apply() {
    std::lock_guard lock(model_->step_mutex_);
    if (!pending_)
        fail(MN_INVALID_ARGUMENT, "[trainer] there are no gradients to apply: accumulate first");
    update();
}

void Trainer::clear() {
    std::lock_guard lock(model_->step_mutex_);
    pending_ = false;
    model_->store_->set_gradient_scale(0);
}

void Trainer::set_learning_rate(float learning_rate) {
    check_learning_rate(learning_rate);
    std::lock_guard lock(model_->step_mutex_);
    optimizer_.learning_rate = learning_rate;
}

mn_training_progress Trainer::progress() const {
    std::lock_guard lock(model_->step_mutex_);
    return {sizeof(mn_training_progress), optimizer_.learning_rate, steps_,
            static_cast<int64_t>(runs_)};
}

void Trainer::set_progress(const mn_training_progress& progress) {
    check_learning_rate(progress.learning_rate);
    if (progress.updates < 0 || progress.batches < 0)
        fail(MN_INVALID_ARGUMENT, "[trainer] updates and batches must not be negative, got ",
             progress.updates, " and ", progress.batches);
    std::lock_guard lock(model_->step_mutex_);
    optimizer_.learning_rate = progress.learning_rate;
    steps_ = progress.updates;
    std::vector<int64_t>& steps = model_->store_->steps();
    for (size_t i = 0; i < steps.size(); i++)
        steps[i] = model_->parameters()[i].spec.trainable ? progress.updates : 0;
    runs_ = static_cast<uint64_t>(progress.batches);
}

// Both throw unless there is a number for each parameter.
void Trainer::read_updates(int64_t* updates, int32_t count) const {
    std::lock_guard lock(model_->step_mutex_);
    check_parameter_count(count);
    const std::vector<int64_t>& steps = model_->store_->steps();
    std::copy(steps.begin(), steps.end(), updates);
}

void Trainer::write_updates(const int64_t* updates, int32_t count) {
    std::lock_guard lock(model_->step_mutex_);
    check_parameter_count(count);
    for (int32_t i = 0; i < count; i++) {
        const Parameter& parameter = model_->parameter(i);
        if (updates[i] < 0 || (updates[i] && !parameter.spec.trainable))
            fail(MN_INVALID_ARGUMENT, "[", parameter.name, "] updates must ",
                 parameter.spec.trainable ? "not be negative" : "be 0: it is no parameter to train",
                 ", got ", updates[i]);
    }
    std::copy(updates, updates + count, model_->store_->steps().begin());
}

void Trainer::check_parameter_count(int32_t count) const {
    const size_t expected = model_->parameters().size();
    if (count < 0 || static_cast<size_t>(count) != expected)
        fail(MN_INVALID_ARGUMENT, "[trainer] the model has ", expected,
             " parameters, got a count of ", count);
}

void Trainer::read_input_gradient(int32_t node, float* values, uint64_t count) {
    const std::vector<int32_t>& inputs = model_->graph_.inputs();
    const auto known = std::find(inputs.begin(), inputs.end(), node);
    if (known == inputs.end()) fail(MN_NOT_FOUND, "[input gradient] node ", node, " is no input");
    const size_t input = static_cast<size_t>(known - inputs.begin());
    const Node& described = model_->graph_.node(node);
    if (plan_->program().input_gradients[input] < 0)
        fail(MN_INVALID_ARGUMENT, described.label(),
             "has no gradient: the trainer was made without MN_TRAINER_INPUT_GRADIENT, or no loss "
             "depends on the input");
    if (last_count_ == 0)
        fail(MN_INVALID_ARGUMENT, "[trainer] there is no input gradient before the first batch");
    const uint64_t expected = static_cast<uint64_t>(last_count_ * element_count(described.shape));
    if (count != expected)
        fail(MN_SHAPE_MISMATCH, "[input gradient] the last batch had ", last_count_, " images of ",
             text_of(described.shape), ", ", expected, " values, got a buffer of ", count);
    std::lock_guard lock(model_->step_mutex_);
    execution_->read_input_gradient(input, last_count_, values);
    if (last_denominator_ != 1)
        for (uint64_t i = 0; i < count; i++)
            values[i] =
                last_denominator_ == 0 ? 0.0f : static_cast<float>(values[i] / last_denominator_);
}

mn_memory_plan Trainer::memory_plan() const {
    const ParameterStore& store = *model_->store_;
    mn_memory_plan result{};
    result.struct_size = sizeof result;
    result.batch = plan_->max_batch();
    result.parameter_bytes = store.parameter_bytes();
    result.gradient_bytes = store.gradient_bytes();
    result.optimizer_bytes = store.optimizer_bytes();
    result.packed_bytes = plan_->packed_bytes();
    result.arena_bytes = plan_->arena_bytes();
    result.workspace_bytes = plan_->workspace_bytes();
    result.compile_nanoseconds = plan_->compile_nanoseconds();
    return result;
}

}  // namespace mn
