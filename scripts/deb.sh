#!/bin/sh
# deb.sh - builds the Debian packages into build/packages: chatbot, liblipc1, liblipc-dev and llamaipc.
set -eu
cd "$(dirname "$0")/.."
for tool in dpkg-shlibdeps file; do
    command -v $tool >/dev/null || { echo "make deb needs $tool: apt-get install dpkg-dev file" >&2; exit 1; }
done
out=$PWD/build/packages
scripts/build.sh release chatbot lipc lipc_static llamaipc cli manual
mkdir -p "$out"
rm -f "$out"/*.deb
(umask 022 && cpack --config build/CPackConfig.cmake -B "$out" >"$out/cpack.log" 2>&1) || { cat "$out/cpack.log" >&2; exit 1; }
rm -rf "$out/_CPack_Packages"
ls "$out"/*.deb
