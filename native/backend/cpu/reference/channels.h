// What the normalisations with one mean and one factor a channel share: sums over each channel, and
// one pass that applies a factor and a shift a channel.
//
// Sums are taken in double, row by row (a row: the pixels of one n and h), so that they have the
// same bits in every layout; channels are worked on a cache line at a time, which is what makes
// NHWC read memory in order.

#pragma once

#include <algorithm>

#include "backend/cpu/reference/common.h"

namespace mn::cpu::reference {

// A part of a batch: a chunk of its rows, and a range of its channels.
struct SplitPart {
    int64_t chunk, row, last_row, channel, last_channel;
};

// A source and a result of the same shape, by channels. Every feature is a channel.
class Channels {
public:
    static constexpr int64_t block = 16;

    Channels(const ImageView& src, const ImageView& dst)
        : src_(src),
          dst_(dst),
          count_(src.c),
          height_(src.h),
          width_(src.w),
          contiguous_(src.sc == 1 && dst.sc == 1) {}

    int64_t count() const { return count_; }
    int64_t height() const { return height_; }  // rows of one image
    int64_t width() const { return width_; }
    int64_t area() const { return height_ * width_; }

    // Calls body(src_at, dst_at, channel) for the elements of the channels [first, last) in the
    // rows [first_row, last_row) of the batch; those of one channel come in order.
    template <class Body>
    void visit(int64_t first_row, int64_t last_row, int64_t first, int64_t last,
               Body&& body) const {
        for (int64_t row = first_row; row < last_row; ++row) {
            const int64_t n = row / height_, h = row % height_;
            const int64_t src = n * src_.sn + h * src_.sh, dst = n * dst_.sn + h * dst_.sh;
            if (contiguous_ && last - first == block) {
                // A fixed number of channels side by side: the compiler makes vectors of it.
                for (int64_t w = 0; w < width_; ++w)
                    for (int64_t c = 0; c < block; ++c)
                        body(src + w * src_.sw + first + c, dst + w * dst_.sw + first + c,
                             first + c);
            } else if (contiguous_) {
                for (int64_t w = 0; w < width_; ++w)
                    for (int64_t c = first; c < last; ++c)
                        body(src + w * src_.sw + c, dst + w * dst_.sw + c, c);
            } else {
                for (int64_t c = first; c < last; ++c)
                    for (int64_t w = 0; w < width_; ++w)
                        body(src + c * src_.sc + w * src_.sw, dst + c * dst_.sc + w * dst_.sw, c);
            }
        }
    }

