// Padding, enlargement, pooling to a given size, max unpooling and embedding.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "backend/cuda/kernels/norm_params.h"
#include "backend/cuda/ops/ops.h"
#include "backend/cuda/ops/pool_params.h"

namespace mn::cuda {
namespace {

// How the rows (or columns) of a result are made of those of a source.
using Mixes = std::vector<std::vector<ResampleEntry>>;

ResampleEntry entry(int64_t from, double share = 1) {
    return {static_cast<int32_t>(from), static_cast<float>(share)};
}

Mixes padded(int32_t mode, int64_t before, int64_t size, int64_t outputs) {
    Mixes mixes(static_cast<size_t>(outputs));
    for (int64_t i = 0; i < outputs; i++) {
        int64_t from = i - before;
        switch (mode) {
            case MN_PAD_REFLECT:
                if (from < 0) from = -from;
                if (from >= size) from = 2 * (size - 1) - from;
                break;
            case MN_PAD_REPLICATE:
                from = std::clamp<int64_t>(from, 0, size - 1);
                break;
            case MN_PAD_CIRCULAR:
                from = (from + size) % size;
                break;
            default:
                if (from < 0 || from >= size) continue;
        }
        mixes[static_cast<size_t>(i)].push_back(entry(from));
    }
    return mixes;
}

Mixes enlarged(const mn_upsample_desc& d, int64_t scale, int64_t size) {
    Mixes mixes(static_cast<size_t>(size * scale));
    const int64_t last = size * scale - 1;
    for (int64_t i = 0; i <= last; i++) {
        std::vector<ResampleEntry>& mix = mixes[static_cast<size_t>(i)];
        if (d.mode == MN_UPSAMPLE_NEAREST) {
            mix.push_back(entry(i / scale));
            continue;
        }
        // Where row i stands among the source's: corners on corners, or edges on edges.
        double at = 0;
        if (!d.align_corners)
            at = std::max((static_cast<double>(i) + 0.5) / static_cast<double>(scale) - 0.5, 0.0);
        else if (last > 0)
            at = static_cast<double>(i * (size - 1)) / static_cast<double>(last);
        const int64_t first = std::min(static_cast<int64_t>(at), size - 1);
        const double share = at - static_cast<double>(first);
        mix.push_back(entry(first, 1 - share));
        mix.push_back(entry(std::min(first + 1, size - 1), share));
    }
    return mixes;
}

// Spans of the source, which may overlap.
Mixes averaged(int64_t size, int64_t outputs) {
    Mixes mixes(static_cast<size_t>(outputs));
    for (int64_t i = 0; i < outputs; i++) {
        const int64_t first = i * size / outputs, last = divide_up((i + 1) * size, outputs);
        for (int64_t from = first; from < last; from++)
            mixes[static_cast<size_t>(i)].push_back(
                entry(from, 1.0 / static_cast<double>(last - first)));
    }
    return mixes;
}

// The gradient's mixes.
Mixes turned_around(const Mixes& mixes, int64_t size) {
    Mixes result(static_cast<size_t>(size));
    for (size_t i = 0; i < mixes.size(); i++)
        for (const ResampleEntry& e : mixes[i])
            result[static_cast<size_t>(e.from)].push_back({static_cast<int32_t>(i), e.share});
    return result;
}

// Mixes on the device.
class Table {
public:
    Table(Device& device, const Mixes& mixes) {
        std::vector<int32_t> starts = {0};
        std::vector<ResampleEntry> entries;
        for (const std::vector<ResampleEntry>& mix : mixes) {
            entries.insert(entries.end(), mix.begin(), mix.end());
            starts.push_back(static_cast<int32_t>(entries.size()));
        }
        starts_ = upload(device, starts);
        entries_ = upload(device, entries);
    }

