#!/usr/bin/env python3
"""mutations.py - are the tests of the channel able to fail? Weakens each memory order and alters each check of
src/channel and of the doorbell, one at a time, and runs the tests on what comes out.

    scripts/mutations.py [options] [WORD...]     only mutants whose name contains one of the words
      --list           print the mutants and run nothing
      --jobs N         so many at a time (default: the number of processors, at most 4)
      --no-integration leave out the tests with a host
      --listed         only those that verify/mutations.md lists, which are not tried otherwise: is it still true?

A mutant is caught when a test fails, hangs (twice), or when it does not compile. Those that survive must stand in
verify/mutations.md, each with the reason why no test can catch it; one that does not makes the exit code 1. A mutant
that compiles to the same machine code in every form that is tested is no other program and counts as such.

A mutant's name is file, function, line and change, without line numbers. Everything is built in build/mutations; the
tree itself is never changed. An object file is compiled once for each preprocessed text.
"""
import argparse
import concurrent.futures
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "mutations")
LIST = os.path.join(ROOT, "verify", "mutations.md")
CC = os.environ.get("CC", "gcc")

# ---- what is mutated -------------------------------------------------------------------------------------------------

WEAKER = {  # by the kind of operation: the next weaker order, and none at all
    ("load", "SEQ_CST"): ["ACQUIRE", "RELAXED"],
    ("store", "SEQ_CST"): ["RELEASE", "RELAXED"],
    ("change", "SEQ_CST"): ["ACQ_REL", "RELAXED"],
    ("fence", "SEQ_CST"): ["ACQ_REL"],
    ("load", "ACQUIRE"): ["RELAXED"],
    ("store", "RELEASE"): ["RELAXED"],
    ("change", "ACQ_REL"): ["RELEASE", "ACQUIRE", "RELAXED"],
    ("change", "ACQUIRE"): ["RELAXED"],
    ("change", "RELEASE"): ["RELAXED"],
}
COMPARISON = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
TOKEN = re.compile(r"[A-Za-z_]\w*|(?:0[xX][0-9A-Fa-f]+|\d+\.?\d*)[uUlLfF]*|->|\+\+|--|<<=?|>>=?|[<>=!]=|&&|\|\||"
                   r"[-+*/%|&^]=|\S")
NUMBER = re.compile(r"^\d")
DELIMITERS = {";", ",", "{", "}", "?", ":", "=", "|=", "&=", "+=", "-=", "return", "case"}


