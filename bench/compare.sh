#!/usr/bin/env bash
# MnistNative against TorchSharp (training, and inference of the large networks) and ONNX Runtime (inference of the
# small ones), taken in turns: rounds of one program, then the other, and the median of the rounds as a row of Markdown.
#
# usage: bench/compare.sh [--rounds N] [--data DIR] [ROW...]
# A row is network:batch:mode as seed:64:training, or "train" for the wall time of `train --epochs 2` on the MNIST files
# in DIR; without rows, all of docs/performance.md. TorchSharp needs a C++ runtime with GLIBCXX_3.4.32 (Debian 13,
# Ubuntu 24.04): MNISTNATIVE_PEERS names another command that runs MnistNative.Peers, as one in a container, and
# MNISTNATIVE_PEERS_DATA the folder of the files as that command sees it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rounds=5
data=""
rows=()
while [ $# -gt 0 ]; do
    case $1 in
        --rounds) rounds=$2; shift 2 ;;
        --data) data=$2; shift 2 ;;
        -*) echo "compare.sh: unknown option $1" >&2; exit 2 ;;
        *) rows+=("$1"); shift ;;
    esac
done
if [ ${#rows[@]} -eq 0 ]; then
    for network in seed:64 seed:256 tower:64 simplecnn:64 resnet18:16 vgg16:4 mobilenetv1:16; do
        rows+=("$network:training")
    done
    for network in seed:1 seed:64 seed:256 tower:64 resnet18:16 vgg16:4 mobilenetv1:16; do
        rows+=("$network:inference")
    done
    [ -z "$data" ] || rows+=(train)
fi

dotnet build managed/MnistNative.Cli -c Release -v quiet -clp:NoSummary >&2
ours=(dotnet managed/MnistNative.Cli/bin/Release/net10.0/MnistNative.Cli.dll)
if [ -n "${MNISTNATIVE_PEERS:-}" ]; then
    read -ra torch <<<"$MNISTNATIVE_PEERS"
fi
if [ -z "${MNISTNATIVE_PEERS:-}" ] || [[ " ${rows[*]} " =~ (seed|tower):[0-9]+:inference ]]; then
    dotnet build bench/MnistNative.Peers -c Release -v quiet -clp:NoSummary >&2
fi
onnx=(dotnet bench/MnistNative.Peers/bin/Release/net10.0/MnistNative.Peers.dll)
[ -n "${MNISTNATIVE_PEERS:-}" ] || torch=("${onnx[@]}")

median() { sort -g | awk '{ values[NR] = $1 } END { print values[int((NR + 1) / 2)] }'; }

# seconds COMMAND...: wall time from the start of the process to its end.
seconds() {
    local start=$EPOCHREALTIME
    "$@" >/dev/null
    awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f\n", b - a }'
}

our_rate() { # network batch mode
    "${ours[@]}" bench --device cpu --network "$1" --batch-size "$2" --mode "$3" --json |
        sed "s/.*\"${3:0:5}_images_per_second\":\([0-9.]*\).*/\1/"
}

echo "| work | batch | MnistNative | peer | ratio |"
echo "| --- | --- | --- | --- | --- |"
for row in "${rows[@]}"; do
    our_values=""
    peer_values=""
    IFS=: read -r network batch mode <<<"$row"
    for ((round = 0; round < rounds; round++)); do
        if [ "$row" = train ]; then
            our_values+="$(seconds "${ours[@]}" train --device cpu --epochs 2 --dataset mnist --data "${data:?--data DIR is needed}")"$'\n'
            peer_values+="$(seconds "${torch[@]}" train --epochs 2 --data "${MNISTNATIVE_PEERS_DATA:-$data}")"$'\n'
            continue
        fi
        our_values+="$(our_rate "$network" "$batch" "$mode")"$'\n'
        case $mode:$network in
            inference:seed | inference:tower)
                peer_values+="$("${onnx[@]}" onnxruntime --network "$network" --batch-size "$batch")"$'\n' ;;
            *)
                peer_values+="$("${torch[@]}" torchsharp --network "$network" --batch-size "$batch" --mode "$mode")"$'\n' ;;
        esac
    done
    our_median=$(printf %s "$our_values" | median)
    peer_median=$(printf %s "$peer_values" | median)
    if [ "$row" = train ]; then
        awk -v a="$our_median" -v b="$peer_median" \
            'BEGIN { printf "| `train --epochs 2`, whole command | 64 | %s s | %s s | %.2f |\n", a, b, b / a }'
    else
        awk -v n="$network, $mode" -v batch="$batch" -v a="$our_median" -v b="$peer_median" \
            'BEGIN { printf "| %s | %s | %.1f images/s | %.1f images/s | %.2f |\n", n, batch, a, b, a / b }'
    fi
done
