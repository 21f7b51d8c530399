#!/bin/sh
# fetch-libllama.sh [--where] prebuilt|source|windows|peer|headers|internals|testdata|rpc|vulkan|cuda - provides the pinned libllama and prints the folder
# that holds its include/ and lib/, or for `peer` its bin/. --where: prints the folder, whether it is there yet or not.
#
# prebuilt: the libraries as the npm package @node-llama-cpp/<platform> carries them, with the headers of the same release:
#           libllama's and ggml's in include/, those of llama.cpp's common (C++) in include/common/.
# source:   built here from the source bundle inside the npm package node-llama-cpp (native code, OpenMP, RPC backend).
# windows:  cross-built of the same source for Windows x64 with mingw-w64; the DLLs, and those of the compiler that they
#           need, in bin/. For processors with AVX2 (since 2013).
# headers:  the headers alone, for an installed library of the same release: installing llama.cpp leaves out common's.
# internals: for a test: the header that says what a backend of ggml consists of.
# testdata: the vocabularies (vocab/*.gguf) and chat templates (templates/*.jinja) that llama.cpp itself tests with.
# vulkan, cuda: libggml-vulkan.so and libggml-cuda.so alone, which run layers on a graphics card where they lie beside the
#           other libraries, as the npm packages @node-llama-cpp/<platform>-vulkan and -cuda carry them.
# rpc:      libggml-rpc.so alone, built here from that source: layers on other computers, where it lies beside the prebuilt libraries.
# peer:     for the benchmark: llama-server, llama-bench and llama-batched-bench of that source, running on the very
#           library that `source` provides. Without the server's web pages, which a build would download, and without TLS.
#
# Everything lands in a cache outside the checkout ($LIPC_CACHE, else $XDG_CACHE_HOME/lipc, else ~/.cache/lipc), verified
# by checksum, and is there for good: later runs need no network. A folder appears in the cache only when it is complete.
set -eu
only_where=no
[ "${1-}" != --where ] || { only_where=yes; shift; }
kind=${1:?usage: fetch-libllama.sh [--where] prebuilt|source|windows|peer|headers|internals|testdata|rpc|vulkan|cuda}
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
[ "$kind" != prebuilt ] || [ "$platform" != none ] ||
    fail "there is no prebuilt libllama for $(uname -s) on $(uname -m): configure with -DLIPC_LLAMA=source"

case $kind in
prebuilt | source | windows | peer | headers | internals | testdata | rpc) ;;
vulkan | cuda)
    [ "$platform" = linux-x64 ] || fail "there is no prebuilt backend for graphics cards for $(uname -s) on $(uname -m)"
    ;;
*) fail "there is no '$kind': prebuilt, source, windows, peer, headers, internals, testdata, rpc, vulkan or cuda" ;;
esac
release=$LIBLLAMA_VERSION-$LIBLLAMA_LAYOUT
source_result=$cache/libllama-$release-source
result=$cache/libllama-$release-$kind
case $kind in prebuilt | vulkan | cuda) result=$result-$platform ;; esac
if [ $only_where = yes ] || [ -f "$result/complete" ]; then
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

# put_into_place FOLDER - another build may have been faster; then its result is as good.
put_into_place() {
    touch "$work/result/complete"
    mv -T "$work/result" "$1" 2>/dev/null || [ -f "$1/complete" ] || fail "cannot write $1"
    rm -rf "$work/result"
}

# take_backend KIND SHA512 - the one library of that package that the others lack; the rest of it are the same libraries again.
take_backend() {
    fetch_package "@node-llama-cpp/$platform-$1" "node-llama-cpp-$platform-$1-$LIBLLAMA_NPM_VERSION.tgz" "$2"
    mkdir -p "$work/result/lib"
    tar xzf "$cache/node-llama-cpp-$platform-$1-$LIBLLAMA_NPM_VERSION.tgz" -C "$work" "package/bins/$platform-$1/libggml-$1.so"
    mv "$work/package/bins/$platform-$1/libggml-$1.so" "$work/result/lib/"
    put_into_place "$result"
}

