#include "network.h"

#include <algorithm>
#include <sstream>

namespace mn::test {

void check(mn_status status) {
    if (status != MN_OK) throw Failure(status, mn_last_error());
}

DeviceHandle open_device(int threads, uint32_t flags) {
    mn_device_desc desc{};
    desc.struct_size = sizeof desc;
    desc.threads = threads;
    desc.flags = flags;
    mn_device device = 0;
    check(mn_device_open(&desc, &device));
    return DeviceHandle(device);
}

// ---- Network ----

Network::Network() {
    mn_graph graph = 0;
    check(mn_graph_create(&graph));
    graph_ = Owned<mn_graph_destroy>(graph);
}

int32_t Network::input(int64_t c, int64_t h, int64_t w) {
    const mn_shape shape = {3, 0, {c, h, w, 0}};
    int32_t node = -1;
    check(mn_graph_input(graph_, &shape, nullptr, &node));
    return node;
}

int32_t Network::features(int64_t f) {
    const mn_shape shape = {1, 0, {f, 0, 0, 0}};
    int32_t node = -1;
    check(mn_graph_input(graph_, &shape, nullptr, &node));
    return node;
}

int32_t Network::normalize(int32_t source, const Floats& mean, const Floats& std) {
    const mn_normalize_desc desc = {sizeof desc, static_cast<int32_t>(mean.size()), mean.data(),
                                    std.data()};
    int32_t node = -1;
    check(mn_graph_normalize(graph_, source, &desc, nullptr, &node));
    return node;
}

int32_t Network::conv(int32_t source, const mn_conv2d_desc& desc, const char* name) {
    int32_t node = -1;
    check(mn_graph_conv2d(graph_, source, &desc, name, &node));
    return node;
}

int32_t Network::max_pool(int32_t source, const mn_pool2d_desc& desc) {
    int32_t node = -1;
    check(mn_graph_max_pool2d(graph_, source, &desc, nullptr, &node));
    return node;
}

int32_t Network::avg_pool(int32_t source, const mn_pool2d_desc& desc) {
    int32_t node = -1;
    check(mn_graph_avg_pool2d(graph_, source, &desc, nullptr, &node));
    return node;
}

int32_t Network::global_pool(int32_t source) {
    int32_t node = -1;
    check(mn_graph_global_avg_pool2d(graph_, source, nullptr, &node));
    return node;
}

int32_t Network::linear(int32_t source, int out_features, int bias, const char* name) {
    const mn_linear_desc desc = {sizeof desc, out_features, bias};
    int32_t node = -1;
    check(mn_graph_linear(graph_, source, &desc, name, &node));
    return node;
}

int32_t Network::relu(int32_t source) {
    const mn_activation_desc desc = {sizeof desc, MN_ACTIVATION_RELU, 0, 0};
    int32_t node = -1;
    check(mn_graph_activation(graph_, source, &desc, nullptr, &node));
    return node;
}

int32_t Network::flatten(int32_t source) {
    int32_t node = -1;
    check(mn_graph_flatten(graph_, source, nullptr, &node));
    return node;
}

int32_t Network::softmax(int32_t source) {
    int32_t node = -1;
    check(mn_graph_softmax(graph_, source, nullptr, &node));
    return node;
}

mn_shape Network::shape(int32_t node) const {
    mn_node_info info{};
    info.struct_size = sizeof info;
    check(mn_graph_node(graph_, node, &info, nullptr));
    return info.shape;
}

int64_t Network::size(int32_t node) const {
    const mn_shape s = shape(node);
    int64_t size = 1;
    for (int i = 0; i < s.rank; i++) size *= s.dims[i];
    return size;
}

// ---- Batch ----

mn_batch Batch::get() const {
    mn_batch batch{};
    batch.struct_size = sizeof batch;
    batch.count = count;
    if (dataset) {
        batch.dataset = dataset;
        batch.indices = indices.data();
    } else if (!bytes.empty()) {
        batch.dtype = MN_UINT8;
        batch.images = bytes.data();
        batch.images_bytes = bytes.size();
        batch.labels = labels.data();
    } else {
        batch.dtype = MN_FLOAT32;
        batch.images = images.data();
        batch.images_bytes = images.size() * sizeof(float);
        batch.labels = labels.data();
    }
    if (!output_gradients.empty()) {
        batch.output_gradients = output_gradients.data();
        batch.output_gradient_count = output_gradients.size();
    }
    return batch;
}

Batch Batch::slice(int first, int how_many) const {
    const auto cut = [&](const auto& all) {
        const auto size = static_cast<int64_t>(all.size()) / count;
        return typename std::decay_t<decltype(all)>(all.begin() + first * size,
                                                    all.begin() + (first + how_many) * size);
    };
    Batch part;
    part.count = how_many;
    part.images = cut(images);
    part.bytes = cut(bytes);
    part.labels = cut(labels);
    part.output_gradients = cut(output_gradients);
    return part;
}

Batch random_batch(Random& random, int count, int64_t image_size, int classes) {
    Batch batch;
    batch.count = count;
    batch.images = random.floats(count * image_size);
    for (int n = 0; n < count; n++)
        batch.labels.push_back(static_cast<int32_t>(random.integer(0, classes - 1)));
    return batch;
}

// ---- TestModel ----

TestModel::TestModel(mn_device device, const Network& network, std::vector<int32_t> outputs,
                     const ModelOptions& options) {
    mn_model_desc desc{};
    desc.struct_size = sizeof desc;
    desc.flags = options.flags;
    desc.seed = options.seed;
    desc.outputs = outputs.data();
    desc.output_count = static_cast<int32_t>(outputs.size());
    desc.inference_batch = options.inference_batch;
    desc.precision = options.precision;
    mn_model model = 0;
    check(mn_model_create(device, network.handle(), &desc, &model));
    model_ = Owned<mn_model_destroy>(model);
    for (int32_t output : outputs) output_sizes_.push_back(network.size(output));
}

Floats TestModel::forward(const Batch& batch, int output) const {
    Floats values(static_cast<size_t>(batch.count * output_sizes_[output]));
    const mn_output out = {sizeof out, output, values.data(), values.size()};
    const mn_batch b = batch.get();
    check(mn_model_forward(model_, &b, &out, 1));
    return values;
}

mn_metrics TestModel::evaluate(const Batch& batch, int32_t node) const {
    mn_metrics metrics{};
    metrics.struct_size = sizeof metrics;
    const mn_batch b = batch.get();
    const mn_loss_desc loss = loss_on(node);
    check(mn_model_evaluate(model_, &b, &loss, &metrics));
    return metrics;
}

int TestModel::parameter_count() const {
    int32_t count = 0;
    check(mn_model_parameter_count(model_, &count));
    return count;
}

mn_parameter_info TestModel::parameter(int index) const {
    mn_parameter_info info{};
    info.struct_size = sizeof info;
    check(mn_model_parameter_describe(model_, index, &info));
    return info;
}

Floats TestModel::read(int index, int part) const {
    Floats values(static_cast<size_t>(parameter(index).count));
    check(mn_model_read(model_, index, part, values.data(), values.size()));
    return values;
}

void TestModel::write(int index, const Floats& values, int part) const {
    check(mn_model_write(model_, index, part, values.data(), values.size()));
}

std::vector<Floats> TestModel::read_all(int part) const {
    std::vector<Floats> all;
    for (int i = 0; i < parameter_count(); i++) all.push_back(read(i, part));
    return all;
}

void TestModel::write_all(const std::vector<Floats>& values) const {
    for (size_t i = 0; i < values.size(); i++) write(static_cast<int>(i), values[i]);
}

// ---- TestTrainer ----

mn_loss_desc loss_on(int32_t node, float weight, int32_t reduction, int32_t kind) {
    return {sizeof(mn_loss_desc), kind, node, reduction, weight, 0, 0, 0, 0, 0, nullptr};
}

mn_optimizer_desc sgd(float learning_rate, float momentum) {
    mn_optimizer_desc desc{};
    desc.struct_size = sizeof desc;
    desc.kind = MN_OPTIMIZER_SGD;
    desc.learning_rate = learning_rate;
    desc.momentum = momentum;
    return desc;
}

mn_optimizer_desc adam(float learning_rate) {
    mn_optimizer_desc desc{};
    desc.struct_size = sizeof desc;
    desc.kind = MN_OPTIMIZER_ADAM;
    desc.learning_rate = learning_rate;
    desc.beta1 = 0.9f;
    desc.beta2 = 0.999f;
    desc.epsilon = 1e-8f;
    return desc;
}

TestTrainer::TestTrainer(const TestModel& model, const std::vector<mn_loss_desc>& losses,
                         const mn_optimizer_desc& optimizer, int max_batch, uint32_t flags) {
    mn_trainer_desc desc{};
    desc.struct_size = sizeof desc;
    desc.max_batch = max_batch;
    desc.losses = losses.data();
    desc.loss_count = static_cast<int32_t>(losses.size());
    desc.flags = flags;
    desc.optimizer = &optimizer;
    mn_trainer trainer = 0;
    check(mn_trainer_create(model.handle(), &desc, &trainer));
    trainer_ = Owned<mn_trainer_destroy>(trainer);
}

mn_metrics TestTrainer::step(const Batch& batch) const {
    mn_metrics metrics{};
    metrics.struct_size = sizeof metrics;
    const mn_batch b = batch.get();
    check(mn_trainer_step(trainer_, &b, &metrics));
    return metrics;
}

mn_metrics TestTrainer::accumulate(const Batch& batch) const {
    mn_metrics metrics{};
    metrics.struct_size = sizeof metrics;
    const mn_batch b = batch.get();
    check(mn_trainer_accumulate(trainer_, &b, &metrics));
    return metrics;
}

Floats TestTrainer::input_gradient(int64_t size, int32_t node) const {
    Floats values(static_cast<size_t>(size));
    check(mn_trainer_input_gradient(trainer_, node, values.data(), values.size()));
    return values;
}

// ---- random networks ----

namespace {

class Builder {
public:
    Builder(Random& random, RandomNetwork& net) : random_(random), net_(net) {}

