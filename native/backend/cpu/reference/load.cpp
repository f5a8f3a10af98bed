// Reads the batch: element -> float32 (uint8 / 255) -> (x - mean) / std, each rounded to float32 as
// PyTorch does it. A task is one image.

#include <vector>

#include "backend/cpu/reference/common.h"

namespace mn::cpu::reference {
namespace {

class Load : public Kernel {
public:
    Load(const Device&, const ImageNode& node, int)
        : dst_(node.dst),
          mean_(static_cast<size_t>(node.dst.c), 0.0f),
          std_(static_cast<size_t>(node.dst.c), 1.0f) {
        const mn_normalize_desc& d = node.desc.normalize;
        for (size_t c = 0; d.channels > 0 && c < mean_.size(); ++c) {
            mean_[c] = d.mean[d.channels == 1 ? 0 : c];
            std_[c] = d.std[d.channels == 1 ? 0 : c];
        }
    }

    void run(Device& device, const mnb_run& run) override {
        const int64_t size = feature_count(dst_);
        device.pool.parallel_for(run.count, [&](int n, int) {
            const int64_t from = (run.input->indices ? run.input->indices[n] : n) * size;
            if (run.input->dtype == MN_UINT8) {
                const uint8_t* image = static_cast<const uint8_t*>(run.input->images) + from;
                write(run, n, [&](int64_t i) { return static_cast<float>(image[i]) / 255.0f; });
            } else {
                const float* image = static_cast<const float*>(run.input->images) + from;
                write(run, n, [&](int64_t i) { return image[i]; });
            }
        });
    }

private:
    template <class Read>
    void write(const mnb_run& run, int64_t n, Read&& read) const {
        int64_t i = 0;
        for (int64_t c = 0; c < dst_.c; ++c) {
            const float mean = mean_[static_cast<size_t>(c)], std = std_[static_cast<size_t>(c)];
            for (int64_t h = 0; h < dst_.h; ++h)
                for (int64_t w = 0; w < dst_.w; ++w, ++i)
                    run.dst[offset(dst_, n, c, h, w)] = (read(i) - mean) / std;
        }
    }

    ImageView dst_;
    std::vector<float> mean_, std_;
};

}  // namespace

bool load_query(const Device&, const ImageNode& node, int direction, mnb_support& support) {
    if (direction == MNB_BACKWARD) return false;  // the gradient of its result is all there is
    take_layouts(node, support);
    support.dst_layout = node.dst.layout;
    return true;
}

std::unique_ptr<Kernel> load_create(const Device& device, const ImageNode& node, int direction) {
    return std::make_unique<Load>(device, node, direction);
}

}  // namespace mn::cpu::reference
