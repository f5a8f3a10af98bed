#include "kernel_harness.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>

#include "backend/cpu/cpu_features.h"
#include "environment.h"

namespace mn::test {
namespace {

constexpr float unwritten = std::numeric_limits<float>::quiet_NaN();
constexpr unsigned char guard_byte = 0xa5;
constexpr size_t guard_bytes = 256;

// Aligned memory with a guard behind it, to see writes past the end without a sanitizer.
class Buffer {
public:
    explicit Buffer(int64_t bytes, unsigned char fill = 0xcd) : bytes_(static_cast<size_t>(bytes)) {
        memory_ = static_cast<unsigned char*>(
            ::operator new (bytes_ + guard_bytes, std::align_val_t{MNB_ALIGNMENT}));
        std::memset(memory_, fill, bytes_);
        std::memset(memory_ + bytes_, guard_byte, guard_bytes);
    }
    Buffer(Buffer&& other) noexcept : bytes_(other.bytes_), memory_(other.memory_) {
        other.memory_ = nullptr;
    }
    ~Buffer() {
        if (memory_ != nullptr) ::operator delete (memory_, std::align_val_t{MNB_ALIGNMENT});
    }

    static Buffer floats(int64_t count, float value) {
        Buffer buffer(count * 4);
        for (int64_t i = 0; i < count; ++i) buffer.get<float>()[i] = value;
        return buffer;
    }

    template <class T>
    T* get() const {
        return reinterpret_cast<T*>(memory_);
    }

    void check(const std::string& what) const {
        for (size_t i = 0; i < guard_bytes; ++i)
            if (memory_[bytes_ + i] != guard_byte)
                throw std::runtime_error(what + ": written past the end");
    }

private:
    size_t bytes_;
    unsigned char* memory_;
};

int64_t batch_size(const ImageView& t, int64_t batch) {
    return batch * t.sn;
}

template <class Visit>
void for_each(const ImageView& t, int64_t count, Visit&& visit) {
    int64_t i = 0;
    for (int64_t n = 0; n < count; ++n)
        for (int64_t c = 0; c < t.c; ++c)
            for (int64_t h = 0; h < t.h; ++h)
                for (int64_t w = 0; w < t.w; ++w, ++i)
                    visit(i, n * t.sn + c * t.sc + h * t.sh + w * t.sw);
}

Buffer lay_out(const ImageView& t, int64_t batch, int64_t count, const Floats& values) {
    Buffer buffer = Buffer::floats(batch_size(t, batch), unwritten);
    for_each(t, count, [&](int64_t i, int64_t at) {
        buffer.get<float>()[at] = values[static_cast<size_t>(i)];
    });
    return buffer;
}

Floats bring_back(const ImageView& t, int64_t count, const Buffer& buffer) {
    Floats values(static_cast<size_t>(count * tensor_size(t)));
    for_each(t, count, [&](int64_t i, int64_t at) {
        values[static_cast<size_t>(i)] = buffer.get<float>()[at];
    });
    return values;
}

template <class Visit>
void for_each(const WeightView& p, Visit&& visit) {
    int64_t index = 0;
    for (int64_t o = 0; o < p.o; ++o)
        for (int64_t i = 0; i < p.i; ++i)
            for (int64_t h = 0; h < p.h; ++h)
                for (int64_t w = 0; w < p.w; ++w, ++index) {
                    int64_t at = index;
                    if (p.layout == MNB_PARAM_PANEL16)
                        at = ((((o / 16) * p.h + h) * p.w + w) * p.i + i) * 16 + o % 16;
                    visit(index, at);
                }
}

Buffer lay_out(const WeightView& p, const Floats& values) {
    Buffer buffer = Buffer::floats(p.storage, 0.0f);
    for_each(p, [&](int64_t i, int64_t at) {
        buffer.get<float>()[at] = values[static_cast<size_t>(i)];
    });
    return buffer;
}

Floats bring_back(const WeightView& p, const Buffer& buffer, float padding) {
    Floats values(static_cast<size_t>(p.o * p.i * p.h * p.w));
    std::vector<bool> used(static_cast<size_t>(p.storage));
    bool finite = true;
    for_each(p, [&](int64_t i, int64_t at) {
        values[static_cast<size_t>(i)] = buffer.get<float>()[at];
        used[static_cast<size_t>(at)] = true;
        finite = finite && std::isfinite(values[static_cast<size_t>(i)]);
    });
    // Zero times NaN is NaN: a gradient that is lost anyway may lose its padding.
    for (size_t at = 0; finite && at < used.size(); ++at)
        if (!used[at] && buffer.get<float>()[at] != padding)
            throw std::runtime_error("the gradient of a parameter's padding is not what it was");
    return values;
}

mnb_support empty_support() {
    mnb_support support{};
    support.struct_size = sizeof support;
    return support;
}

// Everything of one run but the kernels.
class Setup {
public:
    Setup(const OpCase& op_case, const ImageNode& node, const RunOptions& options)
        : node_(node), case_(op_case), options_(options) {
        const int batch = node.max_batch;
        run_.struct_size = sizeof run_;
        run_.count = op_case.count;
        run_.seed = op_case.seed;
        run_.step = op_case.step;
        for (int s = 0; s < node.source_count; ++s) {
            run_.src[s] = own(lay_out(node.src[s], batch, op_case.count, op_case.src[size(s)]));
            diff_src_.push_back(Buffer::floats(batch_size(node.src[s], batch), unwritten));
        }
        if (node.dst.c > 0) {
            dst_.push_back(Buffer::floats(batch_size(node.dst, batch), unwritten));
            run_.dst = dst_[0].get<float>();
            run_.diff_dst = own(lay_out(node.dst, batch, op_case.count, op_case.diff_dst));
        }
        for (int p = 0; p < node.param_count; ++p) {
            param_.push_back(lay_out(node.param[p], op_case.param[size(p)]));
            run_.param[p] = param_.back().get<float>();
            diff_param_.push_back(Buffer::floats(node.param[p].storage,
                                                 adds_to(p) ? options.accumulated : unwritten));
        }
        if (!op_case.labels.empty()) {
            input_.labels = op_case.labels.data();
            run_.input = &input_;
            run_.loss = &result_.loss;
            run_.loss_scale = 1;
        }
    }

