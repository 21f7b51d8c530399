#!/bin/sh
# fetch-jansson.sh - provides jansson for Windows x64, which Debian has for itself alone, and prints the folder that holds its
# include/ and lib/. Cross-built once, into the cache of fetch-libllama.sh, from Debian's pinned source, which is verified by
# checksum; apt-get says where that lies.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
version=2.14
sha512=c56e2e8d18819e3f5caa46edd4819694a240aeb3524a6f9d9f4465edf65b183d1870bd5d256cdd378d411a52979121369b951406fdf7bf323db5c30001fa1bc4
cache=${LIPC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lipc}
result=$cache/jansson-$version-windows
archive=$cache/jansson-$version.tar.gz

fail() { echo "fetch-jansson: $*" >&2; exit 1; }

if [ -f "$result/complete" ]; then
    echo "$result"
    exit 0
fi
mkdir -p "$cache"
work=$(mktemp -d "$cache/.fetching.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

if [ ! -f "$archive" ]; then
    binary=$(apt-get download --print-uris libjansson-dev 2>/dev/null | cut -d "'" -f 2) || binary=
    [ -n "$binary" ] || fail "apt-get does not know libjansson-dev: put jansson $version's source there: $archive"
    /usr/lib/apt/apt-helper download-file "${binary%/*}/jansson_$version.orig.tar.gz" "$work/archive" >&2 ||
        fail "cannot fetch jansson's source: is the network there?"
    mv "$work/archive" "$archive"
fi
echo "$sha512  $archive" | sha512sum --check --quiet >&2 || fail "$archive is not the pinned file: delete it and try again"

tar xzf "$archive" -C "$work"
cmake -S "$work/jansson-$version" -B "$work/build" -DCMAKE_TOOLCHAIN_FILE="$here/../cmake/toolchains/windows-x64.cmake" \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$work/result" -DJANSSON_BUILD_DOCS=OFF -DJANSSON_WITHOUT_TESTS=ON \
    -DJANSSON_EXAMPLES=OFF >&2
cmake --build "$work/build" --target install >&2
cp "$work/jansson-$version/LICENSE" "$work/result/"
touch "$work/result/complete"
mv -T "$work/result" "$result" 2>/dev/null || [ -f "$result/complete" ] || fail "cannot write $result"
echo "$result"
