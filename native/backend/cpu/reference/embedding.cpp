// Embedding: a row of the weights for each whole number of the source. A task is one image
// (forward) or a block of the rows' elements (weights): the rows of a batch are added in the order
// of images and positions.

#include <algorithm>
#include <string>

#include "backend/cpu/reference/common.h"
#include "graph/error.h"

namespace mn::cpu::reference {
namespace {

class Embedding : public Kernel {
public:
    Embedding(const Device&, const ImageNode& node, int direction)
        : node_(node),
          name_(node.name != nullptr ? node.name : ""),
          length_(feature_count(node.src[0])),
          direction_(direction) {}

    void run(Device& device, const mnb_run& run) override {
        if (direction_ != MNB_BACKWARD) {
            check(run);
            device.pool.parallel_for(run.count, [&](int n, int) { forward(run, n); });
            return;
        }
        // A change of an index that is too small to reach another row changes nothing.
        if (run.diff_src[0] != nullptr)
            for (int64_t n = 0; n < run.count; ++n)
                for (int64_t l = 0; l < length_; ++l)
                    run.diff_src[0][feature_offset(node_.src[0], n, l)] = 0.0f;
        if (run.diff_param[0] == nullptr) return;
        constexpr int64_t block = 16;
        const int64_t features = node_.dst.c;
        if (!run.accumulate)
            clear(device, run.diff_param[0], node_.desc.embedding.count * features);
        device.pool.parallel_for(static_cast<int>(divide_up(features, block)), [&](int task, int) {
            backward(run, task * block, std::min((task + 1) * block, features));
        });
    }

private:
    float index(const mnb_run& run, int64_t n, int64_t l) const {
        return run.src[0][feature_offset(node_.src[0], n, l)];
    }

    void check(const mnb_run& run) const {
        const float count = static_cast<float>(node_.desc.embedding.count);
        for (int64_t n = 0; n < run.count; ++n)
            for (int64_t l = 0; l < length_; ++l) {
                const float i = index(run, n, l);
                if (!(i >= 0 && i < count) || i != std::floor(i))
                    fail(MN_INVALID_ARGUMENT, "[embedding \"", name_, "\"] index ", i,
                         " at position ", l, " of image ", n,
                         " of the batch is not a whole number from 0 to below ",
                         node_.desc.embedding.count);
            }
    }

    // Most rows of a large table get no gradient: clearing them is most of the work.
    static void clear(Device& device, float* gradient, int64_t count) {
        constexpr int64_t part = 16 * 1024;
        device.pool.parallel_for(static_cast<int>(divide_up(count, part)), [&](int task, int) {
            const int64_t at = task * part;
            std::fill_n(gradient + at, std::min(part, count - at), 0.0f);
        });
    }

    void forward(const mnb_run& run, int64_t n) const {
        const int64_t features = node_.dst.c;
        for (int64_t l = 0; l < length_; ++l) {
            const float* row = run.param[0] + static_cast<int64_t>(index(run, n, l)) * features;
            for (int64_t d = 0; d < features; ++d) run.dst[offset(node_.dst, n, d, 0, l)] = row[d];
        }
    }

    void backward(const mnb_run& run, int64_t first, int64_t last) const {
        const int64_t features = node_.dst.c;
        float* gradient = run.diff_param[0];
        for (int64_t n = 0; n < run.count; ++n)
            for (int64_t l = 0; l < length_; ++l) {
                float* row = gradient + static_cast<int64_t>(index(run, n, l)) * features;
                for (int64_t d = first; d < last; ++d)
                    row[d] += run.diff_dst[offset(node_.dst, n, d, 0, l)];
            }
    }

    ImageNode node_;
    std::string name_;
    int64_t length_;
    int direction_;
};

}  // namespace

bool embedding_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    take_layouts(node, support);
    for (int i = 0; i < node.param_count; ++i) support.param_layout[i] = MNB_PARAM_PLAIN;
    support.backward_needs = MNB_NEEDS_SRC;
    return true;
}

std::unique_ptr<Kernel> embedding_create(const Device& device, const ImageNode& node,
                                         int direction) {
    return std::make_unique<Embedding>(device, node, direction);
}

}  // namespace mn::cpu::reference
