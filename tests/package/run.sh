#!/usr/bin/env bash
# What a user installs: packs, adds the package to a clean project outside of the repository, and uses it in every way
# of publishing. With --all every platform's library is built; those of other platforms run under emulation where there
# is one (see foreign.sh). Prints a line a check; the last line has the numbers.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
repository=$PWD
. tests/package/checks.sh

rids=linux-x64
[ "${1:-}" = --all ] && rids=linux-x64,linux-arm64,linux-musl-x64,linux-musl-arm64,win-x64,win-arm64,osx-x64,osx-arm64

# The folder names are a part of the test.
scratch=$(mktemp -d)
trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT
chmod 755 "$scratch"
work="$scratch/Ziffern lesen äß 数字"
mkdir -p "$work/feed" "$work/app" "$work/out"
export NUGET_PACKAGES="$repository/artifacts/package-test"
rm -rf artifacts/packages "$NUGET_PACKAGES"/mnistnative*

pack() { ./build.sh pack --rids "$rids" >"$scratch/log" 2>&1 || { cat "$scratch/log"; return 1; }; }
check "packs $rids" pack
[ "$failed" -eq 0 ] || finish
version=$(sed -n 's|.*<VersionPrefix>\(.*\)</VersionPrefix>.*|\1|p' Directory.Build.props)
package=artifacts/packages/MnistNative.$version.nupkg
mkdir "$scratch/package"
(cd "$scratch/package" && cmake -E tar xf "$repository/$package")
cp artifacts/packages/*.nupkg "$work/feed"

for file in lib/net8.0/MnistNative.dll lib/net8.0/MnistNative.xml lib/net10.0/MnistNative.dll lib/net10.0/MnistNative.xml \
    README.md icon.png THIRD-PARTY-NOTICES.txt; do
    check "the package has $file" test -s "$scratch/package/$file"
done
# A page of packages has no files beside it.
links_are_absolute() {
    local relative
    relative=$(grep -oE '\]\([^)]*\)' "$1" | grep -v '^\](https://')
    [ -z "$relative" ] || { echo "$relative"; return 1; }
}
readme_of_repository() {
    local readme=managed/MnistNative.Models/obj/README.md
    quietly dotnet msbuild managed/MnistNative.Models -t:WritePackageReadme \
        -p:RepositoryUrl=https://example.org/mnistnative.git &&
        links_are_absolute $readme && grep -qE '\(https://example.org/mnistnative/blob/[^/]+/docs/layers.md\)' $readme
}
for name in MnistNative MnistNative.Models MnistNative.Cli; do
    (mkdir "$scratch/$name" && cd "$scratch/$name" &&
        cmake -E tar xf "$repository/artifacts/packages/$name.$version.nupkg" README.md)
    check "$name: no link of the README is relative" links_are_absolute "$scratch/$name/README.md"
done
check "links of the README lead to the repository" readme_of_repository
check "there is a symbol package" test -s "${package%.nupkg}.snupkg"

for rid in ${rids//,/ }; do
    check "$rid: exports, dependencies, format" tests/package/inspect.sh "$rid" "$scratch/package/runtimes/$rid/native"
done

# As the package's page tells: its nuget.config and its commands, with the feed's path.
documented() {
    sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/p" managed/README.md | grep -v '^```' | sed "s|PATH/artifacts/packages|$work/feed|"
}
documented xml >"$work/app/nuget.config"
add_package=$(documented sh)
install_tool=$(sed -n 's/.*`\(dotnet tool install[^`]*\)`.*/\1/p' managed/README.md | sed "s|--global|--tool-path '$work/tool'|; s|PATH/artifacts/packages|'$work/feed'|")
same_recipe() {
    local page
    for page in README.md docs/getting-started.md; do
        diff <(sed -n '/^```xml$/,/^```$/p' managed/README.md) <(sed -n '/^```xml$/,/^```$/p' $page) || return
        grep -qF 'dotnet tool install --global MnistNative.Cli --add-source PATH/artifacts/packages' $page || return
    done
}
check "README and getting started have the recipe of the package's page" same_recipe
cp tests/package/consumer/Program.cs "$work/app"
# Every public type, named beside the implicit usings.
{
    printf 'using MnistNative;\n\ninternal static class PublicTypes\n{\n    internal static readonly Type[] All =\n    [\n'
    sed -n 's/^MnistNative\.\([A-Za-z0-9]*\)$/        typeof(\1),/p' managed/MnistNative/PublicAPI.Unshipped.txt
    printf '    ];\n}\n'
} >"$work/app/PublicTypes.cs"
check "the public types are known" test "$(grep -c typeof "$work/app/PublicTypes.cs")" -gt 60

new_consumer() {
    cd "$work/app" || return
    cat >consumer.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <ImplicitUsings>enable</ImplicitUsings>
    <Nullable>enable</Nullable>
    <TreatWarningsAsErrors>true</TreatWarningsAsErrors>
    <NuGetAudit>false</NuGetAudit>
    <InvariantGlobalization>true</InvariantGlobalization>
  </PropertyGroup>
</Project>
XML
    quietly bash -ec "$add_package"
}

# A clone of the project restores from nothing but its own files.
clean_restore() {
    cd "$work/app" && rm -rf bin obj "$NUGET_PACKAGES"/mnistnative && quietly dotnet restore &&
        test -e "$NUGET_PACKAGES/mnistnative/$version"
}

