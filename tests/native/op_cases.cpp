#include "op_cases.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace mn::test {
namespace {

template <class... Parts>
std::string join(const Parts&... parts) {
    std::ostringstream stream;
    (stream << ... << parts);
    return stream.str();
}

std::string pool_name(const mn_pool2d_desc& d) {
    return join("_k", d.kernel_h, "x", d.kernel_w, "s", d.stride_h, "x", d.stride_w, "p", d.pad_h,
                "x", d.pad_w, d.ceil_mode ? "_ceil" : "", d.count_include_pad ? "" : "_nopad");
}

}  // namespace

void finish(OpCase& c, Random& random) {
    ImageNode& node = c.node;
    node.struct_size = sizeof node;
    node.name = "case";
    node.max_batch = c.count + 1;
    for (int s = 0; s < node.source_count; ++s)
        c.src.push_back(random.floats(c.count * tensor_size(node.src[s])));
    for (int p = 0; p < node.param_count; ++p) {
        const WeightView& param = node.param[p];
        c.param.push_back(random.floats(param.o * param.i * param.h * param.w));
        node.wants_diff_param[p] = param.role != MNB_STATISTIC;
    }
    if (node.dst.c > 0) c.diff_dst = random.floats(c.count * tensor_size(node.dst));
    complete(node);
    // Names are parts of test names.
    for (char& letter : c.name)
        if (!std::isalnum(static_cast<unsigned char>(letter))) letter = '_';
}

uint64_t test_seed() {
    static const uint64_t seed = [] {
        const char* text = std::getenv("MNISTNATIVE_TEST_SEED");
        const uint64_t value = text != nullptr ? std::strtoull(text, nullptr, 10) : 20240229;
        std::fprintf(stderr, "random cases: MNISTNATIVE_TEST_SEED=%llu\n",
                     static_cast<unsigned long long>(value));
        return value;
    }();
    return seed;
}

// splitmix64
uint64_t Random::bits() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

int64_t Random::integer(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(bits() % static_cast<uint64_t>(high - low + 1));
}

float Random::uniform(float low, float high) {
    return low + (high - low) * static_cast<float>(bits() >> 40) * 0x1p-24f;
}

Floats Random::floats(int64_t count, float low, float high) {
    Floats values(static_cast<size_t>(count));
    for (float& value : values) value = uniform(low, high);
    return values;
}

mn_conv2d_desc conv_desc(int out_channels, int kernel, int stride, int pad) {
    mn_conv2d_desc d{};
    d.struct_size = sizeof d;
    d.out_channels = out_channels;
    d.kernel_h = d.kernel_w = kernel;
    d.stride_h = d.stride_w = stride;
    d.pad_top = d.pad_left = d.pad_bottom = d.pad_right = pad;
    d.dilation_h = d.dilation_w = 1;
    d.groups = 1;
    d.bias = 1;
    return d;
}

mn_pool2d_desc pool_desc(int kernel, int stride, int pad, int ceil_mode, int count_include_pad) {
    mn_pool2d_desc d{};
    d.struct_size = sizeof d;
    d.kernel_h = d.kernel_w = kernel;
    d.stride_h = d.stride_w = stride;
    d.pad_h = d.pad_w = pad;
    d.ceil_mode = ceil_mode;
    d.count_include_pad = count_include_pad;
    return d;
}

int64_t pooled(int64_t size, int kernel, int stride, int pad, int ceil_mode) {
    if (size + 2 * pad < kernel) return 0;
    const int64_t extra = ceil_mode ? stride - 1 : 0;
    int64_t result = (size + 2 * pad - kernel + extra) / stride + 1;
    // The last window has to start in the image or in the padding before it.
    if (ceil_mode && (result - 1) * stride >= size + pad) --result;
    return result;
}

