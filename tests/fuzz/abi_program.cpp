#include "abi_program.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <thread>

#include "allocation_hooks.h"

namespace mn::fuzz {
namespace {

constexpr double kMaxCost = 4e5;  // of a model's image, so that a run takes milliseconds
constexpr int64_t kMaxValues = 1 << 16;
constexpr int kMaxNodes = 40;
constexpr int kMaxCalls = 120;

[[noreturn]] void broken(const char* call, const char* what, int status) {
    std::fprintf(stderr, "%s: %s (status %d: %s)\n", call, what, status, mn_last_error());
    std::abort();
}

// The bytes as numbers; zeros when they are used up.
class Bytes {
public:
    Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}

    bool empty() const { return size_ == 0; }
    uint32_t byte() {
        if (size_ == 0) return 0;
        size_--;
        return *data_++;
    }
    uint32_t word() {
        uint32_t w = byte();
        for (int i = 0; i < 3; i++) w = w << 8 | byte();
        return w;
    }
    // One time in n, n at most 255.
    bool rarely(uint32_t n) { return byte() % n == n - 1; }
    int32_t below(int32_t n) { return static_cast<int32_t>(byte()) % n; }

private:
    const uint8_t* data_;
    size_t size_;
};

int64_t size_of(const mn_shape& shape) {
    int64_t size = 1;
    for (int i = 0; i < shape.rank && i < MN_MAX_RANK; i++) size *= shape.dims[i];
    return size;
}

class Program {
public:
    Program(const uint8_t* data, size_t size, Objects& objects, int role, bool may_fail)
        : in_(data, size), objects_(objects), role_(role), may_fail_(may_fail) {}

    void run() {
        while (!in_.empty() && calls_ < kMaxCalls) {
            switch (in_.below(16)) {
                case 0:
                    network();
                    break;
                case 1:
                case 2:
                    add_node();
                    break;
                case 3:
                    create_graph();
                    break;
                case 4:
                    create_model();
                    break;
                case 5:
                    create_trainer();
                    break;
                case 6:
                    create_dataset();
                    break;
                case 7:
                case 8:
                    infer();
                    break;
                case 9:
                case 10:
                    train();
                    break;
                case 11:
                    parameters();
                    break;
                case 12:
                    destroy();
                    break;
                case 13:
                    wrong_handles();
                    break;
                case 14:
                    device();
                    break;
                default:
                    odds_and_ends();
            }
        }
    }

private:
    using Slots = std::array<Objects::Slot, Objects::kEach>;

    // Makes a call, with an allocation that fails now and then.
    template <class Function, class... Arguments>
    mn_status call(const char* name, Function function, Arguments... arguments) {
        calls_++;
        totals().calls++;
        mn_status status;
        if (may_fail_ && in_.rarely(16)) {
            const test::FailingAllocation allocation(in_.byte());
            status = function(arguments...);
            if (allocation.has_failed()) totals().failed_allocations++;
        } else {
            status = function(arguments...);
        }
        if (status < MN_OK || status >= MN_INTERNAL) broken(name, "a fault of the library", status);
        if (status != MN_OK && !*mn_last_error()) broken(name, "a failure without a text", status);
        totals().by_status[static_cast<size_t>(status)]++;
        return status;
    }
#define MN_CALL(function, ...) call(#function, function, __VA_ARGS__)

    // A call that makes something: a failure leaves the result alone.
    template <class Result, class Function, class... Arguments>
    bool make(const char* name, Result& result, Function function, Arguments... arguments) {
        const Result before = result;
        const mn_status status = call(name, function, arguments..., &result);
        if (status != MN_OK && result != before) broken(name, "a failure with a result", status);
        return status == MN_OK;
    }
#define MN_MAKE(result, function, ...) make(#function, result, function, __VA_ARGS__)

    // ---- numbers ----

    int32_t absurd() {
        constexpr int32_t kNumbers[] = {
            0,     -1,    -2,   INT32_MAX, INT32_MIN, 1 << 30,       1 << 24, 1 << 20,
            65536, 32768, 1000, 255,       17,        (1 << 24) + 1, 1 << 16, 64};
        return kNumbers[in_.below(16)];
    }
    // 1 to `most`, or now and then anything.
    int32_t number(int32_t most) {
        const uint32_t b = in_.byte();
        return b >= 253 ? absurd() : 1 + static_cast<int32_t>(b) % most;
    }
    int32_t index(int32_t most) {
        // Modulo 2^32: of the smallest number, too.
        return static_cast<int32_t>(static_cast<uint32_t>(number(most + 1)) - 1);
    }
    // Moved up by fewer than `most` bits, modulo 2^64.
    int64_t shifted(int32_t value, uint32_t most) {
        return static_cast<int64_t>(static_cast<uint64_t>(int64_t{value}) << in_.below(most));
    }
    int32_t flag() {
        return index(1);
    }
    float real() {
        constexpr float kInfinity = std::numeric_limits<float>::infinity();
        constexpr float kNumbers[] = {0,    1, -1, NAN,  kInfinity, -kInfinity, 3e38f, 1e-45f,
                                      0.5f, 2, -3, 1e9f, 1e-20f,    -1e9f,      0.1f,  1e-30f};
        const uint32_t b = in_.byte();
        return b < 224 ? static_cast<float>(b) / 112 - 1 : kNumbers[in_.below(16)];
    }
    float positive() {
        const uint32_t b = in_.byte();
        return b >= 250 ? real() : 1e-5f + static_cast<float>(b) / 128;
    }
    float share() {
        const uint32_t b = in_.byte();
        return b >= 250 ? real() : static_cast<float>(b) / 256;
    }
    template <class T>
    T sized() {
        T value{};
        value.struct_size = in_.rarely(250) ? in_.word() : static_cast<uint32_t>(sizeof(T));
        return value;
    }
    template <class T>
    T* or_null(T* pointer) {
        return in_.rarely(250) ? nullptr : pointer;
    }
    const char* name() {
        const uint32_t b = in_.byte();
        if (b < 230) return nullptr;
        if (b < 240) return "same";
        name_.clear();
        for (uint32_t i = in_.byte(); i > 0; i--) name_ += static_cast<char>('a' + i % 26);
        return name_.c_str();
    }

