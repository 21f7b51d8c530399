#!/usr/bin/env python3
"""performance.py RESULTS PROFILE - puts the figures of a run into docs/performance.md, between its marks.

RESULTS is the JSON file of `bench --only engine`, PROFILE what scripts/profile.sh printed.
"""
import json
import re
import sys

PAGE = "docs/performance.md"
# What the row is; its name; orientation beside it: names and how they read.
CASES = [
    ("1 client, 134M, vocabulary 32,000: over evaluation alone", "engine.134m.1.of_evaluation",
     [("engine.134m.1.host", "host {}"), ("engine.134m.1.evaluation", "alone {}"),
      ("engine.134m.1.evaluation_peer", "llama-bench {}"), ("engine.134m.1.server", "llama-server {} tokens/s")],
     "engine.134m.1"),
    ("8 clients, 134M: over evaluation alone in batches", "engine.134m.8.of_evaluation",
     [("engine.134m.8.host", "host {}"), ("engine.134m.8.evaluation", "alone {}"),
      ("engine.134m.8.evaluation_peer", "llama-batched-bench {} tokens/s")], "engine.134m.8"),
    ("8 clients, 134M: over llama-server", "engine.134m.8.of_server",
     [("engine.134m.8.server", "llama-server {} tokens/s")], None),
    ("1 client, 374M: over evaluation alone", "engine.374m.1.of_evaluation",
     [("engine.374m.1.host", "host {}"), ("engine.374m.1.evaluation", "alone {}"),
      ("engine.374m.1.evaluation_peer", "llama-bench {}"), ("engine.374m.1.server", "llama-server {} tokens/s")],
     "engine.374m.1"),
    ("8 clients, 374M: over llama-server", "engine.374m.8.of_server",
     [("engine.374m.8.host", "host {}"), ("engine.374m.8.evaluation", "alone {}"),
      ("engine.374m.8.evaluation_peer", "llama-batched-bench {}"), ("engine.374m.8.server", "llama-server {} tokens/s")],
     "engine.374m.8"),
    ("1 client, 1.1B: over evaluation alone", "engine.1.1b.1.of_evaluation",
     [("engine.1.1b.1.host", "host {}"), ("engine.1.1b.1.evaluation", "alone {}"),
      ("engine.1.1b.1.evaluation_peer", "llama-bench {}"), ("engine.1.1b.1.server", "llama-server {} tokens/s")],
     "engine.1.1b.1"),
    ("8 clients, 1.1B: over llama-server", "engine.1.1b.8.of_server",
     [("engine.1.1b.8.host", "host {}"), ("engine.1.1b.8.evaluation", "alone {}"),
      ("engine.1.1b.8.evaluation_peer", "llama-batched-bench {}"), ("engine.1.1b.8.server", "llama-server {} tokens/s")],
     "engine.1.1b.8"),
    ("vocabulary 128,000, 4 layers of 256: over the bare loop with the library's samplers", "engine.128k.1.of_bare",
     [("engine.128k.1.host", "host {}"), ("engine.128k.1.bare", "bare loop {}"),
      ("engine.128k.1.evaluation", "alone {} tokens/s")], "engine.128k.1"),
    ("second turn of 1,000 tokens, first token: over evaluating what is new", "engine.second_turn.of_evaluation",
     [("engine.second_turn.host", "host {} ms"), ("engine.second_turn.evaluation", "alone {} ms"),
      ("engine.second_turn.new_tokens", "{} tokens")], None),
    ("4 answers run, a prompt of 2,000 tokens arrives: longest pause", "engine.newcomer.gap",
     [("engine.newcomer.gap_max", "worst {}"), ("engine.newcomer.server_gap", "llama-server {} ms"),
      ("engine.newcomer.first", "newcomer's first token {} ms"),
      ("engine.newcomer.server_first", "llama-server's {} ms")], None),
    ("cancelled in a prompt of 2,000 tokens: host idle after", "engine.cancel.idle",
     [("engine.cancel.idle_max", "worst {} ms")], None),
    ("its client killed: host idle after", "engine.client_killed.idle",
     [("engine.client_killed.idle_max", "worst {}"), ("engine.client_killed.server", "llama-server {} ms")], None),
    ("repetitive text, `--lookup`, temperature 0: over without", "engine.lookup.of_without",
     [("engine.lookup.with", "with {}"), ("engine.lookup.without", "without {} tokens/s"),
      ("engine.lookup.same_text", "the same text: {}")], None),
    ("requests 100 to 1,000: growth of memory", "engine.memory.growth", [("engine.memory.anon", "in the end {} MB")], None),
]


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(rows):
    def value(name):
        return number(rows[name]["value"]) if name in rows else "-"

    lines = ["| case | measured | bar | holds | beside it | first token: host / alone / llama-server |",
             "| --- | --- | --- | --- | --- | --- |"]
    for what, name, beside, first in CASES:
        if name not in rows:
            continue
        row = rows[name]
        notes = ", ".join(text.format(value(key)) for key, text in beside)
        firsts = ""
        if first:
            other = "bare_first" if f"{first}.bare_first" in rows else "evaluation_first"
            firsts = " / ".join(value(f"{first}.{key}") for key in ("host_first", other, "server_first")) + " ms"
        holds = "**no**" if row["holds"] is False else "yes"
        unit = "" if row["unit"] == "ratio" else " " + row["unit"]
        sense = "at least" if row["unit"] == "ratio" and "second_turn" not in name else "at most"
        lines.append(f"| {what} | {number(row['value'])}{unit} | {sense} {row['bar']:g}{unit} | {holds} | {notes} | {firsts} |")
    survivors = ", ".join(f"{name.split('.min_p')[0][7:]}: {number(row['value'])}" for name, row in rows.items()
                          if name.endswith("min_p_survivors"))
    other_load = max((row["value"] or 0 for name, row in rows.items() if name.endswith(".other_load")), default=0)
    lines += ["", f"Candidates above min-p 0.05, mean: {survivors}. Cores that other programs used in the worst turn: "
              f"{number(other_load)}; far above 0, the run says little."]
    return "\n".join(lines)


def put(page, mark, text):
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    if begin not in page or end not in page:
        sys.exit(f"performance: {PAGE} has no marks for {mark}")
    return re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _: f"{begin}\n{text}\n{end}", page, flags=re.S)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        rows = {row["name"]: row for row in json.load(file)}
    with open(sys.argv[2], encoding="utf-8") as file:
        profile = file.read().strip()
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    page = put(page, "table", table(rows))
    page = put(page, "profile", "```\n" + "\n".join(line.rstrip() for line in profile.split("\n")) + "\n```")
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page)


main()
