#!/bin/sh
# begin.sh WINE PROGRAM [ARGUMENT...] - how CTest runs a test under Wine. One that would begin when the run is to be over
# (TEST_WINDOWS_END, in seconds since 1970) is left out and says so: a slow machine tests less, and fails nothing.
#
# What it writes goes through a file: Wine's services, which the first program starts and which outlive it, inherit its output,
# and CTest would wait for the end of a pipe that they hold.
if [ -n "${TEST_WINDOWS_END:-}" ] && [ "$(date +%s)" -ge "$TEST_WINDOWS_END" ]; then
    echo "skipped: the time for this run was over (TEST_WINDOWS_SECONDS)"
    exit 77
fi
output=$(mktemp)
trap 'cat "$output"; rm -f "$output"' EXIT
trap 'exit 1' HUP INT TERM
code=0
"$@" >"$output" 2>&1 || code=$?
exit $code