    Objects::Slot& slot(Slots& slots) {
        return slots[static_cast<size_t>(in_.below(3))];
    }
    // One that holds something, if there is one.
    Objects::Slot& used(Slots& slots) {
        const size_t first = static_cast<size_t>(in_.below(3));
        for (size_t i = 0; i < slots.size(); i++) {
            Objects::Slot& candidate = slots[(first + i) % slots.size()];
            if (candidate.handle) return candidate;
        }
        return slots[first];
    }
    // Mostly not: there is little to find without the object.
    bool skips(const Objects::Slot& slot) {
        return !slot.handle && !in_.rarely(16);
    }
    mn_device any_device() {
        return used(objects_.devices).handle;
    }

    // ---- graphs ----

    void create_graph() {
        mn_graph graph = 0;
        if (!make("mn_graph_create", graph, mn_graph_create)) return;
        replace(slot(objects_.graphs), graph, "mn_graph_destroy", mn_graph_destroy);
        input(graph);
    }

    void input(mn_graph graph) {
        mn_shape shape{};
        shape.rank = in_.rarely(30) ? absurd() : in_.below(3) == 0 ? 1 : 3;
        for (int i = 0; i < 3; i++) shape.dims[i] = number(i == 0 ? 6 : 9);
        if (shape.rank == 1) shape.dims[1] = shape.dims[2] = 0;
        int32_t node = -1;
        MN_MAKE(node, mn_graph_input, graph, or_null(&shape), name());
    }

    int32_t node_count(mn_graph graph) {
        mn_node_info info{};
        info.struct_size = sizeof info;
        int32_t count = 0;
        while (count <= kMaxNodes && mn_graph_node(graph, count, &info, nullptr) == MN_OK) count++;
        return count;
    }

    // Mostly the last.
    int32_t some_node(int32_t count) {
        const uint32_t b = in_.byte();
        if (b >= 252) return absurd();
        return b < 180 || count == 0 ? count - 1 : static_cast<int32_t>(b) % count;
    }

    void add_node() {
        add_node(used(objects_.graphs).handle);
    }

