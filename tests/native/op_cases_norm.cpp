// Cases of activations, softmax, normalisation and dropout.

#include <string>

#include "double_forward.h"
#include "op_cases.h"

namespace mn::test {
namespace {

struct Size {
    int count;
    int64_t c, h, w;
    bool flat;
};

std::string text_of(const Size& s) {
    return std::to_string(s.count) + "x" + std::to_string(s.c) + "x" + std::to_string(s.h) + "x" +
           std::to_string(s.w) + (s.flat ? "_flat" : "");
}

// An op of one source whose result has the same shape, without parameters so far.
OpCase make_case(const std::string& name, int op, const Size& s) {
    OpCase result;
    ImageNode& node = result.node;
    node.op = op;
    node.source_count = 1;
    node.src[0] = node.dst = make_tensor(s.c, s.h, s.w, s.flat, MNB_NCHW);
    result.count = s.count;
    result.name = name + "_" + text_of(s);
    return result;
}

void add_param(OpCase& c, int role, int64_t o, int64_t i = 1, int64_t w = 1) {
    c.node.param[c.node.param_count++] = make_param(role, MNB_PARAM_PLAIN, o, i, 1, w);
}

Doubles prelu(const OpCase& c, const DoubleOperands& o) {
    const size_t slopes = o.param[0].size(), each = o.src[0].size() / static_cast<size_t>(c.count);
    Doubles result;
    for (size_t i = 0; i < o.src[0].size(); ++i) {
        const double x = o.src[0][i];
        result.push_back(x > 0 ? x : o.param[0][i % each * slopes / each] * x);
    }
    return result;
}

void add_prelus(std::vector<OpCase>& cases, Random& random) {
    for (bool shared : {true, false})
        for (const Size& s :
             {Size{1, 1, 1, 1, false}, Size{3, 17, 4, 5, false}, Size{5, 33, 1, 1, true}}) {
            OpCase c = make_case(shared ? "prelu" : "prelu_channels", MN_OP_PRELU, s);
            const int64_t slopes = shared ? 1 : s.flat ? s.c * s.h * s.w : s.c;
            c.node.desc.prelu = {sizeof(mn_prelu_desc), static_cast<int32_t>(slopes), 0.25f};
            add_param(c, MNB_WEIGHT, slopes);
            finish(c, random);
            c.oracle = prelu;
            cases.push_back(std::move(c));
        }
}

}  // namespace

OpCase batch_norm_case(Random& random, int count, int64_t c, int64_t h, int64_t w, bool flat,
                       int affine, int activation) {
    const Size size = {count, c, h, w, flat};
    OpCase result = make_case("batch_norm", MN_OP_BATCH_NORM, size);
    result.node.desc.batch_norm = {sizeof(mn_batch_norm_desc), 1e-5f, 0.1f, affine};
    result.node.activation = activation;
    if (affine) {
        add_param(result, MNB_WEIGHT, c);
        add_param(result, MNB_BIAS, c);
    }
    for (int64_t length : {c, c, int64_t{1}}) add_param(result, MNB_STATISTIC, length);
    result.name += std::string(affine ? "" : "_plain") + (activation ? "_relu" : "");
    finish(result, random);
    // A variance is not negative.
    for (float& variance : result.param[affine ? 3 : 1]) variance = variance * variance + 0.1f;
    result.param.back() = {41};
    return result;
}

OpCase dropout_case(Random& random, int count, int64_t c, int64_t h, int64_t w, bool flat,
                    float probability, int unit) {
    OpCase result = make_case("dropout", MN_OP_DROPOUT, {count, c, h, w, flat});
    result.node.desc.dropout = {sizeof(mn_dropout_desc), probability, unit};
    result.node.layer = 5;
    result.name += "_unit" + std::to_string(unit);
    finish(result, random);
    return result;
}

std::vector<OpCase> norm_cases() {
    Random random(test_seed() + 4);
    std::vector<OpCase> cases;
    for (const ActivationTest& test : activation_tests()) {
        cases.push_back(activation_case(random, 2, 5, 3, 4, false, test.kind));
        cases.push_back(activation_case(random, 3, 28, 1, 1, true, test.kind));
    }
    for (const Size& s :
         {Size{1, 1, 1, 1, true}, Size{33, 10, 1, 1, true}, Size{7, 117, 1, 1, true}}) {
        cases.push_back(make_case("log_softmax", MN_OP_LOG_SOFTMAX, s));
        finish(cases.back(), random);
    }
    add_prelus(cases, random);

    for (int affine : {1, 0}) {
        // With frozen statistics, too.
        const auto add = [&](const Size& s, int activation = 0) {
            cases.push_back(
                batch_norm_case(random, s.count, s.c, s.h, s.w, s.flat, affine, activation));
            cases.push_back(cases.back());
            cases.back().node.op = MNB_OP_FROZEN_BATCH_NORM;
            cases.back().name.insert(0, "frozen_");
        };
        // Not of two values, of whose gradient epsilon alone leaves something.
        add({3, 1, 1, 1, false});
        add({1, 3, 2, 2, false});
        add({3, 17, 5, 4, false}, MN_ACTIVATION_RELU);
        add({4, 16, 7, 7, false});
        add({3, 80, 3, 5, false});
        add({3, 112, 5, 3, false}, MN_ACTIVATION_RELU);
        add({5, 33, 1, 1, true}, MN_ACTIVATION_RELU);
        add({4, 12, 1, 1, true});
        add({6, 40, 23, 19, false}, MN_ACTIVATION_RELU);  // several chunks
        cases.back().small = cases.end()[-2].small = false;
        add({4, 80, 60, 56, false}, MN_ACTIVATION_RELU);  // written past the caches
        cases.back().small = cases.end()[-2].small = false;
    }

    for (int affine : {1, 0}) {
        for (const Size& s : {Size{3, 6, 4, 5, false}, Size{1, 1, 3, 3, false},
                              Size{40, 35, 2, 3, false}, Size{4, 20, 1, 1, false}})
            for (int channels_only : {0, 1}) {
                OpCase c =
                    make_case(channels_only ? "channels_norm" : "layer_norm", MN_OP_LAYER_NORM, s);
                c.node.desc.layer_norm = {sizeof(mn_layer_norm_desc), 1e-5f, affine, channels_only};
                // With the channels of one value there is nothing to normalise, only the epsilon.
                if (s.c == 1) c.node.desc.layer_norm.epsilon = 0.5f;
                for (int role : {MNB_WEIGHT, MNB_BIAS})
                    if (affine && channels_only)
                        add_param(c, role, s.c);
                    else if (affine)
                        add_param(c, role, s.c, s.h, s.w);
                finish(c, random);
                cases.push_back(std::move(c));
            }
        for (const Size& s : {Size{3, 21, 1, 1, true}, Size{2, 30, 1, 1, true}}) {
            OpCase c = make_case("layer_norm", MN_OP_LAYER_NORM, s);
            c.node.desc.layer_norm = {sizeof(mn_layer_norm_desc), 1e-5f, affine, 0};
            for (int role : {MNB_WEIGHT, MNB_BIAS})
                if (affine) add_param(c, role, s.c);
            finish(c, random);
            cases.push_back(std::move(c));
        }
        for (int groups : {1, 3, 18})
            for (const Size& s : {Size{2, 18, 3, 5, false}, Size{40, 36, 4, 2, false}}) {
                OpCase c = make_case("group_norm" + std::to_string(groups), MN_OP_GROUP_NORM, s);
                c.node.desc.group_norm = {sizeof(mn_group_norm_desc), groups, 1e-5f, affine};
                for (int role : {MNB_WEIGHT, MNB_BIAS})
                    if (affine) add_param(c, role, s.c);
                finish(c, random);
                cases.push_back(std::move(c));
            }
    }

    for (int size : {1, 2, 5, 9})
        for (const Size& s : {Size{2, 7, 3, 2, false}, Size{1, 1, 2, 2, false}}) {
            OpCase c = make_case("local_response_norm" + std::to_string(size),
                                 MN_OP_LOCAL_RESPONSE_NORM, s);
            c.node.desc.local_response_norm = {sizeof(mn_local_response_norm_desc), size, 0.8f,
                                               0.75f, 1.5f};
            finish(c, random);
            cases.push_back(std::move(c));
        }

    for (int unit : {MN_DROPOUT_ELEMENT, MN_DROPOUT_CHANNEL, MN_DROPOUT_IMAGE}) {
        cases.push_back(dropout_case(random, 3, 19, 3, 5, false, 0.4f, unit));
        cases.push_back(dropout_case(random, 2, 35, 17, 19, false, 0.3f, unit));
        cases.push_back(dropout_case(random, 6, 130, 1, 1, true, 0.25f, unit));
        cases.push_back(dropout_case(random, 50, 121, 1, 1, true, 0.6f, unit));
        cases.push_back(dropout_case(random, 4, 12, 1, 1, true, 0.5f, unit));
    }
    cases.push_back(activation_case(random, 3, 17, 25, 19, false, MN_ACTIVATION_SILU));
    cases.back().small = false;  // several tasks
    return cases;
}

}  // namespace mn::test
