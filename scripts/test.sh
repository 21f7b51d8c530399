#!/bin/sh
# test.sh [quick] - every test there is, in every form that is kept green:
#   release      all tests
#   failpoints   each side killed, stopped and made to crash behind every store to shared memory (the short form)
#   asan         all tests again under AddressSanitizer and UndefinedBehaviorSanitizer
#   tsan         what runs with concurrent threads, under ThreadSanitizer
#   .NET         the C# library against the same host, where there is an SDK
#   verify       the models of the protocol, checked exhaustively
# quick: the release build alone, without what takes long and rarely finds anything that the rest does not.
#
# Ends with the first failure, or with how much was tested, what was not, and why. The builds and the models run beside the
# tests that come before them (test_beside.sh). No test judges speed, so that a busy machine only makes it slower; see "On a
# busy machine" in tests/README.md.
set -eu
cd "$(dirname "$0")/.."
started=$(date +%s)
step() { printf '\n==== %s (%d s)\n' "$*" $(($(date +%s) - started)); }

form=${1:-all}
# Tests wait for processes more than they compute.
jobs=${LIPC_TEST_JOBS:-$((2 * $(nproc)))}
beside=build/beside
skipped=build/skipped.txt
beside_pid=
n_passed=0
stop_beside() { [ -z "$beside_pid" ] || kill -- "-$beside_pid" 2>/dev/null || true; }
trap stop_beside EXIT
trap 'exit 1' HUP INT TERM
start_beside() {
    rm -rf "$beside"
    mkdir -p "$beside"
    setsid scripts/test_beside.sh "$beside" &
    beside_pid=$!
}
# need NAME - waits until that job is done, and ends if it failed.
need() {
    while [ ! -e "$beside/$1.ok" ]; do
        if [ -e "$beside/$1.failed" ] || ! kill -0 "$beside_pid" 2>/dev/null; then
            [ -e "$beside/$1.ok" ] && break
            cat "$beside/$1.log"
            exit 1
        fi
        sleep 0.2
    done
}

# leave_out FORM WHAT WHY - notes what is not tested.
leave_out() { printf '%s: %s: %s\n' "$1" "$2" "$3" >>"$skipped"; }

# note_skipped FORM LOG - what CTest's log of a run says was skipped: a test says so itself, with the reason, also of a part.
note_skipped() {
    awk -v form="$1" '/^[0-9]+\/[0-9]+ Testing: / { test = $3 }
        sub(/^.*skipped: */, "") { print form ": " test ": " $0 }' "$2" >>"$skipped"
    n_passed=$((n_passed + $(grep -c '^Test Passed\.$' "$2" || true)))
}

# run_tests FORM FOLDER [CTEST'S ARGUMENT...]
run_tests() {
    name=$1
    folder=$2
    shift 2
    if ! ctest --test-dir "$folder" --output-on-failure --no-tests=error -j "$jobs" "$@"; then
        echo "test: this machine's load is $(cut -d' ' -f1-3 /proc/loadavg); on a busy one see tests/README.md" >&2
        exit 1
    fi
    note_skipped "$name" "$folder/Testing/Temporary/LastTest.log"
}

# The end of the whole: what was tested, and what was not.
finish() {
    step "done"
    if [ -s "$skipped" ]; then
        echo "left out here:"
        sed 's/^/  /' "$skipped"
        echo "$n_passed tests passed, none failed; $(wc -l <"$skipped") left out (see above)"
    else
        echo "$n_passed tests passed, none failed, nothing was left out"
    fi
}

rm -f "$skipped"
mkdir -p build
: >"$skipped"
step "release: build"
scripts/build.sh release
# 24 MB, once. Without it the test that offloads layers says why it is left out.
[ "$(uname -m)" != x86_64 ] || scripts/fetch-libllama.sh vulkan >/dev/null ||
    leave_out release "layers on a graphics card" "the Vulkan backend could not be fetched"
scripts/fetch-libllama.sh rpc >/dev/null || leave_out release "layers on other computers" "the RPC backend could not be built"
if [ "$form" = quick ]; then
    step "release: the quick tests"
    run_tests release build -LE 'verify|slow'
    leave_out quick "sanitizers, failpoints, .NET, models, slow tests" "make test has them"
    finish
    exit 0
fi
start_beside
step "release: tests"
run_tests release build -LE verify

step "failpoints: build"
need failpoints
step "failpoints: tests"
run_tests failpoints build/failpoints -L crash

step "address and undefined behaviour sanitizers: build"
need asan
step "address and undefined behaviour sanitizers: tests"
run_tests asan build/asan

step "thread sanitizer: build"
need tsan
step "thread sanitizer: tests"
run_tests tsan build/tsan -L 'channel|threads'

step ".NET: build"
need dotnet
if [ -e "$beside/no_dotnet" ]; then
    leave_out .NET "the C# library" "there is no .NET SDK here"
else
    step ".NET: tests"
    rm -f "$beside/dotnet_tests.ok"
    { dotnet test dotnet/LlamaIpc.slnx -c Release --nologo --no-build && : >"$beside/dotnet_tests.ok"; } 2>&1 |
        tee "$beside/dotnet_tests.log"
    [ -e "$beside/dotnet_tests.ok" ] || exit 1
    n_passed=$((n_passed + $(sed -n 's/.*Passed: *\([0-9]*\).*/\1/p' "$beside/dotnet_tests.log" | awk '{ n += $1 } END { print n + 0 }')))
    step ".NET: packages, in a fresh folder"
    tests/dotnet/packages.sh
    sed -n 's/^ *Skipped \([A-Za-z].*\)$/.NET: \1: see its own message/p' "$beside/dotnet_tests.log" >>"$skipped"
fi

step "Debian packages"
tests/packages/deb.sh || { [ $? -eq 77 ] && leave_out packages deb "the tools of dpkg-dev or cpack are not installed"; }

step "models of the protocol"
need verify
grep "Test *#" "$beside/verify.log"
note_skipped verify build/verify/Testing/Temporary/LastTest.log
finish
