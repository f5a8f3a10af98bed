// Cases of transposed and depthwise convolution, padding, resizing, and of how values are put
// together and taken apart.

#include <sstream>

#include "op_cases.h"

namespace mn::test {
namespace {

template <class... Parts>
std::string join(const Parts&... parts) {
    std::ostringstream stream;
    (stream << ... << parts);
    return stream.str();
}

ImageView image(int64_t c, int64_t h, int64_t w) {
    return make_tensor(c, h, w, false, MNB_NCHW);
}

ImageView features(int64_t c) {
    return make_tensor(c, 1, 1, true, MNB_NCHW);
}

// A case with its node's op, sources and result; the caller fills in the rest, then `add`s it.
OpCase make_case(int op, int count, const std::string& name, std::vector<ImageView> sources,
                 const ImageView& dst) {
    OpCase result;
    result.node.op = op;
    for (const ImageView& source : sources) result.node.src[result.node.source_count++] = source;
    result.node.dst = dst;
    result.count = count;
    const ImageView& first = sources[0];
    result.name = join(name, "_", count, "x", first.c, "x", first.h, "x", first.w,
                       first.rank == 1 ? "_flat" : "");
    return result;
}

class Cases {
public:
    explicit Cases(uint64_t seed) : random(seed) {}

    OpCase& add(OpCase op_case) {
        finish(op_case, random);
        list.push_back(std::move(op_case));
        return list.back();
    }

