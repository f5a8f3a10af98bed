// The CPU through its mnb_backend entries: opening, memory, errors, the optimizers.

#include "backend/cpu/cpu_backend.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "environment.h"
#include "op_cases.h"

namespace mn::test {
namespace {

std::atomic<int64_t> counted{0};
const mnb_host host = {sizeof(mnb_host), nullptr, [](int64_t bytes) { counted += bytes; }};

class CpuBackendTest : public testing::Test {
protected:
    ~CpuBackendTest() override {
        if (device_ != nullptr) backend_->close(device_);
    }

    int32_t open(int threads = 2, int index = 0) {
        mn_device_desc desc{};
        desc.struct_size = sizeof desc;
        desc.threads = threads;
        desc.index = index;
        return backend_->open(&host, &desc, &device_, &error_);
    }

    const mnb_backend* backend_ = cpu_backend();
    mnb_device* device_ = nullptr;
    mnb_error error_{};
};

TEST_F(CpuBackendTest, DescribesItself) {
    EXPECT_EQ(backend_->version, uint32_t{MNB_VERSION});
    EXPECT_STREQ(backend_->name, "cpu");
    ASSERT_EQ(open(3), MN_OK);
    mn_device_info info{};
    ASSERT_EQ(backend_->describe(device_, &info, &error_), MN_OK);
    EXPECT_EQ(info.threads, 3);
    EXPECT_EQ(info.kind, MN_DEVICE_CPU);
    EXPECT_GT(info.memory_bytes, 0);
    EXPECT_GT(std::strlen(info.name), 0u);
    const std::vector<std::string> sets = instruction_sets();
    EXPECT_EQ(info.architecture, sets.back());
}

TEST_F(CpuBackendTest, ForcesAnInstructionSet) {
    for (const std::string& isa : instruction_sets()) {
        set_environment("MNISTNATIVE_ISA", isa.c_str());
        ASSERT_EQ(open(), MN_OK);
        mn_device_info info{};
        backend_->describe(device_, &info, &error_);
        EXPECT_EQ(info.architecture, isa);
        backend_->close(device_);
        device_ = nullptr;
    }
    set_environment("MNISTNATIVE_ISA", "mmx");
    EXPECT_EQ(open(), MN_DEVICE_UNAVAILABLE);
    set_environment("MNISTNATIVE_ISA", nullptr);
    EXPECT_EQ(error_.reason, MN_REASON_INSTRUCTION_SET);
    EXPECT_NE(std::string(error_.text).find("mmx"), std::string::npos) << error_.text;
}

TEST_F(CpuBackendTest, RefusesBadRequests) {
    EXPECT_EQ(open(2, 1), MN_DEVICE_UNAVAILABLE);
    EXPECT_EQ(error_.reason, MN_REASON_NO_SUCH_INDEX);
    EXPECT_EQ(open(-1), MN_INVALID_ARGUMENT);
    EXPECT_EQ(open(5000), MN_INVALID_ARGUMENT);
    EXPECT_EQ(device_, nullptr);
}

TEST_F(CpuBackendTest, MemoryIsAlignedZeroAndCounted) {
    ASSERT_EQ(open(), MN_OK);
    const int64_t before = counted;
    for (size_t bytes : {size_t{0}, size_t{1}, size_t{1000}, size_t{5} << 20}) {
        void* memory = nullptr;
        ASSERT_EQ(backend_->alloc(device_, bytes, &memory, &error_), MN_OK);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % MNB_ALIGNMENT, 0u);
        const auto* content = static_cast<const unsigned char*>(memory);
        for (size_t i = 0; i < bytes; ++i) ASSERT_EQ(content[i], 0);
        EXPECT_EQ(counted - before, static_cast<int64_t>(bytes));
        backend_->free(device_, memory, bytes);
        EXPECT_EQ(counted, before);
    }
    backend_->free(device_, nullptr, 0);
}

TEST_F(CpuBackendTest, TooMuchMemoryIsAnError) {
    ASSERT_EQ(open(), MN_OK);
    const int64_t before = counted;
    for (size_t bytes : {size_t{1} << 50, SIZE_MAX, SIZE_MAX / 2}) {
        void* memory = nullptr;
        EXPECT_EQ(backend_->alloc(device_, bytes, &memory, &error_), MN_OUT_OF_MEMORY);
        EXPECT_EQ(error_.status, MN_OUT_OF_MEMORY);
        EXPECT_EQ(error_.requested_bytes, bytes);
        EXPECT_EQ(memory, nullptr);
    }
    EXPECT_EQ(counted, before);
}

TEST_F(CpuBackendTest, UnknownOpsAreNotSupported) {
    ASSERT_EQ(open(), MN_OK);
    ImageNode node;
    node.struct_size = sizeof node;
    node.op = 4711;
    node.name = "strange";
    mnb_support support{};
    ASSERT_EQ(backend_->query(device_, &node, MNB_FORWARD_INFERENCE, &support, &error_), MN_OK);
    EXPECT_EQ(support.supported, 0);
    mnb_kernel* kernel = nullptr;
    EXPECT_EQ(backend_->prepare(device_, &node, MNB_FORWARD_INFERENCE, &kernel, &error_),
              MN_UNSUPPORTED);
    EXPECT_NE(std::string(error_.text).find("strange"), std::string::npos);
}

TEST_F(CpuBackendTest, AWrongLayoutIsNoticed) {
    ASSERT_EQ(open(), MN_OK);
    Random random(1);
    OpCase c = conv_case(random, 1, 3, 4, 4, conv_desc(2, 3, 1, 1));
    c.node.dst = make_tensor(2, 4, 4, false, MNB_NHWC);
    c.node.src[0] = make_tensor(3, 4, 4, false, MNB_NHWC);
    complete(c.node);
    mnb_support support{};
    ASSERT_EQ(backend_->query(device_, &c.node, MNB_FORWARD_INFERENCE, &support, &error_), MN_OK);
    c.node.dst = make_tensor(2, 4, 4, false, support.dst_layout == MNB_NHWC ? MNB_NCHW : MNB_NHWC);
    complete(c.node);
    mnb_kernel* kernel = nullptr;
    EXPECT_EQ(backend_->prepare(device_, &c.node, MNB_FORWARD_INFERENCE, &kernel, &error_),
              MN_INTERNAL);
}

// ---- optimizers, against the formulas of PyTorch's documentation in double precision ----

class OptimizerTest : public testing::TestWithParam<std::string> {
protected:
    // One optimizer over two parameters of awkward sizes, five steps, compared after each.
    template <class Expected>
    void check(const mn_optimizer_desc& desc, Expected&& step_one) {
        const TestDevice device(3, GetParam().c_str());
        Random random(test_seed());
        const double scale = 1.0 / 7;
        std::vector<Floats> value, gradient, moment1, moment2;
        for (int64_t size : {17, 40003}) {
            value.push_back(random.floats(size));
            gradient.push_back(Floats(value.back().size()));
            moment1.push_back(Floats(value.back().size()));
            moment2.push_back(Floats(value.back().size()));
        }
        std::vector<std::vector<double>> v, m1, m2;
        for (const Floats& f : value) {
            v.emplace_back(f.begin(), f.end());
            m1.emplace_back(f.size());
            m2.emplace_back(f.size());
        }
        for (int step = 1; step <= 5; ++step) {
            std::vector<mnb_update> updates;
            for (size_t p = 0; p < value.size(); ++p) {
                gradient[p] = random.floats(static_cast<int64_t>(value[p].size()));
                updates.push_back({value[p].data(), gradient[p].data(), moment1[p].data(),
                                   moment2[p].data(), nullptr,
                                   static_cast<int64_t>(value[p].size()), 1.0f, desc.weight_decay,
                                   step, 1 - std::pow(double{desc.beta1}, step),
                                   1 - std::pow(double{desc.beta2}, step)});
                for (size_t i = 0; i < value[p].size(); ++i)
                    step_one(step, static_cast<double>(gradient[p][i]) * scale, v[p][i], m1[p][i],
                             m2[p][i]);
            }
            mnb_error error{};
            mnb_update_options options{};
            options.struct_size = sizeof options;
            options.scale = scale;
            ASSERT_EQ(cpu_backend()->update(device.handle(), &desc, updates.data(),
                                            static_cast<int32_t>(updates.size()), &options, &error),
                      MN_OK)
                << error.text;
            for (size_t p = 0; p < value.size(); ++p)
                EXPECT_LE(relative_error(value[p], Floats(v[p].begin(), v[p].end())), 1e-6)
                    << "step " << step << ", parameter " << p;
        }
    }

