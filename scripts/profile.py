#!/usr/bin/env python3
"""profile.py FIGURES - reads `perf script -F ip,sym,dso` from standard input and tells where a token's time goes.

FIGURES is "model NAME" and the line that bench/load prints. Each sample is a stack, innermost call first. Two tables come
out: the rooms of the program with their share and their time per token, each sample counted once; and the tree of calls from
the outside in, with what a call and everything below it takes.
"""
import re
import sys
from collections import Counter

# A sample belongs to the first line of this list that any call of its stack matches.
ROOMS = [
    ("evaluation: the arithmetic", r"^ggml_graph_compute|^ggml_backend_cpu_graph_compute|^GOMP_|^tinyBLAS|^llamafile_sgemm"),
    ("evaluation: building and planning graphs",
     r"build_graph|ggml_backend_sched_(alloc|reset|split)|ggml_gallocr|llm_graph|llama_model::build|graph_reserve|can_reuse"),
    ("evaluation: cache, masks, batches, outputs", r"^llama_decode$|llama_context::"),
    ("sampling", r"llama_sampler|^sample|^choose_|^logits_|^draw_|^log_probability$"),
    ("engine, the rest", r"^llama_engine_|^evaluate|^advance$|^take_token$|^detokenise$|^(engine|drafter|cells|pool|steps|text)_"),
    ("channel: publishing, waking", r"^stream_|^plat_doorbell|^hub_|^show_|^classic_"),
    ("host, the rest", r"^server_run$|^serve|^worker_"),
]
LEAST = 1.0   # per cent of a branch that is shown
DEPTH = 14
BAR = 40


def stacks(lines):
    stack = []
    for line in lines:
        line = line.strip()
        if not line:
            if stack:
                yield stack
            stack = []
            continue
        # "address symbol (file)"; what is inlined says so in place of a file.
        found = re.match(r"^[0-9a-f]+ (.*?)(?:\+0x[0-9a-f]+)? \((.*)\)$", line)
        if found:
            name = found.group(1)
            if name == "[unknown]":
                name = "? " + found.group(2).rsplit("/", 1)[-1]
            stack.append(re.sub(r"\(anonymous namespace\)::|\(.*\)( const)?|<.*>|\.(isra|part|constprop)\.\d+|@@.*", "", name))
    if stack:
        yield stack


def room_of(stack):
    for name, pattern in ROOMS:
        if any(re.search(pattern, call) for call in stack):
            return name
    return "not known: the stack could not be followed" if stack[-1].startswith("?") else "other: " + stack[-1]


def add(tree, stack):
    tree["n"] += 1
    for call in reversed(stack):
        tree = tree["below"].setdefault(call, {"n": 0, "below": {}})
        tree["n"] += 1


def show(tree, total, depth=0):
    for call, below in sorted(tree["below"].items(), key=lambda item: -item[1]["n"]):
        share = 100.0 * below["n"] / total
        if share < LEAST or depth > DEPTH:
            continue
        bar = "#" * max(1, round(share * BAR / 100))
        print(f"{share:6.1f} %  {bar:<{BAR}}  {'  ' * depth}{call[:70]}")
        show(below, total, depth + 1)


def main():
    figures = dict(zip(sys.argv[1].split()[::2], sys.argv[1].split()[1::2]))
    us = float(figures["cpu_us_per_token"])
    rooms, leaves, tree = Counter(), Counter(), {"n": 0, "below": {}}
    for stack in stacks(sys.stdin):
        rooms[room_of(stack)] += 1
        leaves[stack[0]] += 1
        add(tree, stack)
    total = sum(rooms.values())
    if total == 0:
        sys.exit("profile: no samples")
    print(f"{figures['model']}, {figures['clients']} clients: {figures['tokens_per_s']} tokens/s, {us:.0f} us of processor "
          f"time per token (prompts included), {total} samples\n")
    for counted, heading in ((rooms, "room"), (leaves, "function, by itself")):
        print(f"{'share':>8}  {'us/token':>8}  {heading}")
        for name, n in counted.most_common(12):
            print(f"{100.0 * n / total:6.1f} %  {us * n / total:8.1f}  {name[:90]}")
        print()
    print(f"   share  calls from the outside in, {LEAST:g} % and more")
    show(tree, total)
    print()


main()
