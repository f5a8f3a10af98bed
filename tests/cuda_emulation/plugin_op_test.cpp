// Every case of op_cases.h on the CUDA plugin, with and without cuDNN, against the CPU's reference
// kernels.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>
#include <stdexcept>
#include <tuple>

#include "backend/registry.h"
#include "plugin.h"

namespace mn::test {

void PrintTo(const OpCase& op_case, std::ostream* stream) {
    *stream << op_case.name;
}

namespace {

constexpr double tolerance = 1e-4;
constexpr float unwritten = std::numeric_limits<float>::quiet_NaN();

// The plugin's entries, with failures as exceptions.
class PluginDevice {
public:
    explicit PluginDevice(const std::string& tier) {
        choose_libraries(tier);
        const mn_device_desc desc = cuda_desc();
        backend_ = &find_backend(desc);
        mnb_error error{};
        check(backend_->open(&host_, &desc, &device_, &error), error);
    }
    ~PluginDevice() { backend_->close(device_); }
    PluginDevice(const PluginDevice&) = delete;
    PluginDevice& operator=(const PluginDevice&) = delete;

    std::string tier() const {
        mn_device_info info{};
        info.struct_size = sizeof info;
        mnb_error error{};
        check(backend_->describe(device_, &info, &error), error);
        return info.tier;
    }
    const mnb_backend& backend() const { return *backend_; }
    mnb_device* handle() const { return device_; }

    static void check(int32_t status, const mnb_error& error) {
        if (status != MN_OK) throw std::runtime_error(error.text);
    }

private:
    static void log(int32_t, const char*) {}
    static void count(int64_t) {}

    const mnb_host host_ = {sizeof(mnb_host), log, count};
    const mnb_backend* backend_ = nullptr;
    mnb_device* device_ = nullptr;
};

// Memory of the device.
class Memory {
public:
    Memory(const PluginDevice& device, int64_t bytes)
        : device_(&device), bytes_(static_cast<size_t>(bytes)) {
        if (bytes == 0) return;
        mnb_error error{};
        device.check(device.backend().alloc(device.handle(), bytes_, &data_, &error), error);
    }
    template <class T>
    Memory(const PluginDevice& device, const std::vector<T>& values)
        : Memory(device, static_cast<int64_t>(values.size() * sizeof(T))) {
        mnb_error error{};
        device.check(
            device.backend().copy_in(device.handle(), data_, values.data(), bytes_, &error), error);
    }
    Memory(Memory&& other) noexcept
        : device_(other.device_), data_(other.data_), bytes_(other.bytes_) {
        other.data_ = nullptr;
    }
    ~Memory() {
        if (data_) device_->backend().free(device_->handle(), data_, bytes_);
    }

    template <class T>
    T* get() const {
        return static_cast<T*>(data_);
    }
    template <class T>
    std::vector<T> read(size_t count) const {
        std::vector<T> values(count);
        mnb_error error{};
        device_->check(device_->backend().copy_out(device_->handle(), values.data(), data_,
                                                   count * sizeof(T), &error),
                       error);
        return values;
    }

private:
    const PluginDevice* device_;
    void* data_ = nullptr;
    size_t bytes_;
};

// The first `count` of a batch of images that is larger; the rest must not matter.
Floats widened(const Floats& values, int64_t size, int64_t batch) {
    Floats result(static_cast<size_t>(size * batch), unwritten);
    std::copy(values.begin(), values.end(), result.begin());
    return result;
}

class PluginRun {
public:
    PluginRun(const PluginDevice& device, const OpCase& op_case, bool training, uint32_t accumulate)
        : device_(device), case_(op_case), node_(op_case.node), accumulate_(accumulate) {
        for (int s = 0; s < node_.source_count; ++s) node_.wants_diff_src[s] = training;
        is_loss_ = !op_case.labels.empty();
        runs_backward_ = training && !is_loss_;
        direction_ = training ? MNB_FORWARD_TRAINING : MNB_FORWARD_INFERENCE;
    }