    // For the channels of a range, first[c] and second[c] become the sums over the rows of what
    // read(src_at, dst_at, c, a, b) sets a and b to.
    template <class Read>
    void sum(int64_t first_row, int64_t last_row, int64_t first_channel, int64_t last_channel,
             double* first, double* second, Read&& read) const {
        if (!contiguous_) {
            for (int64_t c = first_channel; c < last_channel; ++c) {
                double a = 0, b = 0;
                visit(first_row, last_row, c, c + 1, [&](int64_t src, int64_t dst, int64_t) {
                    double x, y;
                    read(src, dst, c, x, y);
                    a += x;
                    b += y;
                });
                first[c] = a;
                second[c] = b;
            }
            return;
        }
        for (int64_t begin = first_channel; begin < last_channel; begin += block) {
            const int64_t end = std::min(begin + block, last_channel);
            double a[block] = {}, b[block] = {};
            visit(first_row, last_row, begin, end, [&](int64_t src, int64_t dst, int64_t c) {
                double x, y;
                read(src, dst, c, x, y);
                a[c - begin] += x;
                b[c - begin] += y;
            });
            for (int64_t c = begin; c < end; ++c) {
                first[c] = a[c - begin];
                second[c] = b[c - begin];
            }
        }
    }

private:
    ImageView src_, dst_;
    int64_t count_, height_, width_;
    bool contiguous_;
};

// Forward: dst = (src - mean) * factor + shift, one of each a channel, and perhaps a ReLU.
struct ChannelScale {
    const float *mean, *factor, *shift;
    bool relu;
};

inline void apply(const Channels& channels, int64_t first_row, int64_t last_row,
                  int64_t first_channel, int64_t last_channel, const ChannelScale& op,
                  const float* src, float* dst) {
    for (int64_t begin = first_channel; begin < last_channel; begin += Channels::block) {
        const int64_t end = std::min(begin + Channels::block, last_channel);
        float mean[Channels::block], factor[Channels::block], shift[Channels::block];
        std::copy(op.mean + begin, op.mean + end, mean);
        std::copy(op.factor + begin, op.factor + end, factor);
        std::copy(op.shift + begin, op.shift + end, shift);
        const bool relu = op.relu;
        channels.visit(first_row, last_row, begin, end, [&](int64_t from, int64_t to, int64_t c) {
            const float y = (src[from] - mean[c - begin]) * factor[c - begin] + shift[c - begin];
            dst[to] = relu && y < 0.0f ? 0.0f : y;
        });
    }
}

// Backward: diff_src = factor * g + slope * (src - mean) + shift, where g = diff_dst, or 0 where a
// ReLU behind the forward pass stopped it.
struct ChannelGradient {
    ChannelScale forward;
    const float *slope, *shift;
    const float *src, *diff_dst;
    float* diff_src;
};

// The gradient g that a ReLU lets pass, if there is one. Its result is computed again, with the
// same bits, so that the forward pass need not keep it. A mask and no branch, because signs are
// random.
template <bool relu>
float passed(const ChannelScale& op, float x, int64_t c, float g) {
    if constexpr (relu) {
        const float y = (x - op.mean[c]) * op.factor[c] + op.shift[c];
        uint32_t bits;
        std::memcpy(&bits, &g, sizeof bits);
        bits &= y <= 0.0f ? 0u : ~0u;
        std::memcpy(&g, &bits, sizeof bits);
    }
    return g;
}

template <bool relu>
void apply(const Channels& channels, int64_t first_row, int64_t last_row, int64_t first_channel,
           int64_t last_channel, const ChannelGradient& op) {
    for (int64_t begin = first_channel; begin < last_channel; begin += Channels::block) {
        const int64_t end = std::min(begin + Channels::block, last_channel);
        float mean[Channels::block], factor[Channels::block], bias[Channels::block];
        float slope[Channels::block], shift[Channels::block];
        std::copy(op.forward.mean + begin, op.forward.mean + end, mean);
        std::copy(op.forward.factor + begin, op.forward.factor + end, factor);
        if (relu) std::copy(op.forward.shift + begin, op.forward.shift + end, bias);
        std::copy(op.slope + begin, op.slope + end, slope);
        std::copy(op.shift + begin, op.shift + end, shift);
        const ChannelScale forward = {mean, factor, bias, relu};
        const ChannelGradient o = op;
        channels.visit(first_row, last_row, begin, end, [&](int64_t src, int64_t dst, int64_t c) {
            const int64_t i = c - begin;
            const float x = o.src[src];
            o.diff_src[src] = factor[i] * passed<relu>(forward, x, i, o.diff_dst[dst]) +
                              slope[i] * (x - mean[i]) + shift[i];
        });
    }
}

// How a batch is shared out: chunks of rows, and ranges of channels. It follows from the size of
// the problem only.
struct Split {
    static constexpr int64_t range = 16 * Channels::block;

    int64_t rows, rows_per_chunk, chunks, channels, ranges;

    Split(const Channels& view, int64_t images)
        : rows(images * view.height()),
          rows_per_chunk(std::max(divide_up(rows, most), fewest_rows(view))),
          chunks(divide_up(rows, rows_per_chunk)),
          channels(view.count()),
          ranges(divide_up(channels, range)) {}

    // No smaller batch has more.
    static int64_t most_chunks(const Channels& view, int64_t images) {
        return std::min(most, divide_up(images * view.height(), fewest_rows(view)));
    }

    // Calls body(part) for each part.
    template <class Body>
    void run(Device& device, Body&& body) const {
        device.pool.parallel_for(static_cast<int>(chunks * ranges), [&](int task, int) {
            const int64_t row = task / ranges * rows_per_chunk, channel = task % ranges * range;
            body(SplitPart{task / ranges, row, std::min(row + rows_per_chunk, rows), channel,
                           std::min(channel + range, channels)});
        });
    }

private:
    static constexpr int64_t most = 64;  // chunks: more than the cores of any one machine need

    // A part is worth its start, and its sums take little memory beside it.
    static int64_t fewest_rows(const Channels& view) {
        const int64_t pixels = std::max<int64_t>(64, 4096 / std::min(view.count(), range));
        return divide_up(pixels, view.width());
    }
};

}  // namespace mn::cpu::reference
