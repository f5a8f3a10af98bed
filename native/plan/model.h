// A graph compiled for a device, its parameters, and the plans that run it.

#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "plan/losses.h"
#include "plan/profile.h"

namespace mn {

// Many readers or one writer, served in the order of their coming, so that a stream of
// predictions cannot keep a training step out.
class FairSharedMutex {
public:
    void lock() {
        std::lock_guard turn(turnstile_);
        mutex_.lock();
    }
    void unlock() { mutex_.unlock(); }
    void lock_shared() {
        std::lock_guard turn(turnstile_);
        mutex_.lock_shared();
    }
    void unlock_shared() { mutex_.unlock_shared(); }

private:
    std::mutex turnstile_;
    std::shared_mutex mutex_;
};

class Model {
public:
    Model(std::shared_ptr<const Device> device, const Graph& graph, const mn_model_desc& desc);

    const std::shared_ptr<const Device>& device() const { return device_; }
    const Graph& graph() const { return graph_; }
    const std::vector<Parameter>& parameters() const { return store_->parameters(); }
    const Parameter& parameter(int32_t index) const { return store_->parameter(index); }
    bool fuse() const { return fuse_; }

    void read(int32_t index, int32_t part, float* values, uint64_t count);
    void write(int32_t index, int32_t part, const float* values, uint64_t count) {
        const mn_parameter_write one = {sizeof one, index, part, 0, values, count};
        write(&one, 1);
    }
    // All or none, for other threads too.
    void write(const mn_parameter_write* writes, int32_t count);

    // `times`, if not null, receives what the steps of the inference plan took.
    void forward(const mn_batch& batch, std::shared_ptr<const Dataset> dataset,
                 const mn_output* outputs, int32_t output_count, StepTimes* times = nullptr);
    std::vector<ProfileEntry> profile(const mn_batch& batch,
                                      std::shared_ptr<const Dataset> dataset);
    int32_t profile_size() const;
    mn_metrics evaluate(const mn_batch& batch, std::shared_ptr<const Dataset> dataset,
                        const mn_loss_desc& loss);
    mn_memory_plan memory_plan();

private:
    friend class Trainer;

    // A plan without training and its idle executions; as many run at once as are asked for.
    struct Inference {
        LossList losses;
        std::unique_ptr<Plan> plan;
        std::mutex mutex;
        std::vector<std::unique_ptr<Execution>> idle;
        size_t execution_count = 0;  // idle and leased
    };
    class Lease;

    std::shared_ptr<Inference> make_inference(LossList losses) const;
    // The plan that evaluates losses. Of those that were made the last few are kept.
    std::shared_ptr<Inference> evaluation(LossList losses);
    int32_t choose_inference_batch() const;

    std::shared_ptr<const Device> device_;
    Graph graph_;
    std::vector<int32_t> outputs_;
    bool fuse_;
    int32_t precision_;  // mn_precision
    int32_t inference_batch_;
    uint64_t seed_;
    std::shared_ptr<ParameterStore> store_;
    std::shared_ptr<Inference> forward_;  // the one that gives the outputs
    std::mutex evaluations_mutex_;
    std::vector<std::shared_ptr<Inference>> evaluations_;  // the last used first
    // Held shared by whatever reads parameters, exclusively by what changes them.
    FairSharedMutex step_mutex_;
    std::atomic<bool> has_trainer_{false};
};

}  // namespace mn
