// The cases of every op: corners picked by hand, and shapes drawn at random. The same list serves
// the comparison with the reference kernels, finite differences and timing.

#pragma once

#include <vector>

#include "kernel_harness.h"

namespace mn::test {

// MNISTNATIVE_TEST_SEED, or a fixed number; printed once.
uint64_t test_seed();

// Deterministic, the same on every platform.
class Random {
public:
    explicit Random(uint64_t seed) : state_(seed) {}
    uint64_t bits();
    int64_t integer(int64_t low, int64_t high);  // both included
    float uniform(float low, float high);
    Floats floats(int64_t count, float low = -1, float high = 1);
    template <class T>
    T pick(std::initializer_list<T> values) {
        return values.begin()[integer(0, static_cast<int64_t>(values.size()) - 1)];
    }

private:
    uint64_t state_;
};

mn_conv2d_desc conv_desc(int out_channels, int kernel, int stride = 1, int pad = 0);
mn_pool2d_desc pool_desc(int kernel, int stride, int pad = 0, int ceil_mode = 0,
                         int count_include_pad = 1);

// Size of one dimension after pooling, by PyTorch's rule; less than 1 if the pooling is not valid.
int64_t pooled(int64_t size, int kernel, int stride, int pad, int ceil_mode);

// Builders; values are drawn from `random`. `pool` may be null.
OpCase conv_case(Random& random, int count, int64_t c, int64_t h, int64_t w,
                 const mn_conv2d_desc& desc, int activation = 0,
                 const mn_pool2d_desc* pool = nullptr);
OpCase pool_case(Random& random, int op, int count, int64_t c, int64_t h, int64_t w,
                 const mn_pool2d_desc& desc);
OpCase linear_case(Random& random, int count, int64_t c, int64_t h, int64_t w, int out_features,
                   int bias = 1, int activation = 0);
// Activation, softmax, cross entropy, reorder, sum.
OpCase simple_case(Random& random, int op, int count, int64_t c, int64_t h, int64_t w, bool flat);

// Fills in what all cases have in common and draws the values. The batch is smaller than the
// largest that the kernel is prepared for.
void finish(OpCase& op_case, Random& random);

std::vector<OpCase> conv2d_cases();
std::vector<OpCase> pool_cases();
std::vector<OpCase> linear_cases();
std::vector<OpCase> simple_cases();
// op_cases_activation.cpp: what the tests need of a kind of activation.
struct ActivationTest {
    struct Corner {
        float x, y, gradient;
    };
    int kind;
    float alpha, threshold;
    double (*forward)(double x, double alpha, double threshold);
    std::vector<Corner> corners;
};
const std::vector<ActivationTest>& activation_tests();
const ActivationTest& activation_test(int kind);  // one that gives NaN if there is none
OpCase activation_case(Random& random, int count, int64_t c, int64_t h, int64_t w, bool flat,
                       int kind);
OpCase batch_norm_case(Random& random, int count, int64_t c, int64_t h, int64_t w, bool flat,
                       int affine = 1, int activation = 0);
OpCase dropout_case(Random& random, int count, int64_t c, int64_t h, int64_t w, bool flat,
                    float probability, int unit);
std::vector<OpCase> norm_cases();
// op_cases_structure.cpp: what moves, resizes and combines values; depthwise convolution.
std::vector<OpCase> structure_cases();
std::vector<OpCase> all_cases();

}  // namespace mn::test
