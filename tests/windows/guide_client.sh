#!/bin/sh
# guide_client.sh BUILD - publishes GuideClient for Windows and runs it under Wine (WINEPREFIX is set) against BUILD/chatbot.exe.
# 77: there is no dotnet here, or it cannot be published.
set -eu
build=$1
folder=$(cd "$(dirname "$0")" && pwd)
command -v dotnet >/dev/null 2>&1 || { echo "skipped: no dotnet"; exit 77; }
out=$build/guide-client
DOTNET_CLI_TELEMETRY_OPTOUT=1 dotnet publish "$folder/GuideClient" -c Release -r win-x64 --self-contained -nodeReuse:false \
    -p:BaseOutputPath="$out/bin/" -p:BaseIntermediateOutputPath="$out/obj/" -o "$out/app" >"$build/guide-client.log" 2>&1 ||
    { tail -3 "$build/guide-client.log"; echo "skipped: it cannot be published"; exit 77; }
printf 'The answer is a log that only grows: \303\244 \342\202\254 \360\237\232\200. %.0s' 1 2 3 4 5 6 >"$out/text.txt"
wine=$(command -v /usr/lib/wine/wine64 || command -v wine64 || command -v wine)
exec "$wine" "$out/app/GuideClient.exe" "Z:$build/chatbot.exe" "Z:$out/text.txt"
