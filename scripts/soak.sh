#!/bin/sh
# soak.sh - what `make test` has little time for: hostile clients of every manner for SOAK_SECONDS (default 600)
# altogether, and then clients and hosts killed more often. SOAK_SEED (default 1) says how they behave.
set -eu
cd "$(dirname "$0")/.."
seconds=${SOAK_SECONDS:-600}
seed=${SOAK_SEED:-1}
manners=abmrcde
scripts/build.sh release chatbot test_hostile_clients test_client_kills test_host_kills test_client_deaths
export LIPC_CHATBOT=build/chatbot LIPC_TEST_MODEL_DIR=models
echo "soak: hostile clients, $seconds s, seed $seed"
build/tests/hostile_clients "$((seconds / ${#manners}))" "$manners" "$seed"
echo "soak: killed clients and hosts"
build/tests/client_kills 1000 "$seed"
build/tests/host_kills 500 "$seed"
build/tests/client_deaths 500 30
echo "soak: passed"
