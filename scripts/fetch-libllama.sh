#!/bin/sh
# fetch-libllama.sh prebuilt|source - provides the pinned libllama and prints the folder that holds its include/ and lib/.
#
# prebuilt: the library as the npm package @node-llama-cpp/<platform> carries it, with the headers of the same release.
# source:   built here from the source bundle inside the npm package node-llama-cpp (native code, OpenMP, RPC backend).
#
# Everything lands in a cache outside the checkout ($LIPC_CACHE, else $XDG_CACHE_HOME/lipc, else ~/.cache/lipc), verified
# by checksum, and is there for good: later runs need no network. A folder appears in the cache only when it is complete.
set -eu
kind=${1:?usage: fetch-libllama.sh prebuilt|source}
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../cmake/libllama.pin"
cache=${LIPC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lipc}

say() { echo "fetch-libllama: $*" >&2; }
fail() { say "$*"; exit 1; }

case $(uname -s)-$(uname -m) in
Linux-x86_64) platform=linux-x64 platform_sha512=$SHA512_LINUX_X64 ;;
Linux-aarch64) platform=linux-arm64 platform_sha512=$SHA512_LINUX_ARM64 ;;
*) platform=none platform_sha512= ;;
esac
[ "$kind" = source ] || [ "$platform" != none ] ||
    fail "there is no prebuilt libllama for $(uname -s) on $(uname -m): configure with -DLIPC_LLAMA=source"

result=$cache/libllama-$LIBLLAMA_VERSION-$kind
[ "$kind" = source ] || result=$result-$platform
if [ -f "$result/complete" ]; then
    echo "$result"
    exit 0
fi

mkdir -p "$cache"
work=$(mktemp -d "$cache/.fetching.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# fetch_package NAME FILE SHA512 - leaves the verified package in $cache/FILE
fetch_package() {
    if [ ! -f "$cache/$2" ]; then
        command -v npm >/dev/null || fail "npm is needed to fetch $1: run 'make setup' as root, or install npm"
        say "fetching $1 $LIBLLAMA_NPM_VERSION ..."
        (cd "$work" && npm pack --silent "$1@$LIBLLAMA_NPM_VERSION" >/dev/null) ||
            fail "npm could not fetch $1@$LIBLLAMA_NPM_VERSION: is the network there?"
        mv "$work/$2" "$cache/$2.unverified"
        echo "$3  $cache/$2.unverified" | sha512sum --check --quiet >&2 ||
            { rm -f "$cache/$2.unverified"; fail "$1 is not the pinned file: its checksum differs"; }
        mv "$cache/$2.unverified" "$cache/$2"
    fi
    echo "$3  $cache/$2" | sha512sum --check --quiet >&2 ||
        fail "$cache/$2 is damaged: its checksum differs; delete it and try again"
}

fetch_package node-llama-cpp "node-llama-cpp-$LIBLLAMA_NPM_VERSION.tgz" "$SHA512_SOURCE"
tar xzf "$cache/node-llama-cpp-$LIBLLAMA_NPM_VERSION.tgz" -C "$work" package/llama/gitRelease.bundle
git clone --quiet --bare "$work/package/llama/gitRelease.bundle" "$work/bundle.git" 2>/dev/null
commit=$(git -C "$work/bundle.git" rev-parse HEAD)
[ "$commit" = "$LIBLLAMA_COMMIT" ] || fail "the source bundle holds commit $commit, not the pinned $LIBLLAMA_COMMIT"

mkdir -p "$work/result/include" "$work/result/lib"
if [ "$kind" = prebuilt ]; then
    fetch_package "@node-llama-cpp/$platform" "node-llama-cpp-$platform-$LIBLLAMA_NPM_VERSION.tgz" "$platform_sha512"
    git -C "$work/bundle.git" archive HEAD include ggml/include | tar x -C "$work"
    cp "$work"/include/*.h "$work"/ggml/include/*.h "$work/result/include/"
    tar xzf "$cache/node-llama-cpp-$platform-$LIBLLAMA_NPM_VERSION.tgz" -C "$work" package/bins
    # The runtime libraries, without the addon for Node.js and what only that needs.
    for file in "$work/package/bins/$platform"/lib*.so; do
        case $file in *libllama-common.so) ;; *) cp "$file" "$work/result/lib/" ;; esac
    done
else
    say "building libllama $LIBLLAMA_VERSION from source: some minutes ..."
    command -v c++ >/dev/null || fail "a C++ compiler is needed: run 'LIPC_LLAMA=source make setup' as root, or install g++"
    mkdir "$work/source"
    git -C "$work/bundle.git" archive HEAD | tar x -C "$work/source"
    cmake -S "$work/source" -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$work/result" \
        -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_INSTALL_RPATH='$ORIGIN' -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=ON \
        -DGGML_OPENMP=ON -DGGML_RPC=ON -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_TOOLS=OFF \
        -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF >&2
    cmake --build "$work/build" --parallel "$(nproc)" --target install >&2
fi
touch "$work/result/complete"
# Another build may have been faster; then its result is as good.
mv -T "$work/result" "$result" 2>/dev/null || [ -f "$result/complete" ] || fail "cannot write $result"
echo "$result"
