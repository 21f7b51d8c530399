#!/usr/bin/env python3
"""performance.py RESULTS... - puts the figures of one or more runs into docs/performance.md, between its marks.

RESULTS are JSON files of `bench --only engine --results FILE`. Of a row that several have, the last one counts.
"""
import json
import re
import sys

PAGE = "docs/performance.md"
MODELS = [("374m", "374M"), ("1.1b", "1.1B"), ("134m", "134M"), ("152k", "190M with Qwen's vocabulary")]
KINDS = [("374m", "llama, 374M"), ("gemma3", "gemma3, 270M"), ("lfm2", "lfm2 (hybrid), 260M")]


def cases_of(key, model):
    """What the row is; its name; further figures: names and how they read."""
    at = f"engine.{key}"
    return [
        (f"1 answer, {model}: tokens/s over llama-bench", f"{at}.1.of_bench",
         [(f"{at}.1.host", "host {}"), (f"{at}.1.bench", "llama-bench {}"), (f"{at}.1.server", "llama-server {} tokens/s"),
          (f"{at}.1.host_first", "first token {}"), (f"{at}.1.server_first", "llama-server's {} ms")]),
        (f"8 answers at a time, {model}: over llama-batched-bench", f"{at}.8.of_bench",
         [(f"{at}.8.host", "host {}"), (f"{at}.8.bench", "llama-batched-bench {} tokens/s")]),
        (f"8 answers at a time, {model}: over llama-server", f"{at}.8.of_server",
         [(f"{at}.8.host", "host {}"), (f"{at}.8.server", "llama-server {} tokens/s")]),
        (f"prompt of 2,000 tokens, {model}: first token over llama-bench's time", f"{at}.prompt.of_bench",
         [(f"{at}.prompt.host", "host {}"), (f"{at}.prompt.bench", "llama-bench {} ms")]),
        (f"prompt of 2,000 tokens, {model}: first token over llama-server's", f"{at}.prompt.of_server",
         [(f"{at}.prompt.host", "host {}"), (f"{at}.prompt.server", "llama-server {} ms")]),
        (f"prompt of 2,000 tokens beside 4 answers, {model}: its first token over llama-server's", f"{at}.prompt_beside_4.of_server",
         [(f"{at}.prompt_beside_4.first", "host {}"), (f"{at}.prompt_beside_4.server_first", "llama-server {} ms")]),
        (f"prompt of 2,000 tokens beside 4 answers, {model}: longest pause of the 4 over 3 of their steps, or 100 ms",
         f"{at}.prompt_beside_4.pause_of_allowed",
         [(f"{at}.prompt_beside_4.pause", "host {}"), (f"{at}.prompt_beside_4.step", "a step {}"),
          (f"{at}.prompt_beside_4.server_pause", "llama-server {} ms")]),
        (f"worker killed behind 1,000 tokens, {model}: pause over loading and evaluating", f"{at}.worker_killed.of_parts",
         [(f"{at}.worker_killed.pause", "pause {}"), (f"{at}.worker_killed.loading", "loading {}"),
          (f"{at}.worker_killed.evaluation", "llama-bench {} ms")]),
        (f"ready after start, {model}: over llama-server", f"{at}.ready.of_server",
         [(f"{at}.ready.host", "host {}"), (f"{at}.ready.server", "llama-server {} ms")]),
        (f"1 MB of text becomes tokens beside 4 answers, {model}: their longest pause", f"{at}.text_beside_4.pause",
         [(f"{at}.text_beside_4.pause_without", "without it {}"), (f"{at}.text_beside_4.step", "a step {}"),
          (f"{at}.text_beside_4.time", "the text takes {} ms")]),
    ]


CASES = [case for key, model in MODELS for case in cases_of(key, model)] + [
    (f"second turn of 1,000 tokens, {kind}: first token over evaluating the new tokens", f"engine.{key}.second_turn.of_evaluation",
     [(f"engine.{key}.second_turn.host", "host {}"), (f"engine.{key}.second_turn.evaluation", "alone {} ms"),
      (f"engine.{key}.second_turn.new_tokens", "{} tokens")]) for key, kind in KINDS] + [
    ("vocabulary of 152,000, llama-server's default sampling: our sampler over the library's chain", "sampler.152k.server.ratio",
     [("sampler.152k.server", "ours {}"), ("sampler.152k.server.chain", "chain {} us")]),
    ("prompt of 2,000 tokens cancelled, 134M: host idle after", "engine.134m.cancel.idle",
     [("engine.134m.cancel.idle_max", "worst {} ms")]),
    ("its client killed, 134M: host idle after", "engine.134m.client_killed.idle",
     [("engine.134m.client_killed.idle_max", "worst {}"), ("engine.134m.client_killed.server", "llama-server {} ms")]),
    ("a draft model that is mostly right, 134M with itself: tokens/s over llama-server with the same", "engine.134m.draft.of_server",
     [("engine.134m.draft.host", "host {}"), ("engine.134m.draft.server", "llama-server {} tokens/s")]),
    ("a draft model that is never right, 134M for 374M: tokens/s over llama-server with the same", "engine.374m.draft.of_server",
     [("engine.374m.draft.host", "host {}"), ("engine.374m.draft.server", "llama-server {} tokens/s")]),
    ("repetitive text, `--lookup`, temperature 0: tokens/s over without", "engine.lookup.of_without",
     [("engine.lookup.with", "with {}"), ("engine.lookup.without", "without {} tokens/s"),
      ("engine.lookup.same_text", "the same text: {}")]),
    ("requests 100 to 1,000: growth of memory", "engine.memory.growth", [("engine.memory.anon", "in the end {} MB")]),
]
AT_LEAST = (".of_bench", "8.of_server", "draft.of_server", "lookup.of_without")


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(rows):
    def value(name):
        return number(rows[name]["value"]) if name in rows else "-"

    lines = ["| case | measured | bar | holds | figures |", "| --- | --- | --- | --- | --- |"]
    for what, name, beside in CASES:
        if name not in rows or rows[name]["bar"] is None:
            continue
        row = rows[name]
        notes = ", ".join(text.format(value(key)) for key, text in beside if key in rows)
        holds = "**no**" if row["holds"] is False else "yes"
        unit = "" if row["unit"] in ("ratio", "") else " " + row["unit"]
        sense = "at least" if name.endswith(AT_LEAST) and ".prompt" not in name else "at most"
        lines.append(f"| {what} | {number(row['value'])}{unit} | {sense} {row['bar']:g}{unit} | {holds} | {notes} |")
    other_load = max((row["value"] or 0 for name, row in rows.items() if name.endswith(".other_load")), default=0)
    lines += ["", f"Cores that other programs used in the worst turn: {number(other_load)}; far above 0, the run says little."]
    return "\n".join(lines)


def put(page, mark, text):
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    if begin not in page or end not in page:
        sys.exit(f"performance: {PAGE} has no marks for {mark}")
    return re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _: f"{begin}\n{text}\n{end}", page, flags=re.S)


def main():
    rows = {}
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            rows.update({row["name"]: row for row in json.load(file)})
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    page = put(page, "table", table(rows))
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page)


main()
