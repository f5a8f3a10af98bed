// Sums, binary operations, concatenation, slices, changes of layout, shuffles and scales of values
// that lie densely in memory: runs of neighbouring elements instead of one element at a time.

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "backend/cpu/fast/fast.h"

namespace mn::cpu::fast {
namespace {

constexpr int64_t kChunk = 16 * 1024;  // elements of one task

int64_t size_of(const ImageView& t) {
    return t.c * t.h * t.w;
}

bool is_trivial(const ImageView& t) {
    return t.c == 1 || t.h * t.w == 1;
}

// Whether images are packed in the tensor's layout, without gaps.
bool is_dense(const ImageView& t) {
    if (t.sn != size_of(t)) return false;
    if (is_trivial(t)) return true;
    return t.layout == MNB_NHWC ? t.sc == 1 && t.sw == t.c && t.sh == t.w * t.c
                                : t.sw == 1 && t.sh == t.w && t.sc == t.h * t.w;
}

bool same_memory(const ImageView& a, const ImageView& b) {
    return is_dense(a) && is_dense(b) && a.c == b.c && a.h == b.h && a.w == b.w &&
           (a.layout == b.layout || is_trivial(a));
}

void take_source_layout(const ImageNode& node, mnb_support& support) {
    support.src_layout = support.dst_layout = node.src[0].layout;
}

// Calls body(first, count) for parts of `count` elements.
template <class Body>
void for_parts(Device& device, int64_t count, Body&& body) {
    device.pool.parallel_for(static_cast<int>(ceil_div(count, kChunk)), [&](int task, int) {
        const int64_t first = task * kChunk;
        body(first, std::min(kChunk, count - first));
    });
}

// dst[i] = f(a[i], b[i]); one loop for each f, which compilers turn into vectors.
template <class F>
void combine(const float* a, const float* b, float* dst, int64_t count, F&& f) {
    for (int64_t i = 0; i < count; ++i) dst[i] = f(a[i], b[i]);
}

void combine(int32_t kind, const float* a, const float* b, float* dst, int64_t count) {
    if (kind == MN_BINARY_ADD)
        combine(a, b, dst, count, [](float x, float y) { return x + y; });
    else if (kind == MN_BINARY_SUBTRACT)
        combine(a, b, dst, count, [](float x, float y) { return x - y; });
    else
        combine(a, b, dst, count, [](float x, float y) { return x * y; });
}

class Sum : public Kernel {
public:
    explicit Sum(const ImageNode& node) : size_(size_of(node.dst)) {}

    void run(Device& device, const mnb_run& run) override {
        for_parts(device, size_ * run.count, [&](int64_t at, int64_t count) {
            combine(MN_BINARY_ADD, run.src[0] + at, run.src[1] + at, run.dst + at, count);
        });
    }

private:
    int64_t size_;
};

// Both sources have the result's shape.
class Binary : public Kernel {
public:
    Binary(const ImageNode& node, int direction)
        : size_(size_of(node.dst)),
          kind_(node.desc.binary.kind),
          backward_(direction == MNB_BACKWARD) {}

    void run(Device& device, const mnb_run& run) override {
        for_parts(device, size_ * run.count, [&](int64_t at, int64_t count) {
            if (!backward_) {
                combine(kind_, run.src[0] + at, run.src[1] + at, run.dst + at, count);
                return;
            }
            for (int s = 0; s < 2; ++s)
                if (run.diff_src[s]) diff_src(run, s, at, count);
        });
    }

private:
    void diff_src(const mnb_run& run, int s, int64_t at, int64_t count) const {
        const float* gradient = run.diff_dst + at;
        float* diff = run.diff_src[s] + at;
        if (kind_ == MN_BINARY_MULTIPLY)
            combine(kind_, gradient, run.src[1 - s] + at, diff, count);
        else if (kind_ == MN_BINARY_SUBTRACT && s == 1)
            for (int64_t i = 0; i < count; ++i) diff[i] = -gradient[i];
        else
            std::memcpy(diff, gradient, sizeof(float) * static_cast<size_t>(count));
    }

    int64_t size_;
    int32_t kind_;
    bool backward_;
};

// NHWC; the second source is one pixel, which is repeated over the image.
class RepeatedBinary : public Kernel {
public:
    RepeatedBinary(const ImageNode& node, int direction)
        : channels_(node.dst.c),
          pixels_(node.dst.h * node.dst.w),
          kind_(node.desc.binary.kind),
          backward_(direction == MNB_BACKWARD) {}

