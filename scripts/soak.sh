#!/bin/sh
# soak.sh - what `make test` has little time for: hostile clients of every manner for SOAK_SECONDS (default 600)
# altogether; every allocation and every call that a signal may interrupt, failing once; a machine that sleeps for
# minutes; signals without a pause. SOAK_SEED (default 1) says how they behave.
set -eu
cd "$(dirname "$0")/.."
seconds=${SOAK_SECONDS:-600}
seed=${SOAK_SEED:-1}
manners=abmrcde
scripts/build.sh release chatbot test_hostile_clients test_no_memory test_suspended test_eintr_storm
export LIPC_CHATBOT=build/chatbot LIPC_TEST_MODEL_DIR=models
echo "soak: hostile clients, $seconds s, seed $seed"
build/tests/hostile_clients "$((seconds / ${#manners}))" "$manners" "$seed"
echo "soak: faults of the machine"
build/tests/no_memory all
build/tests/suspended 120 2000 "$seed"
build/tests/eintr_storm 500 100
echo "soak: passed"
