#!/bin/sh
# profile.sh [SECONDS [CLIENTS...]] - where a token's time goes: the host's worker on the 0.3M model, seen by perf.
#
# Prints for 1 and for 8 clients (or those that are named) the rooms of the program, the functions and the tree of calls.
# Needs perf (linux-perf) and the right to use it: root, or kernel.perf_event_paranoid at most 2.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-5}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- 1 8
export LIPC_LLAMA=source
command -v perf >/dev/null || { echo "profile: perf is needed: apt-get install linux-perf" >&2; exit 1; }
command -v python3 >/dev/null || { echo "profile: python3 is needed" >&2; exit 1; }
scripts/setup.sh
scripts/build.sh native load >&2
data=$(mktemp)
trap 'rm -f "$data" "$data.script" "$data.log"' EXIT
for clients; do
    figures=$(build/native/bench/load --clients "$clients" --seconds "$seconds" -- \
        perf record -e cpu-clock -F 1999 --call-graph dwarf,8192 -o "$data" -p 2>"$data.log") ||
        { cat "$data.log" >&2; exit 1; }
    perf script -i "$data" -F ip,sym,dso --no-inline >"$data.script" 2>"$data.log" || { cat "$data.log" >&2; exit 1; }
    python3 scripts/profile.py "$figures" <"$data.script"
done
