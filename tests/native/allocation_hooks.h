// This program's operator new counts its calls, and can be made to fail.

#pragma once

#include <cstdint>

namespace mn::test {

// Calls of operator new so far, in all threads.
int64_t allocation_count();

// For as long as it lives, the allocation number `first` from now on (0: the next one) fails, once,
// in whatever thread.
class FailingAllocation {
public:
    explicit FailingAllocation(int64_t first);
    ~FailingAllocation();
    FailingAllocation(const FailingAllocation&) = delete;
    FailingAllocation& operator=(const FailingAllocation&) = delete;

    bool has_failed() const;
};

}  // namespace mn::test
