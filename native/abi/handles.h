// Handles are (type, generation, slot), looked up in a table; never addresses. A call holds a
// reference for as long as it runs, so an object destroyed meanwhile ends when the call does.

#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "abi/guard.h"
#include "plan/trainer.h"

namespace mn::abi {

struct GraphObject {
    std::mutex mutex;
    Graph graph;
};

// A trainer is used by one thread at a time; its own state is guarded by its model's lock.
enum class HandleType : uint32_t { kDevice = 1, kGraph, kDataset, kModel, kTrainer };

template <typename T>
struct HandleTraits;
template <>
struct HandleTraits<Device> {
    static constexpr HandleType type = HandleType::kDevice;
    static constexpr const char* name = "device";
};
template <>
struct HandleTraits<GraphObject> {
    static constexpr HandleType type = HandleType::kGraph;
    static constexpr const char* name = "graph";
};
template <>
struct HandleTraits<Dataset> {
    static constexpr HandleType type = HandleType::kDataset;
    static constexpr const char* name = "dataset";
};
template <>
struct HandleTraits<Model> {
    static constexpr HandleType type = HandleType::kModel;
    static constexpr const char* name = "model";
};
template <>
struct HandleTraits<Trainer> {
    static constexpr HandleType type = HandleType::kTrainer;
    static constexpr const char* name = "trainer";
};

class HandleTable {
public:
    static HandleTable& instance();

    // Makes an object and its handle. The place in the table comes first: once the object is there,
    // nothing can fail.
    template <typename T, typename... Arguments>
    uint64_t make(Arguments&&... arguments) {
        Place place(*this);
        return place.fill(std::make_shared<T>(std::forward<Arguments>(arguments)...),
                          HandleTraits<T>::type);
    }

    template <typename T>
    std::shared_ptr<T> get(uint64_t handle) {
        return std::static_pointer_cast<T>(
            find(handle, HandleTraits<T>::type, HandleTraits<T>::name, false));
    }

    // The handle is stale from here on.
    template <typename T>
    std::shared_ptr<T> remove(uint64_t handle) {
        return std::static_pointer_cast<T>(
            find(handle, HandleTraits<T>::type, HandleTraits<T>::name, true));
    }

private:
    struct Slot {
        uint32_t generation = 1;
        HandleType type{};
        std::shared_ptr<void> object;
    };

    // A free slot, given back unless it is filled.
    class Place {
    public:
        explicit Place(HandleTable& table);
        ~Place();
        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;
        uint64_t fill(std::shared_ptr<void> object, HandleType type) noexcept;

    private:
        HandleTable& table_;
        uint32_t index_;
        bool filled_ = false;
    };

    std::shared_ptr<void> find(uint64_t handle, HandleType type, const char* name, bool remove);

    std::mutex mutex_;
    std::vector<Slot> slots_;
    std::vector<uint32_t> free_;
};

template <typename T>
std::shared_ptr<T> get(uint64_t handle) {
    return HandleTable::instance().get<T>(handle);
}

}  // namespace mn::abi
