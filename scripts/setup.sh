#!/bin/sh
# setup.sh - installs what a build needs and this machine lacks, through the system's packages. Quick if nothing is missing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../cmake/libllama.pin"
cache=${LIPC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lipc}

# watched COMMAND... - runs it and says every few seconds how far it is: the last line that it wrote, without addresses.
# All that it writes goes to $log.
log=$(mktemp)
trap 'rm -f "$log" "$log.code"' EXIT
watched() {
    rm -f "$log.code"
    (if "$@" >>"$log" 2>&1; then echo 0; else echo $?; fi >"$log.code") &
    seconds=0
    while [ ! -s "$log.code" ]; do
        sleep 1
        seconds=$((seconds + 1))
        [ $((seconds % 3)) -ne 0 ] ||
            echo "setup: $seconds s  $(tail -n 1 "$log" | sed 's|[a-z]*://[^ ]* ||' | cut -c 1-60)" >&2
    done
    wait
    return "$(cat "$log.code")"
}
install_packages() {
    apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need cmake cmake
need cc gcc
need git git
need make make
need c++ g++
# llamaipc's libraries. Without them everything else is built, so a user who may not install them is only told.
need_library() { pkg-config --exists "$1" 2>/dev/null || libraries="$libraries $2"; }
libraries=
need_library jansson libjansson-dev
need_library libedit libedit-dev
command -v pkg-config >/dev/null 2>&1 || libraries="$libraries pkg-config"
# npm fetches the pinned libllama, once.
if [ "${LIPC_LLAMA:-}" != system ] && [ ! -f "$cache/node-llama-cpp-$LIBLLAMA_NPM_VERSION.tgz" ]; then need npm npm; fi
# The tests' own: spin checks the models in verify/, tmux is the terminal of tests/cli, nginx the hub of tests/models, chromium the
# browser of the C# web example. They are skipped where these cannot be had.
browser=
if command -v dotnet >/dev/null 2>&1; then browser=chromium; fi
for tool in spin tmux nginx $browser; do
    case $tool in nginx) packages="nginx-light libcurl4 openssl" ;; *) packages=$tool ;; esac
    if [ "${1:-}" = test ] && ! command -v $tool >/dev/null 2>&1 && [ "$(id -u)" = 0 ] &&
        command -v apt-get >/dev/null 2>&1; then
        echo "setup: installing $tool ..." >&2
        # shellcheck disable=SC2086 # a list
        watched install_packages $packages || echo "setup: no $tool here; what needs it is not tested" >&2
    fi
done
# A Vulkan driver that computes on the processor (8 MB), for the test that offloads layers; scripts/test.sh fetches the backend.
if [ "${1:-}" = test ] && [ "$(uname -m)" = x86_64 ] && ! ls /usr/share/vulkan/icd.d/lvp_icd*.json >/dev/null 2>&1 &&
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "setup: installing mesa-vulkan-drivers ..." >&2
    watched install_packages mesa-vulkan-drivers ||
        echo "setup: no Vulkan driver here; offloading layers is not tested" >&2
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    missing=$missing$libraries
elif [ -n "$libraries" ]; then
    echo "setup: llamaipc is not built without$libraries" >&2
    [ -z "$missing" ] || missing=$missing$libraries
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
# shellcheck disable=SC2086 # a list
if ! watched install_packages $missing; then
    tail -20 "$log" >&2
    echo "setup: could not install$missing" >&2
    exit 1
fi
