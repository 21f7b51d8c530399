#!/bin/sh
# test_beside.sh FOLDER - for test.sh: what only computes, on the cores that the tests leave idle. SCHED_IDLE: whatever else
# wants to run goes first, so no test waits for it. NAME.log, and then NAME.ok or NAME.failed, are left in FOLDER.
set -u
cd "$(dirname "$0")/.."
folder=${1:?usage: test_beside.sh FOLDER}
chrt --idle --pid 0 $$ 2>/dev/null || renice -n 19 $$ >/dev/null

job() {
    name=$1
    shift
    if "$@" >"$folder/$name.log" 2>&1 </dev/null; then
        : >"$folder/$name.ok"
    else
        : >"$folder/$name.failed"
        exit 1
    fi
}

job failpoints scripts/build.sh failpoints chatbot lipc test_crash_points test_load_points
job asan scripts/build.sh asan
job tsan scripts/build.sh tsan
if command -v dotnet >/dev/null 2>&1 && [ -n "$(dotnet --list-sdks 2>/dev/null)" ]; then
    # Without the processes that would stay and wait for the next build.
    job dotnet dotnet build dotnet/LlamaIpc.slnx -c Release --nologo -nodeReuse:false -p:UseSharedCompilation=false
else
    job dotnet echo "there is no SDK here"
    : >"$folder/no_dotnet"
fi
job verify ctest --test-dir build/verify --output-on-failure --no-tests=error -j "$(nproc)"