    // Nothing if the plugin does not take the node.
    std::optional<OpResult> run() {
        const mnb_support forward = query(direction_);
        if (!forward.supported) return std::nullopt;
        mnb_support backward{};
        if (runs_backward_) {
            backward = query(MNB_BACKWARD);
            if (!backward.supported) throw std::runtime_error("forward without backward");
        }
        set_up();
        const Memory saved(device_, forward.saved_bytes * node_.max_batch);
        run_.saved = saved.get<void>();
        if (is_loss_ && direction_ == MNB_FORWARD_TRAINING) bind_diff_src();
        execute(direction_, forward);
        OpResult result;
        if (node_.dst.c > 0) result.dst = dst_[0].read<float>(batch_size(node_.dst));
        for (int p = 0; p < node_.param_count; ++p)
            result.param.push_back(param_[size(p)].read<float>(size(node_.param[p].storage)));
        if (is_loss_) result.loss = loss_[0].read<mnb_loss_result>(1)[0];
        if (runs_backward_) {
            bind_backward(backward);
            execute(MNB_BACKWARD, backward);
        }
        if (direction_ == MNB_FORWARD_TRAINING) read_gradients(result);
        return result;
    }

private:
    static size_t size(int64_t value) { return static_cast<size_t>(value); }
    size_t batch_size(const ImageView& t) const { return size(case_.count * tensor_size(t)); }

    mnb_support query(int32_t direction) const {
        mnb_support support{};
        support.struct_size = sizeof support;
        mnb_error error{};
        device_.check(
            device_.backend().query(device_.handle(), &node_, direction, &support, &error), error);
        return support;
    }

    const float* own(const Floats& values) {
        operands_.emplace_back(device_, values);
        return operands_.back().get<float>();
    }

    void set_up() {
        const int64_t batch = node_.max_batch;
        run_.struct_size = sizeof run_;
        run_.count = case_.count;
        run_.seed = case_.seed;
        run_.step = case_.step;
        for (int p = 0; p < node_.param_count; ++p) run_.accumulate[p] = accumulate_ >> p & 1u;
        for (int s = 0; s < node_.source_count; ++s) {
            const int64_t image = tensor_size(node_.src[s]);
            run_.src[s] = own(widened(case_.src[size(s)], image, batch));
            diff_src_.emplace_back(device_, Floats(size(image * batch), unwritten));
        }
        if (node_.dst.c > 0) {
            const int64_t image = tensor_size(node_.dst);
            dst_.emplace_back(device_, Floats(size(image * batch), unwritten));
            run_.dst = dst_[0].get<float>();
            run_.diff_dst = own(widened(case_.diff_dst, image, batch));
        }
        for (int p = 0; p < node_.param_count; ++p) {
            param_.emplace_back(device_, case_.param[size(p)]);
            run_.param[p] = param_.back().get<float>();
            diff_param_.emplace_back(device_, Floats(size(node_.param[p].storage),
                                                     accumulate_ >> p & 1u ? 0.5f : unwritten));
        }
        if (is_loss_) {
            labels_.emplace_back(device_, case_.labels);
            loss_.emplace_back(device_, int64_t{sizeof(mnb_loss_result)});
            input_.labels = labels_[0].get<int32_t>();
            run_.input = &input_;
            run_.loss = loss_[0].get<mnb_loss_result>();
            run_.loss_scale = 1;
        }
    }

    void bind_diff_src() {
        for (int s = 0; s < node_.source_count; ++s)
            run_.diff_src[s] = diff_src_[size(s)].get<float>();
    }

    // What the kernel does not ask for is not there.
    void bind_backward(const mnb_support& support) {
        bind_diff_src();
        for (int p = 0; p < node_.param_count; ++p)
            if (node_.wants_diff_param[p]) run_.diff_param[p] = diff_param_[size(p)].get<float>();
        if (!(support.backward_needs & MNB_NEEDS_SRC))
            for (const float*& src : run_.src) src = nullptr;
        if (!(support.backward_needs & MNB_NEEDS_DST)) run_.dst = nullptr;
        if (!(support.backward_needs & MNB_NEEDS_SAVED)) run_.saved = nullptr;
    }