    void add_node(mn_graph graph) {
        const int32_t count = node_count(graph);
        if (count > kMaxNodes) return;
        const int32_t source = some_node(count);
        mn_node_info from{};
        from.struct_size = sizeof from;
        if (mn_graph_node(graph, source, &from, nullptr) != MN_OK) from.shape.rank = 0;
        const int32_t rank = from.shape.rank;
        const int32_t channels = static_cast<int32_t>(from.shape.dims[0]);
        int32_t node = -1;
#define MN_NODE(op, desc) MN_MAKE(node, mn_graph_##op, graph, source, or_null(&desc), name())
        switch (in_.below(28)) {
            case 0:
                input(graph);
                break;
            case 1: {
                const float mean[8] = {real(), real(), 0, 0, 0, 0, 0, 0};
                const float std[8] = {positive(), positive(), 1, 1, 1, 1, 1, 1};
                mn_normalize_desc d = sized<mn_normalize_desc>();
                d.channels = in_.rarely(4) ? in_.below(9) : in_.below(2) ? channels : 1;
                d.channels = std::min(d.channels, 8);
                d.mean = or_null(mean);
                d.std = or_null(std);
                MN_NODE(normalize, d);
                break;
            }
            case 2:
            case 3:
            case 4: {
                mn_conv2d_desc d = sized<mn_conv2d_desc>();
                const bool line = rank == 2;
                d.one_dimensional = in_.rarely(60) ? flag() : line;
                d.groups = in_.rarely(5) ? channels : in_.rarely(6) ? number(4) : 1;
                d.out_channels = in_.below(3) ? d.groups : number(20);
                d.kernel_h = line ? 1 : number(4);
                d.kernel_w = in_.below(2) && !line ? d.kernel_h : number(4);
                d.stride_h = line ? 1 : in_.below(3) ? 1 : number(3);
                d.stride_w = in_.below(3) ? 1 : number(3);
                d.dilation_h = line || in_.below(5) ? 1 : number(3);
                d.dilation_w = in_.below(5) ? 1 : number(3);
                d.pad_top = line ? 0 : index(2);
                d.pad_bottom = line ? 0 : index(2);
                d.pad_left = index(2);
                d.pad_right = index(2);
                d.bias = flag();
                MN_NODE(conv2d, d);
                break;
            }
            case 5:
            case 6:
            case 7: {
                mn_pool2d_desc d = sized<mn_pool2d_desc>();
                const bool line = rank == 2;
                d.one_dimensional = line;
                d.kernel_h = line ? 1 : number(3);
                d.kernel_w = number(3);
                d.stride_h = line ? 1 : number(3);
                d.stride_w = number(3);
                d.pad_h = line ? 0 : index(1);
                d.pad_w = index(1);
                d.ceil_mode = flag();
                d.count_include_pad = flag();
                d.dilation_h = in_.rarely(6) ? number(2) : 0;
                d.dilation_w = in_.rarely(6) ? number(2) : 0;
                if (in_.below(3))
                    MN_NODE(max_pool2d, d);
                else
                    MN_NODE(avg_pool2d, d);
                break;
            }
            case 8:
                MN_MAKE(node, mn_graph_global_avg_pool2d, graph, source, name());
                break;
            case 9:
            case 10:
                linear(graph, source, number(12), in_.below(4) != 0);
                break;
            case 11:
            case 12: {
                mn_activation_desc d = sized<mn_activation_desc>();
                d.kind = number(12);
                d.alpha = real();
                d.threshold = real();
                MN_NODE(activation, d);
                break;
            }
            case 13:
                MN_MAKE(node, mn_graph_flatten, graph, source, name());
                break;
            case 14:
                if (in_.below(2))
                    MN_MAKE(node, mn_graph_softmax, graph, source, name());
                else
                    MN_MAKE(node, mn_graph_log_softmax, graph, source, name());
                break;
            case 15: {
                mn_conv_transpose2d_desc d = sized<mn_conv_transpose2d_desc>();
                d.groups = in_.rarely(5) ? number(4) : 1;
                d.out_channels = d.groups * number(4) % 32;
                d.kernel_h = number(3), d.kernel_w = number(3);
                d.stride_h = number(2), d.stride_w = number(2);
                d.pad_h = index(1), d.pad_w = index(1);
                d.output_pad_h = index(1), d.output_pad_w = index(1);
                d.dilation_h = in_.below(4) ? 1 : number(2);
                d.dilation_w = in_.below(4) ? 1 : number(2);
                d.bias = flag();
                MN_NODE(conv_transpose2d, d);
                break;
            }
            case 16: {
                mn_pad2d_desc d = sized<mn_pad2d_desc>();
                d.mode = index(3);
                d.top = index(2), d.left = index(2), d.bottom = index(2), d.right = index(2);
                MN_NODE(pad2d, d);
                break;
            }
            case 17:
                MN_MAKE(node, mn_graph_max_unpool2d, graph, source, some_node(count), name());
                break;
            case 18: {
                mn_adaptive_pool2d_desc d = sized<mn_adaptive_pool2d_desc>();
                d.output_h = number(5), d.output_w = number(5);
                if (in_.below(2))
                    MN_NODE(adaptive_avg_pool2d, d);
                else
                    MN_NODE(adaptive_max_pool2d, d);
                break;
            }
            case 19: {
                mn_upsample_desc d = sized<mn_upsample_desc>();
                d.mode = index(1);
                d.scale_h = number(2), d.scale_w = number(2);
                d.align_corners = flag();
                MN_NODE(upsample, d);
                break;
            }
            case 20: {
                mn_batch_norm_desc d = sized<mn_batch_norm_desc>();
                d.epsilon = positive();
                d.momentum = share();
                d.affine = flag();
                MN_NODE(batch_norm, d);
                break;
            }
            case 21: {
                mn_layer_norm_desc d = sized<mn_layer_norm_desc>();
                d.epsilon = positive();
                d.affine = flag();
                d.channels_only = flag();
                MN_NODE(layer_norm, d);
                break;
            }
            case 22: {
                mn_group_norm_desc d = sized<mn_group_norm_desc>();
                d.groups = in_.below(2) ? index(channels) : index(4);
                d.epsilon = positive();
                d.affine = flag();
                MN_NODE(group_norm, d);
                break;
            }
            case 23: {
                mn_local_response_norm_desc d = sized<mn_local_response_norm_desc>();
                d.size = number(5);
                d.alpha = positive();
                d.beta = share();
                d.k = positive();
                MN_NODE(local_response_norm, d);
                break;
            }
            case 24: {
                mn_dropout_desc d = sized<mn_dropout_desc>();
                d.probability = share();
                d.unit = index(2);
                MN_NODE(dropout, d);
                break;
            }
            case 25: {
                mn_binary_desc d = sized<mn_binary_desc>();
                d.kind = index(2);
                const int32_t right = in_.below(2) ? source : some_node(count);
                MN_MAKE(node, mn_graph_binary, graph, source, right, or_null(&d), name());
                break;
            }
            case 26:
                structure(graph, source, count, from.shape);
                break;
            default: {
                mn_embedding_desc d = sized<mn_embedding_desc>();
                d.count = number(9);
                d.features = number(5);
                MN_NODE(embedding, d);
            }
        }
#undef MN_NODE
    }

