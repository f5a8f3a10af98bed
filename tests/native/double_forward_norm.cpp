// Activations, softmax, normalisation and dropout in double precision.

#include <algorithm>
#include <cmath>

#include "double_forward.h"
#include "graph/philox.h"
#include "op_cases.h"

namespace mn::test {
namespace {

// Mean and variance of the elements, by two passes.
struct Moments {
    double mean = 0, variance = 0;

    Moments() = default;
    explicit Moments(const Doubles& values) {
        const double n = static_cast<double>(values.size());
        for (double v : values) mean += v / n;
        for (double v : values) variance += (v - mean) * (v - mean) / n;
    }
    double of(double x, float epsilon) const {
        return (x - mean) / std::sqrt(variance + static_cast<double>(epsilon));
    }
};

// The elements of a batch as n, c, h, w; features are channels.
struct Batch {
    const OpCase& op_case;
    const DoubleOperands& operands;
    int64_t n, c, h, w;

    Batch(const OpCase& op_case_, const DoubleOperands& operands_)
        : op_case(op_case_), operands(operands_), n(op_case_.count) {
        const ImageView& t = op_case.node.src[0];
        c = t.c, h = t.h, w = t.w;
    }

    double at(int64_t image, int64_t channel, int64_t pixel) const {
        return operands.src[0][static_cast<size_t>((image * c + channel) * h * w + pixel)];
    }
    double param(int p, int64_t index) const {
        return operands.param[static_cast<size_t>(p)][static_cast<size_t>(index)];
    }

    // set(n, c, pixel) names what is normalised together, index(c, pixel) the parameters' element.
    template <class Set, class Index>
    void normalise(float epsilon, bool affine, Set&& set, Index&& index, Doubles& result) const {
        std::vector<Doubles> members(static_cast<size_t>(n * c * h * w));
        for_each([&](int64_t i, int64_t channel, int64_t pixel) {
            members[static_cast<size_t>(set(i, channel, pixel))].push_back(at(i, channel, pixel));
        });
        std::vector<Moments> moments;
        for (const Doubles& values : members)
            moments.push_back(values.empty() ? Moments() : Moments(values));
        for_each([&](int64_t i, int64_t channel, int64_t pixel) {
            const Moments& m = moments[static_cast<size_t>(set(i, channel, pixel))];
            double y = m.of(at(i, channel, pixel), epsilon);
            if (affine) y = y * param(0, index(channel, pixel)) + param(1, index(channel, pixel));
            result.push_back(op_case.node.activation ? std::max(y, 0.0) : y);
        });
    }