    void run() {
        const int c = pick(1, 4), h = pick(6, 15), w = pick(6, 15);
        net_.classes = pick(2, 11);
        net_.image_size = int64_t{c} * h * w;
        text_ << c << 'x' << h << 'x' << w;
        int32_t node = net_.network.input(c, h, w);
        if (coin()) {
            node = net_.network.normalize(node, random_.floats(c), random_.floats(c, 0.5f, 2));
            text_ << " normalize";
        }
        for (int i = pick(1, 2); i > 0; i--) node = block(node);
        net_.tap = node;
        if (coin()) {
            text_ << " (branch";
            head(coin() ? block(node) : node);
            text_ << ')';
        }
        if (coin()) node = block(node);
        head(node);
        net_.text = text_.str();
    }

private:
    int pick(int low, int high) { return static_cast<int>(random_.integer(low, high)); }
    bool coin() { return random_.integer(0, 1) == 1; }

    int32_t block(int32_t node) {
        if (coin() || coin()) node = convolution(node);
        if (coin() || coin()) {
            node = net_.network.relu(node);
            text_ << " relu";
        }
        return coin() ? pool(node) : node;
    }

    int32_t convolution(int32_t node) {
        const mn_shape shape = net_.network.shape(node);
        const int channels = static_cast<int>(shape.dims[0]);
        mn_conv2d_desc d = conv_desc(coin() ? pick(1, 20) : 16 * pick(1, 3), 1);
        d.groups = coin() || coin() ? 1 : coin() ? channels : channels % 2 == 0 ? 2 : 1;
        d.out_channels = (d.out_channels + d.groups - 1) / d.groups * d.groups;
        d.kernel_h = pick(1, 4), d.kernel_w = pick(1, 4);
        d.stride_h = pick(1, 2), d.stride_w = pick(1, 2);
        d.dilation_h = coin() ? 1 : 2, d.dilation_w = coin() ? 1 : 2;
        if (coin()) {  // what most networks have
            d.kernel_h = d.kernel_w = 3;
            d.stride_h = d.stride_w = d.dilation_h = d.dilation_w = 1;
        }
        d.pad_top = pick(0, 2), d.pad_bottom = pick(0, 2);
        d.pad_left = pick(0, 2), d.pad_right = pick(0, 2);
        d.bias = coin() || coin();
        while (shape.dims[1] + d.pad_top + d.pad_bottom < d.dilation_h * (d.kernel_h - 1) + 1)
            d.pad_top++;
        while (shape.dims[2] + d.pad_left + d.pad_right < d.dilation_w * (d.kernel_w - 1) + 1)
            d.pad_right++;
        text_ << " conv" << d.out_channels << '/' << d.groups << 'k' << d.kernel_h << d.kernel_w
              << 's' << d.stride_h << d.stride_w << 'p' << d.pad_top << d.pad_left << d.pad_bottom
              << d.pad_right << 'd' << d.dilation_h << d.dilation_w << (d.bias ? "b" : "");
        return net_.network.conv(node, d);
    }