    void forward(cpu::Device& device, cpu::Kernel& kernel, const mnb_support& support,
                 bool gradient) {
        saved_.push_back(Buffer(support.saved_bytes * node_.max_batch));
        run_.saved = saved_[0].get<void>();
        if (gradient) bind_diff_src();
        execute(device, kernel, support);
        if (node_.dst.c > 0) result_.dst = bring_back(node_.dst, case_.count, dst_[0]);
        for (int p = 0; p < node_.param_count; ++p)
            result_.param.push_back(bring_back(node_.param[p], param_[size(p)], 0.0f));
    }

    void backward(cpu::Device& device, cpu::Kernel& kernel, const mnb_support& support) {
        bind_diff_src();
        for (int p = 0; p < node_.param_count; ++p)
            if (node_.wants_diff_param[p]) run_.diff_param[p] = diff_param_[size(p)].get<float>();
        for (int p = 0; p < node_.param_count; ++p) run_.accumulate[p] = adds_to(p);
        // What the kernel does not ask for is not there.
        if (!(support.backward_needs & MNB_NEEDS_SRC))
            for (auto& src : run_.src) src = nullptr;
        if (!(support.backward_needs & MNB_NEEDS_DST)) run_.dst = nullptr;
        if (!(support.backward_needs & MNB_NEEDS_SAVED)) run_.saved = nullptr;
        execute(device, kernel, support);
    }

    OpResult take_result(bool backward) {
        for (const Buffer& buffer : buffers_) buffer.check("operand");
        for (const Buffer& buffer : param_) buffer.check("param");
        for (const Buffer& buffer : dst_) buffer.check("dst");
        for (const Buffer& buffer : saved_) buffer.check("saved");
        for (int s = 0; s < node_.source_count; ++s) {
            diff_src_[size(s)].check("diff_src");
            if (backward)
                result_.diff_src.push_back(
                    bring_back(node_.src[s], case_.count, diff_src_[size(s)]));
        }
        for (int p = 0; p < node_.param_count; ++p) {
            diff_param_[size(p)].check("diff_param");
            if (!backward) continue;
            result_.diff_param.emplace_back();
            if (node_.wants_diff_param[p])
                result_.diff_param.back() = bring_back(node_.param[p], diff_param_[size(p)],
                                                       adds_to(p) ? options_.accumulated : 0.0f);
        }
        return std::move(result_);
    }

private:
    static size_t size(int index) { return static_cast<size_t>(index); }

