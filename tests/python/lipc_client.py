"""A client of the modern channel in plain Python, written from docs/protocol.md alone: none of liblipc is used.

    with Client.attach("llama_cpp", timeout=10) as client:
        client.wait_ready()
        stream = client.submit(request([("user", "What is C++?")]))
        for text in stream:
            print(text, end="")
        stream.close()

One thread of a process may use a Client. Numbers in comments are sections of docs/protocol.md. Times are seconds.
"""
import collections
import ctypes
import errno
import fcntl
import math
import mmap
import os
import re
import select
import stat
import struct
import threading
import time

NEWS, ENDS = 1, 2
HUB_STARTING, HUB_LOADING, HUB_READY, HUB_ENDING = 1, 2, 3, 4
QUEUED, READING, GENERATING, ENDED = 1, 2, 3, 4
END_TURN, END_LIMIT, END_STOP, END_CONTEXT, END_FULL = 1, 2, 3, 4, 5
END_CANCELLED, END_REFUSED, END_FAILED, END_HOST_ENDED = 6, 7, 8, 9
DETACHABLE, IGNORE_EOS, LOGPROBS, LOAD, RENDER = 1, 2, 4, 8, 16
FEATURE_PARTS, FEATURE_DOCUMENTS, FEATURE_TOKENS_SUM = 1, 2, 8
THOUGHT, CALL = 1, 2

_HUB, _HUB_END, _MAGIC, _MAJOR, _MINOR = 45056, 49152, 0x425548204350494C, 1, 6
_HUB_STATE, _HUB_LOAD, _HUB_FACTS_VERSION, _HUB_MODEL, _HUB_BELL, _HUB_SHUTDOWN, _HUB_TICKET = 128, 132, 156, 256, 512, 520, 576
_RECORD_START_TIME, _RECORD_RESERVATION, _RECORD_BELL, _RECORD_POSITION = 8, 16, 64, 128
_CANCEL, _ID, _REQUEST_BYTES, _REQUEST_CHECK = 8, 16, 32, 40
_WATCHERS, _PUBLISHED, _STATUS, _PROGRESS, _MESSAGE = 64, 128, 136, 192, 256
_PARTS, _PARTS_SUM, _TOKENS_SUM, _ANSWER_SUM = 152, 160, 168, 248
_RECORD_FREE, _ATTACHING, _ATTACHED, _LEAVING = 0, 1, 2, 3
_STREAM_FREE, _CLAIMED, _SUBMITTED, _DETACHED, _RELEASED, _OFFERED = 0, 1, 2, 3, 4, 5
_NO_OWNER = 4095
_WAITING, _GRANTED = 1, 2
_ITEM_MESSAGE, _ITEM_STOP, _ITEM_GRAMMAR, _ITEM_DOCUMENT, _ITEM_MODEL_PATH = 1, 2, 3, 4, 6
_OPERATION_ANSWER, _OPERATION_LOAD = 0, 1
_INT_DEFAULT, SEED_RANDOM, SEED_DEFAULT = -(1 << 31), -1, -2


class Trouble(Exception):
    """What all errors of this module are."""


class NoHost(Trouble):
    """Nobody serves under this name, or not within the time-out."""


class HostFull(Trouble):
    """Every client record is taken."""


class HostGone(Trouble):
    """The host died, or took this client's place away. Leave, and attach anew."""


class StreamGone(Trouble):
    """No stream has this id (any more), or it is owned by somebody else."""


class TimedOut(Trouble):
    """The caller's own time-out."""


class _NotYet(Exception):
    """A host is about to begin; the text says what was missing."""


class _Suspect(_NotYet):
    """What a host that lives mends or completes within two seconds (7.1 steps 4 to 6); after that it is Trouble."""


_MENDED_SECONDS = 2


# ---- Shared words (3) ----

_libc = ctypes.CDLL(None, use_errno=True)
_SYS_FUTEX = {"x86_64": 202, "aarch64": 98}.get(os.uname().machine)
_ORDER = 5


def _atomics():
    """libatomic's functions with their types: ctypes would cut pointers and 64-bit values otherwise."""
    library = ctypes.CDLL("libatomic.so.1")
    words = {}
    address, order = ctypes.c_void_p, ctypes.c_int
    for size, word in ((4, ctypes.c_uint32), (8, ctypes.c_uint64)):
        for name, result, arguments in (
                ("load", word, (address, order)),
                ("store", None, (address, word, order)),
                ("fetch_add", word, (address, word, order)),
                ("fetch_or", word, (address, word, order)),
                ("fetch_and", word, (address, word, order)),
                ("compare_exchange", ctypes.c_bool, (address, address, word, order, order))):
            function = getattr(library, f"__atomic_{name}_{size}")
            function.restype, function.argtypes = result, arguments
            words[f"__atomic_{name}_{size}"] = function
    words["fence"] = library.atomic_thread_fence
    words["fence"].restype, words["fence"].argtypes = None, (order,)
    return words


