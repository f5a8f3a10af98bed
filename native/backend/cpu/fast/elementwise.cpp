// Loading of batches, and sums of partial results.

#include <algorithm>
#include <vector>

#include "backend/cpu/fast/fast.h"

namespace mn::cpu::fast {

namespace {
constexpr int64_t kImages = 4 * 1024;  // least of a task that loads
}  // namespace

void sum_chunks(Device& device, const float* chunks, int64_t chunk_count, int64_t stride,
                float* dst, int64_t count, bool accumulate) {
    const int64_t part = std::max<int64_t>(round_up(ceil_div(count, kTasks), 16), 512);
    device.pool.parallel_for(static_cast<int>(ceil_div(count, part)), [&](int task, int) {
        const int64_t at = task * part;
        device.table->f32_sum_chunks(chunks + at, chunk_count, stride, dst + at,
                                     std::min(part, count - at), accumulate);
    });
}

namespace {

class Load : public Kernel {
public:
    explicit Load(const ImageNode& node) : channels_(node.dst.c), pixels_(node.dst.h * node.dst.w) {
        const mn_normalize_desc& d = node.desc.normalize;
        keeps_floats_ = d.channels == 0 && (channels_ == 1 || pixels_ == 1);
        for (int64_t c = 0; c < channels_; c++) {
            const int64_t i = d.channels == 1 ? 0 : c;
            const double mean = d.channels ? static_cast<double>(d.mean[i]) : 0.0;
            const double std = d.channels ? static_cast<double>(d.std[i]) : 1.0;
            scale_.push_back(static_cast<float>(1.0 / std));
            byte_scale_.push_back(static_cast<float>(1.0 / (255.0 * std)));
            shift_.push_back(static_cast<float>(-mean / std));
        }
    }

    void run(Device& device, const mnb_run& run) override {
        LoadRun op = {};
        op.images = run.input->images;
        op.indices = run.input->indices;
        op.is_byte = run.input->dtype == MN_UINT8;
        op.is_copy = keeps_floats_ && !op.is_byte;
        op.channels = channels_;
        op.pixels = pixels_;
        op.scale = op.is_byte ? byte_scale_.data() : scale_.data();
        op.shift = shift_.data();
        op.dst = run.dst;
        const int64_t images = ceil_div(kImages, channels_ * pixels_);  // of a task
        device.pool.parallel_for(static_cast<int>(ceil_div(run.count, images)), [&](int task, int) {
            const int64_t end = std::min<int64_t>((task + 1) * images, run.count);
            for (int64_t n = task * images; n < end; n++) device.table->load_image(op, n);
        });
    }

private:
    int64_t channels_, pixels_;
    bool keeps_floats_;
    std::vector<float> scale_, byte_scale_, shift_;
};

}  // namespace

bool load_query(const Device&, const ImageNode& node, int direction, mnb_support& support) {
    if (direction == MNB_BACKWARD) return false;  // there is nothing before it
    take_fast_layouts(node, support);
    return true;
}

std::unique_ptr<Kernel> load_create(const Device&, const ImageNode& node, int) {
    return std::make_unique<Load>(node);
}

}  // namespace mn::cpu::fast