publish() { (cd "$work/app" && quietly dotnet publish -c Release -o "$work/$1" "${@:2}"); }

# Runs a program from a folder that it cannot write to.
run_read_only() {
    chmod -R a-w "$work/$1"
    # A file of another user would be refused.
    rm -rf "$work/out"
    mkdir -m 777 "$work/out"
    local as_other=()
    [ "$(id -u)" -ne 0 ] || as_other=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    (cd / && "${as_other[@]}" "${@:2}" "$work/out")
}

check "$add_package" new_consumer
check "a clean restore" clean_restore
check "dotnet run" run_in "$work/app" dotnet run -c Release -- "$work/out"
rm -rf "$work/app/bin" "$work/app/obj"

check "publishes, framework-dependent" publish dependent
check "runs, framework-dependent, read-only folder" run_read_only dependent dotnet "$work/dependent/consumer.dll"
check "publishes, self-contained" publish contained -r linux-x64 --self-contained
check "runs, self-contained, read-only folder" run_read_only contained "$work/contained/consumer"
publish_eight() {
    sed -i 's/net10\.0/net8.0/' "$work/app/consumer.csproj" && publish eight -r linux-x64 --self-contained
    local status=$?
    sed -i 's/net8\.0/net10.0/' "$work/app/consumer.csproj"
    return $status
}
check "publishes for .NET 8, self-contained" publish_eight
check "runs on .NET 8" "$work/eight/consumer" "$work/out"
check "publishes, single file" publish single -r linux-x64 --self-contained -p:PublishSingleFile=true \
    -p:IncludeNativeLibrariesForSelfExtract=true
check "the single file is one" test "$(find "$work/single" -type f ! -name '*.pdb' | wc -l)" -eq 1
check "runs, single file" "$work/single/consumer" "$work/out"
check "publishes, trimmed" publish trimmed -r linux-x64 --self-contained -p:PublishTrimmed=true
check "runs, trimmed, read-only folder" run_read_only trimmed "$work/trimmed/consumer"
if command -v clang >/dev/null || command -v gcc >/dev/null; then
    compiler=$(command -v clang || command -v gcc)
    check "publishes, native AOT" publish aot -r linux-x64 -p:PublishAot=true -p:CppCompilerAndLinker="$compiler" \
        -p:OptimizationPreference=Size -p:StripSymbols=true
    find "$work/aot" -name '*.dbg' -delete
    check "runs, native AOT, read-only folder" run_read_only aot "$work/aot/consumer"
    bytes=$(du -sb --apparent-size "$work/aot" | cut -f1)
    check "native AOT takes $bytes bytes with everything, at most 5,000,000" test "$bytes" -le 5000000
else
    skip "native AOT" "neither clang nor gcc, which link it, is installed"
fi

file_app() {
    mkdir "$work/file" && cp "$work/app/nuget.config" "$work/file" &&
        { echo "#:package MnistNative@$version"; cat tests/package/consumer/Program.cs; } >"$work/file/app.cs" &&
        run_in "$work/file" dotnet run app.cs -- "$work/out"
}
check "dotnet run app.cs" file_app

# Errors that a user may meet.
says() {
    local text=$1 output
    shift
    if output=$("$@" 2>&1); then
        echo "ended well, but should say: $text"
        return 1
    fi
    grep -qF -- "$text" <<<"$output" || { echo "$output"; return 1; }
}
consumer=(dotnet "$work/dependent/consumer.dll" "$work/out")
check "a named library that is missing" says "$work/none.so: no such file" \
    env MNISTNATIVE_LIBRARY_PATH="$work/none.so" "${consumer[@]}"
if command -v gcc >/dev/null; then
    echo 'int mn_abi_version(void) { return 999; }' >"$scratch/other.c"
    gcc -shared -fPIC -o "$work/other.so" "$scratch/other.c"
    for text in "$work/other.so" "$work/dependent/MnistNative.dll" 999; do
        check "a library of another version: the message has ${text##*/}" says "$text" \
            env MNISTNATIVE_LIBRARY_PATH="$work/other.so" "${consumer[@]}"
    done
else
    skip "a library of another version" "gcc is not installed"
fi
chmod -R u+w "$work/dependent"
mv "$work/dependent/runtimes" "$work/elsewhere"
check "no library at all: the message lists where it was looked for" \
    says "runtimes/linux-x64/native/libmnistnative.so: no such file" "${consumer[@]}"

# The command line as a tool.
tool() {
    cd "$scratch" && quietly bash -ec "$install_tool" &&
        "$work/tool/mnistnative" info
}
check "${install_tool%% --tool-path*} --tool-path … --add-source …" tool
# None that this computer's compiler made.
tool_libraries() {
    local library name rid
    mkdir "$scratch/tool" && cd "$scratch/tool" &&
        cmake -E tar xf "$repository/artifacts/packages/MnistNative.Cli.$version.nupkg" && cd tools/net10.0/any || return
    for library in $(find . -name 'libmnistnative*'); do
        name=${library##*/}
        rid=${library#./runtimes/}
        rid=${rid%%/*}
        cmp "$library" "$repository/artifacts/native/$rid/$name" || return
        echo "$rid $name"
    done
}
check "the tool has the packages' libraries" tool_libraries

. tests/package/cuda.sh

if [ "${1:-}" = --all ]; then
    . tests/package/foreign.sh
fi
finish
