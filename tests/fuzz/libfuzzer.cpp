// The entry that libFuzzer calls.

#include "abi_program.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    mn::fuzz::run_input(data, size, 1);
    return 0;
}