    bool adds_to(int param) const { return options_.accumulate >> param & 1u; }

    float* own(Buffer buffer) {
        buffers_.push_back(std::move(buffer));
        return buffers_.back().get<float>();
    }

    void bind_diff_src() {
        for (int s = 0; s < node_.source_count; ++s)
            run_.diff_src[s] = diff_src_[size(s)].get<float>();
    }

    void execute(cpu::Device& device, cpu::Kernel& kernel, const mnb_support& support) {
        const Buffer workspace(support.workspace_bytes), packed(support.packed_bytes);
        run_.workspace = workspace.get<void>();
        run_.packed = packed.get<void>();
        if (support.packed_bytes > 0) kernel.refresh(device, run_);
        kernel.run(device, run_);
        workspace.check("workspace");
        packed.check("packed weights");
    }

    const ImageNode& node_;
    const OpCase& case_;
    const RunOptions& options_;
    mnb_run run_{};
    mnb_input input_{};
    std::vector<Buffer> buffers_, param_, dst_, diff_src_, diff_param_, saved_;
    OpResult result_;
};

// As the layout pass does it: asks once with what is offered, again with what was wished.
bool agree_on_layouts(cpu::Device& device, const cpu::Implementation& implementation,
                      const RunOptions& options, int direction, ImageNode& node) {
    const auto set = [&](ImageView& t, int32_t layout) {
        t = make_tensor(t.c, t.h, t.w, t.rank == 1, layout, options.gap);
    };
    for (int s = 0; s < node.source_count; ++s) set(node.src[s], options.layout);
    if (node.dst.c > 0) set(node.dst, options.layout);
    mnb_support support = empty_support();
    if (!implementation.query(device, node, direction, support)) return false;
    for (int s = 0; s < node.source_count; ++s) set(node.src[s], support.src_layout);
    support = empty_support();
    if (!implementation.query(device, node, direction, support)) return false;
    if (node.dst.c > 0) set(node.dst, support.dst_layout);
    for (int p = 0; p < node.param_count; ++p) {
        const WeightView& old = node.param[p];
        node.param[p] = make_param(old.role, support.param_layout[p], old.o, old.i, old.h, old.w);
    }
    complete(node);
    return true;
}

}  // namespace

TestDevice::TestDevice(int threads, const char* isa, uint32_t flags) {
    if (isa != nullptr) set_environment("MNISTNATIVE_ISA", isa);
    mn_device_desc desc{};
    desc.struct_size = sizeof desc;
    desc.threads = threads;
    desc.flags = flags;
    mnb_error error{};
    const int32_t status = cpu_backend()->open(nullptr, &desc, &handle_, &error);
    if (isa != nullptr) set_environment("MNISTNATIVE_ISA", nullptr);
    if (status != MN_OK) throw std::runtime_error(error.text);
}

TestDevice::~TestDevice() {
    cpu_backend()->close(handle_);
}

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (cpu::Isa isa : cpu::detect_cpu().sets) names.push_back(cpu::isa_name(isa));
    return names;
}

std::vector<cpu::Implementation> list_implementations(int op) {
    std::vector<cpu::Implementation> list;
    for (const cpu::Implementation* i = cpu::implementations(op); i->name != nullptr; ++i)
        list.push_back(*i);
    return list;
}

cpu::Implementation reference_of(int op) {
    return list_implementations(op).back();
}

ImageView make_tensor(int64_t c, int64_t h, int64_t w, bool flat, int32_t layout, int64_t gap) {
    ImageView t{};
    t.layout = layout;
    t.rank = flat ? 1 : 3;
    t.c = c, t.h = h, t.w = w;
    if (layout == MNB_NHWC) {
        t.sc = 1, t.sw = c, t.sh = w * c + gap, t.sn = h * t.sh + gap;
    } else {
        t.sw = 1, t.sh = w + gap, t.sc = h * t.sh, t.sn = c * t.sc + gap;
    }
    return t;
}

