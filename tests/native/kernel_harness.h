// Runs one kernel of the CPU backend by itself, without graph, passes and plan: lays a case's
// values out as the kernel wants them, runs forward and backward, and brings the results back in
// the order that PyTorch has (images n, c, h, w; parameters plain).

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/cpu/cpu.h"
#include "backend/cpu/cpu_backend.h"

namespace mn::test {

using Floats = std::vector<float>;

// One op with its operands. Values are in PyTorch's order for `count` images; the node's tensors
// are NCHW and dense, its parameters plain, and the harness changes that as needed.
struct OpCase;
struct DoubleOperands;
using Doubles = std::vector<double>;

struct OpCase {
    std::string name;
    ImageNode node;
    int count = 1;
    std::vector<Floats> src;
    std::vector<Floats> param;
    Floats diff_dst;
    std::vector<int32_t> labels;  // of a loss
    bool small = true;            // finite differences are affordable
    uint64_t seed = 7, step = 3;  // of random numbers
    // The result in double precision, in the order n, c, h, w; null where double_forward has it.
    Doubles (*oracle)(const OpCase&, const DoubleOperands&) = nullptr;
};

struct OpResult {
    Floats dst;
    std::vector<Floats> diff_src;
    std::vector<Floats> diff_param;  // empty: not wanted
    std::vector<Floats> param;       // after the forward pass, which changes running statistics
    mnb_loss_result loss{};
};

// An open CPU device.
class TestDevice {
public:
    // isa: null for the strongest. Throws std::runtime_error.
    explicit TestDevice(int threads = 2, const char* isa = nullptr, uint32_t flags = 0);
    ~TestDevice();
    TestDevice(const TestDevice&) = delete;
    TestDevice& operator=(const TestDevice&) = delete;

    cpu::Device& get() const { return *reinterpret_cast<cpu::Device*>(handle_); }
    mnb_device* handle() const { return handle_; }

private:
    mnb_device* handle_ = nullptr;
};

// Names of the instruction sets of this machine that this build has kernels for.
std::vector<std::string> instruction_sets();

// What implementations(op) holds; the last is the reference.
std::vector<cpu::Implementation> list_implementations(int op);
cpu::Implementation reference_of(int op);

// A dense value, or with `gap` > 0 one with so many unused elements after each row and image;
// `flat` for features, which have one pixel.
ImageView make_tensor(int64_t c, int64_t h, int64_t w, bool flat, int32_t layout, int64_t gap = 0);
WeightView make_param(int32_t role, int32_t layout, int64_t o, int64_t i, int64_t h, int64_t w);

// Gives a node the values and parameters that its views tell of, as the core does.
void complete(ImageNode& node);

int64_t tensor_size(const ImageView& tensor);  // elements of one image

struct RunOptions {
    int32_t layout = MNB_NCHW;  // offered to the kernel
    int64_t gap = 0;
    bool training = true;     // forward (training) and backward; false: forward (inference)
    uint32_t accumulate = 0;  // bit p: add the gradient of parameter p to `accumulated`
    float accumulated = 0.5f;
};

// Nothing if an implementation does not take the node in a direction that is needed.
std::optional<OpResult> run_case(const TestDevice& device, const cpu::Implementation& forward,
                                 const cpu::Implementation& backward, const OpCase& op_case,
                                 const RunOptions& options = {});

// |a - b| / |b|, norms over all elements; infinity if the sizes differ or an element is a NaN.
double relative_error(const Floats& a, const Floats& b);

}  // namespace mn::test