    template <class Body>
    void for_each(Body&& body) const {
        for (int64_t i = 0; i < n; ++i)
            for (int64_t channel = 0; channel < c; ++channel)
                for (int64_t pixel = 0; pixel < h * w; ++pixel) body(i, channel, pixel);
    }
};

void batch_norm(const Batch& b, bool training, Doubles& result) {
    const mn_batch_norm_desc& d = b.op_case.node.desc.batch_norm;
    const auto channel_of = [](int64_t channel, int64_t) { return channel; };
    if (training) {
        b.normalise(
            d.epsilon, d.affine != 0, [](int64_t, int64_t c, int64_t) { return c; }, channel_of,
            result);
        return;
    }
    const int statistics = d.affine ? 2 : 0;
    b.for_each([&](int64_t i, int64_t channel, int64_t pixel) {
        Moments m;
        m.mean = b.param(statistics, channel);
        m.variance = b.param(statistics + 1, channel);
        double y = m.of(b.at(i, channel, pixel), d.epsilon);
        if (d.affine) y = y * b.param(0, channel) + b.param(1, channel);
        result.push_back(b.op_case.node.activation ? std::max(y, 0.0) : y);
    });
}

void layer_norm(const Batch& b, Doubles& result) {
    const mn_layer_norm_desc& d = b.op_case.node.desc.layer_norm;
    b.normalise(
        d.epsilon, d.affine != 0,
        [&](int64_t n, int64_t, int64_t pixel) {
            return d.channels_only ? n * b.h * b.w + pixel : n;
        },
        [&](int64_t c, int64_t pixel) { return d.channels_only ? c : c * b.h * b.w + pixel; },
        result);
}

void group_norm(const Batch& b, Doubles& result) {
    const mn_group_norm_desc& d = b.op_case.node.desc.group_norm;
    b.normalise(
        d.epsilon, d.affine != 0,
        [&](int64_t n, int64_t c, int64_t) { return n * d.groups + c / (b.c / d.groups); },
        [](int64_t c, int64_t) { return c; }, result);
}

void local_response_norm(const Batch& b, Doubles& result) {
    const mn_local_response_norm_desc& d = b.op_case.node.desc.local_response_norm;
    b.for_each([&](int64_t n, int64_t c, int64_t pixel) {
        double sum = 0;
        for (int64_t i = c - d.size / 2; i < c - d.size / 2 + d.size; ++i)
            if (i >= 0 && i < b.c) sum += b.at(n, i, pixel) * b.at(n, i, pixel);
        const double base = static_cast<double>(d.k) + static_cast<double>(d.alpha) * sum / d.size;
        result.push_back(b.at(n, c, pixel) / std::pow(base, static_cast<double>(d.beta)));
    });
}

void dropout(const Batch& b, bool training, Doubles& result) {
    const mn_dropout_desc& d = b.op_case.node.desc.dropout;
    const Philox philox = dropout_stream(b.op_case.seed, b.op_case.step);
    b.for_each([&](int64_t n, int64_t c, int64_t pixel) {
        int64_t unit = (n * b.c + c) * b.h * b.w + pixel;
        if (d.unit == MN_DROPOUT_CHANNEL) unit = n * b.c + c;
        if (d.unit == MN_DROPOUT_IMAGE) unit = n;
        const bool drops = philox.uniform(static_cast<uint64_t>(unit), b.op_case.node.layer,
                                          RandomPurpose::kDropout) < d.probability;
        const double x = b.at(n, c, pixel);
        result.push_back(!training ? x : drops ? 0 : x / (1 - static_cast<double>(d.probability)));
    });
}

void log_softmax(const Batch& b, Doubles& result) {
    for (int64_t n = 0; n < b.n; ++n) {
        double largest = b.at(n, 0, 0), sum = 0;
        for (int64_t c = 0; c < b.c; ++c) largest = std::max(largest, b.at(n, c, 0));
        for (int64_t c = 0; c < b.c; ++c) sum += std::exp(b.at(n, c, 0) - largest);
        for (int64_t c = 0; c < b.c; ++c) result.push_back(b.at(n, c, 0) - largest - std::log(sum));
    }
}

}  // namespace

bool norm_double_forward(const OpCase& op_case, const DoubleOperands& operands, bool training,
                         Doubles& result) {
    const Batch batch(op_case, operands);
    switch (op_case.node.op) {
        case MN_OP_ACTIVATION: {
            const mn_activation_desc& d = op_case.node.desc.activation;
            for (double x : operands.src[0])
                result.push_back(activation_test(d.kind).forward(x, static_cast<double>(d.alpha),
                                                                 static_cast<double>(d.threshold)));
            return true;
        }
        case MN_OP_LOG_SOFTMAX:
            log_softmax(batch, result);
            return true;
        case MN_OP_BATCH_NORM:
        case MNB_OP_FROZEN_BATCH_NORM:
            batch_norm(batch, training && op_case.node.op == MN_OP_BATCH_NORM, result);
            return true;
        case MN_OP_LAYER_NORM:
            layer_norm(batch, result);
            return true;
        case MN_OP_GROUP_NORM:
            group_norm(batch, result);
            return true;
        case MN_OP_LOCAL_RESPONSE_NORM:
            local_response_norm(batch, result);
            return true;
        case MN_OP_DROPOUT:
            dropout(batch, training, result);
            return true;
        default:
            return false;
    }
}

}  // namespace mn::test
