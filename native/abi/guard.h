// What every function of the C ABI goes through: no exception leaves, the text of a failure is
// kept for the thread, the caller's floating-point mode is put aside, structs are taken by their
// size.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "graph/float_mode.h"
#include "graph/graph.h"

namespace mn::abi {

void keep_error(const mn_error_info& info, const char* text) noexcept;

template <typename Body>
mn_status guard(Body&& body) noexcept {
    const FloatMode mode(FloatMode::kCompute);
    mn_error_info info = {sizeof info, MN_INTERNAL, MN_REASON_NONE, 0, 0, 0};
    try {
        body();
        return MN_OK;
    } catch (const Error& error) {
        info = error.info();
        keep_error(info, error.what());
    } catch (const std::bad_alloc&) {
        info.status = MN_OUT_OF_MEMORY;
        keep_error(info, "out of host memory");
    } catch (const std::exception& error) {
        keep_error(info, error.what());
    } catch (...) {
        keep_error(info, "unknown failure");
    }
    return info.status;
}

template <typename T>
void require(const T* pointer, const char* name) {
    if (!pointer) fail(MN_INVALID_ARGUMENT, name, " must not be null");
}

// The bytes of a struct in the first version of the interface; a caller's is not smaller. Structs
// that have grown since are listed below with the first field that is new.
template <typename T>
constexpr uint32_t first_size = sizeof(T);

#define MN_HAS_GROWN(type, field) \
    template <>                   \
    inline constexpr uint32_t first_size<type> = offsetof(type, field);

MN_HAS_GROWN(mn_activation_desc, alpha)
MN_HAS_GROWN(mn_batch, output_gradients)
MN_HAS_GROWN(mn_conv2d_desc, one_dimensional)
MN_HAS_GROWN(mn_device_info, device_count)
MN_HAS_GROWN(mn_loss_desc, ignore_index)
MN_HAS_GROWN(mn_memory_plan, compile_nanoseconds)
MN_HAS_GROWN(mn_model_desc, precision)
MN_HAS_GROWN(mn_node_info, desc_size)
MN_HAS_GROWN(mn_optimizer_desc, amsgrad)
MN_HAS_GROWN(mn_pool2d_desc, dilation_h)
MN_HAS_GROWN(mn_trainer_desc, options)

#undef MN_HAS_GROWN

// A caller that is newer may have grown a struct by this much; a size beyond is a mistake.
constexpr uint32_t kMostGrowth = 512;

// The first field of a struct. In an array of a caller's with other sizes it may lie anywhere.
inline uint32_t size_of(const void* value) {
    uint32_t size;
    std::memcpy(&size, value, sizeof size);
    return size;
}

template <typename T>
void require_size(const T* value, const char* name) {
    require(value, name);
    const uint32_t size = size_of(value);
    if (size < first_size<T> || size > sizeof(T) + kMostGrowth)
        fail(MN_INVALID_ARGUMENT, name, "->struct_size must be ", sizeof(T), ", or ", first_size<T>,
             " to ", sizeof(T) + kMostGrowth, " of another version, got ", size);
}

// A copy of a struct that the caller gives. Fields that an older caller does not have are 0; those
// of a newer one that this library does not know must be.
template <typename T>
T take(const T* value, const char* name) {
    require_size(value, name);
    const uint32_t size = size_of(value);
    const auto* bytes = reinterpret_cast<const unsigned char*>(value);
    for (uint32_t i = sizeof(T); i < size; i++)
        if (bytes[i])
            fail(MN_INVALID_ARGUMENT, name, "->struct_size is ", size, ", and a field beyond the ",
                 sizeof(T), " bytes that this library knows is not 0");
    T result{};
    std::memcpy(&result, bytes, std::min<size_t>(size, sizeof(T)));
    result.struct_size = sizeof(T);
    return result;
}

// An element of an array whose structs are as large as the first says.
template <typename T>
const T* element_of(const T* first, int32_t i) {
    return reinterpret_cast<const T*>(reinterpret_cast<const unsigned char*>(first) +
                                      static_cast<size_t>(i) * size_of(first));
}

template <typename T>
void require_sizes(const T* first, int32_t count, const char* name) {
    for (int32_t i = 0; i < count; i++) {
        require_size(element_of(first, i), name);
        if (size_of(element_of(first, i)) != size_of(first))
            fail(MN_INVALID_ARGUMENT, name, "->struct_size must be that of the first, ",
                 size_of(first), ", got ", size_of(element_of(first, i)));
    }
}

// Elements of an array that the caller gives, as this library knows them: its own where they are of
// this size, else copies in `copies`.
template <typename T>
const T* take_array(const T* first, int32_t count, const char* name, std::vector<T>& copies) {
    if (count < 1) return first;
    require_sizes(first, count, name);
    if (size_of(first) == sizeof(T)) return first;
    copies.resize(static_cast<size_t>(count));
    for (int32_t i = 0; i < count; i++)
        copies[static_cast<size_t>(i)] = take(element_of(first, i), name);
    return copies.data();
}

// Flags that this library does not know are refused, not ignored.
inline void require_flags(uint32_t flags, uint32_t known, const char* name) {
    if (flags & ~known)
        fail(MN_INVALID_ARGUMENT, name, " has bits that are no flag: ", flags & ~known);
}

// Fills a struct of the caller's, which says how large it is.
template <typename T>
void give(T* out, const T& value) {
    const uint32_t size = size_of(out);
    auto* bytes = reinterpret_cast<unsigned char*>(out);
    std::memcpy(bytes, &value, std::min<size_t>(size, sizeof(T)));
    if (size > sizeof(T)) std::memset(bytes + sizeof(T), 0, size - sizeof(T));
    std::memcpy(bytes, &size, sizeof size);
}

inline void copy_name(char (&to)[MN_NAME_CAPACITY], const std::string& from) {
    std::memset(to, 0, sizeof to);
    std::memcpy(to, from.data(), from.size() < sizeof to ? from.size() : sizeof to - 1);
}

inline mn_parameter_info describe(const GraphParameter& parameter, int32_t id) {
    mn_parameter_info info{};
    info.trainable = parameter.spec.trainable;
    info.node = parameter.node;
    info.id = id;
    info.shape = parameter.spec.shape;
    info.count = element_count(parameter.spec.shape);
    copy_name(info.name, parameter.name);
    return info;
}

}  // namespace mn::abi
