#!/usr/bin/env python3
"""Draws the comparison with llama-server, for a light and for a dark page.

    make performance && python3 docs/pictures/comparison.py docs/pictures

The figures are those of the table in docs/performance.md, which `make performance` writes from the benchmark's results: so
page and picture cannot say different things. Each pair of bars has a scale of its own; the longer bar is full.
"""
import html
import os
import re
import sys

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "performance.md")
# What is drawn: the case's beginning in the table, the title, what the host's and the peer's figures look like there, the unit,
# and whether more is better.
FIGURE = r"([\d,.]+)"
CASES = [
    ("1 answer, 374M", "1 answer, 374 million parameters", rf"host {FIGURE}", rf"llama-server {FIGURE}", "tokens/s", True),
    ("8 answers at a time, 374M: over llama-server", "8 answers at a time, 374 million parameters", rf"host {FIGURE}",
     rf"llama-server {FIGURE}", "tokens/s", True),
    ("prompt of 2,000 tokens beside 4 answers, 374M: longest pause", "longest pause of 4 answers when a prompt of 2,000 tokens arrives",
     rf"host {FIGURE}", rf"llama-server {FIGURE}", "ms", False),
    ("prompt of 2,000 tokens beside 4 answers, 374M: its first", "... and the first token of that prompt's answer",
     rf"host {FIGURE}", rf"llama-server {FIGURE}", "ms", False),
]
THEMES = {
    "light": {"text": "#1f2328", "dim": "#59636e", "host": "#1a7f5a", "peer": "#8c959f", "line": "#d1d9e0", "page": "#ffffff"},
    "dark": {"text": "#e6edf3", "dim": "#9198a1", "host": "#3fb984", "peer": "#6e7681", "line": "#3d444d", "page": "#0d1117"},
}
WIDTH, LEFT, BAR, ROW = 760, 24, 430, 74


def number(text):
    return float(text.replace(",", ""))


def figures():
    """(title, host, peer, unit, more is better) of each case that the table has."""
    with open(PAGE, encoding="utf-8") as file:
        lines = [line for line in file if line.startswith("| ")]
    found = []
    for start, title, host, peer, unit, more in CASES:
        line = next((line for line in lines if line[2:].startswith(start)), None)
        ours, theirs = (re.search(pattern, line) if line else None for pattern in (host, peer))
        if ours and theirs:
            found.append((title, number(ours[1]), number(theirs[1]), unit, more))
    return found


def draw(theme, rows):
    colours, parts = THEMES[theme], []
    height = 66 + ROW * len(rows)

    def text(x, y, words, colour="text", size=13, anchor="start", weight="normal"):
        parts.append(f'<text x="{x:g}" y="{y:g}" fill="{colours[colour]}" font-size="{size}" text-anchor="{anchor}" '
                     f'font-weight="{weight}">{html.escape(words)}</text>')

    parts.append(f'<rect width="{WIDTH}" height="{height}" rx="8" fill="{colours["page"]}" stroke="{colours["line"]}"/>')
    for x, colour, words in ((LEFT, "host", "lipc"), (LEFT + 90, "peer", "llama-server")):
        parts.append(f'<rect x="{x}" y="18" width="14" height="14" rx="3" fill="{colours[colour]}"/>')
        text(x + 22, 30, words)
    text(WIDTH - LEFT, 30, "the same libllama, model and machine", "dim", 12, "end")
    for i, (title, host, peer, unit, more) in enumerate(rows):
        y = 62 + ROW * i
        text(LEFT, y, title, weight="600")
        text(WIDTH - LEFT, y, f"{unit}, {'more' if more else 'less'} is better", "dim", 12, "end")
        for k, (colour, value) in enumerate((("host", host), ("peer", peer))):
            width = max(2.0, BAR * value / max(host, peer))
            parts.append(f'<rect x="{LEFT}" y="{y + 9 + 21 * k}" width="{width:.1f}" height="16" rx="3" '
                         f'fill="{colours[colour]}"/>')
            text(LEFT + width + 8, y + 22 + 21 * k, f"{value:,.0f}" if value >= 100 else f"{value:g}")
    words = "; ".join(f"{title}: lipc {host:g}, llama-server {peer:g} {unit}" for title, host, peer, unit, _ in rows)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
            f'font-family="system-ui, -apple-system, \'Segoe UI\', Helvetica, Arial, sans-serif">\n'
            f"<title>lipc beside llama-server</title>\n<desc>{html.escape(words)}</desc>\n" + "\n".join(parts) + "\n</svg>\n")


def main():
    rows = figures()
    if not rows:
        sys.exit("docs/performance.md has no table with these figures: make performance")
    for theme in THEMES:
        with open(os.path.join(sys.argv[1], f"comparison-{theme}.svg"), "w", encoding="utf-8") as file:
            file.write(draw(theme, rows))


main()
