# Sourced by run.sh: the package of the CUDA plugin, where there was a CUDA toolkit to build it with. A clean project
# adds it from the feed and finds the plugin in every way of publishing; no card is needed.
# shellcheck shell=bash disable=SC2154

cuda_package=artifacts/packages/MnistNative.Cuda.$version.nupkg
cuda=$work/cuda

# What the package holds, and nothing else: no file of NVIDIA's.
cuda_contents() {
    local expected="README.md THIRD-PARTY-NOTICES.txt icon.png" rid found
    for rid in ${rids//,/ }; do
        case $rid in
            linux-x64) expected+=" runtimes/linux-x64/native/libmnistnative_cuda.so" ;;
            win-x64) expected+=" runtimes/win-x64/native/libmnistnative_cuda.dll" ;;
        esac
    done
    found=$(cd "$scratch/cuda" && find . -type f ! -path './_rels/*' ! -path './package/*' ! -name '*.nuspec' \
        ! -name '\[Content_Types\].xml' -printf '%P\n' | LC_ALL=C sort | xargs)
    [ "$found" = "$expected" ] || { echo "holds $found, expected $expected"; return 1; }
    grep -c "<dependency id=\"MnistNative\" version=\"\[$version\]\"" "$scratch/cuda/MnistNative.Cuda.nuspec" >/dev/null || {
        echo "does not depend on MnistNative $version:"
        cat "$scratch/cuda/MnistNative.Cuda.nuspec"
        return 1
    }
}

# To the project that has MnistNative already.
new_cuda_consumer() {
    mkdir -p "$cuda/app" && cp tests/package/cuda_consumer/Program.cs "$work/app/nuget.config" "$cuda/app" &&
        cp "$work/app/consumer.csproj" "$cuda/app/cuda_consumer.csproj" && cd "$cuda/app" &&
        quietly dotnet add package MnistNative.Cuda --version "$version"
}

cuda_publish() { run_in "$cuda/app" quietly dotnet publish -c Release -o "$cuda/$1" "${@:2}"; }

# finds_plugin FOLDER PROGRAM...: the plugin is found in that folder, and without a driver's library the reason is
# that; what a machine with its own driver says is printed.
finds_plugin() {
    local folder=$1 output
    shift
    output=$(MNISTNATIVE_CUDA_PATH="$scratch/nothing" "$@") && grep -q '^reason: NoDriver: ' <<<"$output" || { echo "$output"; return 1; }
    grep -qF "plugin: $folder" <<<"$output" || { echo "not in $folder: $output"; return 1; }
    "$@"
}

# The plugin of a platform exports one function and needs nothing that not every machine has.
inspect_cuda_linux() {
    local plugin=$scratch/cuda/runtimes/linux-x64/native/libmnistnative_cuda.so built=artifacts/native/linux-x64 newest
    cmp "$plugin" "$built/libmnistnative_cuda.so" && quietly ctest --test-dir "$built" -R '^cuda_plugin_contents$' \
        --no-tests=error || return
    newest=$(readelf --version-info --wide "$plugin" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1)
    [ "$(printf '%s\nGLIBC_2.17\n' "$newest" | sort -V | tail -n 1)" = GLIBC_2.17 ] || { echo "needs $newest"; return 1; }
    file -b "$plugin" | grep -q ', stripped$' || { file -b "$plugin"; return 1; }
    echo "newest symbol version $newest; $(stat -c %s "$plugin") bytes"
    cuobjdump --list-elf --list-ptx "$plugin" | grep -oE 'sm_[0-9]+\.(cubin|ptx)' | sort | uniq -c | xargs
}

inspect_cuda_windows() {
    local plugin=$scratch/cuda/runtimes/win-x64/native/libmnistnative_cuda.dll exports needed name
    llvm-readobj --file-headers "$plugin" | grep -q IMAGE_FILE_MACHINE_AMD64 || { echo "is not for x86-64"; return 1; }
    exports=$(llvm-readobj --coff-exports "$plugin" | sed -n 's/^ *Name: \(.*\)/\1/p' | xargs)
    [ "$exports" = mnb_plugin_init ] || { echo "exports $exports"; return 1; }
    needed=$(llvm-readobj --coff-imports "$plugin" | sed -n 's/^ *Name: \(.*\)/\1/p' | sort -u)
    while read -r name; do
        [[ ${name,,} =~ ^(kernel32|ntdll|msvcrt|advapi32|api-ms-win-crt-.*)\.dll$ ]] || { echo "needs $name"; return 1; }
    done <<<"$needed"
    echo "needs" $needed
    echo "$(stat -c %s "$plugin") bytes"
}

# A single file unpacks its libraries to a folder of the user's.
finds_unpacked() {
    export DOTNET_BUNDLE_EXTRACT_BASE_DIR="$scratch/unpacked"
    finds_plugin "$scratch/unpacked/" "$cuda/single/cuda_consumer"
}

if [ ! -e "$cuda_package" ]; then
    skip "MnistNative.Cuda" "it was not packed: $(grep 'left out' "$scratch/log")"
    return
fi
mkdir -p "$scratch/cuda" "$scratch/nothing"
(cd "$scratch/cuda" && cmake -E tar xf "$repository/$cuda_package")
check "MnistNative.Cuda holds the plugin only" cuda_contents
check "linux-x64: exports, dependencies, device code of the CUDA plugin" inspect_cuda_linux
# Every op, by the plugin that is packed.
emulated_tests=artifacts/native/release/tests/cuda_emulation/mn_cuda_plugin_tests
if [ -x "$emulated_tests" ]; then
    check "linux-x64: the packed CUDA plugin computes on the emulation" quietly env \
        MNISTNATIVE_CUDA_PLUGIN="$scratch/cuda/runtimes/linux-x64/native/libmnistnative_cuda.so" \
        "$emulated_tests" --gtest_brief=1
else
    skip "linux-x64: the packed CUDA plugin computes on the emulation" "$emulated_tests was not built"
fi
check "dotnet add package MnistNative.Cuda" new_cuda_consumer
check "dotnet run finds the CUDA plugin" \
    finds_plugin "$cuda/app/bin/" run_in "$cuda/app" dotnet run -c Release
rm -rf "$cuda/app/bin" "$cuda/app/obj"
check "publishes, framework-dependent" cuda_publish dependent
check "finds the CUDA plugin, framework-dependent" \
    finds_plugin "$cuda/dependent/runtimes/linux-x64/native/" dotnet "$cuda/dependent/cuda_consumer.dll"
check "publishes, self-contained" cuda_publish contained -r linux-x64 --self-contained
check "finds the CUDA plugin, self-contained" finds_plugin "$cuda/contained/" "$cuda/contained/cuda_consumer"
check "publishes, single file" cuda_publish beside -r linux-x64 --self-contained -p:PublishSingleFile=true
check "finds the CUDA plugin beside a single file" finds_plugin "$cuda/beside/" "$cuda/beside/cuda_consumer"
check "publishes, single file with libraries" cuda_publish single -r linux-x64 --self-contained -p:PublishSingleFile=true \
    -p:IncludeNativeLibrariesForSelfExtract=true
check "finds the CUDA plugin in a single file" finds_unpacked