    static mn_optimizer_desc make(int kind) {
        mn_optimizer_desc desc{};
        desc.struct_size = sizeof desc;
        desc.kind = kind;
        desc.learning_rate = 0.05f;
        desc.beta1 = 0.9f;
        desc.beta2 = 0.999f;
        desc.epsilon = 1e-8f;
        return desc;
    }
};

TEST_P(OptimizerTest, Adam) {
    for (float decay : {0.0f, 0.1f}) {
        mn_optimizer_desc d = make(MN_OPTIMIZER_ADAM);
        d.weight_decay = decay;
        check(d, [&](int step, double g, double& p, double& m, double& v) {
            const double b1 = d.beta1, b2 = d.beta2;
            g += decay * p;
            m = b1 * m + (1 - b1) * g;
            v = b2 * v + (1 - b2) * g * g;
            const double m_hat = m / (1 - std::pow(b1, step)), v_hat = v / (1 - std::pow(b2, step));
            p -= d.learning_rate * m_hat / (std::sqrt(v_hat) + d.epsilon);
        });
    }
}

TEST_P(OptimizerTest, Sgd) {
    for (float momentum : {0.0f, 0.9f})
        for (float dampening : {0.0f, 0.3f})
            for (int nesterov : {0, 1})
                for (float decay : {0.0f, 0.01f}) {
                    if (nesterov && (momentum == 0 || dampening != 0)) continue;
                    mn_optimizer_desc d = make(MN_OPTIMIZER_SGD);
                    d.momentum = momentum;
                    d.dampening = dampening;
                    d.nesterov = nesterov;
                    d.weight_decay = decay;
                    check(d, [&](int step, double g, double& p, double& m, double&) {
                        g += decay * p;
                        if (momentum != 0) {
                            m = step == 1 ? g : momentum * m + (1.0 - dampening) * g;
                            g = nesterov ? g + momentum * m : m;
                        }
                        p -= d.learning_rate * g;
                    });
                }
}

INSTANTIATE_TEST_SUITE_P(Sets, OptimizerTest, testing::ValuesIn(instruction_sets()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace mn::test