    Random random;
    std::vector<OpCase> list;
};

mn_conv_transpose2d_desc transpose_desc(int out_channels, int kernel, int stride = 1, int pad = 0,
                                        int output_pad = 0) {
    mn_conv_transpose2d_desc d{};
    d.struct_size = sizeof d;
    d.out_channels = out_channels;
    d.kernel_h = d.kernel_w = kernel;
    d.stride_h = d.stride_w = stride;
    d.pad_h = d.pad_w = pad;
    d.output_pad_h = d.output_pad_w = output_pad;
    d.dilation_h = d.dilation_w = 1;
    d.groups = 1;
    d.bias = 1;
    return d;
}

void add_conv_transpose(Cases& cases, int count, int64_t c, int64_t h, int64_t w,
                        const mn_conv_transpose2d_desc& d) {
    const auto size = [](int64_t n, int64_t stride, int64_t pad, int64_t kernel, int64_t dilation,
                         int64_t output_pad) {
        return (n - 1) * stride - 2 * pad + dilation * (kernel - 1) + output_pad + 1;
    };
    const int64_t oh = size(h, d.stride_h, d.pad_h, d.kernel_h, d.dilation_h, d.output_pad_h);
    const int64_t ow = size(w, d.stride_w, d.pad_w, d.kernel_w, d.dilation_w, d.output_pad_w);
    OpCase result = make_case(
        MN_OP_CONV_TRANSPOSE2D, count,
        join("conv_transpose_oc", d.out_channels, "_k", d.kernel_h, "x", d.kernel_w, "s",
             d.stride_h, d.stride_w, "p", d.pad_h, d.pad_w, "op", d.output_pad_h, d.output_pad_w,
             "d", d.dilation_h, d.dilation_w, "g", d.groups, d.bias ? "" : "_nobias"),
        {image(c, h, w)}, image(d.out_channels, oh, ow));
    ImageNode& node = result.node;
    node.desc.conv_transpose2d = d;
    node.param[node.param_count++] = make_param(MNB_WEIGHT, MNB_PARAM_PLAIN, c,
                                                d.out_channels / d.groups, d.kernel_h, d.kernel_w);
    if (d.bias)
        node.param[node.param_count++] =
            make_param(MNB_BIAS, MNB_PARAM_PLAIN, d.out_channels, 1, 1, 1);
    cases.add(std::move(result));
}

void add_conv_transposes(Cases& cases) {
    add_conv_transpose(cases, 1, 1, 1, 1, transpose_desc(1, 1));
    add_conv_transpose(cases, 2, 3, 4, 5, transpose_desc(4, 3));
    add_conv_transpose(cases, 2, 5, 4, 3, transpose_desc(3, 2, 2));
    add_conv_transpose(cases, 2, 4, 5, 4, transpose_desc(6, 3, 2, 1, 1));
    mn_conv_transpose2d_desc d = transpose_desc(6, 3, 2, 1);
    d.groups = 2;
    d.dilation_h = 2;
    d.kernel_w = 2;
    d.stride_w = 3;
    d.output_pad_w = 2;
    d.pad_w = 0;
    d.bias = 0;
    add_conv_transpose(cases, 3, 4, 3, 4, d);
    for (int i = 0; i < 6; ++i) {
        Random& random = cases.random;
        mn_conv_transpose2d_desc r = transpose_desc(1, 1);
        r.groups = random.pick({1, 2, 3});
        r.out_channels = r.groups * static_cast<int>(random.integer(1, 4));
        r.kernel_h = static_cast<int>(random.integer(1, 4));
        r.kernel_w = static_cast<int>(random.integer(1, 4));
        r.stride_h = random.pick({1, 2, 3});
        r.stride_w = random.pick({1, 2, 3});
        r.dilation_h = random.pick({1, 2});
        r.dilation_w = random.pick({1, 2});
        r.pad_h = static_cast<int>(random.integer(0, (r.kernel_h - 1) * r.dilation_h / 2));
        r.pad_w = static_cast<int>(random.integer(0, (r.kernel_w - 1) * r.dilation_w / 2));
        r.output_pad_h = static_cast<int>(random.integer(0, r.stride_h - 1));
        r.output_pad_w = static_cast<int>(random.integer(0, r.stride_w - 1));
        r.bias = random.pick({0, 1});
        add_conv_transpose(cases, random.pick({1, 3}), r.groups * random.integer(1, 4),
                           random.integer(1, 6), random.integer(1, 6), r);
    }
}

void add_pads(Cases& cases) {
    const auto add = [&](int mode, int64_t h, int64_t w, int top, int left, int bottom, int right) {
        OpCase result = make_case(
            MN_OP_PAD2D, 2, join("pad_mode", mode, "_", top, "_", left, "_", bottom, "_", right),
            {image(3, h, w)}, image(3, h + top + bottom, w + left + right));
        result.node.desc.pad2d = {sizeof(mn_pad2d_desc), mode, top, left, bottom, right};
        cases.add(std::move(result));
    };
    for (int mode : {MN_PAD_ZEROS, MN_PAD_REFLECT, MN_PAD_REPLICATE, MN_PAD_CIRCULAR}) {
        add(mode, 4, 5, 1, 1, 1, 1);
        add(mode, 4, 5, 3, 0, 2, 4);  // reflected up to the other edge, from both sides
        add(mode, 1, 3, 0, 2, 0, 1);
    }
    add(MN_PAD_CIRCULAR, 3, 2, 3, 2, 3, 2);
    add(MN_PAD_REPLICATE, 2, 2, 5, 0, 1, 4);
}

void add_pools(Cases& cases) {
    const auto add_adaptive = [&](int64_t c, int64_t h, int64_t w, int oh, int ow) {
        for (int op : {MN_OP_ADAPTIVE_AVG_POOL2D, MN_OP_ADAPTIVE_MAX_POOL2D}) {
            OpCase result =
                make_case(op, 2,
                          join(op == MN_OP_ADAPTIVE_AVG_POOL2D ? "adaptive_avg" : "adaptive_max",
                               "_to_", oh, "x", ow),
                          {image(c, h, w)}, image(c, oh, ow));
            result.node.desc.adaptive_pool2d = {sizeof(mn_adaptive_pool2d_desc), oh, ow};
            cases.add(std::move(result));
        }
    };
    add_adaptive(3, 6, 6, 3, 2);
    add_adaptive(2, 7, 5, 3, 3);  // windows overlap
    add_adaptive(17, 3, 4, 1, 1);
    add_adaptive(2, 2, 3, 4, 7);  // larger than the source
    add_adaptive(1, 13, 13, 6, 6);

    const auto dilated = [](int64_t size, int kernel, int stride, int pad, int dilation) {
        return (size + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
    };
    const auto add_dilated = [&](int64_t h, int64_t w, int kernel, int stride, int pad, int dh,
                                 int dw) {
        mn_pool2d_desc d = pool_desc(kernel, stride, pad);
        d.dilation_h = dh;
        d.dilation_w = dw;
        OpCase result = make_case(
            MN_OP_MAX_POOL2D, 2, join("max_pool_k", kernel, "s", stride, "p", pad, "d", dh, dw),
            {image(5, h, w)},
            image(5, dilated(h, kernel, stride, pad, dh), dilated(w, kernel, stride, pad, dw)));
        result.node.desc.pool2d = d;
        cases.add(std::move(result));
    };
    add_dilated(7, 8, 2, 1, 0, 2, 3);
    add_dilated(9, 7, 3, 2, 1, 2, 1);
    add_dilated(6, 6, 3, 1, 1, 1, 1);

    const auto add_unpool = [&](int64_t h, int64_t w, int kernel, int stride, int pad) {
        const ImageView small =
            image(3, pooled(h, kernel, stride, pad, 0), pooled(w, kernel, stride, pad, 0));
        OpCase result =
            make_case(MN_OP_MAX_UNPOOL2D, 2, join("max_unpool_k", kernel, "s", stride, "p", pad),
                      {small, image(3, h, w), small}, image(3, h, w));
        result.node.desc.pool2d = pool_desc(kernel, stride, pad);
        // Where windows share a maximum, all their values get the gradient, as in PyTorch, which is
        // no derivative of the one that stays.
        result.small = stride >= kernel;
        cases.add(std::move(result));
    };
    add_unpool(6, 4, 2, 2, 0);
    add_unpool(7, 8, 3, 3, 1);
    add_unpool(5, 5, 2, 2, 0);  // a row and a column are left over
    add_unpool(7, 6, 3, 1, 0);  // windows overlap
    add_unpool(9, 8, 3, 2, 1);
}

void add_upsamples(Cases& cases) {
    const auto add = [&](int mode, int scale_h, int scale_w, int align, int64_t h, int64_t w) {
        OpCase result = make_case(
            MN_OP_UPSAMPLE, 2,
            join("upsample_mode", mode, "_", scale_h, "x", scale_w, align ? "_align" : ""),
            {image(3, h, w)}, image(3, h * scale_h, w * scale_w));
        result.node.desc.upsample = {sizeof(mn_upsample_desc), mode, scale_h, scale_w, align};
        cases.add(std::move(result));
    };
    add(MN_UPSAMPLE_NEAREST, 2, 3, 0, 3, 4);
    add(MN_UPSAMPLE_NEAREST, 1, 5, 0, 2, 3);
    for (int align : {0, 1}) {
        add(MN_UPSAMPLE_BILINEAR, 2, 2, align, 3, 4);
        add(MN_UPSAMPLE_BILINEAR, 3, 4, align, 4, 2);
        add(MN_UPSAMPLE_BILINEAR, 2, 1, align, 1, 3);
        add(MN_UPSAMPLE_BILINEAR, 1, 1, align, 1, 1);
        add(MN_UPSAMPLE_BILINEAR, 5, 3, align, 2, 5);
    }
}

void add_binaries(Cases& cases) {
    const auto add = [&](int kind, const ImageView& left, const ImageView& right) {
        OpCase result = make_case(
            MN_OP_BINARY, 3,
            join("binary_kind", kind, tensor_size(right) != tensor_size(left) ? "_repeated" : ""),
            {left, right}, left);
        result.node.desc.binary = {sizeof(mn_binary_desc), kind};
        cases.add(std::move(result));
    };
    for (int kind : {MN_BINARY_ADD, MN_BINARY_SUBTRACT, MN_BINARY_MULTIPLY}) {
        add(kind, image(5, 3, 4), image(5, 3, 4));
        add(kind, image(17, 5, 6), image(17, 1, 1));
        add(kind, image(3, 1, 1), image(3, 1, 1));
        add(kind, features(37), features(37));
    }
    add(MN_BINARY_MULTIPLY, image(70, 9, 9), image(70, 1, 1));
    add(MN_BINARY_ADD, image(64, 32, 32), image(64, 32, 32));
    cases.list.back().small = false;
}

void add_structures(Cases& cases) {
    const auto concat = [&](std::vector<ImageView> sources, const ImageView& dst) {
        cases.add(make_case(MN_OP_CONCAT, 2, join("concat", sources.size()), sources, dst));
    };
    concat({image(3, 4, 5), image(2, 4, 5)}, image(5, 4, 5));
    concat({image(1, 3, 3), image(17, 3, 3), image(4, 3, 3), image(1, 3, 3)}, image(23, 3, 3));
    concat({features(7), features(5)}, features(12));
    concat({image(4, 1, 6), image(8, 1, 6)}, image(12, 1, 6));  // sequences

    const auto slice = [&](const ImageView& src, int first, int count) {
        const ImageView dst = src.rank == 1 ? features(count) : image(count, src.h, src.w);
        OpCase result = make_case(MN_OP_SLICE, 2, join("slice", first, "_", count), {src}, dst);
        result.node.desc.slice = {sizeof(mn_slice_desc), first, count};
        cases.add(std::move(result));
    };
    slice(image(6, 3, 4), 2, 3);
    slice(image(5, 2, 3), 0, 5);
    slice(image(5, 2, 3), 4, 1);
    slice(features(19), 3, 11);

    for (const auto& [c, groups] : {std::pair{12, 3}, {8, 2}, {5, 5}, {7, 1}}) {
        OpCase result = make_case(MN_OP_CHANNEL_SHUFFLE, 2, join("channel_shuffle", groups),
                                  {image(c, 3, 5)}, image(c, 3, 5));
        result.node.desc.channel_shuffle = {sizeof(mn_channel_shuffle_desc), groups};
        cases.add(std::move(result));
    }

    for (int64_t c : {3, 17, 40}) {
        OpCase result = make_case(MN_OP_SCALE, 3, "scale", {image(c, 4, 3)}, image(c, 4, 3));
        result.node.desc.scale.struct_size = sizeof(mn_scale_desc);
        result.node.param[result.node.param_count++] =
            make_param(MNB_WEIGHT, MNB_PARAM_PLAIN, c, 1, 1, 1);
        cases.add(std::move(result));
    }
}

void add_embeddings(Cases& cases) {
    const auto add = [&](int words, int length, const ImageView& src) {
        OpCase result = make_case(MN_OP_EMBEDDING, 3, join("embedding_", words, "x", length), {src},
                                  image(length, 1, tensor_size(src)));
        result.node.desc.embedding = {sizeof(mn_embedding_desc), words, length};
        result.node.param[result.node.param_count++] =
            make_param(MNB_WEIGHT, MNB_PARAM_PLAIN, words, length, 1, 1);
        OpCase& added = cases.add(std::move(result));
        for (float& index : added.src[0])
            index = static_cast<float>(cases.random.integer(0, words - 1));
    };
    add(7, 5, features(6));
    add(3, 33, features(10));  // words repeat
    add(1, 1, features(1));
    add(11, 4, features(12));
}

void add_depthwise(Cases& cases) {
    const auto add = [&](int64_t c, int64_t h, int64_t w, int kernel, int stride, int pad,
                         int dilation, int activation, int bias, bool small = true) {
        mn_conv2d_desc d = conv_desc(static_cast<int>(c), kernel, stride, pad);
        d.groups = d.out_channels;
        d.dilation_h = d.dilation_w = dilation;
        d.bias = bias;
        cases.list.push_back(conv_case(cases.random, 3, c, h, w, d, activation));
        cases.list.back().small = small;
    };
    add(32, 9, 11, 3, 1, 1, 1, 0, 1);
    add(19, 8, 9, 3, 2, 1, 1, 0, 0);
    add(16, 7, 7, 5, 1, 2, 1, MN_ACTIVATION_RELU, 1);
    add(37, 6, 10, 3, 1, 2, 2, 0, 1);
    add(5, 12, 12, 7, 1, 3, 1, 0, 1);
    add(24, 9, 9, 3, 3, 0, 1, MN_ACTIVATION_RELU, 0);
    add(18, 4, 4, 1, 1, 0, 1, 0, 1);
    add(20, 3, 3, 3, 1, 3, 1, 0, 1);  // whole windows in the padding
    add(96, 28, 28, 3, 1, 1, 1, 0, 0, false);
    add(16, 149, 148, 3, 1, 1, 1, 0, 0,
        false);  // results large enough to be written past the caches
    add(16, 149, 148, 3, 2, 1, 1, 0, 0, false);  // only the gradient by the source is
    mn_conv2d_desc d = conv_desc(19, 3, 1, 1);
    d.groups = 19;
    const mn_pool2d_desc pool = pool_desc(3, 2, 1);
    cases.list.push_back(conv_case(cases.random, 2, 19, 9, 8, d, MN_ACTIVATION_RELU, &pool));
    d = conv_desc(21, 1);
    d.groups = 21;
    d.kernel_w = 5, d.pad_left = 2, d.pad_right = 1, d.stride_w = 2, d.one_dimensional = 1;
    cases.list.push_back(conv_case(cases.random, 2, 21, 1, 23, d));
}

}  // namespace

std::vector<OpCase> structure_cases() {
    Cases cases(test_seed() + 4);
    add_conv_transposes(cases);
    add_pads(cases);
    add_pools(cases);
    add_upsamples(cases);
    add_binaries(cases);
    add_structures(cases);
    add_embeddings(cases);
    add_depthwise(cases);
    return std::move(cases.list);
}

}  // namespace mn::test