# configure OPTION... - of the source build; the options are those that differ between the library and the programs.
configure() {
    cmake -S "$work/source" -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$work/result" \
        -DCMAKE_INSTALL_LIBDIR=lib -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=ON -DGGML_OPENMP=ON -DGGML_RPC=ON \
        -DLLAMA_BUILD_COMMON=ON -DLLAMA_OPENSSL=OFF \
        -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF "$@" >&2
}

build_library() {
    say "building libllama $LIBLLAMA_VERSION from source: some minutes ..."
    command -v c++ >/dev/null || fail "a C++ compiler is needed: run 'make setup' as root, or install g++"
    mkdir "$work/source"
    git -C "$work/bundle.git" archive HEAD | tar x -C "$work/source"
    configure -DCMAKE_INSTALL_RPATH='$ORIGIN' -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF
    cmake --build "$work/build" --parallel "${JOBS:-$(nproc)}" --target install >&2
    copy_common_headers
}

# build_rpc - as a part that the prebuilt libraries load: without a version in its name, and without a processor of its own.
build_rpc() {
    say "building the RPC backend of libllama $LIBLLAMA_VERSION ..."
    command -v c++ >/dev/null || fail "a C++ compiler is needed: run 'make setup' as root, or install g++"
    mkdir -p "$work/source" "$work/result/lib"
    git -C "$work/bundle.git" archive HEAD | tar x -C "$work/source"
    cmake -S "$work/source" -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DGGML_BACKEND_DL=ON -DGGML_CPU=OFF \
        -DGGML_NATIVE=OFF -DGGML_RPC=ON -DGGML_RPC_RDMA=OFF -DCMAKE_PLATFORM_NO_VERSIONED_SONAME=ON \
        -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON -DCMAKE_INSTALL_RPATH='$ORIGIN' -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_COMMON=OFF \
        -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_TOOLS=OFF >&2
    cmake --build "$work/build" --parallel "${JOBS:-$(nproc)}" --target ggml-rpc >&2
    cp "$work/build/bin/libggml-rpc.so" "$work/result/lib/"
}

# build_for_windows - ggml's C knows a call that mingw's headers lack, unless it is built for Windows 7.
build_for_windows() {
    compiler=x86_64-w64-mingw32-g++-posix
    say "building libllama $LIBLLAMA_VERSION for Windows: some minutes ..."
    command -v $compiler >/dev/null || fail "$compiler is needed: run 'make windows' as root, or install g++-mingw-w64-x86-64"
    mkdir "$work/source"
    git -C "$work/bundle.git" archive HEAD | tar x -C "$work/source"
    cmake -S "$work/source" -B "$work/build" -DCMAKE_TOOLCHAIN_FILE="$here/../cmake/toolchains/windows-x64.cmake" \
        -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$work/result" -DCMAKE_C_FLAGS=-D_WIN32_WINNT=0x0601 \
        -DCMAKE_CXX_FLAGS=-D_WIN32_WINNT=0x0A00 -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF \
        -DLLAMA_BUILD_COMMON=ON -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
        -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF >&2
    cmake --build "$work/build" --parallel "${JOBS:-$(nproc)}" --target llama llama-common >&2
    mkdir -p "$work/result/bin" "$work/result/lib"
    find "$work/build" -name '*.dll' -exec cp {} "$work/result/bin/" \;
    find "$work/build" -name '*.dll.a' -exec cp {} "$work/result/lib/" \;
    x86_64-w64-mingw32-strip "$work/result/bin"/*.dll
    for file in libstdc++-6.dll libgcc_s_seh-1.dll libwinpthread-1.dll; do
        found=$($compiler -print-file-name=$file)
        [ -f "$found" ] || found=/usr/x86_64-w64-mingw32/lib/$file
        cp "$found" "$work/result/bin/"
    done
    copy_headers
}

# copy_headers - of libllama, ggml and common. Those of common have names like log.h, and so a folder of their own.
copy_headers() {
    mkdir -p "$work/result/include"
    git -C "$work/bundle.git" archive HEAD include ggml/include | tar x -C "$work"
    cp "$work"/include/*.h "$work"/ggml/include/*.h "$work/result/include/"
    copy_common_headers
}

copy_common_headers() {
    mkdir -p "$work/result/include/common/jinja"
    git -C "$work/bundle.git" archive HEAD common | tar x -C "$work"
    cp "$work"/common/*.h "$work/result/include/common/"
    cp "$work"/common/jinja/*.h "$work/result/include/common/jinja/"
}

# build_programs - in the same build folder: the library's objects are there and stay as they are. The programs find their
# own libraries beside themselves, and libllama where `source` has put it.
build_programs() {
    say "building llama-server, llama-bench and llama-batched-bench: some minutes ..."
    configure -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON \
        -DCMAKE_INSTALL_RPATH='$ORIGIN'"/../lib;\$ORIGIN/../../${source_result##*/}/lib" \
        -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=ON -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF
    cmake --build "$work/build" --parallel "${JOBS:-$(nproc)}" --target llama-server llama-bench llama-batched-bench >&2
    mkdir -p "$work/result/bin" "$work/result/lib"
    cp "$work/build/bin/llama-server" "$work/build/bin/llama-bench" "$work/build/bin/llama-batched-bench" "$work/result/bin/"
    for file in "$work/build/bin"/lib*.so*; do
        [ -e "$source_result/lib/${file##*/}" ] || cp -P "$file" "$work/result/lib/"
    done
}

