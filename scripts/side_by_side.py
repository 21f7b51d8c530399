#!/usr/bin/env python3
"""side_by_side.py MODEL [ROUNDS] - the C# library beside LLamaSharp and beside the OpenAI package on llama-server, on one model.

The subjects take turns, each turn in a process of its own (bench/dotnet). Writes the table of docs/dotnet/side-by-side.md from the
medians. Needs the .NET SDK, the native build (make bench builds it, and llama-server), and a quiet machine."""
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCH = ROOT / "build/dotnet/bin/LlamaIpc.Bench/release/LlamaIpc.Bench.dll"
PAGE = ROOT / "docs/dotnet/side-by-side.md"
SUBJECTS = {"lipc": "LlamaIpc", "openai": "OpenAI package, llama-server", "llamasharp": "LLamaSharp"}
BEGIN, END = "<!-- figures: scripts/side_by_side.py -->\n", "<!-- end of figures -->"

ROWS = [
    ("lines of code to the first token", "lines", "{:.0f}"),
    ("first token", "first_ms", "{:.0f} ms"),
    ("tokens a second", "tokens_per_second", "{:.1f}"),
    ("the application's processor time for each token", "cpu_us", "{:.0f} µs"),
    ("managed allocations for each token", "allocated", "{:.0f} bytes"),
    ("memory of the application", "memory_mb", "{:.0f} MB"),
    ("cancelled while it reads a long prompt: the caller goes on after", "caller_ms", "{:.0f} ms"),
    ("... and the engine stands still after", "cancel_ms", "{:.0f} ms"),
    ("window whose drawing takes 40 ms: longest hold-up of its thread", "window_ms", "{:.0f} ms"),
    ("the model's process is killed", "crash", "{}"),
]


def cache():
    """Where fetch-libllama.sh puts things."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(os.environ.get("LIPC_CACHE") or f"{home}/lipc")


def environment():
    peers = sorted(cache().glob("libllama-*-peer"))
    sources = sorted(cache().glob("libllama-*-source"))
    if not peers or not sources:
        sys.exit("side_by_side: no llama-server here: run scripts/fetch-libllama.sh peer")
    return os.environ | {
        "LIPC_CHATBOT": str(ROOT / "build/native/chatbot"),
        "PATH": f"{ROOT / 'build/native'}:{os.environ['PATH']}",
        "LLAMA_SERVER": str(peers[-1] / "bin/llama-server"),
        "LD_LIBRARY_PATH": f"{peers[-1] / 'lib'}:{sources[-1] / 'lib'}",
        "LIPC_NAME": f"side_by_side_{os.getpid()}",
    }


def lines_of_code():
    """The lines between the marks of each subject."""
    text = (ROOT / "bench/dotnet/Subjects.cs").read_text()
    return {
        subject: sum(len(part.strip().splitlines()) for part in re.findall(rf"// begin {subject}\n(.*?)// end {subject}", text, re.S))
        for subject in SUBJECTS
    }


def turn(subject, model, variables):
    done = subprocess.run(["dotnet", str(BENCH), subject, model], env=variables, stdout=subprocess.PIPE, text=True, timeout=600)
    if done.returncode != 0:
        sys.exit(f"side_by_side: {subject} ended with code {done.returncode}")
    row = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(row), file=sys.stderr)
    return row


def median(rows, key, form):
    values = [row[key] for row in rows]
    return form.format(statistics.median(values) if isinstance(values[0], (int, float)) else values[-1])


def table(rounds):
    lines = lines_of_code()
    text = "| | " + " | ".join(SUBJECTS.values()) + " |\n" + "| --- " * (len(SUBJECTS) + 1) + "|\n"
    for title, key, form in ROWS:
        cells = [
            form.format(lines[subject]) if key == "lines" else median([r[subject] for r in rounds], key, form) for subject in SUBJECTS
        ]
        text += f"| {title} | " + " | ".join(cells) + " |\n"
    return text


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    model, n_rounds = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5
    variables, rounds = environment(), []
    for i in range(n_rounds):
        order = list(SUBJECTS) if i % 2 == 0 else list(SUBJECTS)[::-1]
        rounds.append({subject: turn(subject, model, variables) for subject in order})
    page = PAGE.read_text()
    head, rest = page.split(BEGIN)
    PAGE.write_text(head + BEGIN + "\n" + table(rounds) + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
