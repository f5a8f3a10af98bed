// Steps that the convolution kernels share: borders, pooling behind a convolution, and the gradient
// of the result before pooling and activation.

#pragma once

#include "backend/cpu/kernels/table.h"
#include "backend/cpu/kernels/vec.h"

namespace mn::cpu::MN_ISA {

// Part of an NHWC image: `channels` channels from where `image` points on.
struct ImageView {
    const float* image;
    int64_t h, w;
    int64_t pixel;  // floats from one pixel to the next
    int64_t channels;
};

// Rows [y0, y1) and columns [x0, x1), with zeros where there is no image and in channels from the
// view's up to `padded`. `seen`: as look_at has it, of what is copied; only for views of whole
// pixels that are not padded.
void copy_with_border(const ImageView& view, int64_t padded, int64_t y0, int64_t y1, int64_t x0,
                      int64_t x1, float* out, Vec* seen = nullptr);

// Returns `seen`, with a NaN in it if one of the values is not finite.
Vec look_at(const float* values, int64_t count, Vec seen);

// The source strip that rows [y0, y1) of the convolution read: where it stands, or copied with its
// border, pixels `pixel` floats apart. Its rows are strip_width pixels long.
const float* source_strip(const ConvShape& s, const float* image, int64_t y0, int64_t y1,
                          bool in_place, int64_t pixel, float* scratch);
int64_t strip_width(const ConvShape& s, bool in_place);

// Max pooling of `out_rows` rows of results from `row` on. `in` holds rows of the image from
// `in_row` on, pixels `in_pixel` floats apart, of which `channels` are read and written; results
// are `out_pixel` apart. `arg` may be null. `in` must be readable for whole vectors.
void max_pool_rows(const PoolShape& pool, const float* in, int64_t in_row, int64_t in_pixel,
                   int64_t row, int64_t out_rows, int64_t channels, bool relu, float* out,
                   uint8_t* arg, int64_t out_pixel);

// Gradient of the convolution's result for rows [y0, y1) and columns [x0, x1) of image n, zeros
// outside of it, channels [c0, c0 + channels), padded with zeros to `padded`.
void gradient_before_pool(const ConvBackward& op, int64_t n, int64_t y0, int64_t y1, int64_t x0,
                          int64_t x1, int64_t c0, int64_t channels, int64_t padded, float* out);

}  // namespace mn::cpu::MN_ISA
