"""python_client.py - docs/protocol.md is enough to write a client: lipc_client.py against the real host.

Arguments: names of tests, without test_ (default: all). Environment and exit codes as in ../README.md.
"""
import json
import math
import os
import re
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

SKIPPED = 77
sys.dont_write_bytecode = True
try:
    import lipc_client as lipc
    from lipc_client import Client, request
except (OSError, AttributeError) as missing:
    print(f"skipped: {missing}")
    sys.exit(SKIPPED)

SCALE = float(os.environ.get("LIPC_TEST_BUILD_SCALE", "1")) * float(os.environ.get("LIPC_TEST_TIME_SCALE", "1"))
CHATBOT = os.environ.get("LIPC_CHATBOT", "")
LINE = "Ünïcödé text, line after line.\n"
ASK = [("user", "Hi")]
hosts, children = [], []


def check(condition, what="this"):
    """Never compiled out, unlike assert; the traceback names the line."""
    if not condition:
        raise AssertionError(what)


def check_equal(actual, expected):
    check(actual == expected, f"{actual!r:.300} is not {expected!r:.300}")


def until(holds, seconds=10):
    """Waits for a state that rings nobody."""
    end = time.monotonic() + seconds * SCALE
    while not holds():
        check(time.monotonic() < end, "it did not come in time")
        time.sleep(0.001)