OpCase conv_case(Random& random, int count, int64_t c, int64_t h, int64_t w,
                 const mn_conv2d_desc& d, int activation, const mn_pool2d_desc* pool) {
    OpCase result;
    ImageNode& node = result.node;
    node.op = MN_OP_CONV2D;
    node.desc.conv2d = d;
    node.activation = activation;
    node.source_count = 1;
    node.src[0] = make_tensor(c, h, w, false, MNB_NCHW);
    int64_t oh =
        (h + d.pad_top + d.pad_bottom - d.dilation_h * (d.kernel_h - 1) - 1) / d.stride_h + 1;
    int64_t ow =
        (w + d.pad_left + d.pad_right - d.dilation_w * (d.kernel_w - 1) - 1) / d.stride_w + 1;
    if (pool != nullptr) {
        node.has_pool = 1;
        node.pool = *pool;
        oh = pooled(oh, pool->kernel_h, pool->stride_h, pool->pad_h, pool->ceil_mode);
        ow = pooled(ow, pool->kernel_w, pool->stride_w, pool->pad_w, pool->ceil_mode);
    }
    node.dst = make_tensor(d.out_channels, oh, ow, false, MNB_NCHW);
    node.param[node.param_count++] = make_param(MNB_WEIGHT, MNB_PARAM_PLAIN, d.out_channels,
                                                c / d.groups, d.kernel_h, d.kernel_w);
    if (d.bias)
        node.param[node.param_count++] =
            make_param(MNB_BIAS, MNB_PARAM_PLAIN, d.out_channels, 1, 1, 1);
    result.count = count;
    result.name = join("conv2d_", count, "x", c, "x", h, "x", w, "_oc", d.out_channels, "_k",
                       d.kernel_h, "x", d.kernel_w, "s", d.stride_h, "x", d.stride_w, "p",
                       d.pad_top, d.pad_left, d.pad_bottom, d.pad_right, "d", d.dilation_h, "x",
                       d.dilation_w, "g", d.groups, d.bias ? "" : "_nobias",
                       activation ? "_relu" : "", pool ? "_pool" + pool_name(*pool) : "");
    finish(result, random);
    return result;
}

OpCase pool_case(Random& random, int op, int count, int64_t c, int64_t h, int64_t w,
                 const mn_pool2d_desc& d) {
    OpCase result;
    ImageNode& node = result.node;
    node.op = op;
    node.source_count = 1;
    node.src[0] = make_tensor(c, h, w, false, MNB_NCHW);
    const bool global = op == MN_OP_GLOBAL_AVG_POOL2D;
    if (!global) node.desc.pool2d = d;
    const int64_t oh = global ? 1 : pooled(h, d.kernel_h, d.stride_h, d.pad_h, d.ceil_mode);
    const int64_t ow = global ? 1 : pooled(w, d.kernel_w, d.stride_w, d.pad_w, d.ceil_mode);
    node.dst = make_tensor(c, oh, ow, false, MNB_NCHW);
    result.count = count;
    result.name = join(global                   ? "global_avg_pool"
                       : op == MN_OP_MAX_POOL2D ? "max_pool"
                                                : "avg_pool",
                       "_", count, "x", c, "x", h, "x", w, global ? "" : pool_name(d));
    finish(result, random);
    return result;
}

OpCase linear_case(Random& random, int count, int64_t c, int64_t h, int64_t w, int out_features,
                   int bias, int activation) {
    OpCase result;
    ImageNode& node = result.node;
    node.op = MN_OP_LINEAR;
    node.desc.linear.struct_size = sizeof(mn_linear_desc);
    node.desc.linear.out_features = out_features;
    node.desc.linear.bias = bias;
    node.activation = activation;
    node.source_count = 1;
    node.src[0] = make_tensor(c, h, w, h * w == 1, MNB_NCHW);
    node.dst = make_tensor(out_features, 1, 1, true, MNB_NCHW);
    node.param[node.param_count++] = make_param(MNB_WEIGHT, MNB_PARAM_PLAIN, out_features, c, h, w);
    if (bias)
        node.param[node.param_count++] =
            make_param(MNB_BIAS, MNB_PARAM_PLAIN, out_features, 1, 1, 1);
    result.count = count;
    result.name = join("linear_", count, "x", c, "x", h, "x", w, "_", out_features,
                       bias ? "" : "_nobias", activation ? "_relu" : "");
    finish(result, random);
    return result;
}