    void structure(mn_graph graph, int32_t source, int32_t count, const mn_shape& from) {
        int32_t node = -1;
        switch (in_.below(5)) {
            case 0: {
                int32_t sources[8];
                for (int32_t& s : sources) s = in_.below(2) ? source : some_node(count);
                const int32_t how_many = number(8);
                MN_MAKE(node, mn_graph_concat, graph, or_null(sources),
                        how_many > 8 ? INT32_MAX : how_many, name());
                break;
            }
            case 1: {
                mn_slice_desc d = sized<mn_slice_desc>();
                d.first = index(3);
                d.count = number(4);
                MN_MAKE(node, mn_graph_slice, graph, source, or_null(&d), name());
                break;
            }
            case 2: {
                mn_scale_desc d = sized<mn_scale_desc>();
                d.initial = real();
                d.parameter_name = in_.below(2) ? nullptr : "gamma";
                MN_MAKE(node, mn_graph_scale, graph, source, or_null(&d), name());
                break;
            }
            case 3: {
                mn_channel_shuffle_desc d = sized<mn_channel_shuffle_desc>();
                d.groups = number(4);
                MN_MAKE(node, mn_graph_channel_shuffle, graph, source, or_null(&d), name());
                break;
            }
            default: {
                mn_shape shape{};
                shape.rank = number(3);
                for (int64_t& d : shape.dims) d = 1;
                shape.dims[in_.below(2)] = from.rank ? size_of(from) : 1;
                if (in_.rarely(3))
                    for (int64_t& d : shape.dims) d = shifted(number(9), 40);
                MN_MAKE(node, mn_graph_reshape, graph, source, or_null(&shape), name());
            }
        }
    }

    // Features of what is there.
    void linear(mn_graph graph, int32_t source, int32_t out, bool flatten) {
        int32_t node = source;
        mn_node_info info{};
        info.struct_size = sizeof info;
        if (flatten && mn_graph_node(graph, source, &info, nullptr) == MN_OK &&
            info.shape.rank != 1 && !MN_MAKE(node, mn_graph_flatten, graph, source, nullptr))
            return;
        mn_linear_desc d = sized<mn_linear_desc>();
        d.out_features = out;
        d.bias = flag();
        const int32_t features = node;
        MN_MAKE(node, mn_graph_linear, graph, features, or_null(&d), name());
    }

    // From the input to a few steps, so that much is reached.
    void network() {
        create_graph();
        Objects::Slot& of = used(objects_.graphs);
        for (int32_t i = in_.below(7); i > 0; i--) add_node(of.handle);
        linear(of.handle, node_count(of.handle) - 1, 2 + in_.below(4), true);
        create_model(of);
        infer();
        if (role_ != 0) return;
        create_trainer();
        for (int32_t i = in_.below(4); i > 0; i--) train();
    }

    // ---- models ----

    void create_model() {
        create_model(used(objects_.graphs));
    }

    void create_model(Objects::Slot& of) {
        const mn_graph graph = of.handle;
        Notes notes;
        const int32_t count = node_count(graph);
        mn_node_info info{};
        info.struct_size = sizeof info;
        for (int32_t id = 0; id < count; id++) {
            if (mn_graph_node(graph, id, &info, nullptr) != MN_OK) return;
            const double size = static_cast<double>(size_of(info.shape));
            notes.cost += 8 * size + static_cast<double>(info.multiply_adds) +
                          static_cast<double>(info.parameter_count);
            if (info.op != MN_OP_INPUT) continue;
            if (notes.input_count == 4) return;
            notes.inputs[notes.input_count] = id;
            notes.input_sizes[notes.input_count++] = size_of(info.shape);
        }
        if (notes.cost > kMaxCost && !(in_.rarely(64) && notes.cost < 100 * kMaxCost)) return;
        mn_model_desc desc = sized<mn_model_desc>();
        for (int32_t& output : notes.outputs) output = some_node(count);
        notes.output_count = in_.below(4) ? 1 : 1 + in_.below(3);
        desc.flags =
            in_.byte() >= 250 ? in_.word() : static_cast<uint32_t>(in_.below(4) * in_.below(2));
        desc.seed = in_.byte();
        desc.outputs = or_null(notes.outputs);
        desc.output_count = in_.rarely(100) ? absurd() % 4 : notes.output_count;
        notes.output_count = std::clamp(desc.output_count, 0, 3);
        desc.inference_batch = in_.below(3) ? 0 : number(4);
        desc.precision = in_.rarely(30) ? number(3) : 0;
        if (desc.inference_batch <= 1 << 20)
            desc.inference_batch = std::min(desc.inference_batch, 64);
        mn_model model = 0;
        if (!MN_MAKE(model, mn_model_create, any_device(), graph, or_null(&desc))) return;
        totals().models++;
        for (int32_t i = 0; i < notes.output_count; i++)
            if (mn_graph_node(graph, notes.outputs[i], &info, nullptr) == MN_OK)
                notes.output_sizes[i] = size_of(info.shape);
        notes.loss_node = notes.outputs[0];
        notes.loss_size = notes.output_sizes[0];
        Objects::Slot& to = slot(objects_.models);
        replace(to, model, "mn_model_destroy", mn_model_destroy);
        objects_.note(to, notes);
    }

    mn_loss_desc loss(const Notes& notes) {
        mn_loss_desc l = sized<mn_loss_desc>();
        l.kind = in_.below(2) ? static_cast<int32_t>(MN_LOSS_CROSS_ENTROPY) : number(7);
        l.node = in_.rarely(20) ? absurd() : notes.loss_node;
        l.reduction = flag();
        l.weight = in_.below(4) ? 1 : real();
        l.ignores = in_.below(4) ? 0 : flag();
        l.ignore_index = index(3);
        l.label_smoothing = in_.below(3) ? 0 : share();
        l.delta = positive();
        if (in_.rarely(5)) {
            l.class_weight_count = static_cast<int32_t>(std::min<int64_t>(notes.loss_size, 16));
            for (float& w : class_weights_) w = positive();
            l.class_weights = or_null(class_weights_);
        }
        return l;
    }

