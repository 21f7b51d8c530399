#!/bin/sh
# guide_windows.sh BUILD - publishes GuideWindows with the examples' windows in it, beside the host as a user would put it there, and
# shows each on a display of its own under Wine (WINEPREFIX is set): with a host that plays 2,000 tokens back, 500 a second, and
# with a model that is missing. Clicks are xdotool's; pictures go to BUILD/pictures.
# 77: what this needs is not here, or NuGet does not have it.
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
for_windows() {
    command=$1
    shift
    dotnet "$command" "$folder/GuideWindows" -nodeReuse:false -p:RuntimeIdentifier=win-x64 -p:SelfContained=true \
        -p:NetCoreTargetingPackRoot="$out/packs" -p:AllowMissingPrunePackageData=true \
        -p:UseArtifactsOutput=true -p:ArtifactsPath="$out/artifacts" "$@" >>"$build/guide-windows.log" 2>&1
}
{ "$root/scripts/windows/refpack.sh" "$out/packs" >"$build/guide-windows.log" 2>&1 && for_windows restore; } ||
    { tail -5 "$build/guide-windows.log"; echo "skipped: its packages cannot be restored"; exit 77; }
for_windows publish --no-restore -c Release -o "$out/app" || { tail -20 "$build/guide-windows.log"; exit 1; }
cp -r "$build/lipc/." "$out/app/"
# 50 paragraphs of 40 words, each with its number.
awk 'BEGIN {
    split("C++ is a compiled, general-purpose programming language that grew out of C. It adds classes, templates, exceptions" \
              " and a large standard library, and is used where speed and control matter: games, browsers, engines, databases, compilers, " \
              "\303\204mter and language models.", words, " ")
    for (i = 0; i < 50; i++) {
        printf "%d. ", i + 1
        for (j = 0; j < 39; j++) printf "%s%s", words[j + 1], j < 38 ? " " : "\r\n"
    }
}' >"$out/text.txt"

wine=$(command -v /usr/lib/wine/wine64 || command -v wine64 || command -v wine)
rm -f "$out/display"
Xvfb -displayfd 3 -screen 0 1320x500x24 3>"$out/display" >/dev/null 2>&1 &
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
# Wine's desktop, which a test before may have begun without a display, begins anew with this one.
server=$(command -v wineserver || echo "$(dirname "$wine")/wineserver64")
"$server" -k || true
"$server" -w
"$wine" regedit /S "Z:$root/scripts/windows/fonts.reg"

# Does what the program says, until it ends with code 0.
show() {
    echo "$*:"
    rm -f "$out/done"
    (cd "$out/app" && "$wine" GuideWindows.exe "$@" 2>"$out/errors.log") |
        while read -r what first second; do
            case $what in
            click) xdotool mousemove "$first" "$second" click 1 ;;
            picture) import -window root "$build/pictures/$first.png" ;;
            done) : >"$out/done" ;; # Of a program that crashed, Wine returns the code 0.
            right | WRONG | figure | until) printf '  %s %s %s\n' "$what" "$first" "$second" ;;
            esac
        done
    [ -e "$out/done" ] || { code=1; grep -v '^ ' "$out/errors.log" | head -20; }
}
code=0
for window in wpf winforms; do
    LLAMA_ARG_MODEL='Z:\no\such.gguf' show $window missing
    show $window answers "Z:$build/chatbot.exe" "Z:$out/text.txt" 500
done
exit $code
