#!/usr/bin/env bash
# Checks the CUDA backend on this computer's card against the CPU, measures both, and prints a report as Markdown.
# Exits with 0 if every check passed. "./build.sh cuda-report" builds what this needs and calls it.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

usage() {
    cat <<'EOF'
usage: report.sh [option VALUE]...

  --tests DIR      folder of the built MnistNative.Tests
  --network NAME   what is trained and measured: seed
  --epochs N       epochs of training: 3
  --batch-size N   images in a step: 64
  --steps N        steps of each measured run; 0 takes as many as fill a second: 0
  --data DIR       folder with MNIST's files; else MNIST where it can be had, else drawn digits
  --ops FILTER     only these native tests, as GoogleTest filters them: *
  --cases NAME     only managed tests of such names, with * at either end: *
EOF
}

tests="$root/tests/MnistNative.Tests/bin/Debug/net10.0"
network=seed epochs=3 batch=64 steps=0 ops='*' cases='*'
data=(--dataset auto)
while [ $# -gt 0 ]; do
    case $1 in
        --tests) tests=${2:?} ;;
        --network) network=${2:?} ;;
        --epochs) epochs=${2:?} ;;
        --batch-size) batch=${2:?} ;;
        --steps) steps=${2:?} ;;
        --data) data=(--dataset mnist --data "${2:?}") ;;
        --ops) ops=${2:?} ;;
        --cases) cases=${2:?} ;;
        *)
            usage >&2
            exit 2
            ;;
    esac
    shift 2
done

export MNISTNATIVE_TEST_CARD=1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

mnistnative() { dotnet "$tests/MnistNative.Cli.dll" "$@"; }