    const int32_t* starts() const { return starts_.at<const int32_t>(); }
    const ResampleEntry* entries() const { return entries_.at<const ResampleEntry>(); }

private:
    template <class T>
    static Buffer upload(Device& device, const std::vector<T>& values) {
        const size_t bytes = values.size() * sizeof(T);
        Buffer buffer(device, bytes);
        if (bytes > 0) device.copy_in(buffer.at<void>(), values.data(), bytes);
        return buffer;
    }

    Buffer starts_, entries_;
};

class Resample : public NodeKernel {
public:
    Resample(Device& device, const ImageNode& node, int32_t direction)
        : NodeKernel(device, node, direction),
          rows_(device, mixes(node, true, direction)),
          columns_(device, mixes(node, false, direction)) {}

    void run(Device& device, const mnb_run& run) override {
        const ImageView& from = backward_ ? node_.dst : node_.src[0];
        const ImageView& to = backward_ ? node_.src[0] : node_.dst;
        ResampleParams p{};
        p.src = backward_ ? run.diff_dst : run.src[0];
        p.dst = backward_ ? run.diff_src[0] : run.dst;
        if (!p.dst) return;
        p.row_starts = rows_.starts();
        p.column_starts = columns_.starts();
        p.rows = rows_.entries();
        p.columns = columns_.entries();
        p.planes = run.count * to.c;
        p.src_h = static_cast<int32_t>(from.h);
        p.src_w = static_cast<int32_t>(from.w);
        p.dst_h = static_cast<int32_t>(to.h);
        p.dst_w = static_cast<int32_t>(to.w);
        device.launch("mn_resample", p, run.count * features(to));
    }

private:
    static Mixes mixes(const ImageNode& node, bool rows, int32_t direction) {
        const int64_t size = rows ? node.src[0].h : node.src[0].w;
        const int64_t outputs = rows ? node.dst.h : node.dst.w;
        Mixes result;
        if (node.op == MN_OP_PAD2D) {
            const mn_pad2d_desc& d = node.desc.pad2d;
            result = padded(d.mode, rows ? d.top : d.left, size, outputs);
        } else if (node.op == MN_OP_UPSAMPLE) {
            const mn_upsample_desc& d = node.desc.upsample;
            result = enlarged(d, rows ? d.scale_h : d.scale_w, size);
        } else {
            result = averaged(size, outputs);
        }
        return direction == MNB_BACKWARD ? turned_around(result, size) : result;
    }

    Table rows_, columns_;
};

class AdaptiveMaxPool : public NodeKernel {
public:
    using NodeKernel::NodeKernel;

    void run(Device& device, const mnb_run& run) override {
        const ImageView &src = node_.src[0], &dst = node_.dst;
        AdaptiveMaxParams p{};
        if (direction_ != MNB_FORWARD_INFERENCE) p.taken = static_cast<int32_t*>(run.saved);
        p.planes = run.count * src.c;
        p.src_h = static_cast<int32_t>(src.h);
        p.src_w = static_cast<int32_t>(src.w);
        p.dst_h = static_cast<int32_t>(dst.h);
        p.dst_w = static_cast<int32_t>(dst.w);
        if (!backward_) {
            p.src = run.src[0];
            p.dst = run.dst;
            device.launch("mn_adaptive_max_forward", p, run.count * features(dst));
        } else if (run.diff_src[0]) {
            p.diff_dst = run.diff_dst;
            p.dst = run.diff_src[0];
            device.launch("mn_adaptive_max_backward", p, run.count * features(src));
        }
    }
};

// The sources are the values, the pooling's source and the pooling's result. The latter two merely
// say where values go.
class MaxUnpool : public NodeKernel {
public:
    using NodeKernel::NodeKernel;