OpCase simple_case(Random& random, int op, int count, int64_t c, int64_t h, int64_t w, bool flat) {
    OpCase result;
    ImageNode& node = result.node;
    node.op = op;
    node.source_count = op == MNB_OP_SUM ? 2 : 1;
    for (int s = 0; s < node.source_count; ++s) node.src[s] = make_tensor(c, h, w, flat, MNB_NCHW);
    if (op != MNB_OP_LABEL_LOSS) node.dst = node.src[0];
    const char* name = "";
    switch (op) {
        case MN_OP_ACTIVATION:
            name = "relu";
            node.desc.activation = {sizeof(mn_activation_desc), MN_ACTIVATION_RELU, 0, 0};
            break;
        case MN_OP_SOFTMAX:
            name = "softmax";
            break;
        case MNB_OP_REORDER:
            name = "reorder";
            break;
        case MNB_OP_SUM:
            name = "sum";
            break;
        case MNB_OP_LABEL_LOSS:
            name = "cross_entropy";
            node.desc.loss.struct_size = sizeof(mn_loss_desc);
            node.desc.loss.kind = MN_LOSS_CROSS_ENTROPY;
            node.desc.loss.reduction = random.pick({MN_REDUCTION_MEAN, MN_REDUCTION_SUM});
            node.desc.loss.weight = random.pick({1.0f, 0.3f});
            for (int n = 0; n < count; ++n)
                result.labels.push_back(static_cast<int32_t>(random.integer(0, c * h * w - 1)));
            break;
    }
    result.count = count;
    result.name = join(name, "_", count, "x", c, "x", h, "x", w, flat ? "_flat" : "");
    finish(result, random);
    return result;
}

std::vector<OpCase> conv2d_cases() {
    Random random(test_seed());
    std::vector<OpCase> cases;
    const auto add = [&](int count, int64_t c, int64_t h, int64_t w, const mn_conv2d_desc& d,
                         int activation = 0, const mn_pool2d_desc* pool = nullptr) {
        cases.push_back(conv_case(random, count, c, h, w, d, activation, pool));
    };
    const mn_pool2d_desc pool2 = pool_desc(2, 2), pool3 = pool_desc(3, 2, 1),
                         overlapping = pool_desc(3, 1), ceiling = pool_desc(2, 2, 0, 1);

    add(1, 1, 1, 1, conv_desc(1, 1));
    add(1, 1, 5, 5, conv_desc(1, 3));
    add(3, 7, 6, 5, conv_desc(13, 1));
    add(2, 16, 4, 7, conv_desc(16, 1, 2));
    add(2, 13, 9, 8, conv_desc(17, 3, 1, 1));
    add(2, 17, 5, 9, conv_desc(7, 3, 2, 1));
    add(3, 3, 11, 10, conv_desc(8, 5, 1, 2), MN_ACTIVATION_RELU);
    add(1, 2, 3, 3, conv_desc(4, 3, 1, 3));     // whole windows in the padding
    add(2, 3, 4, 4, conv_desc(5, 4, 4, 0), 1);  // patches
    add(1, 33, 3, 3, conv_desc(31, 3, 1, 1));
    add(2, 1024, 3, 5, conv_desc(17, 1), MN_ACTIVATION_RELU);  // pixels whole pages apart
    add(2, 17, 3, 5, conv_desc(1024, 1));                      // backward, too
    add(2, 48, 5, 3, conv_desc(32, 1));
    add(1, 512, 5, 4, conv_desc(16, 1, 2), 0, &pool2);
    add(5, 2, 7, 7, conv_desc(3, 7, 2, 3), MN_ACTIVATION_RELU, &pool3);

    mn_conv2d_desc d = conv_desc(6, 3, 1, 0);
    d.pad_top = 2, d.pad_left = 1, d.pad_right = 3;
    add(2, 4, 6, 9, d);
    d = conv_desc(6, 1);
    d.kernel_h = 3, d.kernel_w = 2, d.stride_w = 2, d.dilation_h = 2, d.pad_bottom = 1;
    add(2, 4, 9, 7, d, MN_ACTIVATION_RELU);
    d = conv_desc(6, 3, 1, 1);
    d.groups = 3;
    add(2, 9, 6, 6, d);
    d.groups = 6;
    d.out_channels = 12;
    add(2, 6, 7, 5, d, MN_ACTIVATION_RELU, &pool2);
    d = conv_desc(17, 3, 2, 1);
    d.groups = 17;
    d.bias = 0;
    add(2, 17, 8, 8, d);  // depthwise
    d = conv_desc(8, 3, 1, 2);
    d.dilation_h = d.dilation_w = 2;
    d.bias = 0;
    add(2, 5, 9, 9, d);

    add(3, 1, 28, 28, conv_desc(32, 3, 1, 1), MN_ACTIVATION_RELU, &pool2);
    cases.back().small = false;
    add(3, 32, 14, 14, conv_desc(64, 3, 1, 1), MN_ACTIVATION_RELU, &pool2);
    cases.back().small = false;
    add(3, 32, 14, 14, conv_desc(32, 3, 1, 1), MN_ACTIVATION_RELU);
    cases.back().small = false;
    // 3 x 3 with enough channels for Winograd's transform: tiles of both sizes that overhang
    // the image, channels that vectors do not divide, windows that the image cuts.
    add(2, 17, 11, 8, conv_desc(35, 3, 1, 1), MN_ACTIVATION_RELU);
    add(2, 20, 5, 6, conv_desc(18, 3), 0);
    add(2, 20, 7, 15, conv_desc(18, 3, 1, 1), MN_ACTIVATION_RELU, &ceiling);
    add(2, 24, 9, 16, conv_desc(40, 3, 1, 1), MN_ACTIVATION_RELU, &pool2);
    d = conv_desc(16, 3);
    d.pad_top = 2;
    d.pad_right = 1;
    add(1, 16, 19, 7, d, 0, &pool2);
    add(2, 16, 12, 12, conv_desc(33, 5), 0, &pool2);
    cases.back().small = false;
    add(3, 16, 149, 148, conv_desc(16, 1), MN_ACTIVATION_RELU);  // written past the caches
    cases.back().small = false;
    add(2, 5, 7, 7, conv_desc(16, 3, 1, 1), MN_ACTIVATION_RELU, &pool2);  // odd: a row is left over
    add(2, 5, 7, 7, conv_desc(16, 3, 1, 1), MN_ACTIVATION_RELU, &ceiling);
    add(2, 3, 8, 8, conv_desc(9, 3, 1, 1), MN_ACTIVATION_RELU, &overlapping);
    add(2, 8, 6, 6, conv_desc(17, 3, 1, 1), 0, &pool3);

    for (int i = 0; i < 24; ++i) {
        mn_conv2d_desc r = conv_desc(1, 1);
        r.groups = random.pick({1, 1, 1, 2, 3});
        const int64_t c = r.groups * random.pick({1, 2, 3, 5, 8, 16, 17});
        r.out_channels = r.groups * random.pick({1, 2, 4, 7, 13, 16, 32});
        r.kernel_h = static_cast<int32_t>(random.integer(1, 4));
        r.kernel_w = static_cast<int32_t>(random.integer(1, 4));
        r.stride_h = random.pick({1, 1, 2, 3});
        r.stride_w = random.pick({1, 1, 2, 3});
        r.pad_top = static_cast<int32_t>(random.integer(0, 2));
        r.pad_left = static_cast<int32_t>(random.integer(0, 2));
        r.pad_bottom = static_cast<int32_t>(random.integer(0, 2));
        r.pad_right = static_cast<int32_t>(random.integer(0, 2));
        r.dilation_h = random.pick({1, 1, 2});
        r.dilation_w = random.pick({1, 1, 2});
        r.bias = random.pick({0, 1, 1});
        const int64_t h = r.dilation_h * (r.kernel_h - 1) + random.integer(1, 8);
        const int64_t w = r.dilation_w * (r.kernel_w - 1) + random.integer(1, 8);
        const int activation = random.pick({0, static_cast<int>(MN_ACTIVATION_RELU)});
        const mn_pool2d_desc pool = pool_desc(random.pick({2, 3}), random.pick({1, 2, 3}),
                                              random.pick({0, 1}), random.pick({0, 1}));
        const int count = static_cast<int>(random.integer(1, 4));
        OpCase plain = conv_case(random, count, c, h, w, r, activation);
        const bool fits = plain.node.dst.h + 2 * pool.pad_h >= pool.kernel_h &&
                          plain.node.dst.w + 2 * pool.pad_w >= pool.kernel_w;
        if (fits && i % 2 == 1)
            cases.push_back(conv_case(random, count, c, h, w, r, activation, &pool));
        else
            cases.push_back(std::move(plain));
    }
    return cases;
}