case $kind in
vulkan) take_backend vulkan "$SHA512_LINUX_X64_VULKAN" ;;
cuda) take_backend cuda "$SHA512_LINUX_X64_CUDA" ;;
esac
[ ! -f "$result/complete" ] || { echo "$result"; exit 0; }

fetch_package node-llama-cpp "node-llama-cpp-$LIBLLAMA_NPM_VERSION.tgz" "$SHA512_SOURCE"
tar xzf "$cache/node-llama-cpp-$LIBLLAMA_NPM_VERSION.tgz" -C "$work" package/llama/gitRelease.bundle
git clone --quiet --bare "$work/package/llama/gitRelease.bundle" "$work/bundle.git" 2>/dev/null
commit=$(git -C "$work/bundle.git" rev-parse HEAD)
[ "$commit" = "$LIBLLAMA_COMMIT" ] || fail "the source bundle holds commit $commit, not the pinned $LIBLLAMA_COMMIT"

mkdir -p "$work/result"
case $kind in
prebuilt)
    mkdir "$work/result/lib"
    fetch_package "@node-llama-cpp/$platform" "node-llama-cpp-$platform-$LIBLLAMA_NPM_VERSION.tgz" "$platform_sha512"
    copy_headers
    tar xzf "$cache/node-llama-cpp-$platform-$LIBLLAMA_NPM_VERSION.tgz" -C "$work" package/bins
    # The runtime libraries, without the addon for Node.js.
    cp "$work/package/bins/$platform"/lib*.so "$work/result/lib/"
    ;;
headers) copy_headers ;;
internals)
    git -C "$work/bundle.git" archive HEAD ggml/src/ggml-backend-impl.h | tar x -C "$work"
    mkdir "$work/result/include"
    cp "$work/ggml/src/ggml-backend-impl.h" "$work/result/include/"
    ;;
testdata)
    git -C "$work/bundle.git" archive HEAD models | tar x -C "$work"
    mkdir "$work/result/vocab"
    cp "$work"/models/ggml-vocab-*.gguf "$work/result/vocab/"
    cp -r "$work/models/templates" "$work/result/templates"
    ;;
windows) build_for_windows ;;
rpc) build_rpc ;;
source | peer)
    build_library
    if [ "$kind" = peer ]; then
        put_into_place "$source_result"
        mkdir -p "$work/result"
        build_programs
    fi
    ;;
esac
put_into_place "$result"
echo "$result"
