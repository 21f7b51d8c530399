#!/bin/sh
# fuzz.sh [--keep] [TARGET...] - the fuzz targets for longer than `make test` has time: each for FUZZ_SECONDS (default
# 600), all of them and the hostile client if none is named. fuzz/README.md says what they are, and what to install for
# them. What they find new is kept in build/fuzz/found/, what goes wrong in build/fuzz/. --keep: nothing is run; what was
# found before and reaches something that the corpus in fuzz/corpus/ does not is copied there.
# Files of models are read by libllama, not by us: there is no target for them.
set -eu
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-600}
keep=no
if [ "${1:-}" = --keep ]; then
    keep=yes
    shift
fi
if [ $# -eq 0 ] && [ $keep = no ]; then
    scripts/build.sh release chatbot classic_block_noise
    echo "fuzz: a hostile client, $seconds s"
    LIPC_CHATBOT=build/chatbot LIPC_TEST_MODEL_DIR=models build/fuzz/classic_block_noise "$seconds"
fi
mkdir -p build/fuzz
if ! scripts/build.sh release fuzz_targets >build/fuzz/build.log 2>&1; then
    if ! grep -q "No rule to make target" build/fuzz/build.log; then
        cat build/fuzz/build.log >&2
        exit 1
    fi
    echo "fuzz: no clang with libFuzzer here (apt-get install clang libclang-rt-14-dev, or as this system names them):" \
        "skipped the libFuzzer targets" >&2
    exit 0
fi
[ $# -gt 0 ] || set -- utf8 classic_request options request grammar attach recovery model_options document event_stream
export LIPC_TEST_MODEL_DIR=models
# What was freed is kept for less long: most of the time would go into touching new memory.
export ASAN_OPTIONS=quarantine_size_mb=8
for target in "$@"; do
    mkdir -p "build/fuzz/found/$target"
    if [ $keep = yes ]; then
        # By places in the code. By how often each is passed there would be ten times as many, and no more to see.
        build/fuzz/fuzz_$target -merge=1 -use_counters=0 -verbosity=0 "fuzz/corpus/$target" "build/fuzz/found/$target"
        continue
    fi
    echo "fuzz: $target, $seconds s"
    build/fuzz/fuzz_$target -max_total_time="$seconds" -max_len=2048 -rss_limit_mb=1024 -timeout=60 -print_final_stats=1 \
        -verbosity=0 -artifact_prefix="build/fuzz/$target-" "build/fuzz/found/$target" "fuzz/corpus/$target"
done