def masked(text):
    """The text with comments, strings and characters blanked, every other character in its place."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\''
    return re.sub(pattern, lambda found: re.sub(r"[^\n]", " ", found.group(0)), text, flags=re.S)


class Mutant:
    def __init__(self, path, function, line, change, begin, end, text):
        self.path, self.function, self.line, self.change = path, function, line, change
        self.begin, self.end, self.text = begin, end, text  # what is replaced by what
        self.verdict = None  # (kind, by what)

    def name(self):
        return f"{self.path} {self.function}: {self.line} [{self.change}]"

    def key(self):
        return (self.path, self.function, self.line, self.change)


class Source:
    """One file, in tokens; finds its mutants."""

    def __init__(self, path):
        self.path = path
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            self.text = file.read()
        self.plain = masked(self.text)
        self.mutants = []
        self.seen = {}
        directives = [found.span() for found in re.finditer(r"^[ \t]*#(?:\\\n|[^\n])*", self.plain, re.M)]
        self.tokens = []  # (text, begin, end)
        for found in TOKEN.finditer(self.plain):
            if not any(begin <= found.start() < end for begin, end in directives):
                self.tokens.append((found.group(0), found.start(), found.end()))
        self.match = self.match_brackets()
        self.functions = self.find_functions()
        for begin, end in directives:
            self.mutate_definition(begin, end)
        for first, last, _ in self.functions:
            for i in range(first, last):
                self.mutate_token(i)

    def match_brackets(self):
        match, stack = {}, []
        for i, (token, _, _) in enumerate(self.tokens):
            if token in "([{":
                stack.append(i)
            elif token in ")]}" and stack:
                match[i] = stack.pop()
                match[match[i]] = i
        return match

    def find_functions(self):
        """(first token, last token, name) of each body: a '{' behind a ')' at the top level."""
        functions, i = [], 0
        while i < len(self.tokens):
            token = self.tokens[i][0]
            if token == "{":
                end = self.match.get(i, len(self.tokens))
                if self.tokens[i - 1][0] == ")":
                    functions.append((i, end, self.tokens[self.match[i - 1] - 1][0]))
                i = end
            elif token == "_Static_assert":
                i = self.match[i + 1]
            i += 1
        return functions

    def add(self, begin, end, text, change):
        start = self.text.rfind("\n", 0, begin) + 1
        line = self.text[start:].split("\n", 1)[0]
        line = re.sub(r"/\*.*?(\*/|$)", "", line).strip()
        function = next((name for first, last, name in self.functions
                         if self.tokens[first][1] <= begin <= self.tokens[last][2]), "define")
        mutant = Mutant(self.path, function, line, change, begin, end, text)
        number = self.seen[mutant.key()] = self.seen.get(mutant.key(), 0) + 1
        if number > 1:
            mutant.change += f" ({number})"
        self.mutants.append(mutant)

    def words(self, first, last):
        return re.sub(r"\s+", " ", self.text[self.tokens[first][1]:self.tokens[last][2]])

    # -- the mutations --

    def mutate_definition(self, begin, end):
        found = re.match(r"\s*#define\s+\w+\s+(\d[\w.]*|\(\d+u?\s*<<\s*\d+\))", self.plain[begin:end])
        if found:
            self.vary(begin + found.start(1), begin + found.end(1))

    def vary(self, begin, end):
        word = self.text[begin:end]
        self.add(begin, end, f"({word} + 1)", f"{word} + 1")
        self.add(begin, end, f"({word} - 1)", f"{word} - 1")

    def mutate_token(self, i):
        token, begin, end = self.tokens[i]
        if token.startswith("__ATOMIC_"):
            self.mutate_order(i)
        elif token in COMPARISON:
            self.add(begin, end, COMPARISON[token], f"{token} becomes {COMPARISON[token]}")
        elif token in ("&&", "||"):
            other = "||" if token == "&&" else "&&"
            self.add(begin, end, other, f"{token} becomes {other}")
            self.drop_operands(i)
        elif token == "!":
            self.add(begin, end, "", "without !")
        elif token == "?":
            first = self.region_begin(i)
            condition = self.words(first, i - 1)
            self.add(self.tokens[first][1], begin, f"!({condition}) ", f"not ({condition})")
        elif token == "if":
            first, last = i + 2, self.match[i + 1] - 1
            condition = self.words(first, last)
            where = self.tokens[first][1], self.tokens[last][2]
            self.add(*where, f"!({condition})", f"not ({condition})")
            self.add(*where, "0", f"never ({condition})")
        elif self.is_bound(i):
            self.vary(begin, end)

    def mutate_order(self, i):
        token, begin, end = self.tokens[i]
        opening = i
        while self.tokens[opening][0] != "(" or self.match[opening] < i:
            opening -= 1
        call = self.tokens[opening - 1][0]
        order = token[len("__ATOMIC_"):]
        kind = "fence" if "fence" in call else "load" if "load" in call else "store" if "store" in call else "change"
        for weaker in WEAKER.get((kind, order), []):
            self.add(begin, end, "__ATOMIC_" + weaker, f"{order} becomes {weaker}")
        if kind == "fence":
            self.add(self.tokens[opening - 1][1], self.tokens[self.match[opening]][2], "(void)0", "no fence")

    def region_begin(self, i, further=()):
        while i > 0:
            token = self.tokens[i - 1][0]
            if token in ")]":
                i = self.match[i - 1]
            elif token in "([" or token in DELIMITERS or token in further:
                return i
            else:
                i -= 1
        return i

    def region_end(self, i, further=()):
        while i + 1 < len(self.tokens):
            token = self.tokens[i + 1][0]
            if token in "([{":
                i = self.match[i + 1]
            elif token in ")]" or token in DELIMITERS or token in further:
                return i
            else:
                i += 1
        return i

    def drop_operands(self, i):
        """The operand to the right of this operator, and the one to the left if this is the first of its chain."""
        operator = self.tokens[i][0]
        neutral = "1" if operator == "&&" else "0"
        further = ("||", "&&") if operator == "&&" else ("||",)
        chain_begin = self.region_begin(i, () if operator == "||" else ("||",))
        operands = [(i + 1, self.region_end(i, further))]
        first = self.region_begin(i, further)
        if first == chain_begin:
            operands.insert(0, (first, i - 1))
        for first, last in operands:
            self.add(self.tokens[first][1], self.tokens[last][2], neutral, f"without {self.words(first, last)}")

    def calls_around(self, i):
        """The functions in whose arguments a token stands, the innermost first."""
        names = []
        while i > 0 and self.tokens[i][0] not in ("{", "}", ";"):
            if self.tokens[i][0] == ")" and i in self.match:
                i = self.match[i]
            elif self.tokens[i][0] == "(":
                names.append(self.tokens[i - 1][0])
            i -= 1
        return names

    def is_bound(self, i):
        """A number, or a constant's name, that something is compared with or that a size is computed with."""
        token = self.tokens[i][0]
        before, after = self.tokens[i - 1][0], self.tokens[i + 1][0]
        if "refuse" in self.calls_around(i):
            return False  # what a sentence says
        if NUMBER.match(token):
            if before == "-" and self.tokens[i - 2][0] in ("(", ","):
                before = self.tokens[i - 2][0]
            near = {"<", "<=", ">", ">=", "+", "-", "*", "/", "%"}
            if before in near or after in near or {before, after} & {"==", "!="} and token not in ("0", "1"):
                return True
            if before == "[" and after == "]" and self.tokens[i - 3][0] in ("char", "lipc_message"):
                return True
            return self.calls_around(i)[:1] in (["check_real"], ["check_integer"])
        if re.match(r"^[A-Z][A-Z0-9_]+$", token) and not token.startswith("__"):
            return bool({before, after} & {"<", "<=", ">", ">="})
        return False