    void create_trainer() {
        if (role_ != 0) return;
        Objects::Slot& of = used(objects_.models);
        if (skips(of)) return;
        // A model has one trainer.
        if (in_.below(4))
            for (Objects::Slot& trainer : objects_.trainers)
                if (trainer.handle) replace(trainer, 0, "mn_trainer_destroy", mn_trainer_destroy);
        Notes notes = objects_.notes(of);
        int32_t parameters = 0;
        mn_model_parameter_count(of.handle, &parameters);
        mn_loss_desc losses[2] = {loss(notes), loss(notes)};
        mn_optimizer_desc optimizer = sized<mn_optimizer_desc>();
        optimizer.kind = index(3);
        optimizer.learning_rate = share();
        optimizer.beta1 = share(), optimizer.beta2 = share(), optimizer.alpha = share();
        optimizer.epsilon = positive();
        optimizer.momentum = in_.below(2) ? 0 : share();
        optimizer.dampening = in_.below(3) ? 0 : share();
        optimizer.weight_decay = in_.below(3) ? 0 : share();
        optimizer.nesterov = in_.rarely(4) ? flag() : 0;
        optimizer.amsgrad = flag();
        optimizer.centered = flag();
        mn_parameter_options options[3];
        for (mn_parameter_options& o : options) {
            o = sized<mn_parameter_options>();
            o.parameter = index(std::max(parameters - 1, 1));
            o.frozen = flag();
            o.learning_rate_factor = share();
            o.weight_decay = in_.below(2) ? -1 : share();
        }
        mn_trainer_desc desc = sized<mn_trainer_desc>();
        desc.max_batch = in_.below(8) ? 1 + in_.below(6) : number(6);
        if (desc.max_batch <= 1 << 20) desc.max_batch = std::min(desc.max_batch, 64);
        desc.losses = or_null(losses);
        desc.loss_count = in_.rarely(8) ? 2 : in_.rarely(60) ? -1 : 1;
        if (desc.loss_count == 2 && in_.below(4)) losses[1].reduction = losses[0].reduction;
        desc.flags = in_.rarely(60) ? in_.word() : static_cast<uint32_t>(in_.below(2));
        desc.optimizer = or_null(&optimizer);
        desc.options = options;
        desc.option_count = in_.below(3) ? 0 : in_.below(4);
        desc.clip_norm = in_.below(3) ? 0 : positive();
        desc.clip_value = in_.below(3) ? 0 : positive();
        mn_trainer trainer = 0;
        if (!MN_MAKE(trainer, mn_trainer_create, of.handle.load(), or_null(&desc))) return;
        notes.max_batch = desc.max_batch;
        notes.loss_kind = losses[0].kind;
        Objects::Slot& to = slot(objects_.trainers);
        replace(to, trainer, "mn_trainer_destroy", mn_trainer_destroy);
        objects_.note(to, notes);
    }

    // ---- data ----

    void create_dataset() {
        Objects::Lent& lent = objects_.lend();
        mn_node_info info{};
        info.struct_size = sizeof info;
        mn_dataset_desc desc = sized<mn_dataset_desc>();
        desc.shape.rank = 1;
        desc.shape.dims[0] = 3;
        if (mn_graph_node(used(objects_.graphs).handle, 0, &info, nullptr) == MN_OK &&
            size_of(info.shape) < 2000)
            desc.shape = info.shape;
        desc.count = 1 + in_.below(8);
        const size_t size = static_cast<size_t>(size_of(desc.shape) * desc.count);
        fill(lent.images, size);
        lent.labels.resize(static_cast<size_t>(desc.count));
        for (int32_t& label : lent.labels) label = index(3);
        desc.dtype = in_.below(2) ? static_cast<int32_t>(MN_FLOAT32) : index(1);
        desc.images = or_null(lent.images.data());
        desc.images_bytes = size * (desc.dtype == MN_UINT8 ? 1 : sizeof(float));
        desc.labels = in_.rarely(10) ? nullptr : lent.labels.data();
        desc.flags = in_.rarely(60) ? in_.word() : static_cast<uint32_t>(in_.below(2));
        if (in_.rarely(60)) desc.count = absurd();
        if (in_.rarely(60)) desc.shape.dims[0] = shifted(absurd(), 32);
        mn_dataset dataset = 0;
        if (!MN_MAKE(dataset, mn_dataset_create, any_device(), or_null(&desc))) return;
        replace(slot(objects_.datasets), dataset, "mn_dataset_destroy", mn_dataset_destroy);
    }

    void fill(std::vector<float>& values, size_t size) {
        // Whole numbers, for embeddings; a few are anything.
        values.assign(size, 1);
        const bool wild = in_.rarely(4);
        for (size_t i = 0; i < size && i < 24 && !in_.empty(); i++)
            values[i] = wild ? real() : static_cast<float>(in_.below(9));
        values.shrink_to_fit();  // so that what reads beyond its end is seen
    }

