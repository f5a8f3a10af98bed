#!/usr/bin/env bash
# The project's commands. Everything that it does is a preset of CMake or a command of dotnet.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
    cat <<'EOF'
usage: ./build.sh VERB [arguments of the command behind it]

  build          the native library and all projects
  test           all tests, native ones included
  pack           the packages, into artifacts/packages; --rids linux-x64,win-x64 only for these platforms
  native PRESET  one CMake preset: release, debug, asan-ubsan, tsan, fuzz, or a platform as linux-musl-arm64
  asan           the native tests under the address and undefined-behaviour sanitizers
  tsan           the native tests under the thread sanitizer
  api            add new public members to PublicAPI.Unshipped.txt and take out what is gone
  bindings       write what follows from the C header and the table of ops (needs clang)
  cuda-report    check the CUDA backend on this computer's card, measure it, and print a report (Markdown)
  format         lay out the sources (needs clang-format)
  format-check   fail where a source is not laid out so
  clean          remove everything that was built
EOF
}

native() { cmake -DPRESET="$1" -P native/cmake/build.cmake; }

# The native libraries are cross-built by a compiler that is fetched on first use; see native/cmake/fetch_zig.cmake.
pack() {
    if [ "${1:-}" = --rids ]; then
        export MNISTNATIVE_PACKAGE_RIDS=${2//,/;}
        shift 2
    fi
    local project
    for project in MnistNative MnistNative.Models MnistNative.Cli; do
        dotnet pack "managed/$project" -c Release "$@"
    done
    # The CUDA plugin, which is for two platforms and takes a CUDA toolkit.
    if [[ ";${MNISTNATIVE_PACKAGE_RIDS:-linux-x64};" != *\;@(linux|win)-x64\;* ]]; then
        echo "MnistNative.Cuda is left out: it is for linux-x64 and win-x64."
    elif cmake -P native/cmake/find_cuda.cmake; then
        dotnet pack managed/MnistNative.Cuda -c Release "$@"
    else
        echo "MnistNative.Cuda is left out: there is no CUDA toolkit to build it with."
    fi
}

native_sources() {
    find native tests/native tests/fuzz tests/cuda_emulation docs/examples -type f \( -name '*.h' -o -name '*.c' -o -name '*.cpp' -o -name '*.cu' -o -name '*.inc' \) -print0
}

verb=${1:-}
[ $# -eq 0 ] || shift
case $verb in
    build) dotnet build MnistNative.sln "$@" ;;
    test) dotnet test MnistNative.sln "$@" ;;
    pack) pack "$@" ;;
    native) native "${1:?which preset?}" ;;
    asan) native asan-ubsan && ctest --preset asan-ubsan --parallel "$(nproc)" "$@" ;;
    tsan) native tsan && ctest --preset tsan "$@" ;;
    api)
        for project in MnistNative MnistNative.Models; do
            dotnet format analyzers "managed/$project/$project.csproj" --diagnostics RS0016 RS0017 --severity warn "$@"
        done
        ;;
    bindings) dotnet run --project managed/Bindgen -- "$@" ;;
    cuda-report)
        dotnet build tests/MnistNative.Tests -v quiet -clp:NoSummary >&2
        tests/card/report.sh "$@"
        ;;
    format)
        native_sources | xargs -0 clang-format -i
        dotnet format MnistNative.sln "$@"
        ;;
    format-check)
        status=0
        native_sources | xargs -0 clang-format --dry-run -Werror || status=1
        dotnet format MnistNative.sln --verify-no-changes "$@" || status=1
        exit $status
        ;;
    clean)
        rm -rf artifacts
        find managed tests bench -type d \( -name bin -o -name obj \) -prune -exec rm -rf {} +
        ;;
    *)
        usage >&2
        exit 2
        ;;
esac
