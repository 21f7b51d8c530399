#!/bin/sh
# guide_client.sh BUILD - publishes GuideClient for Windows and runs it under Wine (WINEPREFIX is set) against BUILD/chatbot.exe.
# 77: there is no dotnet here, or NuGet does not have what it needs.
set -eu
build=$1
folder=$(cd "$(dirname "$0")" && pwd)
command -v dotnet >/dev/null 2>&1 || { echo "skipped: no dotnet"; exit 77; }
out=$build/guide-client
export DOTNET_CLI_TELEMETRY_OPTOUT=1
for_windows() {
    command=$1
    shift
    dotnet "$command" "$folder/GuideClient" -nodeReuse:false -p:RuntimeIdentifier=win-x64 -p:SelfContained=true \
        -p:BaseOutputPath="$out/bin/" -p:BaseIntermediateOutputPath="$out/obj/" "$@" >>"$build/guide-client.log" 2>&1
}
rm -f "$build/guide-client.log"
for_windows restore || { tail -3 "$build/guide-client.log"; echo "skipped: its packages cannot be restored"; exit 77; }
for_windows publish --no-restore -c Release -o "$out/app" || { tail -20 "$build/guide-client.log"; exit 1; }
printf 'The answer is a log that only grows: \303\244 \342\202\254 \360\237\232\200. %.0s' 1 2 3 4 5 6 >"$out/text.txt"
wine=$(command -v /usr/lib/wine/wine64 || command -v wine64 || command -v wine)
exec "$wine" "$out/app/GuideClient.exe" "Z:$build/chatbot.exe" "Z:$out/text.txt"
