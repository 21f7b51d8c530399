#!/bin/sh
# test.sh [CTEST-ARGUMENT...] - runs the tests of tests/windows against build/windows, under Wine, in a prefix of their own that
# is thrown away. TEST_WINDOWS_SECONDS (900) is what they may take in all.
#
# Wine is installed as root on Debian; otherwise, or where it does not run, the last line says that nothing was tested, and the
# exit code is 0: what this tests needs a system that not every machine has.
set -eu
cd "$(dirname "$0")/../.."
seconds=${TEST_WINDOWS_SECONDS:-900}

not_tested() {
    echo "test-windows: NOT TESTED: $*"
    exit 0
}

wine=$(command -v /usr/lib/wine/wine64 || command -v wine64 || command -v wine || true)
if [ -z "$wine" ]; then
    install="apt-get install -y --no-install-recommends wine wine64"
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 ||
        not_tested "Wine is missing. On Debian: sudo sh -c 'apt-get update && $install'"
    echo "test-windows: installing Wine ..." >&2
    DEBIAN_FRONTEND=noninteractive sh -c "apt-get update && $install" >/dev/null 2>&1 || not_tested "Wine cannot be installed here"
    wine=$(command -v /usr/lib/wine/wine64 || command -v wine64 || command -v wine || true)
fi
server=$(command -v wineserver || echo "$(dirname "$wine")/wineserver64")

WINEPREFIX=$(mktemp -d)
export WINEPREFIX WINEARCH=win64 WINEDEBUG=-all LANG=C.UTF-8
trap '"$server" -k >/dev/null 2>&1; rm -rf "$WINEPREFIX"' EXIT
trap 'exit 1' HUP INT TERM
timeout 180 "$wine" wineboot -i >/dev/null 2>&1 || not_tested "Wine does not start here"
"$server" -p
timeout 60 "$wine" build/windows/chatbot.exe --version || not_tested "Wine does not run programs here"
timeout "$seconds" ctest --test-dir build/windows -L windows --output-on-failure --no-tests=error "$@"
