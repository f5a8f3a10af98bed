// Reorder and sum: every element by itself. A task is a few channels of one image.

#include <algorithm>

#include "backend/cpu/reference/common.h"

namespace mn::cpu::reference {
namespace {

class Elementwise : public Kernel {
public:
    Elementwise(const Device&, const ImageNode& node, int direction)
        : node_(node), direction_(direction) {}

protected:
    // Calls body(n, c, h, w) for every element of the batch.
    template <class Body>
    void for_each(Device& device, const mnb_run& run, Body&& body) const {
        const ImageView& t = node_.dst;
        device.pool.parallel_for(
            static_cast<int>(divide_up(run.count * t.c, block)), [&](int task, int) {
                const int64_t first = task * block;
                const int64_t last = std::min<int64_t>(first + block, run.count * t.c);
                for (int64_t i = first; i < last; ++i)
                    for (int64_t h = 0; h < t.h; ++h)
                        for (int64_t w = 0; w < t.w; ++w) body(i / t.c, i % t.c, h, w);
            });
    }

    ImageNode node_;
    int direction_;

private:
    static constexpr int64_t block = 16;  // channels of a task: features are channels too
};

class Reorder : public Elementwise {
public:
    using Elementwise::Elementwise;

    void run(Device& device, const mnb_run& run) override {
        const ImageView &src = node_.src[0], &dst = node_.dst;
        if (direction_ != MNB_BACKWARD)
            for_each(device, run, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
                run.dst[offset(dst, n, c, h, w)] = run.src[0][offset(src, n, c, h, w)];
            });
        else if (run.diff_src[0] != nullptr)
            for_each(device, run, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
                run.diff_src[0][offset(src, n, c, h, w)] = run.diff_dst[offset(dst, n, c, h, w)];
            });
    }
};

class Sum : public Elementwise {
public:
    using Elementwise::Elementwise;

    void run(Device& device, const mnb_run& run) override {
        const ImageView& dst = node_.dst;
        if (direction_ != MNB_BACKWARD) {
            for_each(device, run, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
                run.dst[offset(dst, n, c, h, w)] = run.src[0][offset(node_.src[0], n, c, h, w)] +
                                                   run.src[1][offset(node_.src[1], n, c, h, w)];
            });
            return;
        }
        for (int s = 0; s < 2; ++s)
            if (run.diff_src[s] != nullptr)
                for_each(device, run, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
                    run.diff_src[s][offset(node_.src[s], n, c, h, w)] =
                        run.diff_dst[offset(dst, n, c, h, w)];
                });
    }
};

}  // namespace

bool reorder_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    take_layouts(node, support);
    support.dst_layout = node.dst.layout;
    return true;
}

std::unique_ptr<Kernel> reorder_create(const Device& device, const ImageNode& node, int direction) {
    return std::make_unique<Reorder>(device, node, direction);
}

bool sum_query(const Device&, const ImageNode& node, int, mnb_support& support) {
    take_layouts(node, support);
    return node.source_count == 2;
}

std::unique_ptr<Kernel> sum_create(const Device& device, const ImageNode& node, int direction) {
    return std::make_unique<Sum>(device, node, direction);
}

}  // namespace mn::cpu::reference
