#!/bin/sh
# run.sh [--long] [FOLDER [MODEL...]] - checks the models exhaustively, then that each planted bug is caught.
#
# What is to be checked stands at each model's head, one line each:
#     check: NAME -DFLAG...      must hold in every state that can be reached
#     long: NAME -DFLAG...       the same, larger: only with --long
#     bug: BUG_NAME CHECK        with -DBUG_NAME added, the check named must fail
# Also: "step: NAME" in a model is a step of the code, and README.md names the planted bugs, and no others.
# FOLDER (a new one by default) takes all files that are made. Exit code 77: spin is not installed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
wanted=check
if [ "${1:-}" = --long ]; then
    wanted='check\|long'
    shift
fi
if ! command -v spin >/dev/null 2>&1 || ! command -v gcc >/dev/null 2>&1; then
    echo "skipped: no spin here (scripts/setup.sh test installs it)"
    exit 77
fi
if [ $# -gt 0 ]; then
    folder=$1
    shift
    mkdir -p "$folder"
else
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi
cd "$folder"
[ $# -gt 0 ] || set -- doorbell records reservations stream classic
failed=0

# explore MODEL OPTIMIZE FLAG...: makes the model's searcher and runs it; what it says goes to pan.out.
explore() {
    model=$1
    optimize=$2
    shift 2
    rm -f pan pan.out ./*.trail
    spin -a "$@" "$here/$model.pml" >spin.out 2>&1 || { cat spin.out; return 1; }
    gcc "$optimize" -w -DSAFETY -DCOLLAPSE -DMEMLIM=1900 -o pan pan.c || return 1
    ./pan -m1000000 -w23 >pan.out 2>&1 || true
}

# flags NAME: of the check NAME of the model at hand.
flags() { sed -n "s/^ \* \(check\|long\): $1 \+\(.*\)/\2/p" "$here/$model.pml"; }
seconds() { sed -n 's/^pan: elapsed time \([0-9.]*\) seconds.*/\1/p' pan.out; }
states() { sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.out; }
fail() {
    echo "FAILED  $*"
    failed=1
}
fail_search() {
    fail "$@"
    tail -40 pan.out 2>/dev/null || true
}

check_failpoints() {
    for step in $(sed -n 's/.*step: \([a-z0-9_.]*\).*/\1/p' "$here/$model.pml" | sort -u); do
        grep -q " $step\$" steps || fail "$model: step: $step is no step of the code (scripts/failpoints.sh lists them)"
    done
}

"$here/../scripts/failpoints.sh" >steps
for bug in $(sed -n 's/^| `\(BUG_[A-Z_]*\)` .*/\1/p' "$here/README.md"); do
    grep -q "^ \* bug: $bug " "$here"/*.pml || fail "$bug is in README.md, but in no model"
done
for model; do
    check_failpoints
    for check in $(sed -n "s/^ \* \($wanted\): \([a-z_]*\) .*/\2/p" "$here/$model.pml"); do
        # shellcheck disable=SC2046 # the flags are words
        explore "$model" -O2 $(flags "$check") || { fail_search "$model: $check cannot be built"; continue; }
        if grep -q 'errors: 0$' pan.out && ! grep -q 'too small\|truncated\|interrupted\|out of memory\|aborting\|not completed' pan.out; then
            echo "holds   $model: $check, $(states) states, $(seconds) s"
        else
            fail_search "$model: $check, folder $folder"
        fi
    done
    sed -n 's/^ \* bug: \(BUG_[A-Z_]*\) \+\([a-z_]*\)$/\1 \2/p' "$here/$model.pml" >"bugs.$model"
    while read -r bug check; do
        # shellcheck disable=SC2046
        explore "$model" -O1 $(flags "$check") "-D$bug" </dev/null || { fail_search "$model: $bug cannot be built"; continue; }
        if grep -q 'errors: [1-9]' pan.out; then
            echo "caught  $model: $bug, $(states) states, $(seconds) s"
        else
            fail_search "$model: $bug is not caught by $check"
        fi
        grep -q "^| \`$bug\` " "$here/README.md" || fail "$model: $bug is not in README.md"
    done <"bugs.$model"
done
exit $failed
