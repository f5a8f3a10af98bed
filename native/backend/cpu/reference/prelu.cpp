// A rectifier whose slope below 0 is a parameter, of all values or of each channel.

#include <algorithm>

#include "backend/cpu/reference/common.h"

namespace mn::cpu::reference {
namespace {

// Elements of one task.
constexpr int64_t kChunk = 16 * 1024;

class Prelu : public Kernel {
public:
    Prelu(const ImageNode& node, int direction)
        : src_(node.src[0]),
          dst_(node.dst),
          features_(feature_count(src_)),
          slopes_(node.param[0].o),
          area_(features_ / slopes_),
          backward_(direction == MNB_BACKWARD) {}

    void run(Device& device, const mnb_run& run) override {
        if (!backward_) {
            for_each(
                device, run.count,
                [&](int64_t src, int64_t dst, float slope) {
                    const float x = run.src[0][src];
                    run.dst[dst] = x > 0.0f ? x : slope * x;
                },
                run.param[0]);
            return;
        }
        if (run.diff_src[0])
            for_each(
                device, run.count,
                [&](int64_t src, int64_t dst, float slope) {
                    const float g = run.diff_dst[dst];
                    run.diff_src[0][src] = run.src[0][src] > 0.0f ? g : slope * g;
                },
                run.param[0]);
        if (run.diff_param[0])
            device.pool.parallel_for(static_cast<int>(slopes_), [&](int s, int) {
                double sum = 0;
                for (int64_t n = 0; n < run.count; ++n)
                    for (int64_t f = s * area_; f < (s + 1) * area_; ++f) {
                        const float x = run.src[0][feature_offset(src_, n, f)];
                        const float g = run.diff_dst[feature_offset(dst_, n, f)];
                        if (!(x > 0.0f)) sum += static_cast<double>(g) * static_cast<double>(x);
                    }
                write_gradient(run.diff_param[0][s], sum, run.accumulate[0]);
            });
    }

private:
    // Calls body(place in the source, place in the result, slope) for every value.
    template <class Body>
    void for_each(Device& device, int64_t images, Body&& body, const float* slopes) const {
        const int64_t count = images * features_;
        device.pool.parallel_for(static_cast<int>(divide_up(count, kChunk)), [&](int task, int) {
            const int64_t first = task * kChunk, last = std::min(first + kChunk, count);
            for (int64_t i = first; i < last; ++i) {
                const int64_t n = i / features_, f = i % features_;
                body(feature_offset(src_, n, f), feature_offset(dst_, n, f), slopes[f / area_]);
            }
        });
    }

    ImageView src_, dst_;
    int64_t features_, slopes_;
    int64_t area_;  // features with one slope
    bool backward_;
};

}  // namespace

bool prelu_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    take_layouts(node, support);
    support.backward_needs = MNB_NEEDS_SRC;
    return true;
}

std::unique_ptr<Kernel> prelu_create(const Device&, const ImageNode& node, int direction) {
    return std::make_unique<Prelu>(node, direction);
}

}  // namespace mn::cpu::reference