    // What a model or trainer takes, or nearly so. It points to members.
    mn_batch batch(const Notes& notes, int32_t most, int32_t loss_kind) {
        mn_batch b = sized<mn_batch>();
        b.count = 1 + in_.below(most > 0 && in_.below(30) ? most : 9);
        if (notes.cost * b.count > 10 * kMaxCost) b.count = 1;
        const size_t count = static_cast<size_t>(b.count);
        Objects::Slot& dataset = used(objects_.datasets);
        if (in_.below(3) == 0 && !skips(dataset)) {
            b.dataset = dataset.handle;
            indices_.resize(count);
            for (int32_t& i : indices_) i = index(3);
            b.indices = or_null(indices_.data());
        } else {
            b.dtype = in_.below(3) ? static_cast<int32_t>(MN_FLOAT32) : index(1);
            const int64_t size = std::min<int64_t>(notes.input_sizes[0], kMaxValues);
            fill(images_, static_cast<size_t>(size) * count);
            b.images = or_null(images_.data());
            b.images_bytes = images_.size() * (b.dtype == MN_UINT8 ? 1 : sizeof(float));
            if (in_.rarely(60)) b.images_bytes -= std::min<uint64_t>(b.images_bytes, in_.byte());
            labels_.resize(count);
            for (int32_t& label : labels_) label = index(1);
            b.labels = in_.rarely(30) ? nullptr : labels_.data();
        }
        for (int32_t i = 1; i < notes.input_count; i++) {
            mn_batch_input& further = further_[i - 1];
            further = sized<mn_batch_input>();
            further.node = in_.rarely(30) ? absurd() : notes.inputs[i];
            const int64_t size = std::min<int64_t>(notes.input_sizes[i], kMaxValues);
            fill(further_images_[i - 1], static_cast<size_t>(size) * count);
            further.images = further_images_[i - 1].data();
            further.images_bytes = further_images_[i - 1].size() * sizeof(float);
        }
        if (notes.input_count > 1) {
            b.inputs = further_;
            b.input_count = in_.rarely(30) ? 0 : notes.input_count - 1;
        }
        const int64_t size = std::min<int64_t>(notes.loss_size, kMaxValues);
        if (loss_kind == MN_LOSS_OUTPUT_GRADIENT) {
            fill(gradients_, static_cast<size_t>(size) * count);
            b.output_gradients = gradients_.data();
            b.output_gradient_count = gradients_.size();
        } else if (loss_kind >= MN_LOSS_MSE) {
            fill(targets_, static_cast<size_t>(size) * count);
            b.targets = targets_.data();
            b.target_count = targets_.size();
        }
        return b;
    }

    // ---- runs ----

    void infer() {
        Objects::Slot& of = used(objects_.models);
        if (skips(of)) return;
        const Notes notes = objects_.notes(of);
        if (notes.cost > 10 * kMaxCost) return;
        const mn_model model = of.handle;
        switch (in_.below(6)) {
            case 0: {
                const mn_loss_desc l = loss(notes);
                const mn_batch b = batch(notes, 9, l.kind);
                mn_metrics metrics = sized<mn_metrics>();
                MN_CALL(mn_model_evaluate, model, or_null(&b), or_null(&l), or_null(&metrics));
                break;
            }
            case 1: {
                const mn_batch b = batch(notes, 9, 0);
                profile("mn_model_profile", mn_model_profile, model, b);
                break;
            }
            default: {
                const mn_batch b = batch(notes, 9, 0);
                std::vector<float> values[3];
                mn_output outputs[3];
                for (int32_t i = 0; i < 3; i++) {
                    outputs[i] = sized<mn_output>();
                    outputs[i].index = in_.rarely(30) ? absurd() : i;
                    const int64_t size = notes.output_sizes[i] * b.count;
                    values[i].resize(static_cast<size_t>(std::min<int64_t>(size, 1 << 20)));
                    outputs[i].values = values[i].data();
                    outputs[i].value_count = values[i].size();
                }
                if (MN_CALL(mn_model_forward, model, or_null(&b), or_null(outputs),
                            in_.rarely(60) ? -1 : notes.output_count) == MN_OK)
                    totals().forwards++;
            }
        }
    }

    template <class Function>
    void profile(const char* name, Function function, uint64_t handle, const mn_batch& b) {
        int32_t count = 0;
        if (call(name, function, handle, static_cast<const mn_batch*>(nullptr),
                 static_cast<mn_profile_entry*>(nullptr), 0, &count) != MN_OK)
            return;
        std::vector<mn_profile_entry> entries(static_cast<size_t>(count));
        for (mn_profile_entry& entry : entries) entry = sized<mn_profile_entry>();
        const int32_t told = in_.rarely(30) ? -1 : count;
        call(name, function, handle, &b, entries.data(), told, &count);
    }

    void train() {
        if (role_ != 0) return;
        Objects::Slot& of = used(objects_.trainers);
        if (skips(of)) return;
        const Notes notes = objects_.notes(of);
        if (notes.cost > 5 * kMaxCost) return;
        const mn_trainer trainer = of.handle;
        mn_metrics metrics = sized<mn_metrics>();
        switch (in_.below(12)) {
            case 0: {
                mn_step_sums sums = sized<mn_step_sums>();
                MN_CALL(mn_trainer_step_sums, trainer, flag(), or_null(&sums));
                break;
            }
            case 1:
                MN_CALL(mn_trainer_apply, trainer);
                break;
            case 2:
                MN_CALL(mn_trainer_clear, trainer);
                break;
            case 3:
                MN_CALL(mn_trainer_set_learning_rate, trainer, real());
                break;
            case 4:
                progress(trainer);
                break;
            case 5: {
                const size_t size = static_cast<size_t>(
                    std::min<int64_t>(notes.input_sizes[0] * (1 + in_.below(4)), kMaxValues));
                std::vector<float> values(size);
                MN_CALL(mn_trainer_input_gradient, trainer, index(1), or_null(values.data()),
                        uint64_t{size});
                break;
            }
            case 6: {
                mn_memory_plan plan = sized<mn_memory_plan>();
                MN_CALL(mn_trainer_memory_plan, trainer, or_null(&plan));
                const mn_batch b = batch(notes, notes.max_batch, notes.loss_kind);
                profile("mn_trainer_profile", mn_trainer_profile, trainer, b);
                break;
            }
            case 7:
            case 8: {
                const mn_batch b = batch(notes, notes.max_batch, notes.loss_kind);
                MN_CALL(mn_trainer_accumulate, trainer, or_null(&b), or_null(&metrics));
                break;
            }
            case 9: {
                const mn_batch b = batch(notes, notes.max_batch, notes.loss_kind);
                MN_CALL(mn_trainer_begin_step, trainer, or_null(&b));
                break;
            }
            default: {
                const mn_batch b = batch(notes, notes.max_batch, notes.loss_kind);
                if (MN_CALL(mn_trainer_step, trainer, or_null(&b), or_null(&metrics)) == MN_OK)
                    totals().steps++;
            }
        }
    }

