// Embedding: a row of the weights for each whole number of the source. A task is one image
// (forward) or a block of some rows' elements (weights). The batch's positions are sorted by their
// row first, so that a row's sum is taken in one piece, in double and in the order of images and
// positions.

#include <algorithm>
#include <string>
#include <utility>

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
        sort(run);
        const int64_t rows = node_.desc.embedding.count, features = node_.dst.c;
        const int64_t part = divide_up(rows, 32), parts = divide_up(rows, part);
        const int64_t tasks = parts * divide_up(features, block);
        device.pool.parallel_for(static_cast<int>(tasks), [&](int task, int) {
            const int64_t row = task % parts * part, feature = task / parts * block;
            backward(run, row, std::min(row + part, rows), feature,
                     std::min(feature + block, features));
        });
    }

    static int64_t workspace_bytes(const ImageNode& node) {
        const int64_t positions = node.max_batch * feature_count(node.src[0]);
        return (node.desc.embedding.count + positions) * int64_t{sizeof(int64_t)};
    }

private:
    static constexpr int64_t block = 16;

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

    void forward(const mnb_run& run, int64_t n) const {
        const int64_t features = node_.dst.c;
        for (int64_t l = 0; l < length_; ++l) {
            const float* row = run.param[0] + static_cast<int64_t>(index(run, n, l)) * features;
            for (int64_t d = 0; d < features; ++d) run.dst[offset(node_.dst, n, d, 0, l)] = row[d];
        }
    }

    // Where each row's positions end among those sorted, then these: where their gradients begin.
    int64_t* ends(const mnb_run& run) const { return static_cast<int64_t*>(run.workspace); }
    int64_t* sorted(const mnb_run& run) const { return ends(run) + node_.desc.embedding.count; }

    void sort(const mnb_run& run) const {
        int64_t* ends = this->ends(run);
        const int64_t rows = node_.desc.embedding.count;
        std::fill_n(ends, rows, int64_t{0});
        const auto each = [&](auto&& body) {
            for (int64_t n = 0; n < run.count; ++n)
                for (int64_t l = 0; l < length_; ++l)
                    body(static_cast<int64_t>(index(run, n, l)), n, l);
        };
        // The positions of each row, then of all rows before it, which is where it begins.
        each([&](int64_t row, int64_t, int64_t) { ++ends[row]; });
        int64_t before = 0;
        for (int64_t row = 0; row < rows; ++row) before += std::exchange(ends[row], before);
        int64_t* to = sorted(run);
        each([&](int64_t row, int64_t n, int64_t l) {
            to[ends[row]++] = offset(node_.dst, n, 0, 0, l);
        });
    }

    void backward(const mnb_run& run, int64_t first_row, int64_t last_row, int64_t first,
                  int64_t last) const {
        const int64_t *ends = this->ends(run), *from = sorted(run);
        for (int64_t row = first_row; row < last_row; ++row) {
            float* gradient = run.diff_param[0] + row * node_.dst.c;
            const int64_t begin = row > 0 ? ends[row - 1] : 0;
            // Most rows of a large table have no position.
            if (begin == ends[row]) {
                if (!run.accumulate[0]) std::fill(gradient + first, gradient + last, 0.0f);
                continue;
            }
            double sums[block] = {};
            for (int64_t i = begin; i < ends[row]; ++i) {
                const float* at = run.diff_dst + from[i];
                for (int64_t d = first; d < last; ++d)
                    sums[d - first] += static_cast<double>(at[d * node_.dst.sc]);
            }
            for (int64_t d = first; d < last; ++d)
                write_gradient(gradient[d], sums[d - first], run.accumulate[0]);
        }
    }

    ImageNode node_;
    std::string name_;
    int64_t length_;
    int direction_;
};

}  // namespace

bool embedding_query(const Device&, const ImageNode& node, int direction, mnb_support& support) {
    take_layouts(node, support);
    if (direction == MNB_BACKWARD) support.workspace_bytes = Embedding::workspace_bytes(node);
    for (int i = 0; i < node.param_count; ++i) support.param_layout[i] = MNB_PARAM_PLAIN;
    support.backward_needs = MNB_NEEDS_SRC;
    return true;
}

std::unique_ptr<Kernel> embedding_create(const Device& device, const ImageNode& node,
                                         int direction) {
    return std::make_unique<Embedding>(device, node, direction);
}

}  // namespace mn::cpu::reference
