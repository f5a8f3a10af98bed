# Shared by the scripts of this folder: checks and their numbers.
# shellcheck shell=bash

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_CLI_UI_LANGUAGE=en
export MSBUILDDISABLENODEREUSE=1

passed=0
failed=0
skipped=0

# check NAME COMMAND...
check() {
    local name=$1 output start=$SECONDS
    shift
    if output=$("$@" 2>&1); then
        passed=$((passed + 1))
        printf 'ok      %3d s  %s\n' $((SECONDS - start)) "$name"
        [ -z "$output" ] || sed 's/^/                 /' <<<"$output"
    else
        failed=$((failed + 1))
        printf 'FAILED  %3d s  %s\n' $((SECONDS - start)) "$name"
        tail -n 40 <<<"$output" | sed 's/^/                 /'
    fi
}

# skip NAME REASON
skip() {
    skipped=$((skipped + 1))
    echo "skipped        $1: $2"
}

# quietly COMMAND...: shows its output only if it fails.
quietly() {
    local output
    output=$("$@" 2>&1) || { echo "$output"; return 1; }
}

run_in() { (cd "$1" && "${@:2}"); }

finish() {
    echo "package: $passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit
}
