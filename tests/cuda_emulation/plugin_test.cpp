// The plugin itself, as it ships, on the stand-ins: networks trained beside the CPU, and each
// reason to refuse a device. This is emulation; no card is involved unless MNISTNATIVE_TEST_CARD is
// set.

#include "plugin.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace mn::test {

namespace {

// ---- networks ----

struct Digits {
    Network network;
    int32_t end;

    // The seed network, smaller.
    Digits() {
        int32_t node = network.normalize(network.input(1, 12, 12), {0.1f}, {0.4f});
        node = network.max_pool(network.relu(network.conv(node, conv_desc(6, 3, 1, 1))),
                                pool_desc(2, 2));
        node = network.max_pool(network.relu(network.conv(node, conv_desc(8, 3, 1, 1))),
                                pool_desc(2, 2));
        node = network.relu(network.linear(network.flatten(node), 16));
        end = network.linear(node, 5);
    }
};

void expect_close(const std::vector<Floats>& a, const std::vector<Floats>& b, double tolerance) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); i++)
        EXPECT_LE(relative_error(a[i], b[i]), tolerance) << "parameter " << i;
}

mn_device_info describe(const DeviceHandle& device) {
    mn_device_info info{};
    info.struct_size = sizeof info;
    check(mn_device_describe(device, &info));
    return info;
}