    void progress(mn_trainer trainer) {
        mn_training_progress p = sized<mn_training_progress>();
        if (MN_CALL(mn_trainer_get_progress, trainer, or_null(&p)) != MN_OK) return;
        if (in_.below(2)) {
            p.learning_rate = real();
            p.updates = shifted(absurd(), 32);
            p.batches = shifted(absurd(), 32);
        }
        MN_CALL(mn_trainer_set_progress, trainer, or_null(&p));
        std::vector<int64_t> updates(static_cast<size_t>(1 + in_.below(12)));
        const int32_t count = static_cast<int32_t>(updates.size());
        MN_CALL(mn_trainer_get_updates, trainer, or_null(updates.data()), count);
        if (in_.below(2)) updates[0] = shifted(absurd(), 32);
        MN_CALL(mn_trainer_set_updates, trainer, or_null(updates.data()), count);
    }

    void parameters() {
        const mn_model model = used(objects_.models).handle;
        int32_t count = 0;
        if (!MN_MAKE(count, mn_model_parameter_count, model)) return;
        if (in_.rarely(3)) return write_all(model, count);
        const int32_t i = in_.rarely(30) || count == 0 ? absurd() : in_.below(255) % count;
        mn_parameter_info info = sized<mn_parameter_info>();
        if (MN_CALL(mn_model_parameter_describe, model, i, or_null(&info)) != MN_OK) info.count = 4;
        if (info.count > kMaxValues) return;
        std::vector<float> values;
        fill(values, static_cast<size_t>(in_.rarely(30) ? in_.below(9) : info.count));
        const int32_t part = index(4);
        if (in_.below(2))
            MN_CALL(mn_model_read, model, i, part, or_null(values.data()), uint64_t{values.size()});
        else
            MN_CALL(mn_model_write, model, i, part, or_null(values.data()),
                    uint64_t{values.size()});
    }

    void write_all(mn_model model, int32_t count) {
        std::vector<std::vector<float>> values;
        std::vector<mn_parameter_write> writes;
        for (int32_t i = 0; i < count && i < 16; i++) {
            mn_parameter_info info{};
            info.struct_size = sizeof info;
            if (mn_model_parameter_describe(model, i, &info) != MN_OK || info.count > kMaxValues)
                return;
            values.emplace_back();
            fill(values.back(), static_cast<size_t>(info.count));
            mn_parameter_write write = sized<mn_parameter_write>();
            write.index = in_.rarely(100) ? absurd() : i;
            write.part = in_.rarely(10) ? index(4) : static_cast<int32_t>(MN_PART_VALUE);
            write.values = or_null(values.back().data());
            write.value_count = values.back().size();
            writes.push_back(write);
        }
        MN_CALL(mn_model_write_all, model, or_null(writes.data()),
                in_.rarely(60) ? -1 : static_cast<int32_t>(writes.size()));
    }

    // ---- handles ----

    // The new handle takes the old one's place.
    template <class Destroy>
    void replace(Objects::Slot& slot, uint64_t handle, const char* name, Destroy destroy) {
        const uint64_t old = slot.handle.exchange(handle);
        if (old) call(name, destroy, old);
    }

    // The first stays: it serves all inputs.
    void replace_device(mn_device device) {
        Objects::Slot& to = objects_.devices[1 + static_cast<size_t>(in_.below(2))];
        replace(to, device, "mn_device_close", mn_device_close);
    }

    void destroy() {
        switch (in_.below(role_ == 0 ? 5 : 4)) {
            case 0:
                replace(slot(objects_.graphs), 0, "mn_graph_destroy", mn_graph_destroy);
                break;
            case 1:
                replace(slot(objects_.datasets), 0, "mn_dataset_destroy", mn_dataset_destroy);
                break;
            case 2:
                replace(slot(objects_.models), 0, "mn_model_destroy", mn_model_destroy);
                break;
            case 3:
                replace_device(0);
                break;
            default:
                replace(slot(objects_.trainers), 0, "mn_trainer_destroy", mn_trainer_destroy);
        }
    }

    // Stale, foreign, changed or made up.
    uint64_t wrong_handle() {
        Slots* const all[] = {&objects_.devices, &objects_.graphs, &objects_.datasets,
                              &objects_.models, &objects_.trainers};
        const uint64_t handle = slot(*all[in_.below(5)]).handle;
        switch (in_.below(3)) {
            case 0:
                return uint64_t{0x80 | in_.byte()} << 56 | in_.word();
            case 1:
                return handle ^ uint64_t { 1 }
                                    << (24 + in_.below(40));  // another generation or type
            default:
                return handle ? handle ^ uint64_t { 7 } << 56 : 0;  // an object of another type
        }
    }

