// Programs of calls of the C ABI, read from bytes: networks of all ops, batches, data sets,
// training and parameters, most of them right and some of them absurd, with handles that are stale,
// foreign or made up, and memory that fails.

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "mnistnative.h"

namespace mn::fuzz {

// What a model was made of, so that its batches fit.
struct Notes {
    double cost = 0;  // multiplications and values of one image, about
    int32_t inputs[4] = {};
    int64_t input_sizes[4] = {};
    int32_t input_count = 0;
    int32_t outputs[3] = {};
    int64_t output_sizes[3] = {};
    int32_t output_count = 0;
    int32_t max_batch = 0;  // of a trainer
    int32_t loss_kind = 0, loss_node = 0;
    int64_t loss_size = 0;
};

// The objects of a run. Two threads may share them: a handle that one destroys the other still
// uses.
class Objects {
public:
    static constexpr size_t kEach = 3;
    struct Slot {
        std::atomic<uint64_t> handle{0};
        Notes notes;  // guarded by the mutex
    };
    std::array<Slot, kEach> devices, graphs, datasets, models, trainers;

    Notes notes(Slot& slot) {
        std::lock_guard lock(mutex_);
        return slot.notes;
    }
    void note(Slot& slot, const Notes& notes) {
        std::lock_guard lock(mutex_);
        slot.notes = notes;
    }

    // Memory that a data set may still read.
    struct Lent {
        std::vector<float> images;
        std::vector<int32_t> labels;
    };
    Lent& lend() {
        std::lock_guard lock(mutex_);
        lent_.push_back(std::make_unique<Lent>());
        return *lent_.back();
    }

    // Everything but the first device is given back. False if the library still holds memory then.
    bool close();

private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<Lent>> lent_;
};

// How many calls were made and how they ended, in all runs.
struct Totals {
    std::atomic<int64_t> calls{0}, failed_allocations{0}, forwards{0}, steps{0}, models{0};
    std::array<std::atomic<int64_t>, 10> by_status{};
};
Totals& totals();

// Runs the calls that the bytes stand for. Ends the process with a text where the library breaks
// its word. `role` 1 is the second of two threads, which leaves trainers to the first; with
// `may_fail`, allocations fail now and then.
void run_program(const uint8_t* data, size_t size, Objects& objects, int role, bool may_fail);

// Runs one input: as one program, or with two threads, which begin with what its first third made.
// All inputs of a process have the same number of threads, and share a device.
void run_input(const uint8_t* data, size_t size, int threads);

}  // namespace mn::fuzz
