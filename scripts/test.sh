#!/bin/sh
# test.sh - every test there is, in every form that is kept green:
#   release      all tests
#   failpoints   each side killed, stopped and made to crash behind every store to shared memory (the short form)
#   asan         all tests again under AddressSanitizer and UndefinedBehaviorSanitizer
#   tsan         what runs with concurrent threads, under ThreadSanitizer
#   .NET         the C# library against the same host, where there is an SDK
#   verify       the models of the protocol, checked exhaustively
# Ends with the first failure, and with one line that sums up. The builds and the models run beside the tests that come before
# them (test_beside.sh).
set -eu
cd "$(dirname "$0")/.."
started=$(date +%s)
step() { printf '\n==== %s (%d s)\n' "$*" $(($(date +%s) - started)); }

beside=build/beside
beside_pid=
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

step "release: build"
scripts/build.sh release
start_beside
step "release: tests"
ctest --test-dir build --output-on-failure --no-tests=error -j "$(nproc)" -LE verify

step "crash points: build"
need failpoints
step "crash points: tests"
ctest --test-dir build/failpoints --output-on-failure --no-tests=error -L crash

step "address and undefined behaviour sanitizers: build"
need asan
step "address and undefined behaviour sanitizers: tests"
ctest --test-dir build/asan --output-on-failure --no-tests=error -j "$(nproc)"

step "thread sanitizer: build"
need tsan
step "thread sanitizer: tests"
ctest --test-dir build/tsan --output-on-failure --no-tests=error -L 'channel|threads'

step ".NET: build"
need dotnet
if [ -e "$beside/no_dotnet" ]; then
    step ".NET: skipped, there is no SDK here"
else
    step ".NET: tests"
    dotnet test dotnet/LlamaIpc.slnx -c Release --nologo --no-build
    step ".NET: packages, in a fresh folder"
    tests/dotnet/packages.sh
fi

step "models of the protocol"
need verify
grep "Test *#" "$beside/verify.log"
step "all tests passed"
