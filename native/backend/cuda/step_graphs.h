// Runs of a plan as CUDA graphs. The first run of a kind launches its kernels one by one, which
// loads what is loaded late; the second is recorded; from the third on one launch replays all of
// it. What changes from run to run is on the device, where kernels put it ahead of the graph: see
// Kernel::prepare. A kind that cannot be recorded is launched kernel by kernel for good, and the
// log says why.

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/api.h"

namespace mn::cuda {

class Device;
class Kernel;

class StepGraphs {
public:
    // Without `enabled` everything is launched kernel by kernel.
    StepGraphs(Device& device, const Driver& driver, bool enabled)
        : device_(device), driver_(driver), enabled_(enabled) {}

    void begin(const mnb_sequence& sequence, CUstream stream);
    void run(Kernel& kernel, const mnb_run& run);
    // `complete`: all kernels of the sequence were run.
    void end(bool complete);
    void forget(uint64_t owner);

    bool recording() const { return mode_ == Mode::kRecording; }
    // Copies to the device ahead of the graph that is being recorded.
    void copy_ahead(void* dst, const void* src, size_t bytes);

private:
    // Kinds of one owner; beyond that the one that was not used for longest goes.
    static constexpr size_t kMostOfOne = 8;

    enum class Mode { kPlain, kRecording, kReplaying };

    // The owner, then all else that a graph depends on.
    using Key = std::vector<uint64_t>;
    struct Recording {
        CUgraphExec graph = nullptr;
        bool refused = false;
        uint64_t last_use = 0;
    };
    using Recordings = std::map<Key, Recording>;
    struct Run {
        Kernel* kernel;
        mnb_run run;
    };
    struct Copy {
        void* dst;
        std::vector<char> bytes;
    };

    Recordings::iterator first_of(uint64_t owner) { return recordings_.lower_bound({owner}); }
    void make_room(uint64_t owner);
    void finish();
    void give_up(const std::string& reason);
    CUgraph end_capture(CUresult& result);
    void copy_now();

    Device& device_;
    const Driver& driver_;
    const bool enabled_;
    CUstream stream_ = nullptr;
    Mode mode_ = Mode::kPlain;
    Recordings recordings_;
    Recording* current_ = nullptr;
    uint64_t uses_ = 0;
    Key key_;
    std::vector<Run> runs_;     // of the recording under way
    std::vector<Copy> copies_;  // likewise
};

}  // namespace mn::cuda
