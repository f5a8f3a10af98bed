#include "abi/handles.h"

namespace mn::abi {
namespace {

constexpr int kTypeShift = 56;
constexpr int kGenerationShift = 32;
constexpr uint32_t kMaxGeneration = 0xFFFFFF;

}  // namespace

HandleTable& HandleTable::instance() {
    // Never destroyed: other threads may be in a call while the process ends.
    static HandleTable& table = *new HandleTable;
    return table;
}

uint64_t HandleTable::add(std::shared_ptr<void> object, HandleType type) {
    std::lock_guard lock(mutex_);
    if (free_.empty()) {
        slots_.emplace_back();
        free_.reserve(slots_.size());  // so that a removal cannot fail
        free_.push_back(static_cast<uint32_t>(slots_.size() - 1));
    }
    const uint32_t index = free_.back();
    free_.pop_back();
    Slot& slot = slots_[index];
    slot.type = type;
    slot.object = std::move(object);
    return uint64_t{static_cast<uint32_t>(type)} << kTypeShift |
           uint64_t{slot.generation} << kGenerationShift | index;
}

std::shared_ptr<void> HandleTable::find(uint64_t handle, HandleType type, const char* name,
                                        bool remove) {
    if (handle == 0) fail(MN_INVALID_HANDLE, "the ", name, " handle is null");
    std::lock_guard lock(mutex_);
    const uint32_t index = static_cast<uint32_t>(handle);
    const uint32_t generation = static_cast<uint32_t>(handle >> kGenerationShift) & kMaxGeneration;
    if (handle >> kTypeShift != static_cast<uint32_t>(type) || index >= slots_.size())
        fail(MN_INVALID_HANDLE, "the handle is not that of a ", name);
    Slot& slot = slots_[index];
    if (!slot.object || slot.generation != generation || slot.type != type)
        fail(MN_INVALID_HANDLE, "the ", name, " has been destroyed");
    if (!remove) return slot.object;
    slot.generation = slot.generation == kMaxGeneration ? 1 : slot.generation + 1;
    free_.push_back(index);
    return std::move(slot.object);
}

}  // namespace mn::abi
