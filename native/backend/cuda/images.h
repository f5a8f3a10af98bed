// The kernels' machine code and PTX, embedded by the build: one image a .cu file.

#pragma once

namespace mn::cuda {

struct Image {
    const char* name;
    const unsigned char* data;
};

// Ends with a name that is null.
extern const Image kImages[];

}  // namespace mn::cuda