def raises(error, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except error:
        return True
    return False


class Host:
    """The real one, killed by main() at the latest."""

    def __init__(self, suffix, *options, text=None):
        self.name = f"lipctest{os.getpid()}_{suffix}"
        self.options = [CHATBOT, "--name", self.name, *options, *os.environ.get("LIPC_TEST_EXTRA", "").split()]
        if text is not None:
            self.options += ["--replay", os.path.join(folder.name, suffix)]
            with open(self.options[-1], "w", encoding="utf-8") as file:
                file.write(text)
        self.start()
        hosts.append(self)

    def start(self):
        self.process = subprocess.Popen(self.options, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE)

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def attach(self):
        return Client.attach(self.name, 10 * SCALE)

    def ready(self):
        client = self.attach()
        client.wait_ready(30 * SCALE)
        return client

    def names(self):
        return [name for name in os.listdir("/dev/shm") if self.name in name]

    def remove_names(self):
        for name in self.names():
            os.unlink("/dev/shm/" + name)

    def end(self):
        """The host ends as it should, and leaves nothing."""
        self.process.terminate()
        check_equal(self.process.wait(10 * SCALE), 0)
        self.process.stderr.close()
        check_equal(self.names(), [])


class Child:
    """This program as another process, which runs child_<what> below and reports in lines."""

    def __init__(self, what, *arguments):
        self.process = subprocess.Popen([sys.executable, __file__, "--child", what, *map(str, arguments)],
                                        stdout=subprocess.PIPE, stdin=subprocess.PIPE)
        children.append(self.process)

    def line(self):
        return self.process.stdout.readline().decode().rstrip("\n")

    def go_on(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def end(self):
        """What it said behind the lines that were read. Not communicate(), which reads past what line() has taken out of the
        pipe: a child that has said everything before its first line is read would seem to have said nothing more."""
        self.process.stdin.close()
        rest = self.process.stdout.read()
        self.process.stdout.close()
        check_equal(self.process.wait(), 0)
        return rest


def say(*words):
    print(*words, flush=True)


# ---- Other processes ----

def child_ask(name, n_predict, question):
    """Asks, and prints the answer."""
    with Client.attach(name, 10 * SCALE) as client:
        client.wait_ready(30 * SCALE)
        stream = client.submit(request([("user", question)], n_predict=int(n_predict), temperature=0),
                               timeout=20 * SCALE, waiting=lambda ahead: say("ahead", ahead))
        sys.stdout.buffer.write(stream.rest(20 * SCALE))


def child_hold(name, flags):
    """Asks, says the id, and stays until it is told to let go, or killed."""
    with Client.attach(name, 10 * SCALE) as client:
        stream = client.submit(request(ASK, flags=int(flags)))
        stream.read(10 * SCALE)
        say(stream.id.hex())
        sys.stdin.readline()
        stream.let_go()
        say("let go")
        sys.stdin.readline()


def child_find(name, stream_id, own, cursor):
    """Reads the rest of what another process asked for."""
    with Client.attach(name, 10 * SCALE) as client:
        stream = client.find(bytes.fromhex(stream_id), own == "own", int(cursor))
        say("found")
        sys.stdout.buffer.write(stream.rest(20 * SCALE))
        stream.close()


# ---- What needs no host ----

def test_bytes():
    """The examples of the specification."""
    smallest = bytes.fromhex("""
        60 00 00 00 00 00 00 00 00 00 00 80 00 00 c0 7f 00 00 c0 7f 00 00 c0 7f 00 00 00 80 00 00 c0 7f
        00 00 c0 7f 00 00 c0 7f 00 00 00 80 00 00 00 00 fe ff ff ff ff ff ff ff 01 00 00 00 00 00 00 00
        01 00 00 00 02 00 00 00 75 73 65 72 00 00 00 00 00 00 00 00 00 00 00 00 48 69 00 00 00 00 00 00""")
    check_equal(request(ASK), smallest)
    check_equal(len(request([("user", "1234567")])), 96)
    check_equal(len(request([("user", "12345678")])), 104)
    check_equal(lipc.record_claim(2, 7, 4711), 0x0000126700000072)
    check_equal(lipc.stream_claim(2, 9, 2), 0x0000000200000092)
    check_equal(lipc.stream_claim(3, 4095, 2), 0x000000020000FFF3)
    check_equal(lipc.answer_sum(1, b""), 0xAD2ACA7747985764)
    check_equal(lipc.answer_sum(1, b"Hi"), 0xFA9031C73B09D2F7)
    check_equal(lipc.request_check(6, b"12345678") & 0xFFFFFFFF, 0x77F65D78)
    check_equal(lipc.request_check(6, b"123456789"), 6 << 32 | 0xF02E5E57)
    check_equal(lipc.answer_sum(258, "Größe".encode()), 0x0DBA86321839F7DD)


def test_no_host():
    start = time.monotonic()
    check(raises(lipc.NoHost, Client.attach, f"lipctest{os.getpid()}_nobody", 0.1))
    check(0.1 <= time.monotonic() - start < 5 * SCALE)
    check(raises(ValueError, Client.attach, ".hidden", 0.1))


def test_damaged_hub():
    """Numbers that lie outside are found before they are used."""
    host = Host("damaged", text=LINE)
    with host.attach() as client:
        lipc.check_hub(client.hub, client.segment.size)
        for field, value in (("segment_size", client.segment.size + 1), ("n_clients", 257), ("n_streams", 0),
                             ("client_size", 192), ("clients_offset", 45056), ("stream_size", 1 << 62),
                             ("request_offset", 256), ("log_size", 0xFFFFFFFF), ("index_length", 0xFFFFFFFF),
                             ("log_offset", client.hub.log_offset + 1)):
            damaged = client.hub._replace(**{field: value})
            check(raises(lipc._NotYet, lipc.check_hub, damaged, client.segment.size), field)
    host.end()


def test_mended_hub():
    """What somebody wrote over the hub is waited for: the host mends it within a second."""
    host = Host("mended", text=LINE)
    with host.ready() as client:
        for offset, size in ((0, 8), (8, 2), (12, 4), (32, 8), (60, 4)):
            client.segment.map[45056 + offset:45056 + offset + size] = b"\xff" * size
            with host.attach() as other:
                check_equal(other.hub.host_pid, client.hub.host_pid)
    host.end()


# ---- Reading ----

def test_answer():
    """Text, tokens, ends, and what was asked for."""
    text = LINE * 10
    host = Host("answer", "--rate", "0", text=text)
    with host.ready() as client:
        check(client.model() != "")
        stream = client.submit(request([("system", "Be brief."), ("user", "Hi"), ("assistant", "Hi."), ("user", "")]))
        check_equal(stream.rest().decode(), text)
        check_equal(stream.last.end, lipc.END_TURN)
        check(stream.sum_holds(text.encode()))
        check(not stream.sum_holds(text.encode()[:-1]))
        check(len(stream.tokens) > 10)
        records = stream.token_records(len(stream.tokens))
        check(client.hub.features & lipc.FEATURE_TOKENS_SUM and stream.tokens_sum_holds(records))
        check(not stream.tokens_sum_holds(records[:-1] + bytes([records[-1] ^ 1])))
        ends = [token.end for token in stream.tokens]
        times = [token.time_us for token in stream.tokens]
        check(ends == sorted(ends))
        check_equal(ends[-1], len(text.encode()))
        check(times == sorted(times))
        check(all(math.isnan(token.logprob) for token in stream.tokens))
        done = stream.progress()
        check(0 < done.submitted_ns <= done.started_ns <= done.first_token_ns <= done.ended_ns <= time.monotonic_ns())
        check_equal(done.n_prompt, done.n_prompt_done)
        stream.close()

        stream = client.submit(request(ASK, n_predict=5))
        check_equal(text.encode().startswith(stream.rest()), True)
        check_equal((stream.last.end, len(stream.tokens)), (lipc.END_LIMIT, 5))
        stream.close()

        stream = client.submit(request(ASK, stops=["nothing like it", "after"], seed=42))
        check_equal(stream.rest().decode(), text.partition("after")[0])
        check_equal(stream.last.end, lipc.END_STOP)
        check_equal(stream.progress().seed, 42)
        stream.close()

        stream = client.submit(request(ASK))
        check_equal("".join(stream), text)
        stream.close()
    host.end()


def test_parts():
    """Thoughts and calls beside the text, and a request as a document."""
    script = '''lipc replay 1
answer
thought "Let me sée."
text "It is "
& call "c1" "clock"
arguments "{\\"zone\\": "
arguments "\\"UTC\\"}"
text "noon."
call "" "bell"
arguments "{}"
end
answer
text "again"
'''
    host = Host("parts", text=script)
    with host.ready() as client:
        check_equal(client.hub.features & 3, lipc.FEATURE_PARTS | lipc.FEATURE_DOCUMENTS)
        stream = client.submit(request([], document='{"messages": [{"role": "user", "content": "Hi"}]}', seed=1))
        check_equal(stream.rest().decode(), "It is noon.")
        (thought, clock, bell), right = stream.parts()
        check_equal(thought, lipc.Part(lipc.THOUGHT, 0, 0, 0, "", "", "Let me sée."))
        check_equal(clock, lipc.Part(lipc.CALL, 0, 6, 1, "c1", "clock", '{"zone": "UTC"}'))
        check_equal(bell[:4] + bell[5:], (lipc.CALL, 1, 11, 5, "bell", "{}"))
        check(re.fullmatch("[A-Za-z0-9]{9}", bell.id), bell.id)
        check_equal(right, True)
        log = client.stream_offset(stream.index) + client.hub.parts_offset
        client.segment.map[log] ^= 1
        check_equal(stream.parts()[1], False)
        client.segment.map[log] ^= 1
        stream.close()

        said = '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi."}]}'
        stream = client.submit(request([], document=said))
        check_equal(stream.rest().decode(), "again")
        check_equal(stream.parts(), ([], True))
        stream.close()

        stream = client.submit(request([("user", "one two")], flags=lipc.RENDER))
        shown = json.loads(stream.rest().decode())
        check_equal((shown["text"], [token["text"] for token in shown["tokens"]]), ("one two", ["one", " two"]))
        check_equal(stream.tokens, [])
        stream.close()

        for document in ("[]", "{", '{"a": 1} x', ""):
            refused(client, "document", client.submit(request([], document=document)))
        refused(client, "document", client.submit(request(ASK, document="{}")))
    host.end()


def test_big():
    """100 KB, also asked with 100 KB."""
    text = "".join(f"{i} ünïcödé\n" for i in range(7000))
    check(len(text.encode()) > 100_000)
    host = Host("big", "--rate", "0", text=text)
    with host.ready() as client:
        stream = client.submit(request([("user", text)]))
        check_equal(stream.rest().decode(), text)
        check_equal(stream.last.end, lipc.END_TURN)
        check(raises(ValueError, client.submit, request([("user", "x" * client.hub.request_size)])))
    host.end()


def test_sleeping():
    """A reader is asleep between tokens: no more looks than tokens, and hardly any CPU time."""
    host = Host("sleeping", "--rate", "20", text=LINE * 10)
    with host.ready() as client:
        stream = client.submit(request(ASK, n_predict=20))
        sleeps, used = client.bell.n_sleeps, resource.getrusage(resource.RUSAGE_SELF)
        start = time.monotonic()
        stream.rest()
        now = resource.getrusage(resource.RUSAGE_SELF)
        check(time.monotonic() - start > 0.9)
        check_equal(len(stream.tokens), 20)
        # One for each token at most, and one a second besides.
        check(0 < client.bell.n_sleeps - sleeps <= 30 + 2 * (time.monotonic() - start),
              f"{client.bell.n_sleeps - sleeps} sleeps")
        check(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime < 0.5 * (time.monotonic() - start))
        # Requests are seen when they are made, and so is text, not at the next second's look: the rings did it. On a busy
        # machine one or the other may be late, but not all of them.
        seen, read = [], []
        for _ in range(8):
            asked = time.monotonic_ns()
            stream = client.submit(request(ASK, n_predict=1))
            check(stream.read(10 * SCALE) != b"")
            read.append(time.monotonic_ns() - stream.progress().first_token_ns)
            seen.append(stream.progress().submitted_ns - asked)
            stream.rest()
            stream.close()
        check(min(read) < 200e6 and min(seen) < 200e6, f"text read after {min(read)} ns, requests seen after {min(seen)} ns")
    host.end()


def test_pacing():
    text = LINE * 50
    host = Host("pacing", "--rate", "200", text=text)
    with host.ready() as client:
        stream = client.submit(request(ASK, n_predict=200))
        start, pieces = time.monotonic(), []
        while piece := stream.read(10 * SCALE, pace=10):
            pieces.append(piece)
        lasted = time.monotonic() - start
        check(text.encode().startswith(b"".join(pieces)))
        check_equal((stream.last.end, len(stream.tokens)), (lipc.END_LIMIT, 200))
        check(len(pieces) <= 10 * lasted + 3, f"{len(pieces)} pieces in {lasted:.2f} s")
        check(client.bell.n_sleeps <= 40 + 20 * lasted, f"{client.bell.n_sleeps} sleeps")
        # The end is not held up by the pace: at one wake-up in ten seconds it would be late by most of them.
        stream = client.submit(request(ASK, n_predict=20))
        while stream.read(10 * SCALE, pace=0.1):
            pass
        late = time.monotonic_ns() - stream.progress().ended_ns
        check(late < 5e9, f"{late / 1e6} ms late")
    host.end()


def test_polling():
    """A user interface that only looks: nobody is armed, nobody rings."""
    text = LINE * 5
    host = Host("polling", "--rate", "100", text=text)
    with host.ready() as client:
        sleeps = client.bell.n_sleeps
        client.segment.store4(client.bell.offset + 4, 0)  # waiting for READY may have left it armed
        rings = client.segment.load4(client.bell.offset)
        stream = client.submit(request(ASK))
        shown, frames = b"", 0
        while not (look := stream.look()).over:
            shown += look.text
            shown.decode()
            frames += 1
            time.sleep(1 / 120)
        check_equal((shown + look.text).decode(), text)
        check(frames > 10)
        check_equal(client.bell.n_sleeps, sleeps)
        check_equal(client.segment.load4(client.bell.offset), rings)
        check_equal(client.segment.load4(client.bell.offset + 4), 0)
    host.end()


def test_cancel():
    host = Host("cancel", "--rate", "50", "-np", "1", text=LINE * 50)
    with host.ready() as client:
        running, queued = client.submit(request(ASK)), client.submit(request(ASK))
        third = client.submit(request(ASK, priority=-1))
        text = running.read(10)
        client.wait(lambda: (progress := third.progress()) and progress.queue_position == 1, 5)
        check_equal(queued.progress().queue_position, 0)  # the next
        check_equal(queued.progress().started_ns, 0)
        queued.cancel()
        check_equal(queued.rest(5), b"")
        check_equal(queued.last.end, lipc.END_CANCELLED)
        queued.close()
        client.wait(lambda: third.progress().queue_position == 0, 5)
        running.cancel()
        text += running.rest(5)
        check_equal(running.last.end, lipc.END_CANCELLED)
        check((LINE * 50).encode().startswith(text) and len(text) < 1000)
        client.wait(lambda: third.look().state == lipc.GENERATING, 5)
        check_equal(third.progress().queue_position, 0)
    host.end()


# ---- Several processes ----

def test_processes():
    """Three clients at a time, each with its own answer."""
    text = LINE * 20
    host = Host("processes", "--rate", "100", "-np", "3", text=text)
    with host.ready() as client:
        limits = (20, 30, 40)
        asking = [Child("ask", host.name, limit, "Hi") for limit in limits]
        answers = [child.end().decode() for child in asking]
        check(len(set(answers)) == 3)
        check(all(text.startswith(answer) for answer in answers))
        for limit, answer in zip(limits, answers):
            stream = client.submit(request(ASK, n_predict=limit))
            check_equal(stream.rest().decode(), answer)
            stream.close()
        until(lambda: client.segment.load4(lipc._HUB + 136) == 1)  # n_attached: the others have left
    host.end()


def test_full_house():
    host = Host("full", "--rate", "50", "--streams", "1", text=LINE * 20)
    with host.ready() as client:
        stream = client.submit(request(ASK))
        stream.read(10)
        check(raises(lipc.TimedOut, client.submit, request(ASK), timeout=0.2))
        check_equal(client.segment.load8(client._record + lipc._RECORD_RESERVATION), 0)
        child = Child("ask", host.name, 3, "Hi")
        check(child.line().startswith("ahead"))
        stream.close()
        check_equal(LINE.encode()[:4] in child.end(), True)
        # Our own turn: another holds the only stream, and lets it go while we sleep for it.
        child = Child("hold", host.name, 0)
        child.line()
        places = []

        def waiting(ahead):
            if not places:  # a grant that is none, as another program may write it: the place is reserved again
                client.segment.store8(client._record + lipc._RECORD_RESERVATION, lipc._GRANTED)
                client.bell.ring()
                child.go_on()
            places.append(ahead)

        stream = client.submit(request(ASK, n_predict=2), timeout=20, waiting=waiting)
        check(places != [])
        check_equal(client.segment.load8(client._record + lipc._RECORD_RESERVATION), 0)
        check(stream.rest() != b"")
        check_equal(stream.last.end, lipc.END_LIMIT)
        stream.close()
        check_equal(child.line(), "let go")
        child.end()
    host.end()


def test_scribbled_streams():
    """What another program may have written over a stream that is free, or only seems to be (7.2)."""
    host = Host("scribbled", "--rate", "50", "--streams", "1", text=LINE)
    with host.ready() as client:
        offset = client.stream_offset(0)
        generation = lipc.generation_of(client.segment.load8(offset))
        client.segment.store8(offset + lipc._CANCEL, generation + 1)
        stream = client.submit(request(ASK))
        check_equal(stream.rest().decode(), LINE)
        check_equal(stream.last.end, lipc.END_TURN)
        stream.close()
        stream = client.submit(request(ASK))
        stream.read(10)
        worker = client.segment.load4(45056 + 148)
        os.kill(worker, signal.SIGSTOP)  # or it would see that at once
        until(lambda: open(f"/proc/{worker}/stat").read().rpartition(")")[2].split()[0] == "T")
        client.segment.store8(client.stream_offset(stream.index), lipc.stream_claim(0, 0, stream.generation))
        claimed = client._claim_free_stream()
        os.kill(worker, signal.SIGCONT)
        check(claimed is None, "a stream was claimed in which an answer is made")
        other = client.submit(request(ASK))
        check_equal(other.rest().decode(), LINE)
        other.close()
    host.end()


def test_found_again():
    """Let go, or its owner killed: another process reads on, from any byte."""
    text = LINE * 5
    host = Host("found", "--rate", "50", text=text)
    with host.ready() as client:
        for way in ("let go", "killed"):
            holder = Child("hold", host.name, lipc.DETACHABLE)
            stream_id = bytes.fromhex(holder.line())
            check(raises(lipc.StreamGone, client.find, stream_id), "it is owned by another")
            if way == "let go":
                holder.go_on()
                check_equal(holder.line(), way)
            else:
                holder.process.kill()
            until(lambda: not raises(lipc.StreamGone, take_and_let_go, client, stream_id))
            child = Child("find", host.name, stream_id.hex(), "own", 1)
            check_equal(child.line(), "found")
            check_equal(child.end().decode(), text)  # byte 1 is inside the first character
            if way == "let go":
                holder.go_on()
                holder.end()
            until(lambda: is_gone(client, stream_id))
        # What its owner did not ask to be kept ends with it.
        holder = Child("hold", host.name, 0)
        stream_id = bytes.fromhex(holder.line())
        holder.process.kill()
        until(lambda: is_gone(client, stream_id))
    host.end()


def take_and_let_go(client, stream_id):
    client.find(stream_id).let_go()


def is_gone(client, stream_id):
    """Looking must not keep it: a stream that somebody follows stays."""
    try:
        client.find(stream_id, own=False).close()
    except lipc.StreamGone:
        return True
    return False


def test_follow():
    text = LINE * 5
    host = Host("follow", "--rate", "50", text=text)
    with host.ready() as client:
        stream = client.submit(request(ASK))
        stream.read(10)
        check(raises(lipc.StreamGone, client.find, bytes(16), own=False), "nobody's id")
        child = Child("find", host.name, stream.id.hex(), "follow", 40)
        check_equal(child.line(), "found")
        with host.attach() as second:
            follower = second.find(stream.id, own=False)
            check_equal(stream.read(10) != b"", True)
            follower.cancel()  # not its own: nothing
            stream.rest()
            check_equal(stream.last.end, lipc.END_TURN)
            offset = client.stream_offset(stream.index)
            stream.close()
            # Kept for its reader, and freed when that stops.
            check_equal(follower.rest().decode(), text)
            check_equal(lipc.generation_of(client.segment.load8(offset)), stream.generation)
            follower.close()
            check_equal(child.end(), text.encode()[40:])
            until(lambda: lipc.generation_of(client.segment.load8(offset)) == stream.generation + 1)
    host.end()


def test_leave():
    """Leaving, and dying, give everything back."""
    host = Host("leave", "--rate", "50", text=LINE * 50)
    with host.ready() as client:
        other = host.attach()
        record, stream = other._record, other.submit(request(ASK))
        offset = other.stream_offset(stream.index)
        claim = client.segment.load8(record)
        other.leave()
        other.leave()
        stream.close()  # nothing, and nothing breaks
        until(lambda: lipc.generation_of(client.segment.load8(offset)) == stream.generation + 1)
        until(lambda: client.segment.load8(record) == (claim & 0xFFFFFFFF) - 2 + 16)
    host.end()


def test_record_lost():
    """A record that holds another claim is not one's own any more: a sleeper finds out, and nothing is written."""
    host = Host("lost", text=LINE)
    with host.ready() as client:
        other = host.attach()
        client.segment.store8(other._record, other._claim + 16)
        check(raises(lipc.HostGone, other.submit, request(ASK)))
        check(raises(lipc.HostGone, other.wait, lambda: None, 10))
        check_equal(lipc.phase_of(client.segment.load8(client.stream_offset(0))), 0)
        other.leave()
        check(client.submit(request(ASK)).rest() == LINE.encode())
    host.end()


# ---- The host ----

def test_host_killed():
    """A sleeper learns of it at once, and reads what had been published."""
    text = LINE * 50
    host = Host("killed", "--rate", "2", text=text)
    client = host.ready()
    stream = client.submit(request(ASK))
    shown = stream.read(10)
    killed_at = []

    def kill():
        killed_at.append(time.monotonic())
        host.process.kill()

    sleeps = client.bell.n_sleeps
    killer = threading.Timer(0.1, kill)
    killer.start()
    shown += stream.rest(20)
    noticed = time.monotonic() - killed_at[0]
    killer.join()
    print(f"  noticed after {noticed * 1000:.1f} ms")
    check(client.bell.n_sleeps > sleeps)
    check(stream.last.host_lost and stream.last.end == 0)
    check(text.encode().startswith(shown))
    check(raises(lipc.HostGone, client.submit, request(ASK)))
    check(raises(lipc.HostGone, client.wait_ready))
    host.process.communicate()
    check(raises(lipc.NoHost, Client.attach, host.name, 0.05))
    # A successor on the same file: the old client only leaves, and what it had is freed; a new one is served.
    host.start()
    with host.ready() as successor:
        check_equal(successor.hub.epoch, client.hub.epoch + 1)
        check(client.lost())
        claims = [successor.segment.load8(successor.stream_offset(i)) for i in range(successor.hub.n_streams)]
        stream.close()
        check_equal([successor.segment.load8(successor.stream_offset(i)) for i in range(successor.hub.n_streams)],
                    claims)
        client.leave()
        until(lambda: all(lipc.phase_of(successor.segment.load8(successor.stream_offset(i))) == lipc._STREAM_FREE
                          for i in range(successor.hub.n_streams)))
        check(successor.submit(request(ASK, n_predict=2)).rest() != b"")
    host.end()


def test_shutdown():
    host = Host("shutdown", text=LINE)
    client = host.ready()
    client.shutdown()
    check_equal(host.process.wait(10 * SCALE), 0)
    check(raises(lipc.HostGone, client.wait, lambda: None, 10))
    client.leave()
    check_equal(host.names(), [])


def test_refusals():
    host = Host("refusals", "--rate", "0", text=LINE)
    good = request(ASK)

    def with_word(offset, value):
        return good[:offset] + struct.pack("<I", value) + good[offset + 4:]

    with host.ready() as client:
        wrong = {
            "unknown role": request([("wizard", "Hi")]),
            "no message": request([]),
            "unknown flag": request(ASK, flags=1 << 20),
            "temperature": request(ASK, temperature=101),
            "n_predict": request(ASK, n_predict=-3),
            "n_bytes too large": with_word(0, len(good) + 8),
            "n_bytes too small": with_word(0, len(good) - 8),
            "n_items too large": with_word(56, 2),
            "n_items too small": with_word(56, 0),
            "item too long": with_word(68, 0xFFFFFFF0),
            "item a little too long": with_word(68, 8),
            "unknown kind": with_word(64, 9),
            "not UTF-8": request([("user", b"\xff")]),
            "zero byte": request([("user", b"a\0b")]),
            "long stop": request(ASK, stops=["x" * 257]),
            "priority": request(ASK, priority=101),
        }
        for what, data in wrong.items():
            refused(client, what, client.submit(data))
        for length in (0, 63, len(good) - 1, len(good) + 8, client.hub.request_size + 1, 0xFFFFFFFF):
            refused(client, f"request_bytes {length}", client.submit(good, request_bytes=length))
        stream = client.submit(good, checked=request([("user", "something else")]))
        check(stream.rest(10) == b"" and stream.last.over)
        check_equal((stream.last.end, stream.last.error), (lipc.END_FAILED, 12))
        check("changed in shared memory" in stream.message(), stream.message())
        stream.close()
        stream = client.submit(good)  # and the host goes on
        check_equal(stream.rest().decode(), LINE)
    host.end()


def refused(client, what, stream):
    check(stream.rest(10) == b"" and stream.last.over, what)
    check_equal((what, stream.last.end, stream.last.error), (what, lipc.END_REFUSED, 11))
    check(len(stream.message()) > 10, what)
    stream.close()


def test_embedded_model():
    """A model: load progress, log probabilities, a grammar, several questions at a time."""
    host = Host("embedded")
    told = []
    with host.attach() as client:
        client.wait_ready(60 * SCALE, lambda state, per_mille: told.append((state, per_mille)))
        check_equal(told[-1], (lipc.HUB_READY, 1000))
        check(told == sorted(told))
        check(all(per_mille % 10 == 0 for _, per_mille in told))
        stream = client.submit(request([("user", "What is C++?")], flags=lipc.LOGPROBS, temperature=0))
        answer = stream.rest(60 * SCALE)
        check("C++" in answer.decode(), answer)
        check(all(token.logprob <= 0 for token in stream.tokens) and stream.tokens != [])
        check(stream.progress().n_prompt > 1)
        stream.close()
        same = Child("ask", host.name, 200, "What is C++?")
        other = Child("ask", host.name, 200, "What is a pointer?")
        check_equal(same.end(), answer)
        check(other.end() not in (b"", answer))
        stream = client.submit(request(ASK, grammar='root ::= "yes" | "no"'))
        check(stream.rest(60 * SCALE) in (b"yes", b"no"))
        stream.close()
        stream = client.submit(request(ASK, grammar="root ::= ("))
        refused(client, "grammar", stream)
    host.end()


def test_another_model():
    """A running host changes its model, in the newest form of the request and in that of older hosts."""
    model = os.path.join(os.environ.get("LIPC_TEST_MODEL_DIR", ""), "tutor.gguf")
    if not os.path.exists(model):
        return say("  no model to load")
    host = Host("another", text=LINE)
    with host.ready() as client:
        refused(client, "a text that is played back", client.submit(lipc.load_request(model, 5)))
    host.end()
    host = Host("another2", "-m", model, "-c", "512")
    with host.ready() as client:
        version = client.segment.load4(45056 + 156)
        check(client.model() != "")
        for minor in (3, 4, 5, client.hub.layout_minor):
            stream = client.submit(lipc.load_request(model, minor))
            check_equal((minor, stream.rest(60 * SCALE)), (minor, b""))
            check_equal((minor, stream.last.end), (minor, lipc.END_TURN))
            stream.close()
            check(client.segment.load4(45056 + 156) != version)
        refused(client, "no file", client.submit(lipc.load_request(model + ".missing", 5)))
        refused(client, "no absolute path", client.submit(lipc.load_request("tutor.gguf", 5)))
        refused(client, "a message beside it", client.submit(request(ASK, model_path=model)))
        check(raises(ValueError, lipc.load_request, model, 2))
        stream = client.submit(request(ASK, n_predict=3))
        check(stream.rest(60 * SCALE) != b"")
    host.end()


# ---- The program ----

def futex_is_missing():
    """Why sleeping is impossible here; None if it is not."""
    if lipc._SYS_FUTEX is None or not hasattr(os, "pidfd_open"):
        return "the machine's system calls are not known"
    word = (lipc.ctypes.c_uint32 * 1)(1)
    result = lipc.futex(lipc.ctypes.addressof(word), 9, 0, time.monotonic() + 1)
    return None if result == lipc.errno.EAGAIN else f"futex: {os.strerror(result)}"


def clean_up():
    for child in children:
        if child.poll() is None:
            child.kill()
            child.wait()
    for host in hosts:
        if host.process.poll() is None:
            host.process.kill()
            print(host.process.communicate()[1].decode(errors="replace"))
        host.remove_names()
    folder.cleanup()


def too_long(*_):
    raise AssertionError("the time limit")


def main():
    missing = futex_is_missing()
    if missing or not CHATBOT:
        print("skipped:", missing or "LIPC_CHATBOT does not name a host")
        return SKIPPED
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(int(4 * 110 * SCALE))
    try:
        for name in sys.argv[1:] or [name[5:] for name in globals() if name.startswith("test_")]:
            say(name)
            globals()["test_" + name]()
        check(all(host.process.poll() is not None for host in hosts), "a host is left")
        check(all(child.poll() is not None for child in children), "a process is left")
        check_equal([name for name in os.listdir("/dev/shm") if f"lipctest{os.getpid()}_" in name], [])
    finally:
        clean_up()
    return 0


if sys.argv[1:2] == ["--child"]:
    globals()["child_" + sys.argv[2]](*sys.argv[3:])
elif __name__ == "__main__":
    folder = tempfile.TemporaryDirectory()
    sys.exit(main())
