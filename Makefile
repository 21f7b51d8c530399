# The thin face of the build: CMake does the work (see CMakePresets.json), scripts/ what is more than one command.
#
#   make            build the host, llamaipc, the library and the examples into build/
#   make run        build, start the host on the embedded model and watch an answer stream in
#   make gpu        fetch the backend for this machine's graphics card and put it beside the library: docs/gpu.md. GPU=vulkan,
#                   cuda or none to choose
#   make rpc        build the backend for layers on other computers and put it beside the library: docs/gpu.md
#   make test       all tests: release, sanitizers, .NET. On a busy machine: see tests/README.md
#   make test-quick  the release build without the slow ones, two minutes at most
#   make coverage   which lines of src/ the tests run
#   make mutations  whether the tests of the channel notice when one of its checks or memory orders is not right
#   make bench      the benchmark; rows also go to build/native/bench/results.json. BENCH="--only engine" for a part
#   make profile    where a token's time goes, with perf
#   make performance  the engine's part of the benchmark, and its figures into docs/performance.md
#   make crash-points  kill, stop and crash each side behind every store to shared memory: the long form
#   make soak       what needs time: SOAK_SECONDS (600) of hostile clients, then faults of the machine
#   make kills      processes killed at random moments, in the thousands; KILLS=10 for a tenth of them
#   make fuzz       the long form of the fuzz targets, FUZZ_SECONDS (600) for each
#   make packages   the NuGet packages, into build/packages
#   make reference  the C# API reference, a site in build/reference/site
#   make deb        the Debian packages, into build/packages
#   make generated  the files that are made of include/lipc/parameters.h: documentation and C#
#   make windows    the programs and the library for Windows x64, cross-built: a folder and a zip that run where they are put
#   make test-windows  the tests that are not about Linux itself against that build, under Wine
#   make install    into PREFIX (default /usr/local), DESTDIR honoured
#   make setup      install what the build needs and this machine lacks (root, Debian)
#   make clean      remove build/

PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
# auto, system, prebuilt or source: see cmake/Libllama.cmake
export LIPC_LLAMA ?= auto

.PHONY: all generated reference setup run gpu rpc windows test-windows test test-quick coverage bench profile performance crash-points soak fuzz kills mutations packages deb install clean release

all: release

setup:
	@scripts/setup.sh

release: setup
	@scripts/build.sh release chatbot lipc lipc_static classic_client manual cli

run: setup
	@scripts/build.sh release chatbot lipc lipc_static classic_client manual cli
	@scripts/run.sh

gpu: release
	@scripts/devices.sh $(GPU)

rpc: release
	@scripts/devices.sh rpc

test:
	@scripts/setup.sh test
	@scripts/test.sh

test-quick: setup
	@scripts/test.sh quick

coverage: setup
	@scripts/coverage.sh

mutations: setup
	@command -v python3 >/dev/null || { echo "make mutations needs python3" >&2; exit 1; }
	@python3 scripts/mutations.py $(MUTATIONS)

bench:
	@scripts/bench.sh $(BENCH)

profile:
	@scripts/profile.sh $(PROFILE)

performance:
	@scripts/performance.sh $(BENCH)

crash-points: setup
	@scripts/build.sh failpoints chatbot lipc test_crash_points
	@LIPC_CHATBOT=build/failpoints/chatbot build/failpoints/tests/crash_points scripts/failpoints.sh all

soak: setup
	@scripts/soak.sh

kills: setup
	@scripts/kills.sh

fuzz: setup
	@scripts/fuzz.sh

packages: setup
	@command -v dotnet >/dev/null || { echo "make packages needs the .NET SDK" >&2; exit 1; }
	@scripts/packages.sh

reference:
	@command -v dotnet >/dev/null || { echo "make reference needs the .NET SDK" >&2; exit 1; }
	@dotnet tool restore && dotnet docfx docs/dotnet/docfx.json

deb: setup
	@scripts/deb.sh

generated: setup
	@scripts/build.sh release test_parameter_files
	@build/tests/parameter_files . --write

windows:
	@scripts/windows.sh

test-windows:
	@scripts/windows/test.sh

install: release
	@cmake --install build --prefix "$(PREFIX)"

clean:
	rm -rf build