// With cuDNN, and without.
class TierTest : public testing::TestWithParam<const char*> {
protected:
    void SetUp() override {
        const std::string tier = describe(open_cuda(GetParam())).tier;
        if (on_card() && tier != GetParam()) GTEST_SKIP() << "there is no cuDNN";
        ASSERT_EQ(tier, GetParam());
    }
};
INSTANTIATE_TEST_SUITE_P(Tiers, TierTest, testing::Values("cudnn", "cublas"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(TierTest, TrainsAsTheCpuDoes) {
    const Digits net;
    const DeviceHandle cpu_device = open_device(2), cuda_device = open_cuda(GetParam());
    mn_optimizer_desc rmsprop = sgd(1e-3f, 0.5f);
    rmsprop.kind = MN_OPTIMIZER_RMSPROP;
    rmsprop.alpha = 0.9f;
    rmsprop.epsilon = 1e-6f;
    rmsprop.centered = 1;
    mn_optimizer_desc adamw = adam(1e-3f);
    adamw.kind = MN_OPTIMIZER_ADAMW;
    adamw.weight_decay = 0.01f;
    adamw.amsgrad = 1;
    for (const mn_optimizer_desc& optimizer : {adam(1e-3f), adamw, sgd(0.05f, 0.9f), rmsprop}) {
        Random random(test_seed());
        const TestModel cpu(cpu_device, net.network, {net.end});
        const TestModel cuda(cuda_device, net.network, {net.end});
        EXPECT_EQ(cpu.read_all(), cuda.read_all()) << "the same seed";
        const TestTrainer cpu_trainer(cpu, {loss_on(net.end)}, optimizer, 8);
        const TestTrainer cuda_trainer(cuda, {loss_on(net.end)}, optimizer, 8);
        for (int step = 0; step < 10; step++) {
            const Batch batch = random_batch(random, step == 3 ? 5 : 8, 144, 5);
            const mn_metrics a = cpu_trainer.step(batch), b = cuda_trainer.step(batch);
            EXPECT_NEAR(a.loss, b.loss, 1e-4 * std::abs(a.loss)) << "step " << step;
            EXPECT_EQ(a.correct, b.correct);
            if (step > 0) continue;
            expect_close(cuda.read_all(MN_PART_GRADIENT), cpu.read_all(MN_PART_GRADIENT), 1e-4);
            expect_close(cuda.read_all(), cpu.read_all(), 1e-4);
        }
        expect_close(cuda.read_all(), cpu.read_all(), 1e-3);
        const Batch batch = random_batch(random, 11, 144, 5);
        EXPECT_LE(relative_error(cuda.forward(batch), cpu.forward(batch)), 1e-3);
        EXPECT_NEAR(cuda.evaluate(batch, net.end).loss, cpu.evaluate(batch, net.end).loss, 1e-3);
    }
}

// The stand-in's cuDNN wants more workspace for an odd number of images.
TEST_P(TierTest, BatchesOfAnySizeFollowEachOther) {
    Network network;
    const int32_t node = network.conv(network.input(2, 9, 9), conv_desc(4, 3, 2, 1));
    const int32_t end = network.linear(network.flatten(node), 5);
    const DeviceHandle cpu_device = open_device(2), cuda_device = open_cuda(GetParam());
    const ModelOptions options = {0, 1, 8};
    const TestModel cpu(cpu_device, network, {end}, options);
    const TestModel cuda(cuda_device, network, {end}, options);
    const TestTrainer cpu_trainer(cpu, {loss_on(end)}, sgd(0.05f), 8);
    const TestTrainer cuda_trainer(cuda, {loss_on(end)}, sgd(0.05f), 8);
    Random random(test_seed() + 7);
    for (int count : {8, 6, 5, 7, 8, 3, 2}) {
        const Batch batch = random_batch(random, count, 162, 5);
        EXPECT_LE(relative_error(cuda.forward(batch), cpu.forward(batch)), 1e-4) << count;
        EXPECT_NEAR(cuda_trainer.step(batch).loss, cpu_trainer.step(batch).loss, 1e-4) << count;
    }
    expect_close(cuda.read_all(), cpu.read_all(), 1e-4);
}

// Fused and unfused, with branches, odd windows and groups.
TEST_P(TierTest, RandomNetworksAgreeWithTheCpu) {
    const DeviceHandle cpu_device = open_device(2), cuda_device = open_cuda(GetParam());
    Random random(test_seed() + 4);
    for (int round = 0; round < 30; round++) {
        const RandomNetwork net = random_network(random);
        SCOPED_TRACE(net.text);
        const ModelOptions options = {round % 2 ? uint32_t{MN_MODEL_NO_FUSION} : 0, 1, 0};
        const TestModel cpu(cpu_device, net.network, net.heads, options);
        const TestModel cuda(cuda_device, net.network, net.heads, options);
        std::vector<mn_loss_desc> losses;
        for (int32_t head : net.heads) losses.push_back(loss_on(head, 0.7f));
        const TestTrainer cpu_trainer(cpu, losses, sgd(0.05f), 5);
        const TestTrainer cuda_trainer(cuda, losses, sgd(0.05f), 5);
        const Batch batch = random_batch(random, 4, net.image_size, net.classes);
        const mn_metrics a = cpu_trainer.step(batch), b = cuda_trainer.step(batch);
        EXPECT_NEAR(a.loss, b.loss, 1e-4 * std::abs(a.loss));
        expect_close(cuda.read_all(), cpu.read_all(), 1e-4);
    }
}

// A rounding to 10 or 7 bits of mantissa shows in results and gradients, at its own size.
TEST(PluginTest, ComputesInThePrecisionAskedFor) {
    Network network;  // without choices of ReLU and pooling, which a rounding may turn over
    int32_t end = network.conv(network.input(1, 12, 12), conv_desc(4, 3, 1, 1));
    end = network.linear(network.flatten(network.conv(end, conv_desc(4, 3, 2, 0))), 5);
    const DeviceHandle device = open_cuda();
    Random random(test_seed() + 5);
    const Batch batch = random_batch(random, 8, 144, 5);
    const auto compute = [&](int32_t precision) {
        const TestModel model(device, network, {end}, {0, 1, 0, precision});
        std::vector<Floats> results = {model.forward(batch)};
        const TestTrainer trainer(model, {loss_on(end)}, sgd(0.05f), 8);
        trainer.step(batch);
        for (Floats& gradient : model.read_all(MN_PART_GRADIENT))
            results.push_back(std::move(gradient));
        return results;
    };
    const std::vector<Floats> exact = compute(MN_PRECISION_FLOAT32);
    const std::vector<Floats> tf32 = compute(MN_PRECISION_TENSOR_FLOAT32);
    const std::vector<Floats> bfloat16 = compute(MN_PRECISION_BFLOAT16);
    for (size_t i = 0; i < exact.size(); i++) {
        const double error = relative_error(tf32[i], exact[i]);
        EXPECT_GT(error, 1e-6) << i;
        EXPECT_LT(error, 4e-3) << i;
        EXPECT_GT(relative_error(bfloat16[i], exact[i]), error) << i;
        EXPECT_LT(relative_error(bfloat16[i], exact[i]), 3e-2) << i;
    }
}

TEST(PluginTest, TakesADataSetByIndices) {
    const Digits net;
    const DeviceHandle device = open_cuda();
    Random random(test_seed() + 1);
    Batch all;
    all.count = 20;
    for (int i = 0; i < 20 * 144; i++)
        all.bytes.push_back(static_cast<uint8_t>(random.integer(0, 255)));
    for (int i = 0; i < 20; i++) all.labels.push_back(static_cast<int32_t>(random.integer(0, 4)));
    mn_dataset_desc desc{};
    desc.struct_size = sizeof desc;
    desc.images = all.bytes.data();
    desc.images_bytes = all.bytes.size();
    desc.dtype = MN_UINT8;
    desc.count = all.count;
    desc.shape = net.network.shape(0);
    desc.labels = all.labels.data();
    mn_dataset dataset = 0;
    check(mn_dataset_create(device, &desc, &dataset));
    const DatasetHandle owned(dataset);

    Batch by_index;
    by_index.dataset = dataset;
    by_index.count = 6;
    by_index.indices = {3, 19, 0, 7, 7, 12};
    Batch copied;
    copied.count = 6;
    for (int32_t i : by_index.indices) {
        copied.bytes.insert(copied.bytes.end(), all.bytes.begin() + i * 144,
                            all.bytes.begin() + (i + 1) * 144);
        copied.labels.push_back(all.labels[static_cast<size_t>(i)]);
    }
    const TestModel a(device, net.network, {net.end}), b(device, net.network, {net.end});
    const TestTrainer first(a, {loss_on(net.end)}, sgd(0.1f), 8);
    const TestTrainer second(b, {loss_on(net.end)}, sgd(0.1f), 8);
    EXPECT_EQ(first.step(by_index).loss, second.step(copied).loss);
    EXPECT_EQ(a.read_all(), b.read_all());
    by_index.indices[2] = 20;
    EXPECT_THROW(first.step(by_index), Failure);
}

TEST(PluginTest, ClipsGradientsAsTheCpuDoes) {
    const Digits net;
    const DeviceHandle cpu_device = open_device(2), cuda_device = open_cuda();
    Random random(test_seed() + 2);
    const Batch batch = random_batch(random, 8, 144, 5);
    std::vector<std::vector<Floats>> results;
    for (const DeviceHandle* device : {&cpu_device, &cuda_device}) {
        const TestModel model(*device, net.network, {net.end});
        const mn_loss_desc loss = loss_on(net.end);
        const mn_optimizer_desc optimizer = sgd(1.0f);
        mn_trainer_desc desc{};
        desc.struct_size = sizeof desc;
        desc.losses = &loss;
        desc.loss_count = 1;
        desc.optimizer = &optimizer;
        desc.max_batch = 8;
        desc.clip_norm = 0.1f;
        desc.clip_value = 0.02f;
        mn_trainer trainer = 0;
        check(mn_trainer_create(model.handle(), &desc, &trainer));
        const Owned<mn_trainer_destroy> owned(trainer);
        const mn_batch b = batch.get();
        mn_metrics metrics{};
        metrics.struct_size = sizeof metrics;
        check(mn_trainer_step(trainer, &b, &metrics));
        results.push_back(model.read_all());
    }
    expect_close(results[1], results[0], 1e-5);
}

// ---- refusals ----

int32_t reason_of(const mn_device_desc& desc) {
    mn_device device = 0;
    const mn_status status = mn_device_open(&desc, &device);
    if (status == MN_OK) mn_device_close(device);
    EXPECT_EQ(status, MN_DEVICE_UNAVAILABLE);
    mn_error_info info{};
    info.struct_size = sizeof info;
    mn_last_error_info(&info);
    return info.reason;
}

TEST(PluginTest, RefusesWithAReason) {
    if (on_card()) GTEST_SKIP() << "a card that works refuses nothing";
    choose_libraries();
    EXPECT_EQ(reason_of(cuda_desc(1)), MN_REASON_NO_SUCH_INDEX);
    {
        const Environment devices("CUDA_EMULATION_DEVICES", "0");
        EXPECT_EQ(reason_of(cuda_desc()), MN_REASON_NO_DEVICE);
    }
    {
        const Environment failure("CUDA_EMULATION_FAIL", "cuInit=100");
        EXPECT_EQ(reason_of(cuda_desc()), MN_REASON_NO_DEVICE);
    }
    {
        const Environment failure("CUDA_EMULATION_FAIL", "cuInit=999");
        EXPECT_EQ(reason_of(cuda_desc()), MN_REASON_NO_DRIVER);
    }
    {
        // The library and the kernel module are of different versions.
        const Environment failure("CUDA_EMULATION_FAIL", "cuInit=803");
        EXPECT_EQ(reason_of(cuda_desc()), MN_REASON_DRIVER_TOO_OLD);
    }
    {
        const Environment old("MNISTNATIVE_CUDA_PATH", MN_OLD_STAND_IN);
        EXPECT_EQ(reason_of(cuda_desc()), MN_REASON_DRIVER_TOO_OLD);
        EXPECT_NE(std::string(mn_last_error()).find("has no function"), std::string::npos);
    }
    {
        const Environment driver("CUDA_EMULATION_DRIVER", "11020");
        EXPECT_EQ(reason_of(cuda_desc()), MN_REASON_DRIVER_TOO_OLD);
    }
    {
        const Environment compute("CUDA_EMULATION_COMPUTE", "61");
        EXPECT_EQ(reason_of(cuda_desc()), MN_REASON_ARCHITECTURE);
    }
    {
        const Environment nothing("MNISTNATIVE_CUDA_PATH", MN_NO_STAND_INS);
        EXPECT_EQ(reason_of(cuda_desc()), MN_REASON_NO_DRIVER);
    }
    {
        const Environment driver_only("MNISTNATIVE_CUDA_PATH", MN_DRIVER_STAND_IN);
        EXPECT_EQ(reason_of(cuda_desc()), MN_REASON_LIBRARY_MISSING);
    }
    mn_device_desc desc = cuda_desc();
    desc.plugin_path = MN_NO_STAND_INS "/libmnistnative_cuda.so";
    EXPECT_EQ(reason_of(desc), MN_REASON_NO_PLUGIN);
    desc.plugin_path = nullptr;
    EXPECT_EQ(reason_of(desc), MN_REASON_NO_PLUGIN);
    desc.plugin_path = MN_STAND_INS "/libcuda.so.1";  // a library, but no plugin
    EXPECT_EQ(reason_of(desc), MN_REASON_PLUGIN_MISMATCH);
}

TEST(PluginTest, AnOldCardComputesWithFloat32Only) {
    if (on_card()) GTEST_SKIP() << "the card may be a new one";
    const Environment compute("CUDA_EMULATION_COMPUTE", "75");
    const DeviceHandle device = open_cuda();
    EXPECT_EQ(describe(device).precisions, 1u << MN_PRECISION_FLOAT32);
    const Digits net;
    try {
        const TestModel model(device, net.network, {net.end}, {0, 1, 0, MN_PRECISION_BFLOAT16});
        FAIL() << "compute capability 7.5 has no bfloat16";
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.status, MN_UNSUPPORTED);
        EXPECT_NE(std::string(failure.what()).find("bfloat16"), std::string::npos);
    }
}

TEST(PluginTest, DescribesTheCardAndItsLibraries) {
    const mn_device_info info = describe(open_cuda());
    EXPECT_EQ(info.kind, MN_DEVICE_CUDA);
    EXPECT_GE(info.device_count, 1);
    EXPECT_GE(info.driver_version, 11080);
    const std::string libraries = info.libraries;
    EXPECT_NE(libraries.find("cuBLAS"), std::string::npos);
    EXPECT_NE(libraries.find("cuDNN"), std::string::npos) << "its version, or why not";
    if (on_card()) return;
    EXPECT_NE(libraries.find(MN_STAND_INS "/libcuda.so.1"), std::string::npos);
    EXPECT_NE(libraries.find(MN_STAND_INS "/libcudnn.so.9 (cuDNN 9.1.0)"), std::string::npos);
    EXPECT_STREQ(info.tier, "cudnn");
}

TEST(PluginTest, DoesWithoutCudnnAndSaysWhy) {
    if (on_card()) GTEST_SKIP() << "the libraries of a machine with a card are as they are";
    choose_libraries();
    const auto reason = [](const char* variable, const char* value) {
        const Environment changed(variable, value);
        mn_device device = 0;
        const mn_device_desc desc = cuda_desc();
        check(mn_device_open(&desc, &device));
        const mn_device_info info = describe(DeviceHandle(device));
        EXPECT_STREQ(info.tier, "cublas");
        const std::string libraries = info.libraries;
        const size_t at = libraries.find("; no cuDNN: ");
        return at == std::string::npos ? "" : libraries.substr(at + 12);
    };
    const auto expect = [](const std::string& text, const std::string& part) {
        EXPECT_NE(text.find(part), std::string::npos) << "\"" << text << "\" lacks " << part;
    };
    expect(reason("MNISTNATIVE_CUDA_PATH", MN_WITHOUT_CUDNN),
           "8 or 9 cannot be opened: " MN_WITHOUT_CUDNN "/libcudnn.so.9: ");
    expect(reason("MNISTNATIVE_CUDA_PATH", MN_EMPTY_CUDNN), "has no function cudnnGetVersion");
    expect(reason("CUDA_EMULATION_CUDNN", "7605"), "libcudnn.so.9 (cuDNN 7.6.5) is older than 8");
    expect(reason("CUDA_EMULATION_FAIL", "cudnnCreate=1001"),
           "libcudnn.so.9 (cuDNN 9.1.0) does not start: CUDNN_STATUS_NOT_INITIALIZED");
    expect(reason("MNISTNATIVE_CUDNN", "off"), "switched off by MNISTNATIVE_CUDNN");

    const Environment wish("MNISTNATIVE_CUDNN", "fast");
    mn_device device = 0;
    const mn_device_desc desc = cuda_desc();
    EXPECT_EQ(mn_device_open(&desc, &device), MN_INVALID_ARGUMENT);
    expect(mn_last_error(), "MNISTNATIVE_CUDNN is \"fast\"");
}

TEST(PluginTest, TakesCudnn8) {
    if (on_card()) GTEST_SKIP() << "the libraries of a machine with a card are as they are";
    choose_libraries();
    const Environment folder("MNISTNATIVE_CUDA_PATH", MN_CUDNN_8);
    const Environment version("CUDA_EMULATION_CUDNN", "8907");
    mn_device opened = 0;
    const mn_device_desc desc = cuda_desc();
    check(mn_device_open(&desc, &opened));
    const DeviceHandle device(opened);
    const mn_device_info info = describe(device);
    EXPECT_STREQ(info.tier, "cudnn");
    EXPECT_NE(std::string(info.libraries).find("libcudnn.so.8 (cuDNN 8.9.7)"), std::string::npos);

    const Digits net;
    const TestModel model(device, net.network, {net.end});
    const TestModel expected(open_device(2), net.network, {net.end});
    Random random(test_seed() + 5);
    const Batch batch = random_batch(random, 3, 144, 5);
    EXPECT_LE(relative_error(model.forward(batch), expected.forward(batch)), 1e-5);
}

// Statuses have other numbers in 8 than in 9.
TEST(PluginTest, FailuresOfCudnnAreNamed) {
    if (on_card()) GTEST_SKIP() << "a card that works does not fail";
    const Digits net;
    const DeviceHandle device = open_cuda();
    const TestModel model(device, net.network, {net.end});
    Random random(test_seed() + 6);
    const Batch batch = random_batch(random, 3, 144, 5);
    const auto failure = [&](const char* version, const char* injected, int32_t status,
                             const std::string& text) {
        const Environment numbers("CUDA_EMULATION_CUDNN", version);
        const Environment fail("CUDA_EMULATION_FAIL", injected);
        try {
            model.forward(batch);
            FAIL() << injected;
        } catch (const Failure& thrown) {
            EXPECT_EQ(thrown.status, status) << injected;
            EXPECT_NE(std::string(mn_last_error()).find(text), std::string::npos)
                << mn_last_error();
        }
    };
    failure("90100", "cudnnConvolutionForward=5000", MN_INTERNAL,
            "cudnnConvolutionForward failed: CUDNN_STATUS_EXECUTION_FAILED (5000)");
    failure("90100", "cudnnConvolutionForward=4003", MN_OUT_OF_MEMORY, "ALLOC_FAILED");
    failure("8907", "cudnnConvolutionForward=8", MN_INTERNAL, "EXECUTION_FAILED (8)");
    failure("8907", "cudnnConvolutionForward=2", MN_OUT_OF_MEMORY, "ALLOC_FAILED");
    EXPECT_NO_THROW(model.forward(batch));
}

TEST(PluginTest, ASmallerBatchWorksAfterRunningOutOfMemory) {
    if (on_card()) GTEST_SKIP() << "a card has more memory than this test wants to fill";
    const Environment memory("CUDA_EMULATION_MEMORY", "8200000");
    const Digits net;
    const DeviceHandle device = open_cuda();
    const TestModel model(device, net.network, {net.end}, {0, 1, 8});
    mn_error_info info{};
    info.struct_size = sizeof info;
    try {
        const TestTrainer large(model, {loss_on(net.end)}, sgd(0.1f), 4096);
        FAIL() << "4096 images cannot fit";
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.status, MN_OUT_OF_MEMORY);
        mn_last_error_info(&info);
        EXPECT_GT(info.requested_bytes, info.free_bytes);
        EXPECT_GT(info.free_bytes, 0u);
    }
    Random random(test_seed() + 3);
    const TestTrainer small(model, {loss_on(net.end)}, sgd(0.1f), 4);
    EXPECT_TRUE(std::isfinite(small.step(random_batch(random, 4, 144, 5)).loss));
}

}  // namespace
}  // namespace mn::test