std::vector<OpCase> pool_cases() {
    Random random(test_seed() + 1);
    std::vector<OpCase> cases;
    for (int op : {MN_OP_MAX_POOL2D, MN_OP_AVG_POOL2D}) {
        const auto add = [&](int count, int64_t c, int64_t h, int64_t w, const mn_pool2d_desc& d) {
            cases.push_back(pool_case(random, op, count, c, h, w, d));
        };
        add(1, 1, 1, 1, pool_desc(1, 1));
        add(3, 7, 6, 8, pool_desc(2, 2));
        add(2, 17, 7, 5, pool_desc(2, 2));
        add(2, 13, 7, 5, pool_desc(2, 2, 0, 1));
        add(2, 3, 7, 9, pool_desc(3, 2, 1));
        add(2, 3, 7, 9, pool_desc(3, 2, 1, 0, 0));
        add(2, 3, 8, 6, pool_desc(3, 2, 1, 1));
        add(2, 3, 8, 6, pool_desc(3, 2, 1, 1, 0));
        add(2, 2, 5, 5, pool_desc(3, 1, 1));
        add(1, 2, 5, 5, pool_desc(2, 3, 1, 1));  // a last window would start in the far padding
        add(1, 2, 17, 17, pool_desc(17, 1));     // more elements than a byte counts
        add(2, 32, 14, 14, pool_desc(2, 2));
        cases.back().small = false;
        for (int i = 0; i < 8; ++i) {
            mn_pool2d_desc r = pool_desc(1, 1, 0, random.pick({0, 1}), random.pick({0, 1}));
            r.kernel_h = static_cast<int32_t>(random.integer(1, 4));
            r.kernel_w = static_cast<int32_t>(random.integer(1, 4));
            r.stride_h = static_cast<int32_t>(random.integer(1, 4));
            r.stride_w = static_cast<int32_t>(random.integer(1, 4));
            r.pad_h = static_cast<int32_t>(random.integer(0, r.kernel_h / 2));
            r.pad_w = static_cast<int32_t>(random.integer(0, r.kernel_w / 2));
            add(static_cast<int>(random.integer(1, 3)), random.pick({1, 3, 16, 19}),
                random.integer(r.kernel_h, 10), random.integer(r.kernel_w, 10), r);
        }
    }
    for (int64_t c : {1, 7, 16, 33})
        cases.push_back(
            pool_case(random, MN_OP_GLOBAL_AVG_POOL2D, 3, c, c % 5 + 1, 7, mn_pool2d_desc{}));
    return cases;
}

