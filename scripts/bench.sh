#!/bin/sh
# bench.sh [OPTION...] - builds the benchmark, its peer and the host on one and the same libllama, built here, and runs it.
#
# The peer (llama-server and its like) and the library are built once, into the cache. Options are the program's own:
# --only engine, --quick, ...; --help lists them.
set -eu
cd "$(dirname "$0")/.."
export LIPC_LLAMA=source
scripts/setup.sh
scripts/fetch-libllama.sh peer >/dev/null
scripts/fetch-libllama.sh testdata >/dev/null
scripts/build.sh native lipc_bench
exec build/native/bench/bench "$@"
