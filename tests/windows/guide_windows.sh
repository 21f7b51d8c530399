#!/bin/sh
# guide_windows.sh BUILD - publishes GuideWindows with the examples' windows in it, and shows each on a display of its own under Wine
# (WINEPREFIX is set), with a host that plays 4,000 tokens back, 500 a second. Clicks are xdotool's; pictures go to BUILD/pictures.
# 77: what this needs is not here.
set -eu
build=$1
folder=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$folder/../.." && pwd)
out=$build/guide-windows
for tool in dotnet Xvfb openbox xdotool import; do
    command -v $tool >/dev/null 2>&1 || { echo "skipped: no $tool"; exit 77; }
done
mkdir -p "$out" "$build/pictures"
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_EnableWriteXorExecute=0
{ "$root/scripts/windows/refpack.sh" "$out/packs" &&
    dotnet publish "$folder/GuideWindows" -c Release -r win-x64 --self-contained -nodeReuse:false \
        -p:NetCoreTargetingPackRoot="$out/packs" -p:AllowMissingPrunePackageData=true \
        -p:UseArtifactsOutput=true -p:ArtifactsPath="$out/artifacts" -o "$out/app"; } >"$build/guide-windows.log" 2>&1 ||
    { tail -5 "$build/guide-windows.log"; echo "skipped: it cannot be published"; exit 77; }
cp "$build/lipc.dll" "$out/app/"
awk 'BEGIN { for (i = 1; i <= 4000; i++) printf "%s%d%s", i % 7 ? "w" : "\303\244", i, i % 40 ? " " : ".\r\n" }' >"$out/text.txt"

wine=$(command -v /usr/lib/wine/wine64 || command -v wine64 || command -v wine)
Xvfb -displayfd 3 -screen 0 1024x768x24 3>"$out/display" >/dev/null 2>&1 &
xvfb=$!
trap 'kill $xvfb $manager 2>/dev/null || true' EXIT
trap 'exit 1' HUP INT TERM
manager=
while [ ! -s "$out/display" ]; do
    kill -0 $xvfb 2>/dev/null || { echo "skipped: Xvfb does not run here"; exit 77; }
    sleep 0.1
done
DISPLAY=:$(cat "$out/display")
export DISPLAY
openbox >/dev/null 2>&1 &
manager=$!
"$wine" regedit /S "Z:$root/scripts/windows/fonts.reg"

code=0
for window in wpf winforms; do
    echo "$window:"
    rm -f "$out/ended"
    { "$wine" "$out/app/GuideWindows.exe" $window "Z:$build/chatbot.exe" "Z:$out/text.txt" 500 2>"$out/$window.log" || echo "ended $?"; } |
        while read -r what first second; do
            case $what in
            click) xdotool mousemove "$first" "$second" click 1 ;;
            picture) import -window root "$build/pictures/$first.png" ;;
            ended) echo "$window ended with code $first"; tail -20 "$out/$window.log"; : >"$out/ended" ;;
            *) echo "  $what $first $second" ;;
            esac
        done
    [ ! -e "$out/ended" ] || code=1
done
exit $code
