# Sourced by run.sh --all: what is built for other platforms runs where Debian has something to run it on. macOS and
# Windows on Arm have nothing: those libraries are only inspected.
# shellcheck shell=bash disable=SC2154

suite() { cmake -DPRESET="$1" -DTARGETS=mn_native_tests,mn_c_abi_test -P native/cmake/build.cmake; }
tests_of() { echo "artifacts/native/$1/tests/native/mn_native_tests"; }

# emulated NAME TOOL PRESET COMMAND...
emulated() {
    local name=$1 tool=$2 preset=$3
    shift 3
    if [ ! -x "$(command -v "$tool")" ]; then
        skip "$name" "$tool is not installed"
        return
    fi
    check "$preset: builds the native tests" suite "$preset"
    check "$name" "$@"
}

export WINEPREFIX="$scratch/wine" WINEDEBUG=-all
wine=/usr/lib/wine/wine64
windows_consumer() {
    publish windows -r win-x64 --self-contained && (cd "$work/windows" && "$wine" consumer.exe "Z:${work//\//\\}\\out")
}

emulated "win-x64: native tests under wine" "$wine" win-x64 \
    quietly "$wine" "$(tests_of win-x64).exe" --gtest_brief=1
if [ -x "$wine" ]; then
    check "win-x64: a self-contained consumer under wine" windows_consumer
else
    skip "win-x64: a self-contained consumer under wine" "wine64 is not installed"
fi

# The CUDA plugin, as far as there being no driver. The console has not all letters of the folder's name.
cuda_under_wine() {
    cuda_publish windows -r win-x64 --self-contained && cd "$cuda/windows" && finds_plugin "Z:${scratch//\//\\}" "$wine" cuda_consumer.exe
}
if [ -e "$cuda_package" ]; then
    check "win-x64: exports and dependencies of the CUDA plugin" inspect_cuda_windows
    if [ -x "$wine" ]; then
        check "win-x64: finds the CUDA plugin under wine" cuda_under_wine
    else
        skip "win-x64: finds the CUDA plugin under wine" "wine64 is not installed"
    fi
fi

# Emulated arithmetic is exact but some fifty times as slow.
emulated "linux-arm64: native tests under qemu" qemu-aarch64-static linux-arm64 \
    quietly qemu-aarch64-static -L /usr/aarch64-linux-gnu "$(tests_of linux-arm64)" --gtest_brief=1
# zig links such programs statically to musl; the C ABI's test loads the library through musl's own loader.
emulated "linux-musl-x64: native tests" /lib/ld-musl-x86_64.so.1 linux-musl-x64 \
    quietly "$(tests_of linux-musl-x64)" --gtest_brief=1
emulated "linux-musl-x64: the library under musl's loader" /lib/ld-musl-x86_64.so.1 linux-musl-x64 \
    quietly /lib/ld-musl-x86_64.so.1 artifacts/native/linux-musl-x64/tests/native/mn_c_abi_test
emulated "linux-x64: native tests on a processor without AVX" qemu-x86_64-static linux-x64 \
    quietly qemu-x86_64-static -cpu Nehalem "$(tests_of linux-x64)" --gtest_brief=1
