#!/bin/sh
# packages.sh - the NuGet packages as their user meets them: a fresh folder outside the checkout, `dotnet new console`,
# `dotnet add package` from a folder that holds them, five lines of C#, and text streams. The same published for each way
# that .NET has. Then a project outside that references the checkout's project.
#
# Packages that it needs from elsewhere are kept in a cache of its own, outside the checkout; those that it made are taken
# out of it again.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cache=${LIPC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lipc}/nuget
version=$(cat "$root/VERSION")-test$(date +%s)$$
work=$(mktemp -d)
export NUGET_PACKAGES="$cache" LIPC_NAME="packages_$$" LLAMA_ARG_TEMPERATURE=0 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
unset LIPC_LIBRARY LIPC_CHATBOT
clean_up() {
    rm -rf "$work"
    for package in "$cache"/llamaipc*; do rm -rf "$package/$version"; done
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

fail() {
    echo "packages: $*" >&2
    exit 1
}
# quietly COMMAND... - shows what it prints only if it fails.
quietly() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "failed: $*"; }
}
# streams WHAT COMMAND... - it prints an answer of the embedded model.
streams() {
    what=$1
    shift
    answer=$(cd "$work" && "$@") || fail "$what: ended with code $?"
    case $answer in
    *"C++ is"*) echo "packages: $what: ok" ;;
    *) fail "$what: it printed '$answer'" ;;
    esac
}

PACKAGE_VERSION=$version PACKAGE_FOLDER=$work/feed "$root/scripts/packages.sh" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }

mkdir "$work/hello"
cd "$work/hello"
quietly dotnet new console --no-restore
cat >nuget.config <<END
<configuration><packageSources><add key="local" value="$work/feed" /></packageSources></configuration>
END
cat >Program.cs <<'END'
using LlamaIpc;

await using LlamaClient client = await LlamaClient.ConnectAsync();
await foreach (string piece in client.StreamAsync("What is C++?"))
    Console.Write(piece);
END
quietly dotnet add package LlamaIpc.Host --version "$version"
quietly dotnet build -nodeReuse:false
streams "built" sh -c "exec hello/bin/Debug/net*/hello"
# publish NAME OPTION...
publish() {
    name=$1
    shift
    quietly dotnet publish -c Release -nodeReuse:false -o "$work/$name" "$@"
    # The build's folders are not what it runs from.
    streams "published, $name" "$work/$name/hello"
    rm -rf "$work/$name" obj bin
}
publish framework-dependent
publish single-file -r linux-x64 --self-contained -p:PublishSingleFile=true
publish trimmed -r linux-x64 --self-contained -p:PublishTrimmed=true
publish native -r linux-x64 -p:PublishAot=true

# A program of the .NET Framework: compiled, what it needs is beside it, and Mono runs it where there is one.
mkdir "$work/framework"
cd "$work/framework"
cp ../hello/nuget.config .
{ echo "using System;"; cat ../hello/Program.cs; } >Program.cs
cat >framework.csproj <<END
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net472</TargetFramework>
    <LangVersion>latest</LangVersion>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="LlamaIpc.Host" Version="$version" />
  </ItemGroup>
</Project>
END
quietly dotnet build -nodeReuse:false
built=$work/framework/bin/Debug/net472
for file in LlamaIpc.dll runtimes/linux-x64/native/liblipc.so LlamaIpc.Host/linux-x64/bin/chatbot; do
    [ -f "$built/$file" ] || fail "a program of the .NET Framework: there is no $file beside it"
done
if [ -f /usr/lib/mono/4.5/Facades/netstandard.dll ] || [ -n "${MONO_PATH:-}" ]; then
    streams "a program of the .NET Framework, on Mono" \
        env LD_LIBRARY_PATH="$built/runtimes/linux-x64/native" mono "$built/framework.exe"
else
    echo "packages: a program of the .NET Framework: compiled; there is no Mono to run it (Debian: mono-devel)"
fi

mkdir "$work/reference"
cd "$work/reference"
quietly dotnet new console --no-restore
cp ../hello/Program.cs .
quietly dotnet add reference "$root/dotnet/LlamaIpc/LlamaIpc.csproj"
quietly dotnet build -nodeReuse:false
streams "a reference to the project" sh -c "exec reference/bin/Debug/net*/reference"
