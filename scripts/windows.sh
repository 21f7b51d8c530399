#!/bin/sh
# windows.sh [test] - builds the programs and the library for Windows x64 with mingw-w64, into build/windows/lipc, a folder that
# runs where it is copied to, and build/windows/lipc-windows-x64.zip of it. `test` builds the tests, too.
#
# On Debian, as root, it installs what it needs; otherwise it says which command does. libllama is built of the pinned source
# once, into the cache: some minutes. Exit code 3: something is missing that it cannot install.
set -eu
cd "$(dirname "$0")/.."
build=build/windows

missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need cmake cmake
need git git
need npm npm
need zip zip
need x86_64-w64-mingw32-gcc-posix gcc-mingw-w64-x86-64-posix
need x86_64-w64-mingw32-g++-posix g++-mingw-w64-x86-64-posix
need x86_64-w64-mingw32-windres binutils-mingw-w64-x86-64
if [ -n "$missing" ]; then
    install="apt-get install -y --no-install-recommends$missing"
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "make windows: missing:$missing. On Debian run this, then make again:" >&2
        echo "    sudo sh -c 'apt-get update && $install'" >&2
        exit 3
    fi
    echo "make windows: installing$missing ..." >&2
    log=$(mktemp)
    DEBIAN_FRONTEND=noninteractive sh -c "apt-get update && $install" >"$log" 2>&1 ||
        { tail -20 "$log" >&2; exit 3; }
    rm -f "$log"
fi

if [ "${1:-}" = test ]; then scripts/build.sh windows; else scripts/build.sh windows chatbot lipc classic_client client cli; fi

folder=$build/lipc
rm -rf "$folder" "$build/lipc-windows-x64.zip"
mkdir -p "$folder/models" "$folder/include" "$folder/lib"
cp "$build"/chatbot.exe "$build"/llamaipc.exe "$build"/client.exe "$build"/classic_client.exe "$build"/*.dll "$folder/"
x86_64-w64-mingw32-strip "$folder"/*.exe "$folder"/*.dll
cp models/tutor.gguf "$folder/models/"
cp -r include/lipc "$folder/include/"
cp "$build"/liblipc.dll.a "$folder/lib/lipc.lib"
cp LICENSE docs/windows.md "$folder/"
(cd "$build" && zip -q -r lipc-windows-x64.zip lipc)
echo "make windows: $build/lipc, and as a file $build/lipc-windows-x64.zip ($(du -h "$build/lipc-windows-x64.zip" | cut -f1))"