def sources():
    folder = os.path.join(ROOT, "src", "channel")
    paths = ["src/channel/" + name for name in sorted(os.listdir(folder)) if name.endswith((".c", ".h"))]
    return paths + ["src/platform/doorbell.c"]


# ---- how mutants are built and tested --------------------------------------------------------------------------------

def c_files(folder):
    return [f"{folder}/{name}" for name in sorted(os.listdir(os.path.join(ROOT, folder))) if name.endswith(".c")]


PRODUCT = [*c_files("src/text"), *c_files("src/channel"), *c_files("src/platform"), *c_files("src/platform/linux")]
SUPPORT = ["tests/support/harness.c", "tests/support/harness_common.c"]
FORMS = {
    "plain": ["-O2"],
    "asan": ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    # It looks at copies that are calls, and not at those that the compiler makes itself.
    "tsan": ["-O1", "-fsanitize=thread", "-Wno-tsan", *(f"-fno-builtin-mem{what}" for what in ("cpy", "set", "cmp"))],
}


class Test:
    """`includes`: the sources that the test's own file includes, which are therefore not linked with it."""

    def __init__(self, path, arguments=(), further=(), forms=("plain", "asan"), includes=()):
        self.path, self.arguments, self.further, self.forms = path, list(arguments), list(further), forms
        self.includes = list(includes)
        self.name = os.path.basename(path)[:-2]

    def linked(self):
        return [path for path in PRODUCT + SUPPORT if path not in self.includes]


