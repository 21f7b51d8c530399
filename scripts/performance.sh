#!/bin/sh
# performance.sh [OPTION...] - runs the group "engine" of the benchmark, and puts its figures into docs/performance.md. Options are
# the benchmark's. An hour on a quiet machine; on another one the figures say little.
set -eu
cd "$(dirname "$0")/.."
scripts/bench.sh --only engine,sampler --results build/native/engine.json "$@"
python3 scripts/performance.py build/native/engine.json
python3 docs/pictures/comparison.py docs/pictures
echo "performance: docs/performance.md has the figures" >&2