    void wrong_handles() {
        const uint64_t h = wrong_handle();
        mn_batch b{};
        b.struct_size = sizeof b;
        mn_metrics metrics{};
        metrics.struct_size = sizeof metrics;
        float value = 0;
        int32_t count = 0;
        const mn_status statuses[] = {
            MN_CALL(mn_trainer_step, h, &b, &metrics),
            MN_CALL(mn_model_read, h, 0, 0, &value, uint64_t{1}),
            MN_CALL(mn_model_parameter_count, h, &count),
            MN_CALL(mn_graph_flatten, h, 0, nullptr, &count),
            MN_CALL(mn_trainer_apply, h),
        };
        for (mn_status status : statuses)
            if (status == MN_OK) broken("wrong handle", "was taken", status);
        mn_device_info info{};
        info.struct_size = sizeof info;
        MN_CALL(mn_device_describe, h, &info);
    }

    void device() {
        if (in_.below(2)) {
            mn_device_info info = sized<mn_device_info>();
            MN_CALL(mn_device_describe, any_device(), or_null(&info));
            return;
        }
        mn_device_desc desc = sized<mn_device_desc>();
        desc.kind = in_.rarely(8) ? index(2) : 0;
        desc.index = in_.rarely(30) ? absurd() : 0;
        constexpr int32_t kThreads[] = {1, 2, 3, 1, 5, -1, 1025, INT32_MAX};
        desc.threads = kThreads[in_.below(8)];
        desc.flags = in_.rarely(30) ? in_.word() : static_cast<uint32_t>(in_.below(2));
        constexpr const char* kPaths[] = {nullptr, "", "no/such/plugin.so", "/", "no plugin"};
        desc.plugin_path = kPaths[in_.below(5)];
        mn_device made = 0;
        if (MN_MAKE(made, mn_device_open, or_null(&desc))) replace_device(made);
    }

    static void receive(int32_t, const char* message, void* count) {
        *static_cast<std::atomic<int64_t>*>(count) += static_cast<int64_t>(std::strlen(message));
    }

    void odds_and_ends() {
        static std::atomic<int64_t> received{0};
        switch (in_.below(6)) {
            case 0: {
                mn_error_info info = sized<mn_error_info>();
                MN_CALL(mn_last_error_info, or_null(&info));
                break;
            }
            case 1:
                MN_CALL(mn_set_log_callback, in_.below(2) ? receive : nullptr,
                        static_cast<void*>(&received));
                break;
            case 2: {
                int64_t bytes = 0;
                MN_CALL(mn_memory_in_use, or_null(&bytes));
                break;
            }
            case 3: {
                mn_memory_plan plan = sized<mn_memory_plan>();
                MN_CALL(mn_model_memory_plan, used(objects_.models).handle.load(), or_null(&plan));
                break;
            }
            case 4: {
                mn_node_info info = sized<mn_node_info>();
                MN_CALL(mn_graph_node, used(objects_.graphs).handle.load(), index(9),
                        or_null(&info), nullptr);
                break;
            }
            default: {
                // Measuring takes long: only what is refused.
                mn_device_peak peak{};
                MN_CALL(mn_device_measure, any_device(), &peak);
            }
        }
    }

    Bytes in_;
    Objects& objects_;
    const int role_;
    const bool may_fail_;
    int calls_ = 0;
    std::string name_;
    float class_weights_[16] = {};
    std::vector<float> images_, targets_, gradients_, further_images_[3];
    std::vector<int32_t> labels_, indices_;
    mn_batch_input further_[3] = {};
};

}  // namespace

Totals& totals() {
    static Totals totals;
    return totals;
}

bool Objects::close() {
    for (Slot& slot : trainers)
        if (const uint64_t handle = slot.handle.exchange(0)) mn_trainer_destroy(handle);
    for (Slot& slot : models)
        if (const uint64_t handle = slot.handle.exchange(0)) mn_model_destroy(handle);
    for (Slot& slot : datasets)
        if (const uint64_t handle = slot.handle.exchange(0)) mn_dataset_destroy(handle);
    for (Slot& slot : graphs)
        if (const uint64_t handle = slot.handle.exchange(0)) mn_graph_destroy(handle);
    for (size_t i = 1; i < devices.size(); i++)
        if (const uint64_t handle = devices[i].handle.exchange(0)) mn_device_close(handle);
    int64_t bytes = -1;
    return mn_memory_in_use(&bytes) == MN_OK && bytes == 0;
}

void run_program(const uint8_t* data, size_t size, Objects& objects, int role, bool may_fail) {
    Program(data, size, objects, role, may_fail).run();
}

void run_input(const uint8_t* data, size_t size, int threads) {
    static const mn_device device = [threads] {
        mn_device_desc desc{};
        desc.struct_size = sizeof desc;
        desc.threads = threads;
        mn_device opened = 0;
        if (mn_device_open(&desc, &opened) != MN_OK) broken("mn_device_open", "failed", -1);
        return opened;
    }();
    Objects objects;
    objects.devices[0].handle = device;
    if (threads == 1) {
        run_program(data, size, objects, 0, true);
    } else {
        const size_t third = size / 3;
        run_program(data, third, objects, 0, false);
        std::thread other([&] { run_program(data + third, third, objects, 1, false); });
        run_program(data + 2 * third, size - 2 * third, objects, 0, false);
        other.join();
    }
    if (!objects.close()) broken("close", "memory is in use after everything was destroyed", 0);
}

}  // namespace mn::fuzz