def corpus(name):
    folder = f"fuzz/corpus/{name}"
    return [f"{folder}/{file}" for file in sorted(os.listdir(os.path.join(ROOT, folder)))]


TESTS = [
    Test("tests/unit/classic_block_rules.c"),
    Test("tests/channel/request_rules.c"),
    Test("tests/channel/names_rules.c"),
    Test("tests/channel/hub_rules.c"),
    Test("tests/channel/stream_rules.c"),
    Test("tests/channel/parts_rules.c"),
    Test("tests/channel/resume_rules.c"),
    Test("tests/channel/parameter_rules.c", includes=["src/channel/parameters.c"]),
    Test("tests/unit/option_rules.c", further=["src/host/options.c", "src/options/options.c", "src/host/log.c"]),

    Test("tests/channel/protocol_tables.c", ["docs/protocol.md", "include/lipc/layout.h"], forms=("plain",)),
    Test("tests/channel/every_failpoint.c", forms=("plain",)),
    Test("fuzz/replay.c", corpus("request"), ["fuzz/fuzz_request.c"]),
    Test("fuzz/replay.c", corpus("classic_request"), ["fuzz/fuzz_classic_request.c"]),
    Test("tests/channel/order_threads.c", ["300000"], forms=("plain",)),
    Test("tests/channel/order_threads.c", ["1000"], forms=("tsan",)),
    Test("tests/channel/doorbell_threads.c", ["3000"], forms=("plain", "tsan")),
    Test("tests/channel/stream_threads.c", ["200"], forms=("plain", "tsan")),
    Test("tests/channel/classic_threads.c", ["20"], forms=("plain", "tsan")),
]
for test, name in zip([test for test in TESTS if test.name == "replay"], ("replay_request", "replay_classic_request")):
    test.name = name
# With a host; through CMake, for what survives all others.
INTEGRATION = [("refusals", []), ("segments_and_versions", []), ("detached_streams", [])]

lock = threading.Lock()
compiled, results = {}, {}  # by what is compiled; by what is run


class Tree:
    """A copy of the sources in which one mutant at a time is made."""

    def __init__(self, number):
        self.root = os.path.join(BUILD, f"tree{number}")
        self.cmake = os.path.join(self.root, "build")  # where a host finds the embedded model beside it
        names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                               check=True, capture_output=True, text=True).stdout.split("\0")
        for name in filter(None, names):
            source, target = os.path.join(ROOT, name), os.path.join(self.root, name)
            if not os.path.exists(source):
                continue
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(source, "rb") as file:
                wanted = file.read()
            if not os.path.exists(target) or open(target, "rb").read() != wanted:
                shutil.copy(source, target)
        self.preprocessed = {}  # of the unchanged sources: (form, file) -> hash

    def write(self, path, text):
        with open(os.path.join(self.root, path), "w", encoding="utf-8") as file:
            file.write(text)

    def flags(self, form, path):
        return FORMS[form] + ["-std=gnu11", "-D_GNU_SOURCE", "-fPIC", "-ffunction-sections", "-fdata-sections", "-w",
                              '-DLIPC_VERSION="0"', "-Iinclude", "-Isrc"]

    def compile(self, form, path):
        """The object file of a source; None if it does not compile."""
        text = subprocess.run([CC, "-E", "-P", *self.flags(form, path), path], cwd=self.root, capture_output=True)
        if text.returncode != 0:
            return None
        key = hashlib.sha1(repr((form, path, self.flags(form, path))).encode() + text.stdout).hexdigest()
        target = os.path.join(BUILD, "objects", key + ".o")
        if not os.path.exists(target):
            partial = f"{target}.{threading.get_ident()}"
            made = subprocess.run([CC, *self.flags(form, path), "-c", path, "-o", partial], cwd=self.root,
                                  capture_output=True)
            if made.returncode != 0:
                return None
            os.replace(partial, target)
        with open(target, "rb") as file:
            return target, hashlib.sha1(file.read()).hexdigest()


