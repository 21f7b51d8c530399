#!/bin/sh
# test.sh [CTEST-ARGUMENT...] - builds for Windows (../windows.sh) and runs the tests of tests/windows under Wine, in a prefix of
# their own that is thrown away. Tests that would begin later than TEST_WINDOWS_SECONDS (1500) after the first are left out.
#
# Its last lines say what was tested, and what was not, and why. Wine and what the windows need are installed as root on Debian.
# Where Wine cannot be had, or does not run, nothing is built, the last line says that, and the exit code is 0: not every machine
# has what this needs.
set -eu
cd "$(dirname "$0")/../.."
build=build/windows
seconds=${TEST_WINDOWS_SECONDS:-1500}

not_tested() {
    echo "test-windows: NOT TESTED: $*"
    exit 0
}

# ---- Wine, and a display for the windows ----------------------------------------------------------------------------

find_wine() { command -v /usr/lib/wine/wine64 || command -v wine64 || command -v wine || true; }
can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }
progress() { echo "test-windows: $*" >&2; }
install_packages() {
    progress "installing $* ..."
    log=$(mktemp)
    code=0
    DEBIAN_FRONTEND=noninteractive sh -c "apt-get update && apt-get install -y --no-install-recommends $*" >"$log" 2>&1 || code=$?
    [ "$code" = 0 ] || tail -5 "$log" >&2
    rm -f "$log"
    return "$code"
}

wine=$(find_wine)
if [ -z "$wine" ]; then
    packages="wine wine64"
    can_install || not_tested "Wine is missing. On Debian: sudo sh -c 'apt-get update && apt-get install -y $packages'"
    install_packages "$packages" || not_tested "Wine cannot be installed here"
    wine=$(find_wine)
fi
# The guide's windows need a display, hands and eyes. Where they cannot be had, the test of them says so.
for tool in Xvfb openbox xdotool import; do
    command -v $tool >/dev/null 2>&1 && continue
    ! can_install || install_packages xvfb openbox xdotool imagemagick xauth fonts-liberation fonts-dejavu-core || true
    break
done
server=$(command -v wineserver || echo "$(dirname "$wine")/wineserver64")

WINEPREFIX=$(mktemp -d)
export WINEPREFIX WINEARCH=win64 WINEDEBUG=-all LANG=C.UTF-8
trap '"$server" -k >/dev/null 2>&1; rm -rf "$WINEPREFIX"' EXIT
trap 'exit 1' HUP INT TERM
progress "making a prefix for $("$wine" --version 2>/dev/null || echo Wine) ..."
timeout 600 "$wine" wineboot -i >/dev/null 2>&1 || not_tested "Wine does not start here"
"$server" -w # the one of before may be on its way out still
"$server" -p
timeout 300 "$wine" cmd /c exit >/dev/null 2>&1 || not_tested "Wine does not run programs here"

# ---- the build and its tests ----------------------------------------------------------------------------------------

progress "building ..."
code=0
scripts/windows.sh test || code=$?
[ "$code" != 3 ] || not_tested "what the build needs cannot be installed here"
[ "$code" = 0 ] || exit "$code"
TEST_WINDOWS_END=$(($(date +%s) + seconds))
export TEST_WINDOWS_END
ctest --test-dir "$build" -L windows --output-on-failure --no-tests=error -j 2 "$@" || code=$?

# A test says itself what it leaves out, also of a part.
log=$build/Testing/Temporary/LastTest.log
left_out=$(awk '/^[0-9]+\/[0-9]+ Testing: / { test = $3 } sub(/^.*skipped: */, "") { print "  " test ": " $0 }' "$log")
n_passed=$(grep -c '^Test Passed\.$' "$log" || true)
[ -z "$left_out" ] || printf 'left out here:\n%s\n' "$left_out"
echo "not run under Wine at all, and why: tests/windows/README.md"
if [ "$code" != 0 ]; then
    echo "test-windows: $n_passed tests passed, others FAILED (above)"
elif [ "$n_passed" = 0 ]; then
    not_tested "every test was left out (above)"
else
    echo "test-windows: $n_passed tests passed under $("$wine" --version), none failed, $(printf '%s' "$left_out" | grep -c . || true) left out"
fi
exit "$code"
