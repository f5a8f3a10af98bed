// The training of a model: one plan with a backward pass, the optimizer, and the right to both.

#pragma once

#include "plan/model.h"

namespace mn {

class Trainer {
public:
    Trainer(std::shared_ptr<Model> model, const mn_trainer_desc& desc);
    ~Trainer();
    Trainer(const Trainer&) = delete;
    Trainer& operator=(const Trainer&) = delete;

    // `times`, if not null, receives what the parts of the step took.
    mn_metrics step(const mn_batch& batch, std::shared_ptr<const Dataset> dataset,
                    StepTimes* times = nullptr);
    // The same without waiting; `sums` waits and adds up.
    void begin_step(const mn_batch& batch, std::shared_ptr<const Dataset> dataset);
    mn_step_sums sums(bool restart);
    std::vector<ProfileEntry> profile(const mn_batch& batch,
                                      std::shared_ptr<const Dataset> dataset);
    int32_t profile_size() const;
    mn_metrics accumulate(const mn_batch& batch, std::shared_ptr<const Dataset> dataset);
    void apply();
    void clear();
    void set_learning_rate(float learning_rate);
    mn_training_progress progress() const;
    void set_progress(const mn_training_progress& progress);
    void read_updates(int64_t* updates, int32_t count) const;
    void write_updates(const int64_t* updates, int32_t count);
    void read_input_gradient(int32_t node, float* values, uint64_t count);
    mn_memory_plan memory_plan() const;

private:
    CheckedBatch check(const mn_batch& batch, std::shared_ptr<const Dataset> dataset) const;
    // `adds`: to the gradients that wait; otherwise they are replaced. A failure changes nothing.
    void forward_backward(const CheckedBatch& batch, bool adds, StepTimes* times = nullptr);
    // Takes the losses of begun steps until so many runs' are left.
    void collect(size_t left);
    mn_metrics take_metrics();  // without mn_metrics::labels
    mn_metrics take_metrics(const CheckedBatch& batch);
    static mn_step_sums no_steps();
    void update(StepTimes* times = nullptr);
    void take_options(const mn_trainer_desc& desc);
    void check_parameter_count(int32_t count) const;

    std::shared_ptr<Model> model_;
    LossList losses_;
    LossSum sum_{losses_};                 // of one run
    mn_step_sums step_sums_ = no_steps();  // of the steps begun, as far as collected
    LossScales scales_;
    mn_optimizer_desc optimizer_;
    BatchNeeds needs_;
    std::unique_ptr<Plan> plan_;
    std::unique_ptr<Execution> execution_;
    std::vector<mn_parameter_options> options_;  // one for each parameter
    float clip_norm_ = 0, clip_value_ = 0;
    int64_t steps_ = 0;
    uint64_t runs_ = 0;       // batches seen, for random numbers
    bool pending_ = false;    // gradients wait for an update
    double denominator_ = 0;  // of the batches in the gradients, see LossScales
    int32_t last_count_ = 0;
    double last_denominator_ = 1;  // of the last batch alone
};

// Throws if an optimizer's numbers make no sense.
void check_optimizer(const mn_optimizer_desc& optimizer);

}  // namespace mn