def link(form, test, objects):
    """The test program; the next one of its name replaces it."""
    program = os.path.join(BUILD, "programs", f"{test.name}-{form}-{threading.get_ident()}")
    made = subprocess.run([CC, *FORMS[form], "-Wl,--gc-sections", *(path for path, _ in objects), "-lm", "-pthread",
                           "-o", program], capture_output=True, text=True)
    if made.returncode != 0:
        raise SystemExit(f"mutations: {test.name} does not link: {made.stderr[-2000:]}")
    return program


def run(command, folder, seconds):
    """'' if it passes, else what went wrong."""
    environment = dict(os.environ, LIPC_TEST_TIME_SCALE="10", TSAN_OPTIONS="halt_on_error=1:exitcode=66",
                       ASAN_OPTIONS="quarantine_size_mb=8:detect_leaks=0")
    environment.update(run.environment)
    # Output into files: a child of a test that was killed could hold a pipe open.
    log = os.path.join(BUILD, "logs", f"{threading.get_ident()}")
    with open(log, "w+") as output:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                   env=environment, start_new_session=True)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            # The test's own clean-up first, then whatever is left.
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                pass
            code = None
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        output.seek(0)
        said = output.read()
    if code is None:
        return "hangs"
    if code in (0, 77):
        return ""
    found = re.search(r"failed: [^\n]*|WARNING: ThreadSanitizer: [^\n]*|ERROR: AddressSanitizer: [^\n]*|"
                      r"runtime error: [^\n]*|time limit[^\n]*|Assertion[^\n]*", said)
    return found.group(0)[:140] if found else f"exit code {code}"


run.environment = {}


class Baseline:
    """The unchanged tree: its objects, its programs, and how long each test takes."""

    def __init__(self, tree):
        self.objects, self.programs, self.limits, self.own = {}, {}, {}, {}
        for form in FORMS:
            for path in PRODUCT + SUPPORT:
                self.objects[form, path] = self.must(tree, form, path)
        for test in TESTS:
            for form in test.forms:
                own = self.own[form, test.name] = [self.must(tree, form, path) for path in [test.path, *test.further]]
                program = link(form, test, own + [self.objects[form, path] for path in test.linked()])
                self.programs[form, test.name] = digest(program)
                started = time.monotonic()
                wrong = run([program, *test.arguments], tree.root, 300)
                seconds = time.monotonic() - started
                if wrong:
                    raise SystemExit(f"mutations: {test.name} ({form}) fails on the unchanged tree: {wrong}")
                self.limits[form, test.name] = max(8, 12 * seconds)
                print(f"  {test.name} ({form}): {seconds:.2f} s", flush=True)

    def must(self, tree, form, path):
        made = tree.compile(form, path)
        if not made:
            raise SystemExit(f"mutations: {path} does not compile ({form})")
        return made


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha1(file.read()).hexdigest()


def order_of(mutant):
    """Which tests in which form, the likeliest first."""
    is_order = "becomes ACQ" in mutant.change or "becomes REL" in mutant.change or mutant.change == "no fence"
    steps = [(form, test) for form in ("plain", "asan", "tsan") for test in TESTS if form in test.forms]
    name = os.path.basename(mutant.path).split(".")[0]

    def rank(step):
        form, test = step
        is_threads = test.name.endswith("_threads")
        likely = name.split("_")[0] in test.name or (name == "hub" and "stream" in test.name)
        late = is_threads if not is_order else form != "tsan"
        return (late, form == "asan" and not is_order, is_order and test.name != "order_threads", not likely,
                form == "tsan")

    return sorted(steps, key=rank)


