// What each operation of a plan is, does and took.

#pragma once

#include <string>
#include <vector>

#include "plan/plan.h"

namespace mn {

// See mn_profile_entry.
struct ProfileEntry {
    int32_t node = -1;
    int32_t direction = MN_PROFILE_FORWARD;
    double seconds = 0;
    int64_t flops = 0;
    int64_t bytes = 0;
    std::string name;
    std::string op;
    std::string kernel;
};

// One for each step of the plan, for `count` images in all. Entries are made before the run that
// they tell of, and get its times afterwards, which cannot fail.
std::vector<ProfileEntry> step_entries(const Plan& plan);
void add_times(std::vector<ProfileEntry>& entries, const Plan& plan, const Graph& graph,
               const StepTimes& times, int64_t count);
// Of rebuilding what the plan derives from parameters.
ProfileEntry refresh_entry(const Plan& plan);
// Of the optimizer.
ProfileEntry update_entry(const ParameterStore& store);

}  // namespace mn
