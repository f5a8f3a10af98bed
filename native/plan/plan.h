// A graph compiled for a device: the steps, one prepared kernel each, and where everything lives.
// A plan does not change; what runs is an execution of it, which owns an arena. Running allocates
// nothing.

#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <vector>

#include "passes/memory_plan.h"
#include "plan/dataset.h"
#include "plan/parameter_store.h"

namespace mn {

struct PlanOptions {
    LowerOptions lower;
    bool fuse = true;
    bool input_gradient = false;
    uint64_t seed = 0;  // of random numbers in training
};

class Plan {
public:
    Plan(std::shared_ptr<const Device> device, const Graph& graph,
         std::shared_ptr<const ParameterStore> store, const PlanOptions& options);
    ~Plan();
    Plan(const Plan&) = delete;
    Plan& operator=(const Plan&) = delete;

    const Program& program() const { return program_; }
    int32_t max_batch() const { return program_.max_batch; }
    int64_t arena_bytes() const { return memory_.arena_bytes; }
    int64_t workspace_bytes() const { return memory_.workspace_bytes; }
    int64_t packed_bytes() const { return packed_.bytes(); }
    int64_t compile_nanoseconds() const { return compile_nanoseconds_; }

    // Values of one image that the losses compare with, or take as gradients.
    int64_t loss_elements(int32_t op) const;

    // Of each of the store's parameters: does a backward step of this plan make its gradient?
    std::vector<bool> trained_parameters() const;

    // Whether a run changes running statistics.
    bool moves_statistics() const;

    // The parameters that count the runs.
    const std::vector<int32_t>& counters() const { return counters_; }

private:
    friend class Execution;

    struct PlannedStep {
        mnb_kernel* kernel = nullptr;
        int64_t packed = -1;  // offset
    };

    // Refuses a batch from which a normalisation cannot learn, since all that it gives would be
    // zeros, before anything has run.
    void check_count(int32_t count) const;
    // Rebuilds what was derived from parameters that have changed since.
    void refresh();
    void prepare_steps();
    void release_steps();
    mnb_run bind(const Step& step, size_t index, const DeviceMemory& arena,
                 const DeviceMemory& losses) const;

    std::shared_ptr<const Device> device_;
    std::shared_ptr<const ParameterStore> store_;
    Program program_;
    MemoryPlan memory_;
    std::vector<PlannedStep> steps_;
    DeviceMemory packed_;
    int64_t compile_nanoseconds_ = 0;
    uint64_t seed_;
    std::mutex refresh_mutex_;
    int64_t packed_version_ = 0;
    std::vector<int32_t> counters_;
};

// What the parts of an execution took; runs add up.
struct StepTimes {
    struct Part {
        double seconds = 0;
        int32_t dtype = MN_FLOAT32;  // of what a load read
    };
    std::vector<Part> steps;     // of the plan
    double refresh_seconds = 0;  // what was derived from parameters
    double update_seconds = 0;   // the optimizer, which is no part of an execution
};

class StopWatch;

class Execution {
public:
    explicit Execution(Plan& plan);
    ~Execution();
    Execution(const Execution&) = delete;
    Execution& operator=(const Execution&) = delete;

    // Times the runs from now on, waiting for the device after each step; null ends it.
    void time_into(StepTimes* times);

    // Runs all steps for `count` images of a batch, from image `first` on. `step` counts the runs,
    // for random numbers; `loss_scales` are factors of the losses' gradients, null: 1.
    void run(const CheckedBatch& batch, int64_t first, int32_t count, bool accumulate,
             uint64_t step = 0, const double* loss_scales = nullptr);

    // After a run: copies an output as N x C x H x W.
    void read_output(int32_t output, int32_t count, float* values);
    void read_input_gradient(size_t input, int32_t count, float* values);

    // The losses of runs come in the order of the runs, and nobody waits for a run before they are
    // taken. At most kMaxPosted runs' may be on their way.
    static constexpr size_t kMaxPosted = 16;
    void post_losses(int32_t count);  // of the run just made, of so many images
    size_t posted() const { return posted_; }
    // Waits for the oldest and returns its number of images; `results` has one entry a loss.
    int32_t take_losses(mnb_loss_result* results);
    void drop_losses() noexcept;

private:
    // Copies what comes with a batch to a device that cannot read the host's memory, so that
    // inputs_ are what kernels can read.
    void upload(const CheckedBatch& batch, int32_t count);
    template <typename Visit>
    void for_each_upload(const CheckedBatch& batch, int32_t count, Visit visit);
    void read_value(int32_t value, int32_t count, float* values);
    // Seconds of the lap that ends when the device has done its work.
    double timed(StopWatch& clock) const;

    Plan& plan_;
    DeviceMemory arena_;
    DeviceMemory losses_;
    // Of a run whose losses are on their way.
    struct Posted {
        uint64_t ticket = 0;
        int32_t count = 0;
        std::vector<mnb_loss_result> results;  // where the device shares the memory
    };

    const uint64_t number_;  // of all executions of the process
    std::array<Posted, kMaxPosted> posts_;
    size_t first_posted_ = 0, posted_ = 0;
    DeviceMemory uploads_;  // grows at first batches; empty where the device shares the memory
    std::vector<mnb_run> runs_;
    std::vector<mnb_input> inputs_;
    StepTimes* times_ = nullptr;
};

// How a device stores the parameters of a graph: one layout each, chosen over all that read it.
std::vector<mnb_param> choose_layouts(const Graph& graph, const Device& device);

}  // namespace mn