def try_tests(tree, baseline, mutant):
    """(kind, by what): kind is 'caught', 'same' or 'survived'."""
    is_header = mutant.path.endswith(".h")
    mutated = PRODUCT if is_header else [mutant.path]
    is_same, objects = True, {}
    for form, test in order_of(mutant):
        if form not in objects:  # only now: most are caught in the first form
            objects[form] = {path: tree.compile(form, path) for path in mutated}
            if None in objects[form].values():
                return "caught", "the compiler"
            is_same = is_same and all(made[1] == baseline.objects[form, path][1]
                                      for path, made in objects[form].items())
        own = baseline.own[form, test.name]
        if is_header or mutant.path in test.includes:
            own = [tree.compile(form, path) for path in [test.path, *test.further]]
        if None in own:
            return "caught", "the compiler"
        parts = [objects[form].get(path) or baseline.objects[form, path] for path in test.linked()]
        program = link(form, test, own + parts)
        code = digest(program)
        if code == baseline.programs[form, test.name]:
            continue
        is_same = False
        with lock:
            known = results.get((code, test.name))
        wrong, limit = known, baseline.limits[form, test.name]
        if known is None:
            wrong = run([program, *test.arguments], tree.root, limit)
        if wrong == "hangs" and known is None:  # or the machine is busy
            wrong = run([program, *test.arguments], tree.root, 3 * limit)
        with lock:
            results[code, test.name] = wrong
        if wrong:
            return "caught", f"{test.name}{'' if form == 'plain' else ' (' + form + ')'}: {wrong}"
    # What a header says is also used by programs that are not made here.
    return ("same" if is_same and not is_header else "survived"), ""


def configure(tree):
    if os.path.exists(os.path.join(tree.cmake, "Makefile")):
        return
    subprocess.run(["cmake", "-S", tree.root, "-B", tree.cmake, "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
                    f"-DLIPC_LLAMA={os.environ.get('LIPC_LLAMA', 'auto')}"], check=True, stdout=subprocess.DEVNULL)