    int32_t pool(int32_t node) {
        const mn_shape shape = net_.network.shape(node);
        const int limit = static_cast<int>(std::min<int64_t>({shape.dims[1], shape.dims[2], 3}));
        mn_pool2d_desc d = pool_desc(pick(1, limit), pick(1, 3));
        d.kernel_w = pick(1, limit);
        d.stride_w = pick(1, 3);
        if (coin()) d.stride_h = d.kernel_h, d.stride_w = d.kernel_w;
        d.pad_h = pick(0, d.kernel_h / 2), d.pad_w = pick(0, d.kernel_w / 2);
        d.ceil_mode = coin();
        d.count_include_pad = coin();
        const bool max = coin();
        text_ << (max ? " max" : " avg") << 'k' << d.kernel_h << d.kernel_w << 's' << d.stride_h
              << d.stride_w << 'p' << d.pad_h << d.pad_w << (d.ceil_mode ? "c" : "")
              << (d.count_include_pad ? "i" : "");
        return max ? net_.network.max_pool(node, d) : net_.network.avg_pool(node, d);
    }

    void head(int32_t node) {
        if (random_.integer(0, 3) == 0) {
            node = net_.network.global_pool(node);
            text_ << " global";
        }
        node = net_.network.flatten(node);
        const int kind = pick(0, 5);
        if (kind < 2) {  // on a view of an image
            node = kind ? net_.network.relu(node) : net_.network.softmax(node);
            text_ << (kind ? " relu" : " softmax");
        }
        if (coin()) {
            node = net_.network.linear(node, pick(1, 40), coin());
            node = net_.network.relu(node);
            text_ << " linear relu";
        }
        text_ << " linear" << net_.classes;
        net_.heads.push_back(net_.network.linear(node, net_.classes));
    }

    Random& random_;
    RandomNetwork& net_;
    std::ostringstream text_;
};

}  // namespace

RandomNetwork random_network(Random& random) {
    RandomNetwork net;
    Builder(random, net).run();
    return net;
}

}  // namespace mn::test