WeightView make_param(int32_t role, int32_t layout, int64_t o, int64_t i, int64_t h, int64_t w) {
    WeightView p{};
    p.role = role;
    p.layout = layout;
    p.o = o, p.i = i, p.h = h, p.w = w;
    p.storage = (layout == MNB_PARAM_PANEL16 ? (o + 15) / 16 * 16 : o) * i * h * w;
    return p;
}

void complete(ImageNode& node) {
    const auto value_of = [](const ImageView& image) {
        mnb_tensor t{};
        t.layout = image.layout;
        t.rank = image.rank;
        const int64_t dims[] = {image.c, image.h, image.w};
        const int64_t strides[] = {image.sc, image.sh, image.sw};
        std::copy_n(dims, image.rank, t.dims);
        std::copy_n(strides, image.rank, t.strides);
        t.image_stride = image.sn;
        return t;
    };
    for (int s = 0; s < node.source_count; ++s) node.source[s] = value_of(node.src[s]);
    node.result = value_of(node.dst);
    for (int p = 0; p < node.param_count; ++p) {
        const WeightView& w = node.param[p];
        const int64_t dims[] = {w.o, w.i, w.h, w.w};
        const int64_t plain[] = {w.i * w.h * w.w, w.h * w.w, w.w, 1};
        const int64_t panels[] = {w.i * w.h * w.w * 16, 16, w.w * w.i * 16, w.i * 16};
        mnb_param& parameter = node.parameter[p];
        parameter = {};
        parameter.role = w.role;
        parameter.layout = w.layout;
        parameter.rank = 4;
        std::copy_n(dims, 4, parameter.dims);
        std::copy_n(w.layout == MNB_PARAM_PANEL16 ? panels : plain, 4, parameter.strides);
        parameter.storage = w.storage;
    }
}

int64_t tensor_size(const ImageView& t) {
    return t.c * t.h * t.w;
}

std::optional<OpResult> run_case(const TestDevice& test_device, const cpu::Implementation& forward,
                                 const cpu::Implementation& backward, const OpCase& op_case,
                                 const RunOptions& options) {
    cpu::Device& device = test_device.get();
    ImageNode node = op_case.node;
    // A loss writes its gradient in the forward pass.
    const bool is_loss = !op_case.labels.empty();
    const bool runs_backward = options.training && !is_loss;
    const int direction = options.training ? MNB_FORWARD_TRAINING : MNB_FORWARD_INFERENCE;
    for (int s = 0; s < node.source_count; ++s) node.wants_diff_src[s] = options.training;
    if (!agree_on_layouts(device, forward, options, direction, node)) return std::nullopt;

    mnb_support forward_support = empty_support(), backward_support = empty_support();
    if (!forward.query(device, node, direction, forward_support)) return std::nullopt;
    if (runs_backward) {
        if (!backward.query(device, node, MNB_BACKWARD, backward_support)) return std::nullopt;
        for (int p = 0; p < node.param_count; ++p)
            if (backward_support.param_layout[p] != node.param[p].layout)
                throw std::runtime_error("forward and backward want different parameters");
        if (backward_support.saved_bytes > forward_support.saved_bytes)
            throw std::runtime_error("forward and backward disagree about the saved state");
    }

    Setup setup(op_case, node, options);
    setup.forward(device, *forward.create(device, node, direction), forward_support,
                  is_loss && options.training);
    if (runs_backward)
        setup.backward(device, *backward.create(device, node, MNB_BACKWARD), backward_support);
    return setup.take_result(options.training);
}

double relative_error(const Floats& a, const Floats& b) {
    if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
    double difference = 0, norm = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
        difference += (x - y) * (x - y);
        norm += y * y;
    }
    if (std::isnan(difference)) return std::numeric_limits<double>::infinity();
    return difference == 0 ? 0 : std::sqrt(difference / norm);
}

}  // namespace mn::test
