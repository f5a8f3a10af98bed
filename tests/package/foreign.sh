# Sourced by run.sh --all: what is built for other platforms runs where Debian has something to run it on. macOS and
# Windows on Arm have nothing: those libraries are only inspected.
# shellcheck shell=bash disable=SC2154

suite() { cmake -DPRESET="$1" -DTARGETS=mn_native_tests,mn_c_abi_test -P native/cmake/build.cmake; }
tests_of() { echo "artifacts/native/$1/tests/native/mn_native_tests"; }
c_test_of() { echo "artifacts/native/$1/tests/native/mn_c_abi_test"; }

# whole COMMAND...: the native tests in as many processes as there are processors; prints how many passed, and why
# one was skipped.
whole() {
    local processes shard running=() status=0
    processes=$(nproc)
    for ((shard = 0; shard < processes; shard++)); do
        GTEST_TOTAL_SHARDS=$processes GTEST_SHARD_INDEX=$shard "$@" --gtest_brief=1 >"$scratch/shard$shard" 2>&1 &
        running+=($!)
    done
    for shard in "${running[@]}"; do
        wait "$shard" || status=1
    done
    if [ $status -ne 0 ]; then
        cat "$scratch"/shard*
    else
        awk '/^\[  PASSED  \]/ { passed += $4 }
            /: Skipped/ { getline; reasons[$0]++ }
            END {
                print passed " tests passed"
                for (reason in reasons) print reasons[reason] " skipped: " reason
                exit passed == 0
            }' "$scratch"/shard* || status=1
    fi
    rm -f "$scratch"/shard*
    return $status
}

last_line() {
    local output
    output=$("$@" 2>&1) || { echo "$output"; return 1; }
    tail -n 1 <<<"$output" | tr -d '\r'
}

# emulated NAME TOOL PRESET COMMAND...
built=""
emulated() {
    local name=$1 tool=$2 preset=$3
    shift 3
    if [ ! -x "$(command -v "$tool")" ]; then
        skip "$name" "$tool is not installed"
        return
    fi
    [[ $built == *" $preset "* ]] || check "$preset: builds the native tests" suite "$preset"
    built+=" $preset "
    check "$name" "$@"
}

export WINEPREFIX="$scratch/wine" WINEDEBUG=-all
wine=/usr/lib/wine/wine64
windows_consumer() {
    publish windows -r win-x64 --self-contained && (cd "$work/windows" && "$wine" consumer.exe "Z:${work//\//\\}\\out")
}

emulated "win-x64: native tests under wine" "$wine" win-x64 whole "$wine" "$(tests_of win-x64).exe"
# The package's consumer must not find the library so.
emulated "win-x64: the C ABI's test under wine" "$wine" win-x64 \
    last_line env WINEPATH="Z:$repository/artifacts/native/win-x64" "$wine" "$(c_test_of win-x64).exe"
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
arm=(qemu-aarch64-static -L /usr/aarch64-linux-gnu)
emulated "linux-arm64: native tests under qemu" qemu-aarch64-static linux-arm64 whole "${arm[@]}" "$(tests_of linux-arm64)"
emulated "linux-arm64: the C ABI's test under qemu" qemu-aarch64-static linux-arm64 \
    last_line "${arm[@]}" "$(c_test_of linux-arm64)"
# .NET needs a C++ library, too.
arm_consumer() {
    publish arm -r linux-arm64 --self-contained && "${arm[@]}" "$work/arm/consumer" "$work/out"
}
if [ -x "$(command -v qemu-aarch64-static)" ] && [ -e /usr/aarch64-linux-gnu/lib/libstdc++.so.6 ]; then
    check "linux-arm64: a self-contained consumer under qemu" arm_consumer
else
    skip "linux-arm64: a self-contained consumer under qemu" "qemu-user-static or libstdc++6-arm64-cross is not installed"
fi
musl=/lib/ld-musl-x86_64.so.1
emulated "linux-musl-x64: native tests on musl" $musl linux-musl-x64 whole $musl "$(tests_of linux-musl-x64)"
emulated "linux-musl-x64: the C ABI's test on musl" $musl linux-musl-x64 last_line $musl "$(c_test_of linux-musl-x64)"
# What a processor of 2008 knows.
old=(qemu-x86_64-static -cpu Nehalem)
emulated "linux-x64: native tests on a processor without AVX" qemu-x86_64-static linux-x64 \
    whole "${old[@]}" "$(tests_of linux-x64)" --gtest_filter=-CpuFeatures.AgreeWithTheKernel
skip "CpuFeatures.AgreeWithTheKernel on it" "/proc/cpuinfo names what the real processor knows"
emulated "linux-x64: the C ABI's test on a processor without AVX" qemu-x86_64-static linux-x64 \
    last_line "${old[@]}" "$(c_test_of linux-x64)"
# The same library on this processor, which is what most have.
check "linux-x64: native tests" whole "$(tests_of linux-x64)"
