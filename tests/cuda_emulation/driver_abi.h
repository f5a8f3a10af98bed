// The part of the CUDA driver API's binary interface that the stand-in libcuda implements, by the
// documentation and without the toolkit. Where the toolkit is present, abi_check.cpp compares.

#pragma once

#include <cstddef>
#include <cstdint>

namespace mn::emulation {

// CUresult
enum Result : int {
    kSuccess = 0,
    kInvalidValue = 1,
    kOutOfMemory = 2,
    kNotInitialized = 3,
    kNoDevice = 100,
    kInvalidDevice = 101,
    kInvalidImage = 200,
    kInvalidContext = 201,
    kNoBinaryForGpu = 209,
    kInvalidHandle = 400,
    kNotFound = 500,
    kNotReady = 600,
    kIllegalAddress = 700,
    kLaunchOutOfResources = 701,
    kLaunchFailed = 719,
    kNotSupported = 801,
    kCaptureUnsupported = 900,
    kCaptureInvalidated = 901,
    kCaptureUnmatched = 903,
    kCaptureImplicit = 906,
    kCaptureWrongThread = 908,
    kUnknown = 999
};

// CUdevice_attribute
enum Attribute : int {
    kMaxThreadsPerBlock = 1,
    kMaxBlockX = 2,
    kMaxBlockY = 3,
    kMaxBlockZ = 4,
    kMaxGridX = 5,
    kMaxGridY = 6,
    kMaxGridZ = 7,
    kMaxSharedBytes = 8,
    kWarpSize = 10,
    kProcessors = 16,
    kUnifiedAddressing = 41,
    kThreadsPerProcessor = 39,
    kComputeMajor = 75,
    kComputeMinor = 76
};

// CUstream_flags, CUevent_flags, CUstreamCaptureMode, CUstreamCaptureStatus
enum : unsigned { kStreamDefault = 0, kStreamNonBlocking = 1 };
enum : unsigned { kEventDisableTiming = 2, kEventFlags = 7 };
enum CaptureMode : int { kCaptureGlobal = 0, kCaptureThreadLocal = 1, kCaptureRelaxed = 2 };
enum CaptureStatus : int { kCaptureNone = 0, kCaptureActive = 1, kCaptureStatusInvalidated = 2 };

using DevicePointer = unsigned long long;

}  // namespace mn::emulation