    void run(Device& device, const mnb_run& run) override {
        const ImageView &values = node_.src[0], &image = node_.src[1];
        const mn_pool2d_desc& pool = node_.desc.pool2d;
        UnpoolParams p{};
        p.image = run.src[1];
        p.planes = run.count * values.c;
        p.value_h = static_cast<int32_t>(values.h);
        p.value_w = static_cast<int32_t>(values.w);
        p.image_h = static_cast<int32_t>(image.h);
        p.image_w = static_cast<int32_t>(image.w);
        set_window(p, pool);
        if (!backward_) {
            p.values = run.src[0];
            p.dst = run.dst;
            device.launch("mn_unpool_forward", p, run.count * features(node_.dst));
            return;
        }
        for (int s = 1; s < node_.source_count; s++)
            if (run.diff_src[s])
                device.clear(
                    run.diff_src[s],
                    static_cast<size_t>(run.count * features(node_.src[s])) * sizeof(float));
        if (!run.diff_src[0]) return;
        p.diff_dst = run.diff_dst;
        p.dst = run.diff_src[0];
        device.launch("mn_unpool_backward", p, run.count * features(values));
    }
};

class Embedding : public NodeKernel {
public:
    Embedding(Device& device, const ImageNode& node, int32_t direction)
        : NodeKernel(device, node, direction), name_(node.name ? node.name : "") {}

    void run(Device& device, const mnb_run& run) override {
        EmbeddingParams p{};
        p.indices = run.src[0];
        p.images = run.count;
        p.length = features(node_.src[0]);
        p.features = node_.dst.c;
        p.rows = node_.desc.embedding.count;
        if (!backward_) {
            check(device, run);
            p.weight = run.param[0];
            p.dst = run.dst;
            device.launch("mn_embedding_forward", p, run.count * features(node_.dst));
            return;
        }
        // A change of an index that is too small to reach another row changes nothing.
        if (run.diff_src[0])
            device.clear(run.diff_src[0],
                         static_cast<size_t>(run.count * p.length) * sizeof(float));
        if (!run.diff_param[0]) return;
        p.diff_dst = run.diff_dst;
        p.dst = run.diff_param[0];
        p.accumulate = run.accumulate[0];
        device.launch("mn_embedding_backward", p, p.rows * p.features);
    }

private:
    // On the host, since a kernel could not say what is wrong; the stream waits meanwhile.
    void check(Device& device, const mnb_run& run) const {
        device.forbid_recording("[embedding \"" + name_ + "\"] the host checks its indices");
        const int64_t length = features(node_.src[0]);
        std::vector<float> indices(static_cast<size_t>(run.count * length));
        device.copy_out(indices.data(), run.src[0], indices.size() * sizeof(float));
        const int32_t rows = node_.desc.embedding.count;
        for (size_t at = 0; at < indices.size(); at++) {
            const float i = indices[at];
            if (i >= 0 && i < static_cast<float>(rows) && i == std::floor(i)) continue;
            const int64_t place = static_cast<int64_t>(at);
            fail(MN_INVALID_ARGUMENT, "[embedding \"", name_, "\"] index ", i, " at position ",
                 place % length, " of image ", place / length,
                 " of the batch is not a whole number from 0 to below ", rows);
        }
    }

    const std::string name_;
};

bool resample_query(const ImageNode&, int32_t, mnb_support&) {
    return true;
}

bool adaptive_max_query(const ImageNode& node, int32_t direction, mnb_support& support) {
    if (direction != MNB_FORWARD_INFERENCE)
        support.saved_bytes = features(node.dst) * int64_t{sizeof(int32_t)};
    support.backward_needs = MNB_NEEDS_SAVED;
    return true;
}

bool source_query(const ImageNode&, int32_t, mnb_support& support) {
    support.backward_needs = MNB_NEEDS_SRC;
    return true;
}

}  // namespace

const Op ops::resample = {resample_query, create<Resample>};
const Op ops::adaptive_max_pool = {adaptive_max_query, create<AdaptiveMaxPool>};
const Op ops::max_unpool = {source_query, create<MaxUnpool>};
const Op ops::embedding = {source_query, create<Embedding>};

}  // namespace mn::cuda
