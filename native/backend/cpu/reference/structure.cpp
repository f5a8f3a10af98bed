// How values are put together and taken apart: binary operations, concatenation, slices, scales and
// shuffles of channels. Elements are counted in logical order, C, then H, then W.

#include <algorithm>

#include "backend/cpu/reference/common.h"

namespace mn::cpu::reference {
namespace {

class StructureKernel : public Kernel {
public:
    StructureKernel(const Device&, const ImageNode& node, int direction)
        : node_(node), direction_(direction) {}

protected:
    // Calls body(n, feature) for every image and 0 <= feature < features.
    template <class Body>
    static void for_each(Device& device, int64_t count, int64_t features, Body&& body) {
        constexpr int64_t block = 1024;
        const int64_t blocks = divide_up(features, block);
        device.pool.parallel_for(static_cast<int>(count * blocks), [&](int task, int) {
            const int64_t first = task % blocks * block;
            const int64_t last = std::min(first + block, features);
            for (int64_t f = first; f < last; ++f) body(task / blocks, f);
        });
    }

    ImageNode node_;
    int direction_;
};

// The second source may be one pixel, which is repeated over the image.
class Binary : public StructureKernel {
public:
    using StructureKernel::StructureKernel;

    void run(Device& device, const mnb_run& run) override {
        const ImageView &left = node_.src[0], &right = node_.src[1], &dst = node_.dst;
        const int32_t kind = node_.desc.binary.kind;
        const bool repeated = feature_count(right) != feature_count(left);
        const auto at_right = [&](int64_t n, int64_t f) {
            return repeated ? offset(right, n, f / (left.h * left.w), 0, 0)
                            : feature_offset(right, n, f);
        };
        if (direction_ != MNB_BACKWARD) {
            for_each(device, run.count, feature_count(dst), [&](int64_t n, int64_t f) {
                const float a = run.src[0][feature_offset(left, n, f)];
                const float b = run.src[1][at_right(n, f)];
                run.dst[feature_offset(dst, n, f)] = kind == MN_BINARY_ADD        ? a + b
                                                     : kind == MN_BINARY_SUBTRACT ? a - b
                                                                                  : a * b;
            });
            return;
        }
        if (run.diff_src[0] != nullptr)
            for_each(device, run.count, feature_count(dst), [&](int64_t n, int64_t f) {
                const float gradient = run.diff_dst[feature_offset(dst, n, f)];
                run.diff_src[0][feature_offset(left, n, f)] =
                    kind == MN_BINARY_MULTIPLY ? gradient * run.src[1][at_right(n, f)] : gradient;
            });
        if (run.diff_src[1] == nullptr) return;
        const auto share = [&](int64_t n, int64_t f) {
            const float gradient = run.diff_dst[feature_offset(dst, n, f)];
            return kind == MN_BINARY_MULTIPLY ? gradient * run.src[0][feature_offset(left, n, f)]
                                              : (kind == MN_BINARY_SUBTRACT ? -gradient : gradient);
        };
        if (!repeated) {
            for_each(device, run.count, feature_count(dst), [&](int64_t n, int64_t f) {
                run.diff_src[1][feature_offset(right, n, f)] = share(n, f);
            });
            return;
        }
        const int64_t area = left.h * left.w;
        for_each(device, run.count, right.c, [&](int64_t n, int64_t c) {
            double sum = 0;
            for (int64_t f = c * area; f < (c + 1) * area; ++f)
                sum += static_cast<double>(share(n, f));
            run.diff_src[1][offset(right, n, c, 0, 0)] = static_cast<float>(sum);
        });
    }
};

class Concat : public StructureKernel {
public:
    using StructureKernel::StructureKernel;

    void run(Device& device, const mnb_run& run) override {
        int64_t before = 0;
        for (int s = 0; s < node_.source_count; ++s) {
            const ImageView& src = node_.src[s];
            if (direction_ != MNB_BACKWARD)
                for_each(device, run.count, feature_count(src), [&](int64_t n, int64_t f) {
                    run.dst[feature_offset(node_.dst, n, before + f)] =
                        run.src[s][feature_offset(src, n, f)];
                });
            else if (run.diff_src[s] != nullptr)
                for_each(device, run.count, feature_count(src), [&](int64_t n, int64_t f) {
                    run.diff_src[s][feature_offset(src, n, f)] =
                        run.diff_dst[feature_offset(node_.dst, n, before + f)];
                });
            before += feature_count(src);
        }
    }
};

// Copies that give each element of the result one of the source.
class Copy : public StructureKernel {
public:
    using StructureKernel::StructureKernel;

