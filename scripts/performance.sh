#!/bin/sh
# performance.sh [OPTION...] - runs the group "engine" of the benchmark and the profile, and puts their figures into
# docs/performance.md. Options are the benchmark's. Ten minutes on a quiet machine; on another one the figures say little.
set -eu
cd "$(dirname "$0")/.."
scripts/bench.sh --only engine --results build/native/engine.json "$@"
scripts/profile.sh >build/native/profile.txt
python3 scripts/performance.py build/native/engine.json build/native/profile.txt
python3 docs/pictures/comparison.py docs/pictures
echo "performance: docs/performance.md has the figures" >&2