    void run(Device& device, const mnb_run& run) override {
        const int64_t part = std::max<int64_t>(kChunk / channels_, 1);
        const int64_t parts = ceil_div(pixels_, part);
        device.pool.parallel_for(static_cast<int>(run.count * parts), [&](int task, int) {
            const int64_t n = task / parts, first = task % parts * part;
            for (int64_t i = first; i < std::min(first + part, pixels_); ++i)
                pixel(run, n, (n * pixels_ + i) * channels_);
        });
        if (!backward_ || !run.diff_src[1]) return;
        const int64_t blocks = ceil_div(channels_, kBlock);
        device.pool.parallel_for(static_cast<int>(run.count * blocks), [&](int task, int) {
            diff_pixel(run, task / blocks, task % blocks * kBlock);
        });
    }

private:
    static constexpr int64_t kBlock = 64;

    void pixel(const mnb_run& run, int64_t n, int64_t at) const {
        const float* right = run.src[1] + n * channels_;
        if (!backward_)
            combine(kind_, run.src[0] + at, right, run.dst + at, channels_);
        else if (run.diff_src[0] && kind_ == MN_BINARY_MULTIPLY)
            combine(kind_, run.diff_dst + at, right, run.diff_src[0] + at, channels_);
        else if (run.diff_src[0])
            std::memcpy(run.diff_src[0] + at, run.diff_dst + at,
                        sizeof(float) * static_cast<size_t>(channels_));
    }

    // The second source's gradient sums over the image.
    void diff_pixel(const mnb_run& run, int64_t n, int64_t first) const {
        double sums[kBlock] = {};
        const int64_t count = std::min(kBlock, channels_ - first);
        for (int64_t i = 0; i < pixels_; ++i) {
            const int64_t at = (n * pixels_ + i) * channels_ + first;
            const float* gradient = run.diff_dst + at;
            if (kind_ == MN_BINARY_MULTIPLY) {
                const float* left = run.src[0] + at;
                for (int64_t c = 0; c < count; ++c)
                    sums[c] += static_cast<double>(gradient[c] * left[c]);
            } else {
                for (int64_t c = 0; c < count; ++c) sums[c] += static_cast<double>(gradient[c]);
            }
        }
        const double sign = kind_ == MN_BINARY_SUBTRACT ? -1.0 : 1.0;
        for (int64_t c = 0; c < count; ++c)
            run.diff_src[1][n * channels_ + first + c] = static_cast<float>(sign * sums[c]);
    }

    int64_t channels_, pixels_;
    int32_t kind_;
    bool backward_;
};

// Concatenation and slices: each image (NCHW) or each pixel (NHWC) of the wide value, a run of
// elements, falls into parts that are the runs of the narrow ones.
class Parts : public Kernel {
public:
    Parts(const ImageNode& node, int direction)
        : slice_(node.op == MN_OP_SLICE), backward_(direction == MNB_BACKWARD) {
        const ImageView& wide = slice_ ? node.src[0] : node.dst;
        // Of one pixel, all channels lie together in both layouts.
        const bool by_pixel = wide.layout == MNB_NHWC;
        runs_ = by_pixel ? wide.h * wide.w : 1;
        const int64_t area = by_pixel ? 1 : wide.h * wide.w;
        width_ = wide.c * area;
        if (slice_) {
            first_.push_back(node.desc.slice.first * area);
            part_.push_back(node.dst.c * area);
            return;
        }
        int64_t first = 0;
        for (int s = 0; s < node.source_count; ++s) {
            first_.push_back(first);
            part_.push_back(node.src[s].c * area);
            first += part_.back();
        }
    }

    void run(Device& device, const mnb_run& run) override {
        const int64_t runs = runs_ * run.count, each = std::max<int64_t>(kChunk / width_, 1);
        device.pool.parallel_for(static_cast<int>(ceil_div(runs, each)), [&](int task, int) {
            for (int64_t i = task * each; i < std::min((task + 1) * each, runs); ++i)
                copy_run(run, i);
        });
    }

private:
    void copy_run(const mnb_run& run, int64_t i) const {
        if (slice_ && backward_ && run.diff_src[0])
            std::fill_n(run.diff_src[0] + i * width_, width_, 0.0f);
        for (size_t p = 0; p < part_.size(); ++p) {
            const int64_t wide = i * width_ + first_[p], narrow = i * part_[p];
            const size_t bytes = sizeof(float) * static_cast<size_t>(part_[p]);
            // A slice reads from the wide value, as does the gradient of a concatenation.
            if (slice_ && !backward_)
                std::memcpy(run.dst + narrow, run.src[0] + wide, bytes);
            else if (slice_ && run.diff_src[0])
                std::memcpy(run.diff_src[0] + wide, run.diff_dst + narrow, bytes);
            else if (!slice_ && !backward_)
                std::memcpy(run.dst + wide, run.src[p] + narrow, bytes);
            else if (!slice_ && run.diff_src[p])
                std::memcpy(run.diff_src[p] + narrow, run.diff_dst + wide, bytes);
        }
    }

