#!/bin/sh
# test.sh - every test there is, in every form that is kept green:
#   release      all tests
#   steps        each side killed, stopped and made to crash behind every store to shared memory (the short form)
#   asan         all tests again under AddressSanitizer and UndefinedBehaviorSanitizer
#   tsan         what runs with concurrent threads, under ThreadSanitizer
#   .NET         the C# library against the same host, where there is an SDK
# Ends with the first failure, and with one line that sums up.
set -eu
cd "$(dirname "$0")/.."
started=$(date +%s)
step() { printf '\n==== %s (%d s)\n' "$*" $(($(date +%s) - started)); }

step "release: build"
scripts/build.sh release
step "release: tests"
ctest --test-dir build --output-on-failure --no-tests=error -j "$(nproc)"

step "crash points: build"
scripts/build.sh steps chatbot lipc test_crash_points test_load_points
step "crash points: tests"
ctest --test-dir build/steps --output-on-failure --no-tests=error -L crash

step "address and undefined behaviour sanitizers: build"
scripts/build.sh asan
step "address and undefined behaviour sanitizers: tests"
ctest --test-dir build/asan --output-on-failure --no-tests=error -j "$(nproc)"

step "thread sanitizer: build"
scripts/build.sh tsan
step "thread sanitizer: tests"
ctest --test-dir build/tsan --output-on-failure --no-tests=error -L channel

if command -v dotnet >/dev/null 2>&1 && [ -n "$(dotnet --list-sdks 2>/dev/null)" ]; then
    step ".NET: tests"
    dotnet test dotnet/LlamaIpc.slnx -c Release --nologo
else
    step ".NET: skipped, there is no SDK here"
fi
step "all tests passed"
