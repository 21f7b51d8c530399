"""library.py FETCH_MODEL CHATBOT - lipc_model_fetch against a hub of the test's own: whole, with progress; cancelled and gone on
with; the process that fetches killed; the application killed; what is not there.

Skipped (77) where nginx or libcurl is missing."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from hub import Hub, check, environment

FETCH_MODEL, CHATBOT = sys.argv[1:3]
SOON = 60
work = tempfile.mkdtemp(prefix="lipc-library-")


def step(text):
    print("library:", text, flush=True)


class Program:
    """An application that fetches a model, with a cache that is kept for the next one of the same place."""

    def __init__(self, hub, place, name, *more, host=CHATBOT):
        self.cache = f"{work}/{place}"
        self.process = subprocess.Popen([FETCH_MODEL, name, host, *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        bufsize=1,
                                        env=environment(self.cache, hub))

    def wait_for_bytes(self, n_bytes):
        for line in self.process.stdout:
            words = line.split()
            check(words[0] == "progress", line)
            if int(words[1]) >= n_bytes:
                return int(words[1])
        raise AssertionError("it has ended")

    def end(self, code=0):
        lines = self.process.stdout.read().splitlines()
        check(self.process.wait(SOON) == code, "code", self.process.returncode, lines[-1:])
        return lines

    def path(self):
        word, _, path = self.end()[-1].partition(" ")
        check(word == "path", word)
        return path

    def error(self):
        return self.end(1)[-1]


def fetching(cache):
    """The processes that fetch into a cache."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as command, open(f"/proc/{name}/environ", "rb") as environment:
                is_one = b"--pull" in command.read().split(b"\0") and f"LLAMA_CACHE={cache}".encode() in environment.read().split(b"\0")
        except OSError:
            continue
        if is_one:
            found.append(int(name))
    return found


def blobs(cache):
    return [name for folder, _, names in os.walk(cache) for name in names if folder.endswith("/blobs")]


def content_of(path):
    with open(path, "rb") as file:
        return file.read()


def wait_until(is_so, what):
    end = time.monotonic() + SOON
    while not is_so():
        check(time.monotonic() < end, "waited in vain:", what)
        time.sleep(0.01)


def whole(hub, content):
    step("whole, with progress; then from the cache")
    program = Program(hub, "whole", "hf://slow/model:Q8_0")
    check(program.wait_for_bytes(1) <= len(content))
    lines = program.end()
    progress = [[int(word) for word in line.split()[1:]] for line in lines[:-1]]
    check(all(earlier[0] <= later[0] for earlier, later in zip(progress, progress[1:])), progress)
    check(progress[-1][1] == len(content), progress[-1])
    path = lines[-1].partition(" ")[2]
    check(content_of(path) == content, path)
    hub.forget_log()
    check(Program(hub, "whole", "hf://slow/model").path() == path)
    check(not hub.asked_for(".gguf"), hub.log())
    check(Program(hub, "whole", "hf://slow/model", "--offline").path() == path)
    check(content_of(Program(hub, "address", f"http://127.0.0.1:{hub.other_port}/plain/file.gguf").path()) == content)


def until_hit(attempt):
    """On a busy machine a download can be over before somebody looks: then another one, in another place."""
    for number in range(10):
        if attempt(number):
            return
    raise AssertionError("each download was over before it was hit")


def cancelled(hub, content):
    step("cancelled: the process is gone, and what has come is kept")

    def attempt(number):
        program = Program(hub, f"cancelled{number}", "hf://crawl/model", "--stop-at", "100000")
        last = next(line for line in program.process.stdout if not line.startswith("progress "))
        left = fetching(program.cache)  # the program still runs, so that its end ends nothing
        program.process.communicate()
        if last.startswith("path "):
            return False
        check(last.startswith("error LIPC_E_CANCELLED: "), last)
        check(not left, "the process that fetched goes on")
        hub.forget_log()
        check(content_of(Program(hub, f"cancelled{number}", "hf://crawl/model").path()) == content)
        check(any("bytes=" in line for line in hub.asked_for(".gguf")), "begun anew:", hub.log())
        return True

    until_hit(attempt)


def killed(hub, content):
    step("the process that fetches is killed: another goes on")

    def kill_child(number):
        program = Program(hub, f"killed{number}", "hf://crawl/model")
        program.wait_for_bytes(1)
        children = fetching(program.cache)
        for child in children:
            os.kill(child, signal.SIGKILL)
        check(content_of(program.path()) == content)
        return children

    until_hit(kill_child)
    step("the application is killed: the process that fetches ends")

    def kill_application(number):
        program = Program(hub, f"orphan{number}", "hf://crawl/model")
        program.wait_for_bytes(1)
        children = fetching(program.cache)
        program.process.kill()
        program.process.communicate()
        wait_until(lambda: not fetching(program.cache), "the end of the process that fetches")
        return children and not any(".incomplete" not in name for name in blobs(program.cache))

    until_hit(kill_application)


def not_there(hub):
    step("what is not there")
    check(Program(hub, "none", "hf://user/nothing").error().startswith("error LIPC_E_REFUSED: there is no user/nothing"))
    check(Program(hub, "none", "hf://slow/model", "--offline").error().startswith("error LIPC_E_REFUSED: "))
    check(Program(hub, "none", "hf://broken/model").error().startswith("error LIPC_E_FAILED: "))
    for name in ("slow/model", "", "/etc/passwd", "hf://slow", "hf://../../etc", "https://"):
        check(Program(hub, "none", name).error().startswith("error LIPC_E_INVALID: "), name)
    error = Program(hub, "none", "hf://slow/model", host="./no/such/host").error()
    check(error.startswith("error LIPC_E_NO_HOST: ") and "./no/such/host" in error, error)


def main():
    if not shutil.which("nginx") or not shutil.which("openssl"):
        print("library: skipped: nginx or openssl is not installed (scripts/setup.sh test)")
        return 77
    try:
        ctypes.CDLL("libcurl.so.4")
    except OSError:
        print("library: skipped: libcurl is not installed")
        return 77
    content = os.urandom(900000)
    hub = Hub(f"{work}/hub", "unused")
    try:
        for name in ("slow/model", "crawl/model", "broken/model"):
            hub.publish(name, {"model-Q8_0.gguf": content})
        hub.write("plain/file.gguf", content)
        whole(hub, content)
        cancelled(hub, content)
        killed(hub, content)
        not_there(hub)
    finally:
        hub.remove()
        shutil.rmtree(work, ignore_errors=True)
    print("library: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