    bool slice_, backward_;
    int64_t runs_, width_;               // runs of an image, and their elements
    std::vector<int64_t> first_, part_;  // of each narrow value, in a run
};

// From one layout to the other: rows of pixels, one a channel, become rows of channels, or back.
class Reorder : public Kernel {
public:
    Reorder(const ImageNode& node, int direction) : backward_(direction == MNB_BACKWARD) {
        rows_ = node.src[0].c, columns_ = node.src[0].h * node.src[0].w;
        if ((node.src[0].layout == MNB_NHWC) != backward_) std::swap(rows_, columns_);
        factors_.assign(static_cast<size_t>(rows_), 1.0f);
        // x + -0 is x, also for -0.
        shifts_.assign(static_cast<size_t>(rows_), -0.0f);
    }

    void run(Device& device, const mnb_run& run) override {
        LoadRun op = {};
        op.images = backward_ ? run.diff_dst : run.src[0];
        op.dst = backward_ ? run.diff_src[0] : run.dst;
        if (!op.dst) return;
        op.channels = rows_;
        op.pixels = columns_;
        op.scale = factors_.data();
        op.shift = shifts_.data();
        const int64_t each = ceil_div(kChunk, rows_ * columns_);
        device.pool.parallel_for(static_cast<int>(ceil_div(run.count, each)), [&](int task, int) {
            for (int64_t n = task * each; n < std::min<int64_t>((task + 1) * each, run.count); ++n)
                device.table->load_image(op, n);
        });
    }

private:
    bool backward_;
    int64_t rows_, columns_;
    std::vector<float> factors_, shifts_;
};

// NHWC: the channels of every pixel change places.
class ChannelShuffle : public Kernel {
public:
    ChannelShuffle(const ImageNode& node, int direction)
        : channels_(node.dst.c),
          pixels_(node.dst.h * node.dst.w),
          // [groups][each] becomes [each][groups]; backward, the other way round.
          rows_(direction == MNB_BACKWARD ? node.dst.c / node.desc.channel_shuffle.groups
                                          : node.desc.channel_shuffle.groups),
          backward_(direction == MNB_BACKWARD) {}

    void run(Device& device, const mnb_run& run) override {
        const float* src = backward_ ? run.diff_dst : run.src[0];
        float* dst = backward_ ? run.diff_src[0] : run.dst;
        if (!dst) return;
        const int64_t pixels = pixels_ * run.count, each = std::max<int64_t>(kChunk / channels_, 1);
        const int64_t columns = channels_ / rows_;
        device.pool.parallel_for(static_cast<int>(ceil_div(pixels, each)), [&](int task, int) {
            for (int64_t i = task * each; i < std::min((task + 1) * each, pixels); ++i)
                for (int64_t c = 0; c < columns; ++c)
                    for (int64_t r = 0; r < rows_; ++r)
                        dst[i * channels_ + c * rows_ + r] = src[i * channels_ + r * columns + c];
        });
    }

private:
    int64_t channels_, pixels_, rows_;
    bool backward_;
};

// NHWC.
class Scale : public Kernel {
public:
    Scale(const ImageNode& node, int direction)
        : channels_(node.dst.c),
          pixels_(node.dst.h * node.dst.w),
          backward_(direction == MNB_BACKWARD) {}

    void run(Device& device, const mnb_run& run) override {
        const float* src = backward_ ? run.diff_dst : run.src[0];
        float* dst = backward_ ? run.diff_src[0] : run.dst;
        const int64_t pixels = pixels_ * run.count;
        if (dst) {
            const int64_t each = std::max<int64_t>(kChunk / channels_, 1);
            device.pool.parallel_for(static_cast<int>(ceil_div(pixels, each)), [&](int task, int) {
                for (int64_t i = task * each; i < std::min((task + 1) * each, pixels); ++i)
                    combine(MN_BINARY_MULTIPLY, src + i * channels_, run.param[0],
                            dst + i * channels_, channels_);
            });
        }
        if (!backward_ || !run.diff_param[0]) return;
        device.pool.parallel_for(static_cast<int>(ceil_div(channels_, kBlock)),
                                 [&](int task, int) { diff_factors(run, task * kBlock); });
    }

private:
    static constexpr int64_t kBlock = 16;

