#include "plan/parameter_store.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "graph/moments.h"
#include "graph/philox.h"

namespace mn {
namespace {

// Parameters are copied in pieces of 1 MiB: nothing of a parameter's own size is held besides it.
constexpr int64_t kChunk = int64_t{1} << 18;

// Calls visit(PyTorch's index, index in the piece) for every value in a piece of the storage of
// `count` elements from `first` on; both are multiples of MNB_PANEL where the layout is in panels.
template <typename Visit>
void for_each_value(const mnb_param& p, int64_t first, int64_t count, Visit visit) {
    if (p.layout == MNB_PARAM_PLAIN) {
        for (int64_t i = 0; i < count; i++) visit(first + i, i);
        return;
    }
    const int64_t inputs = p.rank > 1 ? p.dims[1] : 1;
    int64_t plane = 1;
    for (int32_t d = 2; d < p.rank; d++) plane *= p.dims[d];
    const int64_t values = inputs * plane;  // of an output
    for (int64_t at = 0; at < count; at += MNB_PANEL) {
        const int64_t row = (first + at) / MNB_PANEL;
        const int64_t panel = row / values, place = row % values;
        const int64_t plain = place % inputs * plane + place / inputs;
        const int64_t outputs = std::min<int64_t>(MNB_PANEL, p.dims[0] - panel * MNB_PANEL);
        for (int64_t o = 0; o < outputs; o++)
            visit((panel * MNB_PANEL + o) * values + plain, at + o);
    }
}

// Calls visit(first element, elements) for the pieces of a storage.
template <typename Visit>
void for_each_chunk(int64_t storage, Visit visit) {
    for (int64_t first = 0; first < storage; first += kChunk)
        visit(first, std::min(kChunk, storage - first));
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
    const uint32_t layer = p.stream;
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

// A count as two floats; their sum is exact below 2^48.
void split(int64_t count, float* values, uint64_t value_count) {
    values[0] = static_cast<float>(count);
    if (value_count > 1) values[1] = static_cast<float>(count - static_cast<int64_t>(values[0]));
}

// The whole part of what the floats add up to, at least 0; a NaN is none.
int64_t join(const float* values, uint64_t value_count) {
    double sum = 0;
    for (uint64_t i = 0; i < value_count; i++) sum += static_cast<double>(values[i]);
    return sum >= 1 ? static_cast<int64_t>(std::min(sum, 0x1p62)) : 0;
}

}  // namespace

ParameterStore::ParameterStore(std::shared_ptr<const Device> device, const Graph& graph,
                               const std::vector<mnb_param>& layouts)
    : device_(std::move(device)) {
    int64_t bytes = 0;
    for (size_t id = 0; id < layouts.size(); id++) {
        parameters_.push_back({graph.parameters()[id], layouts[id], bytes});
        const int64_t size = layouts[id].storage * static_cast<int64_t>(sizeof(float));
        bytes += (size + MNB_ALIGNMENT - 1) / MNB_ALIGNMENT * MNB_ALIGNMENT;
    }
    values_ = DeviceMemory(device_, bytes);
    counts_.resize(parameters_.size());
}

// Writes value_at(PyTorch's index) for every value, and zeros for padding.
template <typename ValueAt>
void ParameterStore::fill(const DeviceMemory& memory, int32_t index, std::vector<float>& chunk,
                          ValueAt value_at) const {
    const mnb_param& p = parameters_[index].storage;
    for_each_chunk(p.storage, [&](int64_t first, int64_t count) {
        std::fill_n(chunk.begin(), count, 0.0f);
        for_each_value(p, first, count,
                       [&](int64_t plain, int64_t stored) { chunk[stored] = value_at(plain); });
        device_->copy_in(at(memory, index) + first, chunk.data(), count * sizeof(float));
    });
}

void ParameterStore::initialize(uint64_t seed) {
    const Philox random(seed);
    std::vector<float> chunk(kChunk);
    for (size_t i = 0; i < parameters_.size(); i++)
        fill(values_, static_cast<int32_t>(i), chunk, [&](int64_t plain) {
            return static_cast<float>(
                first_value(parameters_[i], random, static_cast<uint64_t>(plain)));
        });
    std::fill(counts_.begin(), counts_.end(), 0);
    version_++;
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
    const Moments moments(optimizer);
    Training made;
    made.gradients = DeviceMemory(device_, bytes);
    made.moments1 = DeviceMemory(device_, moments.first ? bytes : 0);
    made.moments2 = DeviceMemory(device_, moments.second ? bytes : 0);
    made.moments3 = DeviceMemory(device_, moments.third ? bytes : 0);
    for (size_t i = 0; i < parameters_.size(); i++) {
        const int32_t index = static_cast<int32_t>(i);
        if (!parameters_[i].spec.trainable || !trained[i]) continue;
        mnb_update update{};
        update.value = value(index);
        update.gradient = at(made.gradients, index);
        update.moment1 = at(made.moments1, index);
        update.moment2 = at(made.moments2, index);
        update.moment3 = at(made.moments3, index);
        update.count = parameters_[i].storage.storage;
        update.learning_rate_factor = options[i].learning_rate_factor;
        update.weight_decay =
            options[i].weight_decay < 0 ? optimizer.weight_decay : options[i].weight_decay;
        made.updates.push_back(update);
        made.updated.push_back(index);
    }
    made.steps.resize(parameters_.size());
    return made;
}

void ParameterStore::update(const mn_optimizer_desc& optimizer, const mnb_update_options& options) {
    // Parameters have different counts where some were frozen before; mostly all have the same.
    struct Corrections {
        int64_t step = 0;
        double first = 0, second = 0;
    };
    std::array<Corrections, 16> known{};
    for (size_t i = 0; i < training_.updates.size(); i++) {
        mnb_update& update = training_.updates[i];
        update.step = ++training_.steps[training_.updated[i]];
        Corrections& c = known[static_cast<uint64_t>(update.step) % known.size()];
        if (c.step != update.step) {
            const double step = static_cast<double>(update.step);
            c = {update.step, 1.0 - std::pow(static_cast<double>(optimizer.beta1), step),
                 1.0 - std::pow(static_cast<double>(optimizer.beta2), step)};
        }
        update.correction1 = c.first;
        update.correction2 = c.second;
    }
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
    const bool split = parameter.spec.counter && part == MN_PART_VALUE && count == 2;
    if (count != static_cast<uint64_t>(element_count(parameter.spec.shape)) && !split)
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
    if (p.spec.counter && part == MN_PART_VALUE) {
        split(counts_[index], values, count);
    } else if (p.storage.layout == MNB_PARAM_PLAIN) {
        device_->copy_out(values, at(memory, index), count * sizeof(float));
    } else {
        std::vector<float> chunk(static_cast<size_t>(std::min(kChunk, p.storage.storage)));
        for_each_chunk(p.storage.storage, [&](int64_t first, int64_t elements) {
            device_->copy_out(chunk.data(), at(memory, index) + first, elements * sizeof(float));
            for_each_value(p.storage, first, elements,
                           [&](int64_t plain, int64_t stored) { values[plain] = chunk[stored]; });
        });
    }
    if (part == MN_PART_GRADIENT && training_.gradient_scale != 1)
        for (uint64_t i = 0; i < count; i++)
            values[i] = static_cast<float>(values[i] * training_.gradient_scale);
}

void ParameterStore::write(const mn_parameter_write* writes, int32_t count) {
    int64_t largest = 0;  // of those that are not copied as they are
    for (int32_t i = 0; i < count; i++) {
        const mn_parameter_write& w = writes[i];
        const Parameter& p = parameter(w.index);
        if (w.part == MN_PART_GRADIENT)
            fail(MN_INVALID_ARGUMENT, "[", p.name, "] gradients cannot be written");
        part_memory(p, w.part, w.value_count);
        if (p.storage.layout != MNB_PARAM_PLAIN) largest = std::max(largest, p.storage.storage);
    }
    std::vector<float> chunk(static_cast<size_t>(std::min(kChunk, largest)));
    for (int32_t i = 0; i < count; i++) {
        const mn_parameter_write& w = writes[i];
        const Parameter& p = parameters_[w.index];
        if (w.part == MN_PART_VALUE) version_++;
        const DeviceMemory& memory = part_memory(p, w.part, w.value_count);
        if (p.spec.counter && w.part == MN_PART_VALUE)
            counts_[w.index] = join(w.values, w.value_count);
        else if (p.storage.layout == MNB_PARAM_PLAIN)
            device_->copy_in(at(memory, w.index), w.values, w.value_count * sizeof(float));
        else
            fill(memory, w.index, chunk, [&](int64_t plain) { return w.values[plain]; });
    }
}

}  // namespace mn
