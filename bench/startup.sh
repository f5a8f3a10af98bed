#!/usr/bin/env bash
# From the start of the process to its first prediction, and the memory that it holds then: MnistNative with the JIT and
# as native AOT, TorchSharp and ONNX Runtime with the JIT. The programs take turns; prints the medians as Markdown.
#
# usage: bench/startup.sh [--rounds N] [--no-build]
# MNISTNATIVE_PEERS names another command that runs MnistNative.Peers, as in compare.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rounds=7
build=yes
while [ $# -gt 0 ]; do
    case $1 in
        --rounds) rounds=$2; shift 2 ;;
        --no-build) build=""; shift ;;
        *) echo "startup.sh: unknown option $1" >&2; exit 2 ;;
    esac
done

out=artifacts/startup
if [ "$build" ]; then
    options=(-c Release -v quiet -clp:NoSummary)
    dotnet publish bench/MnistNative.StartUp "${options[@]}" -o $out/jit >&2
    dotnet publish bench/MnistNative.StartUp "${options[@]}" -o $out/aot -r linux-x64 -p:PublishAot=true \
        -p:CppCompilerAndLinker="$(command -v clang || command -v gcc)" >&2
    [ -n "${MNISTNATIVE_PEERS:-}" ] || dotnet build bench/MnistNative.Peers "${options[@]}" >&2
fi
peers=(dotnet bench/MnistNative.Peers/bin/Release/net10.0/MnistNative.Peers.dll)
[ -z "${MNISTNATIVE_PEERS:-}" ] || read -ra peers <<<"$MNISTNATIVE_PEERS"

names=("MnistNative, native AOT" "MnistNative, JIT" "ONNX Runtime, JIT" "TorchSharp, JIT")
# start PROGRAM: prints milliseconds and KiB.
start() {
    local begin=$EPOCHREALTIME answer
    case $1 in
        0) answer=$($out/aot/MnistNative.StartUp) ;;
        1) answer=$(dotnet $out/jit/MnistNative.StartUp.dll) ;;
        2) answer=$("${peers[@]}" first-prediction onnxruntime) ;;
        3) answer=$("${peers[@]}" first-prediction torchsharp) ;;
    esac
    [ -n "$answer" ] || return 1
    awk -v begin="$begin" '{ printf "%.1f %d\n", $1 - begin * 1000, $2 }' <<<"$answer"
}

declare -a seen
for ((round = 0; round <= rounds; round++)); do
    for program in "${!names[@]}"; do
        line=$(start "$program")
        # The first round only warms the file cache.
        [ $round -eq 0 ] || seen[program]+="$line"$'\n'
    done
done

median() { cut -d' ' -f"$1" | sort -g | awk '{ values[NR] = $1 } END { print values[int((NR + 1) / 2)] }'; }
echo "| program | first prediction | memory |"
echo "| --- | ---: | ---: |"
for program in "${!names[@]}"; do
    awk -v name="${names[program]}" -v ms="$(printf %s "${seen[program]}" | median 1)" \
        -v kib="$(printf %s "${seen[program]}" | median 2)" \
        'BEGIN { printf "| %s | %.0f ms | %.0f MB |\n", name, ms, kib * 1024 / 1e6 }'
done