# field NAME FILE: of the last JSON line.
field() { tail -n 1 "$2" | sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p"; }

# attribute NAME: of an XML tag on standard input.
attribute() { sed -n "s/.* $1=\"\([^\"]*\)\".*/\1/p"; }

# count WHAT PASSED FAILED SKIPPED: a line of the table; no test at all is a failure.
count() {
    echo "| $1 | ${2:-0} | ${3:-0} | ${4:-0} |"
    [ "${3:-1}" -eq 0 ] && [ "${2:-0}" -gt 0 ] || status=1
}

echo "# The CUDA backend on this computer"
echo
if ! mnistnative info --json >"$scratch/info" 2>&1 || [ "$(field available "$scratch/info")" != true ]; then
    echo "There is no card that can be used: $(field message "$scratch/info")"
    exit 1
fi
mnistnative info | sed 's/^/- /'
grep -q '"name":"Emulated' "$scratch/info" && echo "- **This card is emulated: the times below mean nothing.**"
uname -srm | sed 's/^/- /'

echo
echo "## Correctness, against the CPU and against libtorch's numbers"
echo
echo "| checks | passed | failed | skipped |"
echo "| --- | ---: | ---: | ---: |"
"$root/artifacts/native/release/tests/cuda_emulation/mn_cuda_plugin_tests" \
    "--gtest_filter=$ops" "--gtest_output=xml:$scratch/native.xml" >"$scratch/native.log" 2>&1
# suites WHAT PATTERN: adds up GoogleTest's suites of such names.
suites() {
    local suite all bad left passed=0 failed=0 skipped=0
    while read -r suite; do
        all=$(attribute tests <<<"$suite") bad=$(attribute failures <<<"$suite") left=$(attribute skipped <<<"$suite")
        passed=$((passed + all - bad - left)) failed=$((failed + bad)) skipped=$((skipped + left))
    done < <(grep -s -E "<testsuite name=\"$2\"" "$scratch/native.xml")
    count "$1" $passed $failed $skipped
}
suites "every op, forward and backward" "[^\"]*OpTest"
suites "training with each optimizer, networks at random" "([^\"]*/TierTest|PluginTest)"
dotnet "$tests/MnistNative.Tests.dll" -trait Device=cuda -displayName "$cases" -preEnumerateTheories \
    -result-xml "$scratch/managed.xml" >"$scratch/managed.log" 2>&1
assembly=$(grep -s -o '<assembly [^>]*' "$scratch/managed.xml")
count "libtorch's cases, one step, trajectories, accuracy, memory" \
    "$(attribute passed <<<"$assembly")" "$(attribute failed <<<"$assembly")" "$(attribute skipped <<<"$assembly")"
failures=$(
    grep -h -E '^\[  FAILED  \] [^ ]+(, |$)' "$scratch/native.log" | sed 's/, where.*//; s/^\[  FAILED  \] //' | sort -u
    grep -s -o '<test [^>]*result="Fail"' "$scratch/managed.xml" | attribute name
)
skips=$(
    grep -h -E '^\[  SKIPPED \] [^ ]+$' "$scratch/native.log" |
        sed 's/^\[  SKIPPED \] //; s/cudnn_.*/all with cuDNN/' | sort -u
    grep -s -o '<test [^>]*result="Skip"' "$scratch/managed.xml" | attribute name
)
[ -z "$failures" ] || printf '\nFailed:\n\n%s\n' "$(sed 's/^/- /' <<<"$failures")"
[ -z "$skips" ] || printf '\nSkipped:\n\n%s\n' "$(sed 's/^/- /' <<<"$skips")"

echo
echo "## Training $network, batches of $batch"
echo
echo "| device | epoch, s | test accuracy | images/s, one step after another | ms a step |"
echo "| --- | ---: | ---: | ---: | ---: |"
accuracy=() cuda_step=0
for device in cuda cpu; do
    mnistnative train "${data[@]}" --network "$network" --epochs "$epochs" --batch-size "$batch" --device $device --json \
        >"$scratch/train" 2>>"$scratch/errors" || status=1
    mnistnative bench --network "$network" --batch-size "$batch" --steps "$steps" --mode training --device $device --json \
        >"$scratch/bench" 2>>"$scratch/errors" || status=1
    accuracy+=("$(field test_accuracy "$scratch/train")")
    grep '"epoch"' "$scratch/train" >"$scratch/epochs"
    rate=$(field train_images_per_second "$scratch/bench")
    step=$(awk -v b="$batch" -v r="${rate:-0}" 'BEGIN { printf "%.3f", (r > 0 ? 1e3 * b / r : 0) }')
    echo "| $device | $(field seconds "$scratch/epochs") | $(field test_accuracy "$scratch/train") | $rate | $step |"
    [ $device = cpu ] || cuda_step=$step
done
# Without a figure there was an error, which is told.
awk -v a="${accuracy[0]}" -v b="${accuracy[1]}" 'BEGIN { d = a - b; exit a == "" || b == "" || (d < 0.02 && d > -0.02) ? 0 : 1 }' || {
    echo
    echo "The accuracies differ by more than two points."
    status=1
}

echo
echo "## Where a step's time goes"
echo
mnistnative bench --profile --network "$network" --batch-size "$batch" --steps $((steps > 0 ? steps : 20)) --mode training \
    --device cuda --json >"$scratch/profile" 2>>"$scratch/errors" || status=1
sed 's/.*"milliseconds":\([^,}]*\).*/\1/' "$scratch/profile" | awk -v step="$cuda_step" '
    { kernels += $1 }
    END {
        share = step > kernels ? 1 - kernels / step : 0
        printf "A step takes %.3f ms. Its operations take %.3f ms if each is waited for, ", step, kernels
        printf "so at least %.1f %% of the step is outside of kernels.\n", 100 * share
    }'
echo
echo "| layer | operation | direction | ms |"
echo "| --- | --- | --- | ---: |"
sed 's/.*"layer":"\([^"]*\)","operation":"\([^"]*\)".*"direction":"\([^"]*\)","milliseconds":\([^,}]*\).*/| \1 | \2 | \3 | \4 |/' \
    "$scratch/profile"

# Remarks too, as that MNIST was not to be had.
[ ! -s "$scratch/errors" ] || printf '\nSaid meanwhile:\n\n%s\n' "$(sed 's/^/- /' "$scratch/errors")"
echo
[ $status -eq 0 ] && echo "All checks passed." || echo "Some checks failed."
exit $status
