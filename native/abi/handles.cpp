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

HandleTable::Place::Place(HandleTable& table) : table_(table) {
    std::lock_guard lock(table.mutex_);
    if (table.free_.empty()) {
        // All slots may be given back at once: that cannot fail.
        const size_t slots = table.slots_.size() + 1;
        if (table.free_.capacity() < slots) table.free_.reserve(2 * slots);
        table.slots_.emplace_back();
        table.free_.push_back(static_cast<uint32_t>(slots - 1));
    }
    index_ = table.free_.back();
    table.free_.pop_back();
}

HandleTable::Place::~Place() {
    if (filled_) return;
    std::lock_guard lock(table_.mutex_);
    table_.free_.push_back(index_);
}

uint64_t HandleTable::Place::fill(std::shared_ptr<void> object, HandleType type) noexcept {
    std::lock_guard lock(table_.mutex_);
    filled_ = true;
    Slot& slot = table_.slots_[index_];
    slot.type = type;
    slot.object = std::move(object);
    return uint64_t{static_cast<uint32_t>(type)} << kTypeShift |
           uint64_t{slot.generation} << kGenerationShift | index_;
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
