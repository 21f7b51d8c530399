#!/bin/sh
# run.sh - the first look: the host on the embedded model, an answer streaming in, a clean end. Through the C# example
# where there is a .NET SDK, otherwise through the C example.
set -eu
cd "$(dirname "$0")/.."

if command -v dotnet >/dev/null 2>&1 && [ -n "$(dotnet --list-sdks 2>/dev/null)" ]; then
    echo "run: building the C# example ..." >&2
    log=build/dotnet-build.log
    if dotnet build dotnet/examples/CSharpStreamingExample -c Release --nologo -v quiet >"$log" 2>&1; then
        exec dotnet run --project dotnet/examples/CSharpStreamingExample -c Release --no-build -- \
            --watch build/chatbot "Explain C++ pointers in detail"
    fi
    tail -5 "$log" >&2
    echo "run: the C# example does not build here (log: $log); using the C example" >&2
else
    echo "run: no .NET SDK here; using the C example instead of the C# one" >&2
fi

# The host's log stays out of the answer; it is shown if something goes wrong.
log=build/chatbot.log
build/chatbot >"$log" 2>&1 &
host=$!
trap 'kill "$host" 2>/dev/null || true; wait "$host" || true' EXIT
trap 'exit 130' INT TERM
build/classic_client --watch || { cat "$log" >&2; exit 1; }
