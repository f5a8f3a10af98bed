// Seconds by a clock that never goes back.

#pragma once

#include <chrono>

namespace mn {

class StopWatch {
public:
    // Since the last lap, or since it was made.
    double lap() {
        const auto now = Clock::now();
        const std::chrono::duration<double> passed = now - since_;
        since_ = now;
        return passed.count();
    }

private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point since_ = Clock::now();
};

}  // namespace mn
