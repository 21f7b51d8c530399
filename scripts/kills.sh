#!/bin/sh
# kills.sh [seed] - the tests that kill processes at random moments, for longer than `make test` has time: 5,000 workers (100
# with the embedded model), 2,000 supervisors, 2,000 hosts under a client of the guide, 2,000 clients of each channel, and 100
# workers and 100 hosts under C# loops. KILLS is a part of them in percent.
set -eu
cd "$(dirname "$0")/.."
seed=${1:-1}
percent=${KILLS:-100}
part() { echo $(($1 * percent / 100 + 1)); }

scripts/build.sh release chatbot lipc test_worker_kills test_supervisor_kills test_host_kills test_client_kills \
    test_client_deaths test_poison
export LIPC_CHATBOT=build/chatbot LIPC_TEST_MODEL_DIR=models
build/tests/worker_kills "$(part 5000)" "$(part 100)" "$seed"
build/tests/supervisor_kills "$(part 2000)" "$(part 100)" "$seed"
build/tests/host_kills "$(part 2000)" "$seed"
build/tests/client_kills "$(part 2000)" "$seed"
build/tests/client_deaths "$(part 2000)" 30
build/tests/poison
# A C# loop under the death of worker and host, and disposing in every phase.
if command -v dotnet >/dev/null; then
    LIPC_KILLS=$(part 100) dotnet test dotnet/LlamaIpc.Tests -c Release --nologo --filter RepeatedKillTests
fi
echo "kills: all passed, seed $seed"
