#!/usr/bin/env python3
"""Records llamaipc in a real terminal and writes it as an animated SVG.

    make && python3 docs/pictures/record_terminal.py chat > docs/pictures/chat.svg
    make && python3 docs/pictures/record_terminal.py top > docs/pictures/top.svg

The program runs in a terminal of its own, on the embedded model; a script types, at the pace of a person. Every piece
of its output is kept with the time at which it came. tmux then shows what the screen looked like after each. The time of
the answers is stretched so that an eye can follow; the picture says how much.
"""
import fcntl
import html
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

COLUMNS, FONT, LINE = 84, 14, 20
ROWS = {"chat": 24, "top": 13}[sys.argv[1]]
STRETCH = 20  # of the answers
TYPING = 0.05  # seconds for each key
PAUSE = 4.0  # before it starts again
NAME = {"chat": "demo", "top": "work"}[sys.argv[1]]
STYLES = {"2": "dim", "32": "good", "33": "warn", "31": "bad", "1": "bold"}

helpers = []  # what runs beside the recording


def start_clients():
    """A host with room for two answers at a time, three programs that ask it again and again, one that does nothing."""
    def start(*command):
        helpers.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True,
                                        env=dict(os.environ, LIPC_NAME=NAME)))
    start("build/chatbot", "-np", "2", "--streams", "4")
    subprocess.run(["build/llamaipc", "status", "--wait", "--name", NAME], stdout=subprocess.DEVNULL, check=True)
    for question in ("What is C++?", "Explain C++ pointers in detail"):
        start("sh", "-c", f'while :; do build/llamaipc ask --ignore-eos -n 700 "{question}"; done')
    start("sh", "-c", f'while :; do build/client "What is a reference?" {NAME}; done')
    start("build/llamaipc", "chat")
    time.sleep(1)


def kill_worker():
    """The process that evaluates; another takes its place."""
    said = subprocess.run(["build/llamaipc", "status", "--json", "--name", NAME], capture_output=True, check=True).stdout
    os.kill(json.loads(said)["worker_pid"], signal.SIGKILL)


