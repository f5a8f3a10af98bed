#include "plan/parameter_store.h"

#include <algorithm>
#include <cmath>

#include "graph/philox.h"

namespace mn {
namespace {

// Calls visit(PyTorch's index, storage index) for every value of a parameter.
template <typename Visit>
void for_each_value(const mnb_param& p, Visit visit) {
    int64_t count = 1;
    for (int32_t d = 0; d < p.rank; d++) count *= p.dims[d];
    const int32_t last = p.rank - 1;
    // The stride of the last dimension; a bias's elements are in order in panels, too.
    const int64_t length = p.dims[last], stride = last == 0 ? 1 : p.strides[last];
    int64_t x[MNB_MAX_RANK] = {};
    for (int64_t plain = 0; plain < count;) {
        const int64_t row = param_offset(p, x);
        for (int64_t i = 0; i < length; i++) visit(plain++, row + i * stride);
        for (int32_t d = last - 1; d >= 0 && ++x[d] == p.dims[d]; d--) x[d] = 0;
    }
}

const char* part_name(int32_t part) {
    switch (part) {
        case MN_PART_VALUE:
            return "value";
        case MN_PART_GRADIENT:
            return "gradient";
        case MN_PART_MOMENT1:
            return "first moment";
        case MN_PART_MOMENT2:
            return "second moment";
        case MN_PART_MOMENT3:
            return "third moment";
        default:
            fail(MN_INVALID_ARGUMENT, "a parameter has no part ", part);
    }
}

double first_value(const Parameter& p, const Philox& random, uint64_t i) {
    const RandomPurpose purpose = p.spec.bias ? RandomPurpose::kBias : RandomPurpose::kWeight;
    const uint32_t layer = static_cast<uint32_t>(p.node);
    switch (p.spec.init) {
        case Init::kUniform:
            return (2.0 * random.uniform(i, layer, purpose) - 1.0) * p.spec.init_value;
        case Init::kNormal: {
            // Box and Muller's transform; 1 - u is never 0.
            const double u = 1.0 - random.uniform(2 * i, layer, purpose);
            const double angle = 6.283185307179586 * random.uniform(2 * i + 1, layer, purpose);
            return std::sqrt(-2.0 * std::log(u)) * std::cos(angle) * p.spec.init_value;
        }
        case Init::kConstant:
            break;
    }
    return p.spec.init_value;
}

}  // namespace

ParameterStore::ParameterStore(std::shared_ptr<const Device> device, const Graph& graph,
                               const Program& program)
    : device_(std::move(device)) {
    int64_t bytes = 0;
    for (const Operation& operation : program.operations) {
        if (operation.params.empty()) continue;
        const Node& node = graph.node(operation.node);
        for (size_t i = 0; i < operation.params.size(); i++) {
            const ParameterSpec& spec = node.parameters[i];
            parameters_.push_back({spec.whole_name ? spec.suffix : node.name + "." + spec.suffix,
                                   node.id, spec, operation.params[i], bytes});
            const int64_t size = operation.params[i].storage * static_cast<int64_t>(sizeof(float));
            bytes += (size + MNB_ALIGNMENT - 1) / MNB_ALIGNMENT * MNB_ALIGNMENT;
        }
    }
    values_ = DeviceMemory(device_, bytes);
}

void ParameterStore::initialize(uint64_t seed) {
    const Philox random(seed);
    std::vector<float> values;
    for (size_t index = 0; index < parameters_.size(); index++) {
        const Parameter& p = parameters_[index];
        values.resize(static_cast<size_t>(element_count(p.spec.shape)));
        for (size_t i = 0; i < values.size(); i++)
            values[i] = static_cast<float>(first_value(p, random, i));
        write(static_cast<int32_t>(index), MN_PART_VALUE, values.data(), values.size());
    }
}

const Parameter& ParameterStore::parameter(int32_t index) const {
    if (index < 0 || index >= static_cast<int32_t>(parameters_.size()))
        fail(MN_NOT_FOUND, "there is no parameter ", index, "; the model has ", parameters_.size());
    return parameters_[index];
}

ParameterStore::Training ParameterStore::make_training(
    const mn_optimizer_desc& optimizer, const std::vector<bool>& trained,
    const std::vector<mn_parameter_options>& options) const {
    const int64_t bytes = values_.bytes();
    const bool adam = optimizer.kind == MN_OPTIMIZER_ADAM || optimizer.kind == MN_OPTIMIZER_ADAMW;
    const bool rmsprop = optimizer.kind == MN_OPTIMIZER_RMSPROP;
    const bool third = (adam && optimizer.amsgrad) || (rmsprop && optimizer.centered);
    Training made;
    made.gradients = DeviceMemory(device_, bytes);
    made.moments1 = DeviceMemory(device_, adam || optimizer.momentum != 0 ? bytes : 0);
    made.moments2 = DeviceMemory(device_, adam || rmsprop ? bytes : 0);
    made.moments3 = DeviceMemory(device_, third ? bytes : 0);
    for (size_t i = 0; i < parameters_.size(); i++) {
        const int32_t index = static_cast<int32_t>(i);
        if (parameters_[i].spec.trainable && trained[i])
            made.updates.push_back(
                {value(index), at(made.gradients, index), at(made.moments1, index),
                 at(made.moments2, index), at(made.moments3, index), parameters_[i].storage.storage,
                 options[i].learning_rate_factor,
                 options[i].weight_decay < 0 ? optimizer.weight_decay : options[i].weight_decay});
    }
    return made;
}

void ParameterStore::update(const mn_optimizer_desc& optimizer, const mnb_update_options& options) {
    mnb_error error{};
    version_++;
    Device::check(
        device_->backend().update(device_->handle(), &optimizer, training_.updates.data(),
                                  static_cast<int32_t>(training_.updates.size()), &options, &error),
        error);
}

const DeviceMemory& ParameterStore::part_memory(const Parameter& parameter, int32_t part,
                                                uint64_t count) const {
    const char* name = part_name(part);
    if (count != static_cast<uint64_t>(element_count(parameter.spec.shape)))
        fail(MN_SHAPE_MISMATCH, "[", parameter.name, "] has ", element_count(parameter.spec.shape),
             " values (", text_of(parameter.spec.shape), "), got a buffer of ", count);
    const DeviceMemory& memory = part == MN_PART_VALUE      ? values_
                                 : part == MN_PART_GRADIENT ? training_.gradients
                                 : part == MN_PART_MOMENT1  ? training_.moments1
                                 : part == MN_PART_MOMENT2  ? training_.moments2
                                                            : training_.moments3;
    if (!memory.data())
        fail(MN_NOT_FOUND, "[", parameter.name, "] has no ", name,
             part == MN_PART_GRADIENT ? ": the model has not been trained"
                                      : ": the optimizer in use keeps none");
    return memory;
}

void ParameterStore::read(int32_t index, int32_t part, float* values, uint64_t count) const {
    const Parameter& p = parameter(index);
    const DeviceMemory& memory = part_memory(p, part, count);
    if (part == MN_PART_GRADIENT && training_.gradient_scale == 0) {
        std::fill(values, values + count, 0.0f);
        return;
    }
    std::vector<float> storage(static_cast<size_t>(p.storage.storage));
    device_->copy_out(storage.data(), at(memory, index), storage.size() * sizeof(float));
    for_each_value(p.storage,
                   [&](int64_t plain, int64_t stored) { values[plain] = storage[stored]; });
    if (part == MN_PART_GRADIENT && training_.gradient_scale != 1)
        for (uint64_t i = 0; i < count; i++)
            values[i] = static_cast<float>(values[i] * training_.gradient_scale);
}

void ParameterStore::write(int32_t index, int32_t part, const float* values, uint64_t count) {
    const Parameter& p = parameter(index);
    if (part == MN_PART_GRADIENT)
        fail(MN_INVALID_ARGUMENT, "[", p.name, "] gradients cannot be written");
    const DeviceMemory& memory = part_memory(p, part, count);
    std::vector<float> storage(static_cast<size_t>(p.storage.storage));  // padding is zero
    for_each_value(p.storage,
                   [&](int64_t plain, int64_t stored) { storage[stored] = values[plain]; });
    device_->copy_in(at(memory, index), storage.data(), storage.size() * sizeof(float));
    if (part == MN_PART_VALUE) version_++;
}

}  // namespace mn
