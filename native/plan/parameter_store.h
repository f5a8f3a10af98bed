// Owns each parameter, gradient and optimizer moment of a model once, in the layout that the
// device's kernels want. Whoever derives something from the parameters (packed weights) keeps the
// version it was derived from and compares.

#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"
#include "plan/device.h"

namespace mn {

struct Parameter : GraphParameter {
    mnb_param storage;  // layout
    int64_t offset;     // bytes, in each of the store's buffers
};

class ParameterStore {
public:
    // `layouts`: one for each of the graph's parameters.
    ParameterStore(std::shared_ptr<const Device> device, const Graph& graph,
                   const std::vector<mnb_param>& layouts);

    // Draws the first values as PyTorch does.
    void initialize(uint64_t seed);

    const std::vector<Parameter>& parameters() const { return parameters_; }
    const Parameter& parameter(int32_t index) const;

    // What one training adds to the parameters.
    struct Training {
        DeviceMemory gradients, moments1, moments2, moments3;
        std::vector<mnb_update> updates;
        std::vector<int32_t> updated;  // the parameter of each update
        std::vector<int64_t> steps;    // updates of each parameter so far
        double gradient_scale = 0;     // see set_gradient_scale
    };

    // Gradients and, where the optimizer has them, moments; all zero. `trained`: which of the
    // parameters have gradients; the others are left alone by updates, as in PyTorch.
    Training make_training(const mn_optimizer_desc& optimizer, const std::vector<bool>& trained,
                           const std::vector<mn_parameter_options>& options) const;
    void swap_training(Training& other) noexcept { std::swap(training_, other); }

    float* value(int32_t index) const { return at(values_, index); }
    float* gradient(int32_t index) const { return at(training_.gradients, index); }

    // One step of the optimizer.
    void update(const mn_optimizer_desc& optimizer, const mnb_update_options& options);

    // Updates that each parameter has seen; a training is under way.
    std::vector<int64_t>& steps() { return training_.steps; }
    const std::vector<int64_t>& steps() const { return training_.steps; }

    void read(int32_t index, int32_t part, float* values, uint64_t count) const;
    // All or none: checks everything first.
    void write(const mn_parameter_write* writes, int32_t count);

    // One batch more.
    void count(int32_t index) { counts_[index]++; }

    // Grows with every change of a parameter. The running statistics are changed by the forward
    // passes of training, outside this class.
    int64_t version() const { return version_; }
    void mark_changed() { version_++; }

    // What the sums in the gradient buffers are multiplied by when they are read; 0: the buffers
    // hold nothing, and zeros are read.
    void set_gradient_scale(double scale) { training_.gradient_scale = scale; }

    int64_t parameter_bytes() const { return values_.bytes(); }
    int64_t gradient_bytes() const { return training_.gradients.bytes(); }
    int64_t optimizer_bytes() const {
        return training_.moments1.bytes() + training_.moments2.bytes() + training_.moments3.bytes();
    }

private:
    float* at(const DeviceMemory& memory, int32_t index) const {
        return memory.data() ? memory.at<float>(parameters_[index].offset) : nullptr;
    }
    const DeviceMemory& part_memory(const Parameter& parameter, int32_t part, uint64_t count) const;
    template <typename ValueAt>
    void fill(const DeviceMemory& memory, int32_t index, std::vector<float>& chunk,
              ValueAt value_at) const;

    std::shared_ptr<const Device> device_;
    std::vector<Parameter> parameters_;
    std::vector<int64_t> counts_;  // values of those that count
    DeviceMemory values_;
    Training training_;
    int64_t version_ = 1;
};

}  // namespace mn