def stop_helpers():
    for helper in helpers[::-1]:
        try:
            os.killpg(helper.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        helper.wait()


# What is typed, and what the screen must then end with before the next: (keys, sign of the end, whether it is stretched);
# instead of keys a number of seconds to look on, or something to do.
SCENES = {
    "chat": (["build/llamaipc", "chat", "--temp", "0"], [
        ("", b">>> ", False),
        ("What is C++?\r", b">>> ", True),
        ("Explain C++ pointers in detail\r", b">>> ", True),
        ("/stats\r", b">>> ", False),
        ("\x04", None, False),
    ]),
    "top": (["build/llamaipc", "top", "--interval", "0.5"], [
        (start_clients, None, False),
        (3.0, None, False),
        ("v", None, False),
        (2.5, None, False),
        (kill_worker, None, False),
        (7.0, None, False),
    ]),
}
NOTES = {"chat": f"a real run on the embedded model; the answers are shown {STRETCH} times slower",
         "top": "a real run on the embedded model; the worker is killed after 5 seconds"}


def run(command, scene):
    """Plays the scene. Yields (time in the picture, bytes)."""
    environment = dict(os.environ, LIPC_NAME=NAME, TERM="screen", LC_ALL="C.UTF-8",
                       XDG_STATE_HOME=tempfile.mkdtemp())
    if callable(scene[0][0]):  # before the first look
        scene[0][0]()
        scene = scene[1:]
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        os.execve(command[0], command, environment)
    shown, before, out, is_slow = 0.0, time.monotonic(), b"", False

    def read(seconds):
        nonlocal shown, before, out
        ready = select.select([terminal], [], [], seconds)[0]
        try:
            piece = os.read(terminal, 4096) if ready else b""
        except OSError:
            piece = None
        now = time.monotonic()
        shown += (now - before) * (STRETCH if is_slow else 1)
        before = now
        out += piece or b""
        return piece

    for keys, sign, is_stretched in scene:
        if callable(keys):
            keys()
            continue
        if isinstance(keys, float):
            until = time.monotonic() + keys
            while (rest := until - time.monotonic()) > 0:
                if piece := read(rest):
                    yield shown, piece
            continue
        for key in keys:
            until = time.monotonic() + TYPING
            while (rest := until - time.monotonic()) > 0:
                piece = read(rest)
                if piece:
                    yield shown, piece
            out = b""
            is_slow = is_stretched and key == "\r"
            os.write(terminal, key.encode())
        # The line that was typed also holds the sign; libedit writes it anew with the next prompt.
        while sign or keys == "\x04":
            piece = read(5)
            if piece:
                yield shown, piece
            if piece is None or (sign and not piece) or (sign and re.search(rb"(^|\n)[^\n]*" + sign + rb"$", strip(out))):
                break
        is_slow = False
        until = time.monotonic() + 0.8
        while keys != "\x04" and (rest := until - time.monotonic()) > 0:
            piece = read(rest)
            if piece:
                yield shown, piece
    if keys != "\x04":
        os.kill(pid, signal.SIGKILL)  # the screen stays as it is
    os.waitpid(pid, 0)


def strip(out):
    """Without control sequences."""
    return re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", out)


def screens(pieces):
    """Yields (time, rows with their control sequences) for each piece."""
    folder = tempfile.mkdtemp()
    pipe, socket = folder + "/pipe", folder + "/tmux"
    os.mkfifo(pipe)
    tmux = ["tmux", "-u", "-S", socket, "-f", "/dev/null"]
    subprocess.run(tmux + ["new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), f"stty raw -echo; cat {pipe}"],
                   check=True)
    with open(pipe, "wb", buffering=0) as stream:
        time.sleep(0.3)
        for at, piece in pieces:
            stream.write(piece)
            time.sleep(0.03)
            text = subprocess.run(tmux + ["capture-pane", "-p", "-e"], capture_output=True, check=True).stdout
            yield at, text.decode("utf-8").split("\n")[:ROWS]
        subprocess.run(tmux + ["kill-server"], check=False)


def spans(row):
    """A row as SVG: each style a tspan."""
    style, result = "", ""
    for part in re.split(r"(\x1b\[[0-9;]*m)", row):
        if part.startswith("\x1b["):
            code = part[2:-1].split(";")[-1]
            style = STYLES.get(code, "")
        elif part:
            result += f'<tspan class="{style}">{html.escape(part)}</tspan>' if style else html.escape(part)
    return result


def main():
    command, scene = SCENES[sys.argv[1]]
    subprocess.run(["build/llamaipc", "stop", "--name", NAME], stderr=subprocess.DEVNULL, check=False)
    try:
        pieces = list(run(command, scene))
    finally:
        stop_helpers()
        subprocess.run(["build/llamaipc", "stop", "--name", NAME], stderr=subprocess.DEVNULL, check=False)
    frames = list(screens(pieces))
    length = frames[-1][0] + PAUSE
    # For each row: what stands there, from when to when.
    texts, open_since = [], {}
    for at, rows in frames + [(None, [None] * ROWS)]:
        for i, row in enumerate(rows):
            now = (open_since.get(i) or (None, ""))[1]
            if row == now:
                continue
            if now:
                texts.append((i, now, open_since[i][0], at))
            open_since[i] = (at, row)
    n_rows = max(i for i, *_ in texts) + 1
    advance = FONT * 0.6
    width, height = int(COLUMNS * advance + 40), (n_rows + 3) * LINE + 20
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" xml:space="preserve" font-size="{FONT}" '
          f'font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace">')
    print(f'<title>llamaipc {sys.argv[1]}</title>')
    print(f'<rect width="{width}" height="{height}" rx="8" fill="#1b1f27"/>')
    print('<style>text{white-space:pre;fill:#d5dae3}.dim{fill:#7d8799}.good{fill:#8bd5a0}.warn{fill:#e5c07b}'
          '.bad{fill:#e06c75}.bold{font-weight:bold}@media (prefers-reduced-motion){text{animation:none!important}}'
          '</style>')

    def text(row, content, kind=""):
        print(f'<text x="20" y="{(row + 1) * LINE + 8}" {kind}>{content}</text>')

    text(0, html.escape("$ " + " ".join([os.path.basename(command[0])] + command[1:2])), 'class="dim"')
    for number, (row, content, begin, end) in enumerate(texts):
        first, last = 100 * begin / length, 100 if end is None else 100 * end / length
        hidden = f"{last:.3f}%,100%{{opacity:0}}" if end is not None else "100%{opacity:1}"
        print(f'<style>@keyframes f{number}{{0%,{first:.3f}%{{opacity:0}}{first + 0.001:.3f}%,{last - 0.001:.3f}%'
              f'{{opacity:1}}{hidden}}}</style>')
        # What is gone at the end is hidden where nothing is animated: by an attribute, which every renderer knows.
        kind = "" if end is None else 'opacity="0" '
        text(row + 1, spans(content), f'{kind}style="animation:f{number} {length:.2f}s infinite"')
    text(n_rows + 1, NOTES[sys.argv[1]], 'class="dim"')
    print("</svg>")


if __name__ == "__main__":
    sys.exit(main())