def try_integration(tree, limits):
    """What a test with a host finds in the tree as it is now; '' if nothing."""
    configure(tree)
    made = subprocess.run(["cmake", "--build", tree.cmake, "--target", "chatbot", "lipc",
                           *(f"test_{name}" for name, _ in INTEGRATION)], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    if made.returncode != 0:
        return "the compiler"
    run.environment = {"LIPC_TEST_MODEL_DIR": os.path.join(ROOT, "models")}
    programs = [(name, [os.path.join(tree.cmake, "tests", name), *arguments]) for name, arguments in INTEGRATION]
    programs.append(("python_client", [sys.executable, os.path.join(tree.root, "tests/python/python_client.py")]))
    for name, command in programs:
        os.environ["LIPC_CHATBOT"] = os.path.join(tree.cmake, "chatbot")
        started = time.monotonic()
        wrong = run(command, tree.root, limits.get(name, 200))
        limits.setdefault(name, 20 + 4 * (time.monotonic() - started))
        if wrong:
            return f"{name}: {wrong}"
    return ""


# ---- the list of survivors -------------------------------------------------------------------------------------------

def read_list():
    """verify/mutations.md: '## file', '### function', the line as indented code, '* `change`, `change`: reason'."""
    listed, path, function, line, keys = {}, None, None, None, []
    if not os.path.exists(LIST):
        return listed
    with open(LIST, encoding="utf-8") as file:
        for row in file:
            found = re.match(r"(##|###) (\S+)$|    (\S.*)$|\* ((?:`[^`]*`(?:, )?)+):(.*)$|  (\S.*)$", row.rstrip())
            if not found:
                continue
            if found.group(1) == "##":
                path = found.group(2)
            elif found.group(1) == "###":
                function = found.group(2)
            elif found.group(3):
                line = found.group(3)
            elif found.group(4):
                keys = [(path, function, line, change) for change in re.findall(r"`([^`]*)`", found.group(4))]
                listed.update((key, found.group(5).strip()) for key in keys)
            else:
                listed.update((key, listed[key] + " " + found.group(6)) for key in keys)
    return listed


def report(mutants, listed, seconds):
    rows = {}
    unlisted = []
    for mutant in mutants:
        kind = mutant.verdict[0]
        if kind == "survived":
            kind = "listed" if mutant.key() in listed else "unlisted"
        if kind == "unlisted":
            unlisted.append(mutant)
        row = rows.setdefault(mutant.path, {"caught": 0, "same": 0, "listed": 0, "unlisted": 0})
        row[kind] += 1
    print(f"\n{'file':32} {'mutants':>8} {'caught':>8} {'same code':>10} {'listed':>8} {'unlisted':>9}")
    total = {"caught": 0, "same": 0, "listed": 0, "unlisted": 0}
    for path, row in list(rows.items()) + [("all", total)]:
        print(f"{path:32} {sum(row.values()):8} {row['caught']:8} {row['same']:10} {row['listed']:8} "
              f"{row['unlisted']:9}")
        if row is not total:
            for kind in total:
                total[kind] += row[kind]
    print(f"{seconds / 60:.1f} minutes")
    if unlisted:
        print("\nSurvivors that verify/mutations.md does not list:")
        before = (None, None, None)
        for mutant in unlisted:
            place = mutant.path, mutant.function, mutant.line
            if place[0] != before[0]:
                print(f"\n## {mutant.path}")
            if place[:2] != before[:2]:
                print(f"\n### {mutant.function}")
            if place != before:
                print(f"\n    {mutant.line}\n")
            print(f"* `{mutant.change}`: ")
            before = place
    return not unlisted


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 4))
    parser.add_argument("--no-integration", action="store_true")
    parser.add_argument("--listed", action="store_true")
    options = parser.parse_args()
    parsed = {path: Source(path) for path in sources()}
    every = [mutant for source in parsed.values() for mutant in source.mutants]
    mutants = [mutant for mutant in every if not options.words or any(word in mutant.name() for word in options.words)]
    listed = read_list()
    if options.listed:
        mutants = [mutant for mutant in mutants if mutant.key() in listed]
    gone = set(listed) - {mutant.key() for mutant in every}
    for path, function, line, change in sorted(gone):
        print(f"mutations: verify/mutations.md lists what is not there: {path} {function}: {line} [{change}]")
    if options.list:
        for mutant in mutants:
            print(mutant.name())
        print(len(mutants))
        return 1 if gone else 0
    for folder in ("objects", "programs", "logs"):
        os.makedirs(os.path.join(BUILD, folder), exist_ok=True)
    started = time.monotonic()
    trees = [Tree(i) for i in range(options.jobs)]
    print("the unchanged tree:", flush=True)
    baseline = Baseline(trees[0])
    limits = {}
    if not options.no_integration:
        wrong = try_integration(trees[0], limits)
        if wrong:
            raise SystemExit(f"mutations: on the unchanged tree: {wrong}")
    free = list(trees)

    def work(mutant):
        with lock:
            tree = free.pop()
        text = parsed[mutant.path].text
        if mutant.key() in listed and not options.listed:
            mutant.verdict = "survived", "listed"
            with lock:
                free.append(tree)
            return
        try:
            tree.write(mutant.path, text[:mutant.begin] + mutant.text + text[mutant.end:])
            mutant.verdict = try_tests(tree, baseline, mutant)
            if mutant.verdict[0] == "survived" and not options.no_integration and mutant.key() not in listed:
                wrong = try_integration(tree, limits)
                if wrong:
                    mutant.verdict = "caught", wrong
            if mutant.verdict[0] == "caught" and mutant.key() in listed:
                print("caught although listed:", end=" ")
        finally:
            tree.write(mutant.path, text)
            with lock:
                free.append(tree)
        kind, what = mutant.verdict
        if kind == "survived" and mutant.key() in listed:
            what = "listed: " + listed[mutant.key()]
        print(f"{kind:9} {mutant.name()}{'  <- ' + what if what else ''}", flush=True)

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for done in [pool.submit(work, mutant) for mutant in mutants]:
            done.result()
    is_good = report(mutants, listed, time.monotonic() - started)
    return 0 if is_good and not gone else 1


if __name__ == "__main__":
    sys.exit(main())
