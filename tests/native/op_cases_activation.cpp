// The activations: for each kind the parameters of its cases, its formula in double precision, and
// the results and gradients that PyTorch gives at its corners.

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "op_cases.h"

namespace mn::test {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

double hard(double x) {
    return std::min(std::max(x + 3, 0.0), 6.0) / 6;
}

}  // namespace

const std::vector<ActivationTest>& activation_tests() {
    static const std::vector<ActivationTest> tests = {
        {MN_ACTIVATION_RELU,
         1,
         0,
         [](double x, double, double) { return std::max(x, 0.0); },
         {{-1, 0, 0}, {0, 0, 0}, {1, 1, 1}, {nan, nan, 1}}},
        {MN_ACTIVATION_RELU6,
         1,
         0,
         [](double x, double, double) { return std::min(std::max(x, 0.0), 6.0); },
         {{-1, 0, 0}, {0, 0, 0}, {6, 6, 0}, {7, 6, 0}, {nan, nan, 1}}},
        {MN_ACTIVATION_LEAKY_RELU,
         0.01f,
         0,
         [](double x, double alpha, double) { return x > 0 ? x : alpha * x; },
         {{-2, -0.02f, 0.01f}, {0, 0, 0.01f}, {2, 2, 1}, {nan, nan, 0.01f}}},
        {MN_ACTIVATION_ELU,
         0.7f,
         0,
         [](double x, double alpha, double) { return x > 0 ? x : alpha * (std::exp(x) - 1); },
         {{0, 0, 0.7f}, {2, 2, 1}, {nan, nan, nan}}},
        {MN_ACTIVATION_GELU,
         1,
         0,
         [](double x, double, double) { return x * std::erfc(-x / std::sqrt(2.0)) / 2; },
         {{0, 0, 0.5f}, {nan, nan, nan}}},
        {MN_ACTIVATION_GELU_TANH,
         1,
         0,
         [](double x, double, double) {
             return x / 2 *
                    (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
         },
         {{0, 0, 0.5f}, {nan, nan, nan}}},
        {MN_ACTIVATION_SILU,
         1,
         0,
         [](double x, double, double) { return x / (1 + std::exp(-x)); },
         {{0, 0, 0.5f}, {nan, nan, nan}}},
        {MN_ACTIVATION_SIGMOID,
         1,
         0,
         [](double x, double, double) { return 1 / (1 + std::exp(-x)); },
         {{0, 0.5f, 0.25f}, {-100, 0, 0}, {100, 1, 0}, {nan, nan, nan}}},
        {MN_ACTIVATION_TANH,
         1,
         0,
         [](double x, double, double) { return std::tanh(x); },
         {{0, 0, 1}, {100, 1, 0}, {nan, nan, nan}}},
        {MN_ACTIVATION_HARDSWISH,
         1,
         0,
         [](double x, double, double) { return x * hard(x); },
         {{-4, 0, 0}, {-3, 0, 0}, {0, 0, 0.5f}, {3, 3, 1}, {4, 4, 1}, {nan, nan, 1}}},
        {MN_ACTIVATION_HARDSIGMOID,
         1,
         0,
         [](double x, double, double) { return hard(x); },
         {{-4, 0, 0}, {-3, 0, 0}, {0, 0.5f, 1.0f / 6}, {3, 1, 0}, {4, 1, 0}, {nan, nan, 0}}},
        // The corner is where 1.5 x is the threshold of 4.
        {MN_ACTIVATION_SOFTPLUS,
         1.5f,
         4,
         [](double x, double alpha, double threshold) {
             return alpha * x > threshold ? x : std::log(1 + std::exp(alpha * x)) / alpha;
         },
         {{3, 3, 1}, {100, 100, 1}, {nan, nan, nan}}},
        {MN_ACTIVATION_MISH,
         1,
         0,
         [](double x, double, double) { return x * std::tanh(std::log1p(std::exp(x))); },
         {{0, 0, 0.6f}, {50, 50, 1}, {nan, nan, nan}}},
        {MN_ACTIVATION_HARDTANH,
         -2,
         1.5f,
         [](double x, double low, double high) { return std::min(std::max(x, low), high); },
         {{-3, -2, 0}, {-2, -2, 0}, {0, 0, 1}, {1.5f, 1.5f, 0}, {7, 1.5f, 0}, {nan, nan, 1}}},
        {MN_ACTIVATION_SOFTSIGN,
         1,
         0,
         [](double x, double, double) { return x / (1 + std::abs(x)); },
         {{0, 0, 1}, {-1, -0.5f, 0.25f}, {3, 0.75f, 0.0625f}, {nan, nan, nan}}},
        {MN_ACTIVATION_THRESHOLD,
         0.25f,
         -1,
         [](double x, double value, double limit) { return x > limit ? x : value; },
         {{-2, 0.25f, 0}, {-1, 0.25f, 0}, {0, 0, 1}, {2, 2, 1}, {nan, nan, 1}}},
    };
    return tests;
}

const ActivationTest& activation_test(int kind) {
    for (const ActivationTest& test : activation_tests())
        if (test.kind == kind) return test;
    static const ActivationTest none = {
        0, 1, 0, [](double, double, double) { return static_cast<double>(nan); }, {}};
    return none;
}

OpCase activation_case(Random& random, int count, int64_t c, int64_t h, int64_t w, bool flat,
                       int kind) {
    OpCase result = simple_case(random, MN_OP_ACTIVATION, count, c, h, w, flat);
    result.name.replace(0, std::string("relu").size(), "activation" + std::to_string(kind));
    const ActivationTest& test = activation_test(kind);
    result.node.desc.activation = {sizeof(mn_activation_desc), kind, test.alpha, test.threshold};
    // To both sides of every corner.
    for (float& x : result.src[0]) x *= 8;
    return result;
}

}  // namespace mn::test
