// The C ABI with destructors, for tests that build and train whole networks. A call that fails
// throws Failure.

#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "mnistnative.h"
#include "op_cases.h"

namespace mn::test {

struct Failure : std::runtime_error {
    Failure(mn_status s, const char* text) : std::runtime_error(text), status(s) {}
    mn_status status;
};

void check(mn_status status);

// A handle that is given back at the end.
template <mn_status (*Close)(uint64_t)>
class Owned {
public:
    Owned() = default;
    explicit Owned(uint64_t handle) : handle_(handle) {}
    Owned(Owned&& other) noexcept : handle_(std::exchange(other.handle_, 0)) {}
    Owned& operator=(Owned&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Owned() {
        if (handle_) Close(handle_);
    }
    operator uint64_t() const { return handle_; }

private:
    uint64_t handle_ = 0;
};

using DeviceHandle = Owned<mn_device_close>;
using DatasetHandle = Owned<mn_dataset_destroy>;

DeviceHandle open_device(int threads = 2, uint32_t flags = 0);

// A graph under construction; every function returns the new node's id.
class Network {
public:
    Network();
    int32_t input(int64_t c, int64_t h, int64_t w);
    int32_t features(int64_t f);
    int32_t normalize(int32_t source, const Floats& mean, const Floats& std);
    int32_t conv(int32_t source, const mn_conv2d_desc& desc, const char* name = nullptr);
    int32_t max_pool(int32_t source, const mn_pool2d_desc& desc);
    int32_t avg_pool(int32_t source, const mn_pool2d_desc& desc);
    int32_t global_pool(int32_t source);
    int32_t linear(int32_t source, int out_features, int bias = 1, const char* name = nullptr);
    int32_t relu(int32_t source);
    int32_t flatten(int32_t source);
    int32_t softmax(int32_t source);

    mn_graph handle() const { return graph_; }
    mn_shape shape(int32_t node) const;
    int64_t size(int32_t node) const;  // elements of one image

private:
    Owned<mn_graph_destroy> graph_;
};

// Images for a network, by default float32 in random bits.
struct Batch {
    int count = 0;
    Floats images;
    std::vector<uint8_t> bytes;  // instead of images, if there are any
    std::vector<int32_t> labels;
    Floats output_gradients;
    mn_dataset dataset = 0;
    std::vector<int32_t> indices;

    mn_batch get() const;
    Batch slice(int first, int how_many) const;  // of contiguous images
};

Batch random_batch(Random& random, int count, int64_t image_size, int classes);

struct ModelOptions {
    uint32_t flags = 0;
    uint64_t seed = 1;
    int inference_batch = 0;
    int32_t precision = MN_PRECISION_FLOAT32;
};

class TestModel {
public:
    TestModel(mn_device device, const Network& network, std::vector<int32_t> outputs,
              const ModelOptions& options = {});

    mn_model handle() const { return model_; }
    Floats forward(const Batch& batch, int output = 0) const;
    mn_metrics evaluate(const Batch& batch, int32_t node) const;

    int parameter_count() const;
    mn_parameter_info parameter(int index) const;
    Floats read(int index, int part = MN_PART_VALUE) const;
    void write(int index, const Floats& values, int part = MN_PART_VALUE) const;
    std::vector<Floats> read_all(int part = MN_PART_VALUE) const;
    void write_all(const std::vector<Floats>& values) const;

private:
    Owned<mn_model_destroy> model_;
    std::vector<int64_t> output_sizes_;
};

mn_loss_desc loss_on(int32_t node, float weight = 1, int32_t reduction = MN_REDUCTION_MEAN,
                     int32_t kind = MN_LOSS_CROSS_ENTROPY);
mn_optimizer_desc sgd(float learning_rate, float momentum = 0);
mn_optimizer_desc adam(float learning_rate);

class TestTrainer {
public:
    TestTrainer(const TestModel& model, const std::vector<mn_loss_desc>& losses,
                const mn_optimizer_desc& optimizer, int max_batch, uint32_t flags = 0);

    mn_trainer handle() const { return trainer_; }
    mn_metrics step(const Batch& batch) const;
    mn_metrics accumulate(const Batch& batch) const;
    void apply() const { check(mn_trainer_apply(trainer_)); }
    void clear() const { check(mn_trainer_clear(trainer_)); }
    Floats input_gradient(int64_t size, int32_t node = 0) const;

private:
    Owned<mn_trainer_destroy> trainer_;
};

// A small network of random ops, with one or two branches that end in features.
struct RandomNetwork {
    Network network;
    std::vector<int32_t> heads;  // features of `classes` each
    int32_t tap = 0;             // some node on the way
    int64_t image_size = 0;
    int classes = 0;
    std::string text;  // its ops, for messages
};

RandomNetwork random_network(Random& random);

}  // namespace mn::test
