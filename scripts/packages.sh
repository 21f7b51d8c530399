#!/bin/sh
# packages.sh - builds the NuGet packages into build/packages: what they hold of native files is first built and installed
# into build/packages/native/SYSTEM. Those for Windows are in them if `make windows` has built it.
# PACKAGE_VERSION, PACKAGE_FOLDER: another version than the project's, another folder.
set -eu
cd "$(dirname "$0")/.."
out=${PACKAGE_FOLDER:-$PWD/build/packages}
stage=$PWD/build/packages/native/linux-x64
version=${PACKAGE_VERSION:-}
mkdir -p "$out" "$stage"

scripts/build.sh release chatbot lipc
# `make gpu` may have put a backend beside the libraries, or taken it away.
libraries=$(sed -n 's/^-- libllama: [a-z]*, in //p' build/configure.log)/lib
[ "$(cd "$libraries" 2>/dev/null && ls -d lib*.so*)" = "$(ls "$stage/lib/lipc" 2>/dev/null)" ] || rm -f "$stage/complete"
for component in build/chatbot build/liblipc.so.1 models/tutor.gguf; do
    [ ! "$stage/complete" -nt "$component" ] || continue
    rm -rf "$stage"
    for part in host library; do cmake --install build --component $part --strip --prefix "$stage" >/dev/null; done
    if [ ! -d "$stage/lib/lipc" ]; then
        echo "packages: this build uses the system's libllama, which cannot travel: run make with LIPC_LLAMA=prebuilt" >&2
        exit 1
    fi
    # By the name that .NET looks for.
    cp -L "$stage/lib/liblipc.so.1" "$stage/liblipc.so"
    : >"$stage/complete"
    break
done

# Windows: everything beside the program, the library in the package of its own.
folder=build/windows/lipc
windows=$PWD/build/packages/native/win-x64
rm -rf "$windows"
host_for_windows=
if [ -f "$folder/chatbot.exe" ]; then
    mkdir -p "$windows/bin/models"
    cp "$folder/lipc.dll" "$windows/"
    cp "$folder/chatbot.exe" "$windows/bin/"
    for library in "$folder"/*.dll; do [ "$library" = "$folder/lipc.dll" ] || cp "$library" "$windows/bin/"; done
    cp "$folder/models/tutor.gguf" "$windows/bin/models/"
    host_for_windows=packaging/LlamaIpc.Host.win-x64
else
    echo "packages: for Linux alone: with 'make windows' before they are for Windows x64, too" >&2
fi

export DOTNET_CLI_TELEMETRY_OPTOUT=1
for project in LlamaIpc packaging/LlamaIpc.Host.linux-x64 $host_for_windows packaging/LlamaIpc.Host LlamaIpc.Extensions.AI LlamaIpc.Testing; do
    [ -d "dotnet/$project" ] || continue
    dotnet pack "dotnet/$project" -c Release --nologo -v quiet -nodeReuse:false -p:ContinuousIntegrationBuild=true \
        ${version:+-p:Version=$version} -o "$out"
done
ls "$out"/*.nupkg
