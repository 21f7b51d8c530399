#!/usr/bin/env python3
"""Records a real answer of the host on the embedded model and writes it as an animated SVG.

    make && python3 docs/pictures/record.py > docs/pictures/streaming.svg

The times are those at which each piece of the answer arrived in the client, stretched so that an eye can follow.
"""
import html
import os
import subprocess
import sys
import time

QUESTION = "Explain C++ pointers in detail"
NAME = "recording"
STRETCH = 25  # the picture's second for the answer's
COLUMNS, FONT, LINE = 88, 14, 20
PAUSE = 4.0  # seconds before it starts again


def record():
    """The pieces of the answer as (seconds since the first, text), and the number of tokens' line."""
    host = subprocess.Popen(["build/chatbot", "--name", NAME, "--temp", "0"], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    try:
        client = subprocess.Popen(["build/classic_client", QUESTION, NAME], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        pieces, start = [], None
        while True:
            piece = os.read(client.stdout.fileno(), 4096)
            now = time.monotonic()
            start = start or now
            if not piece:
                break
            pieces.append((now - start, piece.decode("utf-8")))
        notes = client.stderr.read().decode("utf-8")
    finally:
        host.terminate()
        host.wait()
    summary = next(line for line in notes.splitlines() if line.startswith("("))
    return pieces[:-1], summary  # the last piece is the second, unstreamed answer


def lay_out(pieces):
    """Breaks the text into lines and yields (line, column, text, time)."""
    line = column = 0
    for at, text in pieces:
        words = text.split(" ")
        for i, word in enumerate(words):
            part = word if i == 0 else " " + word
            if column + len(part) > COLUMNS and part.startswith(" "):
                line, column, part = line + 1, 0, part[1:]
            if part:
                yield line, column, part, at
                column += len(part)


def main():
    pieces, summary = record()
    runs = list(lay_out(pieces))
    n_lines = runs[-1][0] + 1
    length = runs[-1][3] * STRETCH + PAUSE
    advance = FONT * 0.6
    width, height = int(COLUMNS * advance + 40), (n_lines + 5) * LINE + 20
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" xml:space="preserve" font-size="{FONT}" '
          f'font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace">')
    print(f'<title>{html.escape(QUESTION)}</title>')
    print(f'<rect width="{width}" height="{height}" rx="8" fill="#1b1f27"/>')
    print('<style>text{white-space:pre;fill:#d5dae3}.dim{fill:#7d8799}.you{fill:#8bd5a0}'
          '@media (prefers-reduced-motion){text{animation:none!important}}</style>')

    def text(row, column, content, kind=""):
        print(f'<text x="{20 + column * advance:.1f}" y="{(row + 1) * LINE + 8}" {kind}>{html.escape(content)}</text>')

    text(0, 0, "$ build/classic_client", 'class="dim"')
    text(1, 0, "> " + QUESTION, 'class="you"')
    for row, column, content, at in runs:
        # Each run has its own animation: hidden until its time, then shown to the end of the round.
        share = 100 * at * STRETCH / length
        name = f"a{row}_{column}"
        print(f'<style>@keyframes {name}{{0%,{share:.3f}%{{opacity:0}}{share + 0.001:.3f}%,100%{{opacity:1}}}}</style>')
        text(row + 3, column, content, f'style="animation:{name} {length:.2f}s infinite"')
    text(n_lines + 3, 0, f"{summary[1:-1]}, {runs[-1][3] * 1000:.0f} ms; shown {STRETCH} times slower", 'class="dim"')
    print("</svg>")


if __name__ == "__main__":
    sys.exit(main())
