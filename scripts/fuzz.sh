#!/bin/sh
# fuzz.sh [SECONDS] - the fuzz targets for longer than `make test` has time: each for SECONDS (default 600).
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-${SECONDS_EACH:-600}}
LIPC_CHATBOT=build/chatbot build/fuzz/classic_block_noise "$seconds"