std::vector<OpCase> linear_cases() {
    Random random(test_seed() + 2);
    std::vector<OpCase> cases;
    cases.push_back(linear_case(random, 1, 1, 1, 1, 1));
    cases.push_back(linear_case(random, 3, 7, 1, 1, 13));
    cases.push_back(linear_case(random, 5, 128, 1, 1, 10));
    cases.push_back(linear_case(random, 17, 33, 1, 1, 17, 0, MN_ACTIVATION_RELU));
    cases.push_back(linear_case(random, 2, 6, 3, 5, 16));  // an image
    cases.push_back(linear_case(random, 4, 17, 2, 3, 31, 1, MN_ACTIVATION_RELU));
    cases.push_back(linear_case(random, 9, 64, 7, 7, 128, 1, MN_ACTIVATION_RELU));
    cases.back().small = false;
    for (int i = 0; i < 10; ++i) {
        const bool image = random.integer(0, 1) != 0;
        const int64_t side = image ? random.integer(1, 5) : 1;
        cases.push_back(linear_case(random, static_cast<int>(random.integer(1, 20)),
                                    random.integer(1, 40), side, side,
                                    static_cast<int>(random.integer(1, 50)), random.pick({0, 1}),
                                    random.pick({0, static_cast<int>(MN_ACTIVATION_RELU)})));
    }
    return cases;
}

std::vector<OpCase> simple_cases() {
    Random random(test_seed() + 3);
    std::vector<OpCase> cases;
    for (int op : {static_cast<int>(MN_OP_ACTIVATION), static_cast<int>(MNB_OP_REORDER),
                   static_cast<int>(MNB_OP_SUM)}) {
        cases.push_back(simple_case(random, op, 1, 1, 1, 1, false));
        cases.push_back(simple_case(random, op, 3, 7, 5, 6, false));
        cases.push_back(simple_case(random, op, 2, 17, 3, 4, false));
        cases.push_back(simple_case(random, op, 5, 130, 1, 1, true));
    }
    for (int op : {static_cast<int>(MN_OP_SOFTMAX), static_cast<int>(MNB_OP_LABEL_LOSS)}) {
        cases.push_back(simple_case(random, op, 1, 1, 1, 1, true));
        cases.push_back(simple_case(random, op, 33, 10, 1, 1, true));
        cases.push_back(simple_case(random, op, 7, 117, 1, 1, true));
    }
    return cases;
}

std::vector<OpCase> all_cases() {
    std::vector<OpCase> cases = conv2d_cases();
    for (auto* more : {&pool_cases, &linear_cases, &simple_cases, &norm_cases, &structure_cases})
        for (OpCase& c : (*more)()) cases.push_back(std::move(c));
    // Test names have to be unique.
    for (size_t i = 0; i < cases.size(); ++i) cases[i].name += "_" + std::to_string(i);
    return cases;
}

}  // namespace mn::test
