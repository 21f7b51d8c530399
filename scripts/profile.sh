#!/bin/sh
# profile.sh [SECONDS [MODEL:CLIENTS...]] - where a token's time goes: the host's worker, one thread, seen by perf.
#
# Prints for the 0.3M model with 1 and with 8 clients and for the one with a vocabulary of 128,000 (or what is named, "134m:8")
# the rooms of the program, the functions and the tree of calls.
# Needs perf (linux-perf) and the right to use it: root, or kernel.perf_event_paranoid at most 2.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-5}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- 0.3m:1 0.3m:8 128k:1
export LIPC_LLAMA=source
command -v perf >/dev/null || { echo "profile: perf is needed: apt-get install linux-perf" >&2; exit 1; }
command -v python3 >/dev/null || { echo "profile: python3 is needed" >&2; exit 1; }
scripts/setup.sh
scripts/build.sh native load >&2
data=$(mktemp)
trap 'rm -f "$data" "$data.script" "$data.log"' EXIT
for case; do
    model=${case%:*}
    figures=$(build/native/bench/load --model "$model" --clients "${case#*:}" --seconds "$seconds" -- \
        perf record -e cpu-clock -F 1999 --call-graph dwarf,8192 -o "$data" -p 2>"$data.log") ||
        { cat "$data.log" >&2; exit 1; }
    perf script -i "$data" -F ip,sym,dso --no-inline >"$data.script" 2>"$data.log" || { cat "$data.log" >&2; exit 1; }
    python3 scripts/profile.py "model $model $figures" <"$data.script"
done