    void execute(int32_t direction, const mnb_support& support) {
        const mnb_backend& backend = device_.backend();
        const Memory workspace(device_, support.workspace_bytes);
        const Memory packed(device_, support.packed_bytes);
        run_.workspace = workspace.get<void>();
        run_.packed = packed.get<void>();
        mnb_error error{};
        mnb_kernel* kernel = nullptr;
        device_.check(backend.prepare(device_.handle(), &node_, direction, &kernel, &error), error);
        int32_t status = MN_OK;
        if (support.packed_bytes > 0)
            status = backend.refresh(device_.handle(), kernel, &run_, &error);
        if (status == MN_OK) status = backend.run(device_.handle(), kernel, &run_, &error);
        if (status == MN_OK) status = backend.synchronize(device_.handle(), &error);
        backend.release(device_.handle(), kernel);
        device_.check(status, error);
    }

    void read_gradients(OpResult& result) const {
        for (int s = 0; s < node_.source_count; ++s)
            result.diff_src.push_back(diff_src_[size(s)].read<float>(batch_size(node_.src[s])));
        for (int p = 0; p < node_.param_count; ++p)
            result.diff_param.push_back(
                node_.wants_diff_param[p] && runs_backward_
                    ? diff_param_[size(p)].read<float>(size(node_.param[p].storage))
                    : Floats{});
    }

    const PluginDevice& device_;
    const OpCase& case_;
    ImageNode node_;
    uint32_t accumulate_;
    bool is_loss_, runs_backward_;
    int32_t direction_;
    mnb_run run_{};
    mnb_input input_{};
    std::vector<Memory> operands_, dst_, diff_src_, param_, diff_param_, labels_, loss_;
};

double norm_of(const Floats& values) {
    double sum = 0;
    for (float v : values) sum += static_cast<double>(v) * static_cast<double>(v);
    return std::sqrt(sum);
}

// Where all cancels out, as in the normalisation of two values, only rounding is left: errors are
// also measured by the norm of what the sums are made of.
void expect_close(const Floats& actual, const Floats& expected, const Floats& operand,
                  const std::string& what) {
    ASSERT_EQ(actual.size(), expected.size()) << what;
    Floats difference(actual.size());
    for (size_t i = 0; i < actual.size(); ++i) difference[i] = actual[i] - expected[i];
    // Written so that a NaN fails.
    EXPECT_TRUE(norm_of(difference) <= tolerance * norm_of(expected) + 1e-6 * norm_of(operand))
        << what << ": the difference is " << norm_of(difference) << ", the norm "
        << norm_of(expected);
}

void expect_close(const OpResult& actual, const OpResult& expected, const OpCase& op_case) {
    const Floats& gradient = op_case.diff_dst;
    expect_close(actual.dst, expected.dst, {}, "dst");
    ASSERT_EQ(actual.diff_src.size(), expected.diff_src.size());
    for (size_t i = 0; i < actual.diff_src.size(); ++i)
        expect_close(actual.diff_src[i], expected.diff_src[i], gradient,
                     "diff_src " + std::to_string(i));
    ASSERT_EQ(actual.diff_param.size(), expected.diff_param.size());
    for (size_t i = 0; i < actual.diff_param.size(); ++i)
        expect_close(actual.diff_param[i], expected.diff_param[i], gradient,
                     "diff_param " + std::to_string(i));
    ASSERT_EQ(actual.param.size(), expected.param.size());
    for (size_t i = 0; i < actual.param.size(); ++i)
        expect_close(actual.param[i], expected.param[i], {}, "param " + std::to_string(i));
    EXPECT_NEAR(actual.loss.numerator, expected.loss.numerator,
                tolerance * std::abs(expected.loss.numerator));
    EXPECT_EQ(actual.loss.denominator, expected.loss.denominator);
    EXPECT_EQ(actual.loss.correct, expected.loss.correct);
}

using TierAndCase = std::tuple<const char*, OpCase>;

class PluginOpTest : public testing::TestWithParam<TierAndCase> {
protected:
    void SetUp() override {
        if (on_card() && device_.tier() != tier()) GTEST_SKIP() << "there is no cuDNN";
        ASSERT_EQ(device_.tier(), tier());
    }

