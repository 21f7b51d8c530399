#!/bin/sh
# library_tests.sh BUILD [PART-OF-A-NAME...] - publishes the C# library's tests for Windows (LibraryTests), beside the host as a user
# would put it there, and runs them under Wine (WINEPREFIX is set).
# 77: there is no dotnet here, or NuGet does not have what it needs.
set -eu
build=$1
shift
folder=$(cd "$(dirname "$0")" && pwd)
command -v dotnet >/dev/null 2>&1 || { echo "skipped: no dotnet"; exit 77; }
out=$build/library-tests
export DOTNET_CLI_TELEMETRY_OPTOUT=1
for_windows() {
    command=$1
    shift
    dotnet "$command" "$folder/LibraryTests" -nodeReuse:false -p:RuntimeIdentifier=win-x64 -p:SelfContained=true \
        -p:UseArtifactsOutput=true -p:ArtifactsPath="$out/artifacts" "$@" >>"$build/library-tests.log" 2>&1
}
rm -f "$build/library-tests.log"
for_windows restore || { tail -3 "$build/library-tests.log"; echo "skipped: its packages cannot be restored"; exit 77; }
for_windows publish --no-restore -c Release -o "$out/app" || { tail -20 "$build/library-tests.log"; exit 1; }
cp -r "$build/lipc/." "$out/app/"
wine=$(command -v /usr/lib/wine/wine64 || command -v wine64 || command -v wine)
LIPC_CHATBOT="Z:$out/app/chatbot.exe"
export LIPC_CHATBOT DOTNET_EnableWriteXorExecute=0
exec "$wine" "$out/app/LlamaIpc.Tests.exe" "$@"
