#!/bin/sh
# fuzz.sh - the fuzz targets for longer than `make test` has time: each for FUZZ_SECONDS (default 600). The libFuzzer
# targets need clang; what they find new is kept in build/fuzz/found/, crashes in build/fuzz/.
set -eu
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-600}
scripts/build.sh release chatbot classic_block_noise
echo "fuzz: a hostile client, $seconds s"
LIPC_CHATBOT=build/chatbot LIPC_TEST_MODEL_DIR=models build/fuzz/classic_block_noise "$seconds"

if ! scripts/build.sh release fuzz_targets >build/fuzz/build.log 2>&1; then
    echo "fuzz: no clang with libFuzzer here: skipped the libFuzzer targets" >&2
    exit 0
fi
for target in utf8 classic_request options request grammar; do
    echo "fuzz: $target, $seconds s"
    mkdir -p "build/fuzz/found/$target"
    build/fuzz/fuzz_$target -max_total_time="$seconds" -print_final_stats=1 -verbosity=0 -artifact_prefix=build/fuzz/ \
        "build/fuzz/found/$target" "fuzz/corpus/$target"
done