_word = _atomics()


def fence():
    _word["fence"](_ORDER)


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_int64), ("nanoseconds", ctypes.c_int64)]


def futex(address, operation, value, deadline=None):
    """The system call with absolute monotonic deadlines; 0, or the errno."""
    when = None
    if deadline is not None:
        when = ctypes.byref(_Timespec(int(deadline), int(deadline % 1 * 1e9)))
    result = _libc.syscall(ctypes.c_long(_SYS_FUTEX), ctypes.c_void_p(address), ctypes.c_int(operation),
                           ctypes.c_uint32(value), when, None, ctypes.c_uint32(0xFFFFFFFF))
    return 0 if result >= 0 else ctypes.get_errno()


class Segment:
    """The mapping, and its words by their offset."""

    def __init__(self, fd, size):
        self.map = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self.size = size
        self._anchor = ctypes.c_char.from_buffer(self.map)  # while it lives, the address is the mapping's
        self._base = ctypes.addressof(self._anchor)

    def close(self):
        self._base = None
        self._anchor = None
        self.map.close()

    def address(self, offset):
        if not 0 <= offset <= self.size - 8:
            raise IndexError(f"offset {offset} of a segment of {self.size} bytes")
        return self._base + offset

    def load4(self, offset):
        return _word["__atomic_load_4"](self.address(offset), _ORDER)

    def load8(self, offset):
        return _word["__atomic_load_8"](self.address(offset), _ORDER)

    def store4(self, offset, value):
        _word["__atomic_store_4"](self.address(offset), value, _ORDER)

    def store8(self, offset, value):
        _word["__atomic_store_8"](self.address(offset), value, _ORDER)

    def add4(self, offset, value):
        return _word["__atomic_fetch_add_4"](self.address(offset), value, _ORDER)

    def add8(self, offset, value):
        return _word["__atomic_fetch_add_8"](self.address(offset), value, _ORDER)

    def or8(self, offset, value):
        return _word["__atomic_fetch_or_8"](self.address(offset), value, _ORDER)

    def and8(self, offset, value):
        return _word["__atomic_fetch_and_8"](self.address(offset), value, _ORDER)

    def cas4(self, offset, expected, desired):
        found = ctypes.c_uint32(expected)
        return _word["__atomic_compare_exchange_4"](
            self.address(offset), ctypes.addressof(found), desired, _ORDER, _ORDER)

    def cas8(self, offset, expected, desired):
        found = ctypes.c_uint64(expected)
        return _word["__atomic_compare_exchange_8"](
            self.address(offset), ctypes.addressof(found), desired, _ORDER, _ORDER)


class Bell:
    """A doorbell (8). At most one thread of this process sleeps on it, so arming need not keep anybody else's reservation."""

    def __init__(self, segment, offset):
        self.segment, self.offset = segment, offset
        self.n_sleeps = 0

    def arm(self, wanted):
        while True:
            seen = self.segment.load4(self.offset)
            before = self.segment.load4(self.offset + 4)
            if self.segment.cas4(self.offset + 4, before, (seen << 2 | wanted) & 0xFFFFFFFF):
                fence()
                return seen

    def sleep(self, seen, deadline):
        self.n_sleeps += 1
        futex(self.segment.address(self.offset), 9, seen, deadline)

    def ring(self, about=NEWS | ENDS):
        fence()
        armed = self.segment.load4(self.offset + 4)
        if not armed & about:
            return
        self.segment.add4(self.offset, 1)
        futex(self.segment.address(self.offset), 1, 0x7FFFFFFF)
        self.segment.cas4(self.offset + 4, armed, 0)


# ---- Words of several parts (5) ----

def record_claim(phase, generation, pid):
    return phase | generation << 4 | pid << 32


def stream_claim(phase, owner, generation):
    return phase | owner << 4 | generation << 32


def phase_of(claim):
    return claim & 15


def generation_of(claim):
    """Of a stream's claim, and of a status."""
    return claim >> 32


# ---- Requests (4) ----