    void diff_factors(const mnb_run& run, int64_t first) const {
        double sums[kBlock] = {};
        const int64_t count = std::min(kBlock, channels_ - first);
        for (int64_t i = 0; i < pixels_ * run.count; ++i) {
            const float* gradient = run.diff_dst + i * channels_ + first;
            const float* src = run.src[0] + i * channels_ + first;
            for (int64_t c = 0; c < count; ++c)
                sums[c] += static_cast<double>(gradient[c] * src[c]);
        }
        for (int64_t c = 0; c < count; ++c) {
            float& diff = run.diff_param[0][first + c];
            diff = (run.accumulate[0] ? diff : 0.0f) + static_cast<float>(sums[c]);
        }
    }

    int64_t channels_, pixels_;
    bool backward_;
};

bool is_dense_nhwc(const ImageView& t) {
    return t.layout == MNB_NHWC && is_dense(t);
}

// Images that agree about their layout where they have one.
bool runs_agree(const ImageNode& node) {
    const ImageView& dst = node.dst;
    for (int s = 0; s < node.source_count; ++s) {
        const ImageView& src = node.src[s];
        if (!is_dense(src) || src.h != dst.h || src.w != dst.w) return false;
        if (src.layout != dst.layout && dst.h * dst.w > 1) return false;
    }
    return is_dense(dst);
}

}  // namespace

bool sum_query(const Device&, const ImageNode& node, int direction, mnb_support& support) {
    if (direction == MNB_BACKWARD || node.source_count != 2) return false;
    if (!same_memory(node.src[0], node.src[1])) return false;
    if (node.dst.sn != node.src[0].sn) return false;
    take_source_layout(node, support);
    return true;
}

std::unique_ptr<Kernel> sum_create(const Device&, const ImageNode& node, int) {
    return std::make_unique<Sum>(node);
}

bool binary_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    const ImageView &left = node.src[0], &right = node.src[1];
    if (size_of(left) == size_of(right)) {
        if (!same_memory(left, right) || !same_memory(left, node.dst)) return false;
    } else if (left.layout != MNB_NHWC || !is_dense(left) || !is_dense(right) ||
               !is_dense(node.dst)) {
        return false;
    }
    take_source_layout(node, support);
    if (node.desc.binary.kind == MN_BINARY_MULTIPLY) support.backward_needs = MNB_NEEDS_SRC;
    return true;
}

std::unique_ptr<Kernel> binary_create(const Device&, const ImageNode& node, int direction) {
    if (size_of(node.src[0]) == size_of(node.src[1]))
        return std::make_unique<Binary>(node, direction);
    return std::make_unique<RepeatedBinary>(node, direction);
}

bool concat_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    if (!runs_agree(node)) return false;
    take_source_layout(node, support);
    return true;
}

std::unique_ptr<Kernel> concat_create(const Device&, const ImageNode& node, int direction) {
    return std::make_unique<Parts>(node, direction);
}

bool slice_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    if (!runs_agree(node)) return false;
    take_source_layout(node, support);
    return true;
}

std::unique_ptr<Kernel> slice_create(const Device&, const ImageNode& node, int direction) {
    return std::make_unique<Parts>(node, direction);
}

bool reorder_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    if (!is_dense(node.src[0]) || !is_dense(node.dst) || is_trivial(node.dst)) return false;
    if (node.src[0].layout == node.dst.layout) return false;
    support.src_layout = node.src[0].layout;
    support.dst_layout = node.dst.layout;
    return true;
}

std::unique_ptr<Kernel> reorder_create(const Device&, const ImageNode& node, int direction) {
    return std::make_unique<Reorder>(node, direction);
}

bool channel_shuffle_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    if (!is_dense_nhwc(node.src[0]) || !is_dense_nhwc(node.dst)) return false;
    take_source_layout(node, support);
    return true;
}

std::unique_ptr<Kernel> channel_shuffle_create(const Device&, const ImageNode& node,
                                               int direction) {
    return std::make_unique<ChannelShuffle>(node, direction);
}

bool scale_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    if (!is_dense_nhwc(node.src[0]) || !is_dense_nhwc(node.dst)) return false;
    take_source_layout(node, support);
    for (int i = 0; i < node.param_count; i++) support.param_layout[i] = MNB_PARAM_PLAIN;
    support.backward_needs = MNB_NEEDS_SRC;
    return true;
}

std::unique_ptr<Kernel> scale_create(const Device&, const ImageNode& node, int direction) {
    return std::make_unique<Scale>(node, direction);
}

}  // namespace mn::cpu::fast