    void run(Device& device, const mnb_run& run) override {
        const ImageView &src = node_.src[0], &dst = node_.dst;
        if (direction_ != MNB_BACKWARD) {
            for_each(device, run.count, feature_count(dst), [&](int64_t n, int64_t f) {
                run.dst[feature_offset(dst, n, f)] = run.src[0][feature_offset(src, n, origin(f))];
            });
            return;
        }
        if (run.diff_src[0] == nullptr) return;
        if (feature_count(src) != feature_count(dst))  // some are not read
            for_each(device, run.count, feature_count(src), [&](int64_t n, int64_t f) {
                run.diff_src[0][feature_offset(src, n, f)] = 0.0f;
            });
        for_each(device, run.count, feature_count(dst), [&](int64_t n, int64_t f) {
            run.diff_src[0][feature_offset(src, n, origin(f))] =
                run.diff_dst[feature_offset(dst, n, f)];
        });
    }

private:
    // Which element of the source element f of the result is.
    int64_t origin(int64_t f) const {
        const ImageView& src = node_.src[0];
        if (node_.op == MN_OP_SLICE) return f + node_.desc.slice.first * src.h * src.w;
        const int64_t groups = node_.desc.channel_shuffle.groups, each = src.c / groups;
        const int64_t area = src.h * src.w, c = f / area;
        return (c % groups * each + c / groups) * area + f % area;
    }
};

class Scale : public StructureKernel {
public:
    using StructureKernel::StructureKernel;

    void run(Device& device, const mnb_run& run) override {
        const ImageView &src = node_.src[0], &dst = node_.dst;
        const float* factor = run.param[0];
        const int64_t area = src.h * src.w;
        if (direction_ != MNB_BACKWARD) {
            for_each(device, run.count, feature_count(dst), [&](int64_t n, int64_t f) {
                run.dst[feature_offset(dst, n, f)] =
                    run.src[0][feature_offset(src, n, f)] * factor[f / area];
            });
            return;
        }
        if (run.diff_src[0] != nullptr)
            for_each(device, run.count, feature_count(src), [&](int64_t n, int64_t f) {
                run.diff_src[0][feature_offset(src, n, f)] =
                    run.diff_dst[feature_offset(dst, n, f)] * factor[f / area];
            });
        if (run.diff_param[0] != nullptr)
            device.pool.parallel_for(static_cast<int>(src.c), [&](int c, int) {
                double sum = 0;
                for (int64_t n = 0; n < run.count; ++n)
                    for (int64_t f = c * area; f < (c + 1) * area; ++f)
                        sum += static_cast<double>(run.diff_dst[feature_offset(dst, n, f)]) *
                               static_cast<double>(run.src[0][feature_offset(src, n, f)]);
                write_gradient(run.diff_param[0][c], sum, run.accumulate[0]);
            });
    }
};

}  // namespace

bool binary_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    take_layouts(node, support);
    if (node.desc.binary.kind == MN_BINARY_MULTIPLY) support.backward_needs = MNB_NEEDS_SRC;
    return true;
}

std::unique_ptr<Kernel> binary_create(const Device& device, const ImageNode& node, int direction) {
    return std::make_unique<Binary>(device, node, direction);
}

bool concat_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    take_layouts(node, support);
    return true;
}

std::unique_ptr<Kernel> concat_create(const Device& device, const ImageNode& node, int direction) {
    return std::make_unique<Concat>(device, node, direction);
}

bool copy_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    take_layouts(node, support);
    return true;
}

std::unique_ptr<Kernel> copy_create(const Device& device, const ImageNode& node, int direction) {
    return std::make_unique<Copy>(device, node, direction);
}

bool scale_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    take_layouts(node, support);
    for (int i = 0; i < node.param_count; ++i) support.param_layout[i] = MNB_PARAM_PLAIN;
    support.backward_needs = MNB_NEEDS_SRC;
    return true;
}

std::unique_ptr<Kernel> scale_create(const Device& device, const ImageNode& node, int direction) {
    return std::make_unique<Scale>(device, node, direction);
}

}  // namespace mn::cpu::reference