def fnv1a(data, total=0xCBF29CE484222325):
    """The sum that answers and parts are checked by (7.3, 7.14)."""
    for byte in data:
        total = (total ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return total


def item(kind, text, role=""):
    data = text if isinstance(text, bytes) else text.encode()
    size = 24 + (len(data) + 8) // 8 * 8
    return (struct.pack("<II16s", kind, len(data), role.encode()) + data).ljust(size, b"\0")


def request(messages, stops=(), grammar=None, flags=0, n_predict=_INT_DEFAULT, temperature=math.nan, min_p=math.nan,
            top_p=math.nan, top_k=_INT_DEFAULT, repeat_penalty=math.nan, frequency_penalty=math.nan,
            presence_penalty=math.nan, repeat_last_n=_INT_DEFAULT, priority=0, seed=SEED_DEFAULT, document=None,
            model_path=None):
    """The bytes of a request; messages are pairs of role and text, or there are none and a document in JSON (15).
    With model_path it asks for another model (7.13). What is not given is left to the host."""
    items = [item(_ITEM_MESSAGE, text, role) for role, text in messages]
    items += [item(_ITEM_STOP, text) for text in stops]
    items += [item(_ITEM_GRAMMAR, grammar)] if grammar is not None else []
    items += [item(_ITEM_DOCUMENT, document)] if document is not None else []
    items += [item(_ITEM_MODEL_PATH, model_path)] if model_path is not None else []
    operation = _OPERATION_ANSWER if model_path is None else _OPERATION_LOAD
    body = b"".join(items)
    return struct.pack("<IIifffifffiiqII", 64 + len(body), flags, n_predict, temperature, min_p, top_p, top_k,
                       repeat_penalty, frequency_penalty, presence_penalty, repeat_last_n, priority, seed,
                       len(items), operation) + body


def load_request(path, layout_minor, flags=0):
    """The bytes of a request for another model, in the form that a host of this minor knows (7.13)."""
    if layout_minor < 3:
        raise ValueError(f"a host of minor {layout_minor} keeps its model")
    if layout_minor < 5:
        return request([("user", path)], flags=flags | LOAD)
    return request([], flags=flags, model_path=path)


# ---- The host's process (1, 7.10) ----

def start_time(pid):
    """Field 22 of /proc/PID/stat; None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return None


def lock_holder(fd):
    """The pid of the host that owns the segment; None if nobody does; 0 or less: in another pid namespace."""
    flock = "hhqqi4x"  # with the compiler's own alignment: 32 bytes
    answer = struct.unpack(flock, fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack(flock, fcntl.F_WRLCK, 0, 0, 1, 0)))
    if answer[0] == fcntl.F_UNLCK:
        return None
    return answer[4] if answer[4] > 0 and not _is_nested(answer[4]) else 0


def _is_nested(pid):
    """Whether the process lives in a pid namespace below this one."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            return any(line.startswith(b"NSpid:") and len(line.split()) > 2 for line in file)
    except OSError:
        return False


def answer_sum(generation, text):
    """The sum over a whole answer's bytes (7.3 step 6)."""
    return fnv1a(generation.to_bytes(4, "little") + text)


def request_check(generation, data):
    """What stands beside a request, so that the host knows it for what its client wrote (7.2 step 3)."""
    words = [generation << 32, *(word for (word,) in struct.iter_unpack("<Q", data + bytes(-len(data) % 8))), len(data)]
    total = 0xCBF29CE484222325
    for i, word in enumerate(words):
        if i > 0:
            total ^= total >> 32
        total = (total ^ word) * 0x100000001B3 % 2**64
    return generation << 32 | (total ^ total >> 32) & 0xFFFFFFFF


class HostWatch:
    """A thread that sleeps until the host's process ends, then sets `dead` and calls `tell`."""

    def __init__(self, pid, started, tell):
        self.dead = False
        self._tell = tell
        try:
            self._process = os.pidfd_open(pid)
        except ProcessLookupError:
            raise _NotYet("the host has just ended") from None
        if started and start_time(pid) != started:  # after pidfd_open: a pid used anew is nobody
            os.close(self._process)
            raise _NotYet("the host's pid is another process")
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        poll = select.poll()
        poll.register(self._process, select.POLLIN)
        poll.register(self._stop_read, select.POLLIN)
        if any(fd == self._process for fd, _ in poll.poll()):
            self.dead = True
            self._tell()

    def close(self):
        os.close(self._stop_write)  # readable: POLLHUP
        self._thread.join()
        os.close(self._stop_read)
        os.close(self._process)


# ---- The hub (4, 7.1) ----

_HUB_FORMAT = "<QHHIQQQIIQIIQQIIIIIIIIIII"
Hub = collections.namedtuple("Hub", """magic layout_major layout_minor host_pid host_start_time features segment_size
    hub_size epoch clients_offset client_size n_clients streams_offset stream_size n_streams request_offset request_size
    log_offset log_size index_offset index_length parts_offset parts_size parts_index_offset parts_length""")


def read_hub(segment, pid, size):
    """A copy of the hub's numbers that is one host's, checked (7.1 steps 5 and 6)."""
    epoch = segment.load4(_HUB + 44)
    magic = segment.load8(_HUB)
    if magic == 0:
        raise _NotYet("no hub")
    if magic != _MAGIC:
        raise _Suspect(f"the segment is damaged: its magic is {magic:#x}")
    if segment.load4(_HUB + _HUB_STATE) == 0:
        raise _NotYet("no state")
    hub = Hub._make(struct.unpack_from(_HUB_FORMAT, segment.map, _HUB))
    fence()
    if (segment.load8(_HUB), segment.load4(_HUB + 44)) != (_MAGIC, epoch) or not segment.load4(_HUB + _HUB_STATE):
        raise _NotYet("a hub that changes")
    if hub.host_pid != pid:
        raise _Suspect(f"process {pid} holds the lock, and the hub is another's")
    if hub.layout_major != _MAJOR:
        raise _Suspect(f"the host (pid {pid}) speaks layout {hub.layout_major}.{hub.layout_minor}, this client "
                       f"{_MAJOR}.{_MINOR}")
    check_hub(hub, size)
    return hub


def check_hub(hub, size):
    """Python's numbers do not overflow, so the products need no care."""
    areas = ((hub.request_offset, hub.request_size), (hub.log_offset, hub.log_size),
             (hub.index_offset, hub.index_length * 16))
    if hub.features & FEATURE_PARTS:
        areas += ((hub.parts_offset, hub.parts_size), (hub.parts_index_offset, hub.parts_length * 32))
    holds = (_HUB_END <= hub.segment_size <= size and 1 <= hub.n_clients <= 256 and 1 <= hub.n_streams <= 1024
             and hub.client_size >= 256
             and all(n % 64 == 0 for n in (hub.clients_offset, hub.client_size, hub.streams_offset, hub.stream_size))
             and _HUB_END <= hub.clients_offset and _HUB_END <= hub.streams_offset
             and hub.clients_offset + hub.n_clients * hub.client_size <= hub.segment_size
             and hub.streams_offset + hub.n_streams * hub.stream_size <= hub.segment_size
             and all(offset % 8 == 0 and 512 <= offset and offset + size <= hub.stream_size for offset, size in areas))
    if not holds:
        raise _Suspect(f"numbers that do not fit: {hub}")


# ---- The client ----

class Client:
    """One client record of one host."""

    @classmethod
    def attach(cls, name="llama_cpp", timeout=10):
        """Waits for the host to appear. Raises NoHost, HostFull, or Trouble that waiting does not cure."""
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,62}", name):
            raise ValueError(f"not an instance name: {name!r}")
        end, suspect_until = time.monotonic() + timeout, None
        while True:
            try:
                return cls(f"/dev/shm/{name}_shared_mem")
            except _NotYet as missing:
                now = time.monotonic()
                if not isinstance(missing, _Suspect):
                    suspect_until = None
                elif suspect_until is None:
                    suspect_until = now + _MENDED_SECONDS
                if suspect_until is not None and now >= suspect_until:
                    raise Trouble(f"{name}: {missing}") from None
                if now >= end:
                    raise NoHost(f"{name}: {missing}") from None
            time.sleep(0.005)

    def __init__(self, path):
        self.segment = self.watch = None
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            raise _NotYet("no segment") from None
        except PermissionError:
            is_own = os.lstat(path).st_uid == os.geteuid()
            raise Trouble(f"{path} may not be opened: " +
                          ("a sandbox, or its mode" if is_own else "it is another user's")) from None
        try:
            self._enter(fd, path)
        except BaseException:
            self._unmap()
            raise
        finally:
            os.close(fd)

    def _enter(self, fd, path):
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise Trouble(f"{path} is not a file of this user")
        pid = lock_holder(fd)
        if pid is None:
            raise _NotYet("nobody owns the segment")
        if pid <= 0:
            raise Trouble(f"the host of {path} lives in another pid namespace")
        try:
            named = os.lstat(path)
        except FileNotFoundError:
            raise _NotYet("the name has just been removed") from None
        if (named.st_dev, named.st_ino) != (found.st_dev, found.st_ino):
            raise _NotYet("the name has just changed")
        if found.st_size < _HUB_END:
            raise _Suspect(f"the host of {path} has no modern channel")
        self.segment = Segment(fd, _HUB_END)
        size = read_hub(self.segment, pid, os.fstat(fd).st_size).segment_size
        self.segment.close()
        self.segment = Segment(fd, size)
        self.hub = read_hub(self.segment, pid, size)
        self._hub_bell = Bell(self.segment, _HUB + _HUB_BELL)
        self._watching = collections.Counter()
        self._take_record()
        self.watch = HostWatch(pid, self.hub.host_start_time, self.bell.ring)
        if lock_holder(fd) != pid or self.lost():
            self._leave_record()
            raise _NotYet("the host has just ended")
        self._hub_bell.ring()

    def _take_record(self):
        for index in range(self.hub.n_clients):
            offset = self.hub.clients_offset + index * self.hub.client_size
            free = self.segment.load8(offset)
            generation = free >> 4 & 0xFFFFFFF
            taken = record_claim(_ATTACHING, generation, os.getpid())
            if phase_of(free) != _RECORD_FREE or not self.segment.cas8(offset, free, taken):
                continue
            self.segment.store8(offset + _RECORD_START_TIME, start_time(os.getpid()))
            self.segment.store8(offset + _RECORD_RESERVATION, 0)
            self.index, self._record = index, offset
            self._claim = record_claim(_ATTACHED, generation, os.getpid())
            if not self.segment.cas8(offset, taken, self._claim):
                raise _NotYet("the record was taken away")
            self.bell = Bell(self.segment, offset + _RECORD_BELL)
            return
        raise HostFull(f"all {self.hub.n_clients} client records are taken")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leave()

    # -- the host --

    def lost(self):
        """The host died, or the own record is another's: nothing may be written any more (7.10)."""
        return self.watch.dead or self.segment.load8(self._record) != self._claim

    def check(self):
        if self.lost():
            raise HostGone(f"the host (pid {self.hub.host_pid}) is gone")

    def state(self):
        return self.segment.load4(_HUB + _HUB_STATE)

    def load_per_mille(self):
        return self.segment.load4(_HUB + _HUB_LOAD)

    def model(self):
        """The model in words; empty before READY (7.9)."""
        while True:
            version = self.segment.load4(_HUB + _HUB_FACTS_VERSION)
            if self.state() != HUB_READY:
                return ""
            words = self.segment.map[_HUB + _HUB_MODEL:_HUB + _HUB_MODEL + 128]
            fence()
            if self.segment.load4(_HUB + _HUB_FACTS_VERSION) == version:
                return words.partition(b"\0")[0].decode(errors="replace")

    def wait_ready(self, timeout=60, progress=None):
        """Sleeps until the host serves; progress(state, per mille) is called with each change."""
        told = None

        def ready():
            nonlocal told
            self.check()
            now = self.state(), self.load_per_mille()
            if progress and now != told:
                progress(*now)
            told = now
            return now[0] == HUB_READY

        self.wait(ready, timeout)

    def shutdown(self):
        self.check()
        self.segment.store4(_HUB + _HUB_SHUTDOWN, 1)
        self._hub_bell.ring()

    def ring_host(self):
        self._hub_bell.ring()

    # -- waiting (7.4) --

    def wait(self, look, timeout=None, wanted=NEWS | ENDS):
        """Sleeps until look() gives something true, and returns it. look() itself says what a dead host means."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            # A record that is lost may be somebody else's: its bell is not touched.
            seen = None if self.lost() else self.bell.arm(wanted)
            found = look()
            if found:
                return found
            now = time.monotonic()
            if now >= end:
                raise TimedOut("nothing came in time")
            if seen is None:
                raise HostGone(f"the host (pid {self.hub.host_pid}) is gone")
            self.bell.sleep(seen, min(end, now + 1))

    # -- streams --

    def stream_offset(self, index):
        return self.hub.streams_offset + index * self.hub.stream_size

    def _watch_stream(self, index):
        self._watching[index] += 1
        self.segment.or8(self.stream_offset(index) + _WATCHERS + self.index // 64 * 8, 1 << self.index % 64)

    def _unwatch_stream(self, index):
        self._watching[index] -= 1
        if self._watching[index] == 0:
            self.segment.and8(self.stream_offset(index) + _WATCHERS + self.index // 64 * 8,
                              ~(1 << self.index % 64) & (1 << 64) - 1)

    def _claim_free_stream(self):
        """(index, generation) of a stream that is CLAIMED now, or None (7.2 step 2)."""
        for index in range(self.hub.n_streams):
            claim = self.segment.load8(self.stream_offset(index))
            generation = generation_of(claim)
            if phase_of(claim) != _STREAM_FREE or generation_of(
                    self.segment.load8(self.stream_offset(index) + _STATUS)) == generation:
                continue  # taken, or in the making under a claim that somebody has written over
            if self.segment.cas8(
                    self.stream_offset(index), claim, stream_claim(_CLAIMED, self.index, generation)):
                return index, generation
        return None

    def _give_back(self, index, generation):
        self.segment.cas8(self.stream_offset(index), stream_claim(_CLAIMED, self.index, generation),
                          stream_claim(_RELEASED, self.index, generation))
        self._hub_bell.ring()

    def _take_grant(self):
        """The stream that was granted, or None while the reservation waits (7.5 step 5)."""
        self.check()
        reservation = self.segment.load8(self._record + _RECORD_RESERVATION)
        if reservation & 3 != _GRANTED:
            return None
        index = reservation >> 2 & 0xFFFF
        if index >= self.hub.n_streams:
            raise Trouble(f"stream {index} was granted, of {self.hub.n_streams}")
        claim = self.segment.load8(self.stream_offset(index))
        generation = generation_of(claim)
        if not self.segment.cas8(self.stream_offset(index), stream_claim(_OFFERED, self.index, generation),
                                 stream_claim(_CLAIMED, self.index, generation)):
            self._reserve()  # somebody has written over the reservation, or over the claim
            return None
        self.segment.store8(self._record + _RECORD_RESERVATION, 0)
        return index, generation

    def _reserve_stream(self, timeout, waiting):
        """Waits its turn for a stream when all are taken; waiting(requests ahead) is called with each change (7.5)."""
        told = None
        self._reserve()
        found = self._claim_free_stream()
        if found:
            if not self._withdraw():
                self._give_back(*self._take_grant())
            return found

        def granted():
            nonlocal told
            taken = self._take_grant()
            ahead = self.segment.load4(self._record + _RECORD_POSITION)
            if waiting and not taken and ahead != told:
                waiting(ahead)
            told = ahead
            return taken

        try:
            return self.wait(granted, timeout)
        except TimedOut:
            if self._withdraw():
                raise
            return self._take_grant()

    def _reserve(self):
        ticket = self.segment.add8(_HUB + _HUB_TICKET, 1) & (1 << 46) - 1
        self._reservation = _WAITING | ticket << 18
        self.segment.store8(self._record + _RECORD_RESERVATION, self._reservation)
        fence()
        self._hub_bell.ring()

    def _withdraw(self):
        return self.segment.cas8(self._record + _RECORD_RESERVATION, self._reservation, 0)

    def submit(self, data, timeout=None, waiting=None, request_bytes=None, checked=None):
        """Asks. `data` is what request() makes; for tests of hosts: `request_bytes`, a length that lies, and `checked`,
        another request, to which the check belongs."""
        if len(data) > self.hub.request_size:
            raise ValueError(f"a request of {len(data)} bytes, and room for {self.hub.request_size}")
        self.check()
        index, generation = self._claim_free_stream() or self._reserve_stream(timeout, waiting)
        offset = self.stream_offset(index)
        area = offset + self.hub.request_offset
        stream_id = os.urandom(16)
        self.segment.map[offset + _ID:offset + _ID + 16] = stream_id
        self.segment.store8(offset + _CANCEL, 0)
        self.segment.store4(offset + _REQUEST_BYTES, len(data) if request_bytes is None else request_bytes)
        self.segment.map[area:area + len(data)] = data
        check = request_check(generation, data if checked is None else checked) if request_bytes is None else 0
        self.segment.store8(offset + _REQUEST_CHECK, check)
        self._watch_stream(index)
        if not self.segment.cas8(offset, stream_claim(_CLAIMED, self.index, generation),
                                 stream_claim(_SUBMITTED, self.index, generation)):
            self._watching[index] -= 1
            raise HostGone("the stream was taken away")
        self._hub_bell.ring()
        return Stream(self, index, generation, stream_id, True)

    def find(self, stream_id, own=True, cursor=0, token_cursor=0):
        """The stream of this id, read from `cursor` on: as its new owner, or as one who only reads along (7.8)."""
        for index in range(self.hub.n_streams):
            self.check()
            offset = self.stream_offset(index)
            claim = self.segment.load8(offset)
            generation = generation_of(claim)
            status = self.segment.load8(offset + _STATUS)
            may_be = phase_of(claim) in (_SUBMITTED, _DETACHED) or (
                phase_of(claim) == _RELEASED and generation_of(status) == generation)
            if not may_be or self.segment.map[offset + _ID:offset + _ID + 16] != stream_id:
                continue
            self._watch_stream(index)
            owned = own and self.segment.cas8(offset, stream_claim(_DETACHED, _NO_OWNER, generation),
                                              stream_claim(_SUBMITTED, self.index, generation))
            self._hub_bell.ring()
            if generation_of(self.segment.load8(offset)) == generation and bool(owned) == own:
                return Stream(self, index, generation, stream_id, own, cursor, token_cursor)
            self._unwatch_stream(index)
            self._hub_bell.ring()
        raise StreamGone(f"no stream {stream_id.hex()}" + (" to be had" if own else ""))

    # -- the end (7.12) --

    def _leave_record(self):
        if self.segment.cas8(self._record, self._claim, (self._claim & ~15) | _LEAVING):
            self._hub_bell.ring()

    def leave(self):
        """Everything still held goes back to the host. The client cannot be used afterwards."""
        if self.segment is None:
            return
        self._leave_record()  # also if the host is dead: a successor may keep the record (7.10)
        self._unmap()

    def _unmap(self):
        if self.watch:
            self.watch.close()
        if self.segment:
            self.segment.close()
        self.watch = self.segment = None


# ---- One answer ----

Token = collections.namedtuple("Token", "end id logprob time_us")
Part = collections.namedtuple("Part", "kind call position token id name text")
Progress = collections.namedtuple("Progress", """queue_position n_prompt n_prompt_done seed submitted_ns started_ns
    first_token_ns ended_ns""")
# over: nothing comes any more. host_lost: because the host died; the text is not the whole answer then.
Look = collections.namedtuple("Look", "text tokens state end error over host_lost")


class Stream:
    """One request and its answer. text is bytes: any Look begins and ends between characters."""

    def __init__(self, client, index, generation, stream_id, own, cursor=0, token_cursor=0):
        self.client, self.index, self.generation, self.id, self.own = client, index, generation, stream_id, own
        self.cursor, self.token_cursor = cursor, token_cursor
        self.tokens = []
        self.last = None
        self._offset = client.stream_offset(index)
        self._last_text = None
        self._open = True

    def look(self):
        """What is new, without waiting (7.3): all that a user interface needs which looks once for each frame."""
        client, segment, hub = self.client, self.client.segment, self.client.hub
        lost = client.lost()  # before the loads: what a dead host published is all there
        status = segment.load8(self._offset + _STATUS)
        seen = generation_of(status) == self.generation and status & 255
        text, tokens = b"", []
        if seen:
            published = segment.load8(self._offset + _PUBLISHED)
            n = min(published & 0xFFFFFFFF, hub.log_size)
            t = min(published >> 32, hub.index_length)
            log, index = self._offset + hub.log_offset, self._offset + hub.index_offset
            text = segment.map[log + self._first_byte(log, n):log + n]
            records = segment.map[index + 16 * min(self.token_cursor, t):index + 16 * t]
            tokens = [Token._make(record) for record in struct.iter_unpack("<IifI", records)]
        self._check_generation()
        if text:
            self.cursor = n
        self.token_cursor += len(tokens)
        self.tokens += tokens
        if text:
            self._last_text = time.monotonic()
        state = status & 255 if seen else 0
        ended = state == ENDED
        self.last = Look(text, tokens, state, status >> 8 & 255 if ended else 0,
                         status >> 16 & 0xFFFF if ended else 0, ended or (lost and not text), lost and not ended)
        return self.last

    def sum_holds(self, text):
        """Whether these bytes are all of an answer that has ended, and nobody has written over them."""
        return self.client.segment.load8(self._offset + _ANSWER_SUM) == answer_sum(self.generation, text)

    def tokens_sum_holds(self, records):
        """Whether these are the bytes of all token records of an answer that has ended, as the host wrote them."""
        total = fnv1a(self.generation.to_bytes(4, "little") + records)
        return self.client.segment.load8(self._offset + _TOKENS_SUM) == total

    def token_records(self, n):
        """The bytes of the first n token records."""
        index = self._offset + self.client.hub.index_offset
        return self.client.segment.map[index:index + 16 * n]

    def parts(self):
        """Thoughts and calls so far, in their order (7.14), and whether they are as the host wrote them: None before
        the end."""
        segment, hub = self.client.segment, self.client.hub
        if not hub.features & FEATURE_PARTS:
            return [], None
        status = segment.load8(self._offset + _STATUS)
        if generation_of(status) != self.generation:
            return [], None
        word = segment.load8(self._offset + _PARTS)
        n_bytes, n_parts = min(word & 0xFFFFFFFF, hub.parts_size), min(word >> 32 & 0xFFFF, hub.parts_length)
        log, index = self._offset + hub.parts_offset, self._offset + hub.parts_index_offset
        records = segment.map[index:index + 32 * n_parts]
        bytes_ = segment.map[log:log + n_bytes]
        wanted = segment.load8(self._offset + _PARTS_SUM) if status & 255 == ENDED else None
        self._check_generation()
        found, total = [], fnv1a(struct.pack("<I", self.generation))
        fields = list(struct.iter_unpack("<IIIIIHHII", records))
        for i, (kind, call, start, position, token, n_id, n_name, *_) in enumerate(fields):
            end = fields[i + 1][2] if i + 1 < n_parts else n_bytes
            content = bytes_[start:end]
            total = fnv1a(records[32 * i:32 * i + 32] + content, total)
            found.append(Part(kind, call, position, token, content[:n_id].decode(),
                              content[n_id:n_id + n_name].decode(), content[n_id + n_name:].decode()))
        return found, None if wanted is None else wanted == total

    def _first_byte(self, log, n):
        """Where the text behind the cursor begins: never inside a character, wherever find() was told to begin."""
        start = min(self.cursor, n)
        for _ in range(3):
            if start == n or self.client.segment.map[log + start] & 0xC0 != 0x80:
                break
            start -= 1
        return start

    def _check_generation(self):
        fence()
        if generation_of(self.client.segment.load8(self._offset)) != self.generation:
            self.client.check()
            raise StreamGone(f"stream {self.id.hex()} was freed")

    def read(self, timeout=None, pace=None):
        """Sleeps for new text and returns it; b"" at the end. `pace`: at most so many wake-ups a second (7.11)."""
        if pace and self._last_text is not None:
            self._rest(self._last_text + 1 / pace)

        def news():
            look = self.look()
            return look if look.text or look.over else None

        return self.client.wait(news, timeout).text

    def _rest(self, until):
        """Leaves text alone until then, unless the answer ends."""
        def ended():
            status = self.client.segment.load8(self._offset + _STATUS)
            return self.client.lost() or status & 255 == ENDED or generation_of(status) != self.generation

        try:
            self.client.wait(ended, max(0, until - time.monotonic()), ENDS)
        except TimedOut:
            pass

    def __iter__(self):
        while text := self.read():
            yield text.decode()

    def rest(self, timeout=30):
        """All text from the cursor to the end."""
        end, text = time.monotonic() + timeout, b""
        while piece := self.read(end - time.monotonic()):
            text += piece
        return text

    def progress(self):
        """How far the request is; None before the host has seen it (7.9)."""
        status = self.client.segment.load8(self._offset + _STATUS)
        segment, offset = self.client.segment, self._offset + _PROGRESS
        words = Progress._make([segment.load4(offset + 4 * i) for i in range(4)]
                               + [segment.load8(offset + 16 + 8 * i) for i in range(4)])
        self._check_generation()
        return words if generation_of(status) == self.generation and status & 255 else None

    def message(self):
        """Why it was refused or failed."""
        start = self._offset + _MESSAGE
        return self.client.segment.map[start:start + 256].partition(b"\0")[0].decode(errors="replace")

    def cancel(self):
        """The end comes soon, by read()."""
        self.client.check()
        if self.own and self._open:
            self.client.segment.store8(self._offset + _CANCEL, self.generation + 1)
            self.client.ring_host()

    def close(self):
        """Stops the work if it goes on; a follower only stops reading."""
        self._part(_RELEASED, self.client.index)

    def let_go(self):
        """The work goes on, for whoever finds it by its id."""
        self._part(_DETACHED, _NO_OWNER)

    def _part(self, phase, owner):
        if not self._open:
            return
        self._open = False
        if self.client.segment is None or self.client.lost():
            return
        self.client._unwatch_stream(self.index)
        if self.own:
            self.client.segment.cas8(self._offset, stream_claim(_SUBMITTED, self.client.index, self.generation),
                                     stream_claim(phase, owner, self.generation))
        self.client.ring_host()