    static std::string tier() { return std::get<0>(GetParam()); }
    static const OpCase& op_case() { return std::get<1>(GetParam()); }

    static OpResult expected(const RunOptions& options) {
        const TestDevice cpu(2);
        const cpu::Implementation reference = reference_of(op_case().node.op);
        std::optional<OpResult> result = run_case(cpu, reference, reference, op_case(), options);
        if (!result) throw std::runtime_error("the reference takes every node");
        return std::move(*result);
    }

    // A fused node may be refused: its parts then run one by one.
    static bool is_fused() {
        const ImageNode& node = op_case().node;
        return node.activation != 0 || node.has_pool || node.has_norm;
    }

    void compare(bool training, uint32_t accumulate = 0) {
        const std::optional<OpResult> actual =
            PluginRun(device_, op_case(), training, accumulate).run();
        if (!actual) {
            EXPECT_TRUE(is_fused()) << "every op runs on the plugin";
            return;
        }
        RunOptions options;
        options.training = training;
        options.accumulate = accumulate;
        expect_close(*actual, expected(options), op_case());
    }

    const PluginDevice device_{tier()};
};

TEST_P(PluginOpTest, ForwardAndBackwardAgreeWithTheCpu) {
    compare(true);
}

TEST_P(PluginOpTest, InferenceAgreesWithTheCpu) {
    compare(false);
}

TEST_P(PluginOpTest, GradientsAreAddedWhenAccumulating) {
    for (uint32_t which : {1u, 2u})
        if (op_case().node.param_count > 0) compare(true, which);
}

// ---- long sums ----

// The sums that the backend's own kernels take; those of cuBLAS and cuDNN are theirs.
std::vector<OpCase> long_cases() {
    Random random(test_seed());
    std::vector<OpCase> cases;
    const auto add = [&](const char* name, OpCase op_case) {
        op_case.name = name;
        for (Floats* values : {&op_case.src[0], &op_case.diff_dst})
            std::fill(values->begin(), values->end(), 0.1f);
        for (Floats& param : op_case.param) std::fill(param.begin(), param.end(), 1.0f);
        cases.push_back(std::move(op_case));
    };
    mn_conv2d_desc grouped = conv_desc(2, 1);
    grouped.groups = 2;
    add("grouped_conv_of_many_channels", conv_case(random, 1, 100'000, 1, 1, grouped));
    grouped.out_channels = 100'000;
    add("grouped_conv_to_many_channels", conv_case(random, 1, 2, 1, 1, grouped));
    grouped.out_channels = 2;
    add("grouped_conv_of_a_large_image", conv_case(random, 1, 2, 300, 300, grouped));
    add("linear_of_many_rows", linear_case(random, 100'000, 1, 1, 1, 1));
    add("global_average_of_a_large_image",
        pool_case(random, MN_OP_GLOBAL_AVG_POOL2D, 1, 1, 300, 300, {}));

    const auto made = [&](int op, const ImageView& src, const ImageView& dst) {
        OpCase op_case;
        op_case.node.op = op;
        op_case.node.src[op_case.node.source_count++] = src;
        op_case.node.dst = dst;
        return op_case;
    };
    OpCase embedding = made(MN_OP_EMBEDDING, make_tensor(100'000, 1, 1, true, MNB_NCHW),
                            make_tensor(2, 1, 100'000, false, MNB_NCHW));
    embedding.node.desc.embedding = {sizeof(mn_embedding_desc), 1, 2};
    embedding.node.param[embedding.node.param_count++] =
        make_param(MNB_WEIGHT, MNB_PARAM_PLAIN, 1, 2, 1, 1);
    finish(embedding, random);
    add("embedding_of_one_word", embedding);
    std::fill(cases.back().src[0].begin(), cases.back().src[0].end(), 0.0f);

    const ImageView channels = make_tensor(301, 1, 1, false, MNB_NCHW);
    OpCase response = made(MN_OP_LOCAL_RESPONSE_NORM, channels, channels);
    response.node.desc.local_response_norm = {sizeof(mn_local_response_norm_desc), 3001, 30.0f,
                                              0.75f, 1.0f};
    finish(response, random);
    add("local_response_norm_of_many_channels", response);
    return cases;
}

class PluginLongSumTest : public testing::TestWithParam<OpCase> {};

TEST_P(PluginLongSumTest, AgreesWithTheCpuElementByElement) {
    const PluginDevice device(on_card() ? "cudnn" : "cublas");
    const OpResult actual = PluginRun(device, GetParam(), true, false).run().value();
    const TestDevice cpu(2);
    const cpu::Implementation reference = reference_of(GetParam().node.op);
    const OpResult expected = run_case(cpu, reference, reference, GetParam(), {}).value();
    const auto compare = [](const Floats& a, const Floats& b, const char* what) {
        ASSERT_EQ(a.size(), b.size()) << what;
        double worst = 0;
        for (size_t i = 0; i < a.size(); ++i) {
            const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
            worst = std::max(worst, x == y ? 0 : std::abs(x - y) / std::abs(y));
        }
        EXPECT_LE(worst, 2e-6) << what;
    };
    compare(actual.dst, expected.dst, "dst");
    for (size_t s = 0; s < actual.diff_src.size(); ++s)
        compare(actual.diff_src[s], expected.diff_src[s], "diff_src");
    for (size_t p = 0; p < actual.diff_param.size(); ++p)
        compare(actual.diff_param[p], expected.diff_param[p], "diff_param");
}

INSTANTIATE_TEST_SUITE_P(Cases, PluginLongSumTest, testing::ValuesIn(long_cases()),
                         [](const testing::TestParamInfo<OpCase>& info) {
                             return info.param.name;
                         });

// ---- how convolutions are computed ----

struct Kernels {
    std::string forward, backward;
    int64_t workspace;  // of the forward pass
};

Kernels kernels_of(const PluginDevice& device, const ImageNode& node) {
    Kernels result;
    for (int32_t direction : {MNB_FORWARD_TRAINING, MNB_BACKWARD}) {
        mnb_support support{};
        support.struct_size = sizeof support;
        mnb_error error{};
        device.check(device.backend().query(device.handle(), &node, direction, &support, &error),
                     error);
        (direction == MNB_BACKWARD ? result.backward : result.forward) = support.kernel;
        if (direction != MNB_BACKWARD) result.workspace = support.workspace_bytes;
    }
    return result;
}

class ConvolutionKernelTest : public testing::Test {
protected:
    void SetUp() override {
        if (on_card()) GTEST_SKIP() << "a card has estimates of its own";
    }
    static OpCase conv(const mn_conv2d_desc& desc) {
        Random random(test_seed());
        return conv_case(random, 3, 4, 9, 8, desc);
    }
};

// The stand-in puts first what is not deterministic, uses tensor cores or wants a gigabyte.
TEST_F(ConvolutionKernelTest, AreDeterministicInFloat32AndOfLimitedMemory) {
    const PluginDevice device("cudnn");
    const Kernels square = kernels_of(device, conv(conv_desc(5, 3, 1, 1)).node);
    EXPECT_EQ(square.forward, "cudnn winograd");
    EXPECT_EQ(square.backward, "cudnn winograd, cudnn algo_1");
    EXPECT_LT(square.workspace, int64_t{1} << 20);
    const Kernels strided = kernels_of(device, conv(conv_desc(5, 3, 2, 1)).node);
    EXPECT_EQ(strided.forward, "cudnn implicit_precomp_gemm");
    EXPECT_EQ(strided.backward, "cudnn algo_1, cudnn algo_1");
}

TEST_F(ConvolutionKernelTest, AreOfTheModelsPrecision) {
    const PluginDevice device("cudnn");
    OpCase op_case = conv(conv_desc(5, 3, 1, 1));
    const auto error = [&] {
        const TestDevice cpu(2);
        const cpu::Implementation reference = reference_of(MN_OP_CONV2D);
        const OpResult expected = *run_case(cpu, reference, reference, op_case, RunOptions{});
        const OpResult actual = *PluginRun(device, op_case, true, false).run();
        return std::max({relative_error(actual.dst, expected.dst),
                         relative_error(actual.diff_src[0], expected.diff_src[0]),
                         relative_error(actual.diff_param[0], expected.diff_param[0])});
    };
    EXPECT_LT(error(), 1e-6);
    op_case.node.precision = MN_PRECISION_TENSOR_FLOAT32;
    EXPECT_EQ(kernels_of(device, op_case.node).forward, "cudnn implicit_precomp_gemm");
    EXPECT_LT(error(), 1e-3);
    EXPECT_GT(error(), 1e-5);
    op_case.node.precision = MN_PRECISION_BFLOAT16;
    EXPECT_EQ(kernels_of(device, op_case.node).forward, "gemm");
    EXPECT_LT(error(), 1e-2);
    EXPECT_GT(error(), 1e-3);
}

TEST_F(ConvolutionKernelTest, AreMeasuredOnRequest) {
    const OpCase op_case = conv(conv_desc(5, 3, 2, 1));
    const PluginDevice device("measure");
    EXPECT_EQ(kernels_of(device, op_case.node).forward, "cudnn implicit_gemm");
    EXPECT_EQ(kernels_of(device, op_case.node).workspace, 0);
    // Without memory to measure in, the estimate serves.
    setenv("CUDA_EMULATION_FAIL", "cudnnFindConvolutionForwardAlgorithm=4003", 1);
    const PluginDevice crowded("measure");
    EXPECT_EQ(kernels_of(crowded, op_case.node).forward, "cudnn implicit_precomp_gemm");
    unsetenv("CUDA_EMULATION_FAIL");
}

TEST_F(ConvolutionKernelTest, AreTheBackendsWhereCudnnHasNone) {
    const PluginDevice device("cudnn");
    EXPECT_EQ(kernels_of(device, conv(conv_desc(5, 1)).node).forward, "gemm") << "no windows";
    mn_conv2d_desc uneven = conv_desc(5, 3, 1, 1);
    uneven.pad_bottom = 2;
    EXPECT_EQ(kernels_of(device, conv(uneven).node).backward, "gemm, gemm");

    mn_conv2d_desc grouped = conv_desc(4, 3, 1, 1);
    grouped.groups = 2;
    const OpCase op_case = conv(grouped);
    EXPECT_EQ(kernels_of(device, op_case.node).forward, "cudnn implicit_precomp_gemm");
    EXPECT_EQ(kernels_of(PluginDevice("cublas"), op_case.node).backward, "direct, direct");
    setenv("CUDA_EMULATION_FAIL", "cudnnGetConvolutionForwardAlgorithm_v7=3000", 1);
    const PluginDevice refused("cudnn");
    EXPECT_EQ(kernels_of(refused, op_case.node).forward, "direct");
    EXPECT_EQ(kernels_of(refused, op_case.node).backward, "cudnn algo_1, cudnn algo_1");
    unsetenv("CUDA_EMULATION_FAIL");
}

INSTANTIATE_TEST_SUITE_P(Cases, PluginOpTest,
                         testing::Combine(testing::Values("cudnn", "cublas"),
                                          testing::ValuesIn(all_cases())),
                         [](const testing::TestParamInfo<TierAndCase>& info) {
                             return std::get<0>(info.param) + ("_" + std::get<1>(info.param).name);
                         });

}  // namespace
}  // namespace mn::test
