#!/usr/bin/env bash
# inspect.sh RID FOLDER: the library of a platform exports what the header declares and needs nothing that not every
# machine has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
rid=$1
folder=$2
header=native/include/mnistnative.h

fail() {
    echo "$*"
    exit 1
}

declared() { sed -n 's/^MN_API[^(]*\<\(mn_[a-z0-9_]*\)(.*/\1/p' "$header" | sort; }

same_exports() {
    local difference
    difference=$(diff <(declared) <(sort <<<"$1")) || fail "declared (<) against exported (>): $difference"
    [ "$(declared | wc -l)" -gt 20 ] || fail "the header's declarations were not understood"
}

case $rid in
    linux-*)
        library=$folder/libmnistnative.so
        file=$(file -b "$library")
        case $rid in
            *-x64) machine=x86-64 ;;
            *) machine="ARM aarch64" ;;
        esac
        [[ $file == "ELF 64-bit LSB shared object, $machine"*", stripped"* ]] || fail "$file"
        cmake -DNM=nm -DREADELF=readelf -DLIBRARY="$library" -DHEADER="$header" -P native/cmake/check_exports.cmake 2>&1
        versions=$(readelf --version-info --wide "$library" | grep -o 'GLIBC_[0-9.]*' | sort -Vu || true)
        newest=$(tail -n 1 <<<"$versions")
        if [[ $rid == linux-musl-* ]]; then
            [ -z "$versions" ] || fail "needs $newest"
        else
            [ "$(printf '%s\nGLIBC_2.17\n' "$newest" | sort -V | tail -n 1)" = GLIBC_2.17 ] || fail "needs $newest"
            echo "newest symbol version $newest"
        fi
        ;;
    win-*)
        library=$folder/libmnistnative.dll
        case $rid in
            *-x64) machine=IMAGE_FILE_MACHINE_AMD64 ;;
            *) machine=IMAGE_FILE_MACHINE_ARM64 ;;
        esac
        llvm-readobj --file-headers "$library" | grep -q "$machine" || fail "is not for $machine"
        same_exports "$(llvm-readobj --coff-exports "$library" | sed -n 's/^ *Name: \(.*\)/\1/p')"
        needed=$(llvm-readobj --coff-imports "$library" | sed -n 's/^ *Name: \(.*\)/\1/p' | sort -u)
        while read -r name; do
            [[ ${name,,} =~ ^(kernel32|ntdll|msvcrt|advapi32|api-ms-win-crt-.*)\.dll$ ]] || fail "needs $name"
        done <<<"$needed"
        echo "needs" $needed
        ;;
    osx-*)
        library=$folder/libmnistnative.dylib
        case $rid in
            *-x64) machine=x86_64 ;;
            *) machine=arm64 ;;
        esac
        [[ $(file -b "$library") == "Mach-O 64-bit $machine dynamically linked shared library"* ]] || fail "$(file -b "$library")"
        # Two names of the library's own header are the linker's.
        same_exports "$(llvm-objdump --macho --exports-trie "$library" | sed -n 's/^0x[0-9A-F]* *_\([^ ]*\).*/\1/p' |
            grep -vx '_mh_dylib_header\|__dso_handle')"
        oldest=$(llvm-objdump --macho --private-headers "$library" | sed -n 's/^ *minos //p')
        [ "$oldest" = 11.0 ] || fail "needs macOS $oldest"
        needed=$(llvm-objdump --macho --dylibs-used "$library" | sed -n 's/^\t\([^ ]*\) .*/\1/p' | grep -v mnistnative)
        [ "$needed" = /usr/lib/libSystem.B.dylib ] || fail "needs $needed"
        if [ "$rid" = osx-arm64 ]; then
            # Arm Macs refuse code without a signature; the linker's own is enough.
            llvm-objdump --macho --private-headers "$library" | grep -q LC_CODE_SIGNATURE || fail "has no signature"
        fi
        ;;
    *) fail "no such platform: $rid" ;;
esac
echo "$(stat -c %s "$library") bytes"
