#!/bin/sh
# setup.sh - installs what a build needs and this machine lacks, through the system's packages. Quick if nothing is missing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../cmake/libllama.pin"
cache=${LIPC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lipc}

missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need cmake cmake
need cc gcc
need git git
need make make
[ "${LIPC_LLAMA:-}" != source ] || need c++ g++
# npm fetches the pinned libllama, once.
if [ "${LIPC_LLAMA:-}" != system ] && [ ! -f "$cache/node-llama-cpp-$LIBLLAMA_NPM_VERSION.tgz" ]; then need npm npm; fi
# The tests' own: spin checks the models in verify/. They are skipped where it cannot be had.
if [ "${1:-}" = test ] && ! command -v spin >/dev/null 2>&1 && [ "$(id -u)" = 0 ] &&
    command -v apt-get >/dev/null 2>&1; then
    echo "setup: installing spin ..." >&2
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends spin; } >/dev/null 2>&1 ||
        echo "setup: no spin here; the models in verify/ are not checked" >&2
fi
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: missing:$missing. Install them with your system's package manager, then run make again." >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "setup: missing:$missing. Run this, then make again:" >&2
    echo "    sudo sh -c 'apt-get update && $install'" >&2
    exit 1
fi
echo "setup: installing$missing ..." >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get update && $install; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "setup: could not install$missing (log: $log)" >&2
    exit 1
fi
rm -f "$log"
