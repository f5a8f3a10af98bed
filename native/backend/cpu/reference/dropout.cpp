// Inverted dropout. Whether a unit is dropped follows from seed, step, layer and the unit's place
// in the batch, so backward draws the same numbers again instead of keeping a mask. A task is a few
// channels of one image.

#include <algorithm>

#include "backend/cpu/reference/common.h"
#include "graph/philox.h"

namespace mn::cpu::reference {
namespace {

constexpr int64_t elements_per_task = 4096;

// The numbers of a stream in rising order; Philox makes four at a time.
class Numbers {
public:
    Numbers(const Philox& philox, uint32_t layer) : philox_(philox), layer_(layer) {}

    // As Philox::uniform.
    float at(uint64_t index) {
        if (index >> 2 != group_) {
            group_ = index >> 2;
            philox_.block({{static_cast<uint32_t>(group_), static_cast<uint32_t>(group_ >> 32),
                            layer_, static_cast<uint32_t>(RandomPurpose::kDropout)}},
                          numbers_);
        }
        return static_cast<float>(numbers_[index & 3] >> 8) * 0x1p-24f;
    }

private:
    const Philox& philox_;
    uint32_t layer_;
    uint64_t group_ = ~uint64_t{0};
    uint32_t numbers_[4] = {};
};

class Dropout : public Kernel {
public:
    Dropout(const ImageNode& node, int direction)
        : d_(node.desc.dropout),
          src_(node.src[0]),
          dst_(node.dst),
          layer_(node.layer),
          unit_(d_.unit),
          direction_(direction) {}

    void run(Device& device, const mnb_run& run) override {
        if (direction_ == MNB_BACKWARD && run.diff_src[0] == nullptr) return;
        const Philox philox = dropout_stream(run.seed, run.step);
        const int64_t block = divide_up(elements_per_task, src_.h * src_.w);
        const int64_t blocks = divide_up(src_.c, block);
        device.pool.parallel_for(static_cast<int>(run.count * blocks), [&](int task, int) {
            const int64_t n = task / blocks, first = task % blocks * block;
            Numbers numbers(philox, layer_);
            for (int64_t c = first; c < std::min(first + block, src_.c); ++c)
                channel(run, n, c, numbers);
        });
    }

private:
    void channel(const mnb_run& run, int64_t n, int64_t c, Numbers& numbers) const {
        const float scale = 1.0f / (1.0f - d_.probability);
        const auto factor = [&](int64_t unit) {
            if (direction_ == MNB_FORWARD_INFERENCE) return 1.0f;
            return numbers.at(static_cast<uint64_t>(unit)) < d_.probability ? 0.0f : scale;
        };
        const int64_t row = n * src_.c + c;
        const float whole = unit_ == MN_DROPOUT_IMAGE     ? factor(n)
                            : unit_ == MN_DROPOUT_CHANNEL ? factor(row)
                                                          : 0.0f;
        for (int64_t h = 0; h < src_.h; ++h)
            for (int64_t w = 0; w < src_.w; ++w) {
                const float f =
                    unit_ == MN_DROPOUT_ELEMENT ? factor((row * src_.h + h) * src_.w + w) : whole;
                const int64_t at = offset(src_, n, c, h, w), dst_at = offset(dst_, n, c, h, w);
                if (direction_ == MNB_BACKWARD)
                    run.diff_src[0][at] = run.diff_dst[dst_at] * f;
                else
                    run.dst[dst_at] = run.src[0][at] * f;
            }
    }

    mn_dropout_desc d_;
    ImageView src_, dst_;
    uint32_t layer_;
    int32_t unit_;
    int direction_;
};

}  // namespace

bool dropout_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    take_layouts(node, support);
    return true;
}

std::unique_ptr<Kernel> dropout_create(const Device&, const ImageNode& node, int direction) {
    return std::make_unique<Dropout>(node, direction);
}

}  // namespace mn::cpu::reference
