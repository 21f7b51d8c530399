#!/bin/sh
# build.sh PRESET [TARGET...] - configures (only when something changed) and builds one of CMakePresets.json's trees.
set -eu
cd "$(dirname "$0")/.."
preset=${1:?usage: build.sh PRESET [TARGET...]}
shift
case $preset in release) folder=build ;; *) folder=build/$preset ;; esac
[ "$preset" != native ] || LIPC_LLAMA=source
log=$folder/configure.log
mkdir -p "$folder"
if ! cmake --preset "$preset" -DLIPC_LLAMA="${LIPC_LLAMA:-auto}" >"$log"; then
    cat "$log" >&2
    exit 1
fi
[ $# -gt 0 ] || set -- all
exec cmake --build "$folder" --parallel "${JOBS:-$(nproc)}" --target "$@" -- --no-print-directory
