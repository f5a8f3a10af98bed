# Shared by .ci/run and .ci/long: stages with their seconds, and the numbers of the last line.
# shellcheck shell=bash

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_CLI_UI_LANGUAGE=en
# Build servers would outlive the gate.
export MSBUILDDISABLENODEREUSE=1

passed=0
failed=0
skipped=0
report=""

# stage NAME COMMAND...: runs it; the stage counts as one check. A command that ends with 77 has printed why it cannot
# be done here, and counts as skipped.
stage() {
    local name=$1 start=$SECONDS state=ok
    shift
    printf '\n== %s\n' "$name"
    "$@"
    case $? in
        0) passed=$((passed + 1)) ;;
        77)
            skipped=$((skipped + 1))
            state=skipped
            ;;
        *)
            failed=$((failed + 1))
            state=FAILED
            ;;
    esac
    last_seconds=$((SECONDS - start))
    last_state=$state
    report+=$(printf '%-12s %5d s  %s' "$name" "$last_seconds" "$state")$'\n'
}

# install PACKAGE...: of Debian.
install() {
    echo "installing $*"
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# What every stage needs.
tools() {
    local missing=()
    command -v cmake >/dev/null || missing+=(cmake)
    command -v make >/dev/null || missing+=(make)
    command -v g++ >/dev/null || missing+=(g++)
    command -v clang-format >/dev/null || missing+=(clang-format)
    [ -n "$(compgen -c | grep -xE 'clang(-[0-9]+)?')" ] || missing+=(clang)
    [ -e /usr/include/gtest/gtest.h ] || missing+=(libgtest-dev)
    command -v file >/dev/null || missing+=(file)
    command -v npm >/dev/null || missing+=(npm)
    [ ${#missing[@]} -eq 0 ] || install "${missing[@]}" || return 1
    command -v dotnet >/dev/null || { echo "The .NET SDK 10 is missing."; return 1; }
}

# Debian's CUDA toolkit, which is in the component non-free: without it the plugin is not built, and its tests are skipped.
cuda_toolkit() {
    local as_root=() system codename mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    local source=/etc/apt/sources.list.d/debian-non-free.sources
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    if ! command -v nvcc >/dev/null || ! command -v g++-11 >/dev/null; then
        system=$(. /etc/os-release && echo "$ID")
        codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
        if [ "$system" != debian ] || [ -z "$codename" ]; then
            echo "skipped: there is no nvcc, and only Debian's CUDA toolkit is installed from here"
            return 77
        fi
        "${as_root[@]}" apt-get update -qq
        if [ -z "$(apt-cache madison nvidia-cuda-toolkit)" ]; then
            # From where the system's own packages come.
            mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' \
                "Codename: $codename" | head -n 1)
            printf '%s\n' "Types: deb" "URIs: ${mirror:-http://deb.debian.org/debian}" "Suites: $codename" \
                "Components: contrib non-free" "Signed-By: $keyring" | "${as_root[@]}" tee "$source" >/dev/null
        fi
        # Its nvcc wants a g++ of at most 11, for which its dependencies also take a clang that it then refuses.
        if ! install nvidia-cuda-toolkit g++-11; then
            # A source that does not answer would fail whatever is installed later.
            "${as_root[@]}" rm -f "$source"
            echo "skipped: the CUDA toolkit could not be installed (apt-get install nvidia-cuda-toolkit)"
            return 77
        fi
    fi
    nvcc --version | tail -n 2
}

# count_tests FOLDER: adds up the reports of dotnet test; no test at all is a failure.
count_tests() {
    local file counters total=0 good bad all
    for file in "$1"/*.trx; do
        [ -e "$file" ] || continue
        counters=$(grep -m1 '<Counters ' "$file") || continue
        all=$(sed 's/.* total="\([0-9]*\)".*/\1/' <<<"$counters")
        good=$(sed 's/.* passed="\([0-9]*\)".*/\1/' <<<"$counters")
        bad=$(sed 's/.* failed="\([0-9]*\)".*/\1/' <<<"$counters")
        total=$((total + all))
        passed=$((passed + good))
        failed=$((failed + bad))
        skipped=$((skipped + all - good - bad))
        skip_reasons "$file"
    done
    if [ "$total" -eq 0 ]; then
        echo "No tests ran."
        failed=$((failed + 1))
    fi
}

skip_reasons() {
    awk '
        /<UnitTestResult / {
            skip = /outcome="NotExecuted"/
            name = $0; sub(/.*testName="/, "", name); sub(/" computerName=.*/, "", name); gsub(/&quot;/, "\"", name)
        }
        skip && /<Message>/ {
            reason = $0; sub(/.*<Message>/, "", reason); sub(/<\/Message>.*/, "", reason)
            print "skipped: " name ": " reason
        }' "$1"
}

finish() {
    printf '\n%s' "$report"
    if [ "$skipped" -gt 0 ]; then
        echo "$passed passed, $failed failed, $skipped skipped"
    else
        echo "$passed passed, $failed failed"
    fi
    [ "$failed" -eq 0 ]
    exit
}
