// Small models and trainers for tests that go through graph, passes and plan.

#pragma once

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "op_cases.h"
#include "plan/trainer.h"

namespace mn::test {

inline mn_shape shape_of(std::initializer_list<int64_t> dims) {
    mn_shape shape{};
    for (int64_t d : dims) shape.dims[shape.rank++] = d;
    return shape;
}

inline std::shared_ptr<Device> open_cpu(int threads = 2) {
    mn_device_desc desc{};
    desc.struct_size = sizeof desc;
    desc.threads = threads;
    return std::make_shared<Device>(desc);
}

inline mn_loss_desc loss_desc(int32_t kind, int32_t node, int32_t reduction = MN_REDUCTION_MEAN) {
    mn_loss_desc desc{};
    desc.struct_size = sizeof desc;
    desc.kind = kind;
    desc.node = node;
    desc.reduction = reduction;
    desc.weight = 1;
    desc.delta = 1;
    return desc;
}

inline mn_optimizer_desc sgd_desc(float learning_rate) {
    mn_optimizer_desc desc{};
    desc.struct_size = sizeof desc;
    desc.kind = MN_OPTIMIZER_SGD;
    desc.learning_rate = learning_rate;
    return desc;
}

inline std::shared_ptr<Model> make_model(const Graph& graph, std::vector<int32_t> outputs,
                                         int32_t inference_batch = 0) {
    mn_model_desc desc{};
    desc.struct_size = sizeof desc;
    desc.seed = 7;
    desc.outputs = outputs.data();
    desc.output_count = static_cast<int32_t>(outputs.size());
    desc.inference_batch = inference_batch;
    return std::make_shared<Model>(open_cpu(), graph, desc);
}

struct TrainerSettings {
    std::vector<mn_loss_desc> losses;
    mn_optimizer_desc optimizer = sgd_desc(0);
    int32_t max_batch = 16;
    uint32_t flags = 0;
    std::vector<mn_parameter_options> options = {};
    float clip_norm = 0, clip_value = 0;
};

inline std::unique_ptr<Trainer> make_trainer(const std::shared_ptr<Model>& model,
                                             const TrainerSettings& s) {
    mn_trainer_desc desc{};
    desc.struct_size = sizeof desc;
    desc.max_batch = s.max_batch;
    desc.losses = s.losses.data();
    desc.loss_count = static_cast<int32_t>(s.losses.size());
    desc.flags = s.flags;
    desc.optimizer = &s.optimizer;
    desc.options = s.options.data();
    desc.option_count = static_cast<int32_t>(s.options.size());
    desc.clip_norm = s.clip_norm;
    desc.clip_value = s.clip_value;
    return std::make_unique<Trainer>(model, desc);
}

inline mn_batch batch_of(const Floats& images, int32_t count,
                         const std::vector<int32_t>* labels = nullptr,
                         const Floats* targets = nullptr) {
    mn_batch batch{};
    batch.struct_size = sizeof batch;
    batch.count = count;
    batch.dtype = MN_FLOAT32;
    batch.images = images.data();
    batch.images_bytes = images.size() * sizeof(float);
    if (labels) batch.labels = labels->data();
    if (targets) batch.targets = targets->data(), batch.target_count = targets->size();
    return batch;
}

inline int32_t parameter_index(const Model& model, const std::string& name) {
    for (size_t i = 0; i < model.parameters().size(); i++)
        if (model.parameters()[i].name == name) return static_cast<int32_t>(i);
    throw std::runtime_error("no parameter " + name);
}

inline Floats read_part(Model& model, const std::string& name, int32_t part = MN_PART_VALUE) {
    const int32_t index = parameter_index(model, name);
    Floats values(static_cast<size_t>(element_count(model.parameter(index).spec.shape)));
    model.read(index, part, values.data(), values.size());
    return values;
}

inline double norm_of(const Floats& values) {
    double sum = 0;
    for (float v : values) sum += static_cast<double>(v) * static_cast<double>(v);
    return std::sqrt(sum);
}

}  // namespace mn::test
