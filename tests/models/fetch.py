"""fetch.py CHATBOT LLAMAIPC MODEL - models by name, against a server of the test's own (hub.py): fetched whole or not at all, gone
on with after a break, once for all who want it; what servers do wrong; names and lists that would lead out of the cache.

Skipped (77) where nginx or libcurl is missing."""

import ctypes
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from hub import COMMIT, Hub, check, environment

CHATBOT, LLAMAIPC, MODEL = sys.argv[1:4]
SOON = 60
TOKEN = "hf_" + "A1b2C3d4" * 5
OUT, ERR, CODE = 0, 1, 2
work = tempfile.mkdtemp(prefix="lipc-fetch-")
random.seed(7)


def step(text):
    print("fetch:", text, flush=True)


class Place:
    """A cache of its own, and programs that use it."""

    def __init__(self, hub, name, **more):
        self.hub, self.cache = hub, f"{work}/{name}"
        self.environment = environment(self.cache, hub, **more)

    def start(self, *arguments, program=CHATBOT, **more):
        return subprocess.Popen([program, *arguments], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, **more)

    def run(self, *arguments, **more):
        process = self.start(*arguments, **more)
        out, err = process.communicate(timeout=4 * SOON)
        check(TOKEN not in out + err, "the token is shown:", err)
        return out, err, process.returncode

    def pull(self, name, *more, code=0):
        result = self.run("--pull", "-hf", name, *more)
        check(result[CODE] == code, f"{name}: code {result[CODE]} instead of {code}:", result[ERR])
        return result

    def files(self, ending):
        found = []
        for folder, _, names in os.walk(self.cache):
            found += [os.path.join(folder, name) for name in names if name.endswith(ending)]
        return found

    def blobs(self):
        return [path for path in self.files("") if "/blobs/" in path and not path.endswith(".incomplete")]

    def partial(self):
        sizes = [os.path.getsize(path) for path in self.files(".incomplete")]
        return max(sizes, default=0)


def wait_until(is_so, what):
    end = time.monotonic() + SOON
    while not is_so():
        check(time.monotonic() < end, "waited in vain:", what)
        time.sleep(0.005)


def content_of(path):
    with open(path, "rb") as file:
        return file.read()


def check_whole(result, content):
    path = result[OUT].strip()
    check(content_of(path) == content, "the file is another one:", path)


def whole(hub):
    step("whole, and not twice; which quantization")
    place = Place(hub, "whole")
    files = {"model-Q4_K_M.gguf": os.urandom(300000), "model-Q8_0.gguf": os.urandom(400001), "sub dir/other-F16.gguf": os.urandom(5000),
             "mmproj-Q8_0.gguf": b"projector", "README.md": b"words"}
    hub.publish("user/model", files)
    check_whole(place.pull("user/model"), files["model-Q4_K_M.gguf"])
    check_whole(place.pull("user/model:q8_0"), files["model-Q8_0.gguf"])
    check_whole(place.pull("user/model:F16"), files["sub dir/other-F16.gguf"])
    hub.forget_log()
    check_whole(place.pull("user/model:Q8_0"), files["model-Q8_0.gguf"])
    check(not hub.asked_for(".gguf"), "fetched again", hub.log())
    check("no GGUF model of this quantization" in place.pull("user/model:Q5_0", code=3)[ERR])
    check("there is no user/nothing" in place.pull("user/nothing", code=3)[ERR])
    check(os.path.islink(f"{place.cache}/models--user--model/snapshots/{COMMIT}/model-Q8_0.gguf"))
    check(content_of(f"{place.cache}/models--user--model/refs/main").decode() == COMMIT)
    return place, files


def without_server(hub, place, files):
    step("--offline, and a server that is not there")
    check_whole(place.pull("user/model:Q8_0", "--offline"), files["model-Q8_0.gguf"])
    place.pull("user/other", "--offline", code=3)
    hub.stop()
    result = place.pull("user/model:Q8_0")
    check("the one in the cache is used" in result[ERR])
    check_whole(result, files["model-Q8_0.gguf"])
    place.pull("user/other", code=1)
    hub.start()


def listed_and_removed(place):
    step("models, rm")
    out = place.run("models", program=LLAMAIPC)[OUT]
    check(sorted(line.split("\t")[0] for line in out.splitlines()) ==
          ["user/model:F16", "user/model:Q4_K_M", "user/model:Q8_0"], out)
    check(place.run("rm", "user/model:F16", program=LLAMAIPC)[CODE] == 0)
    check(place.run("rm", "user/model:F16", program=LLAMAIPC)[CODE] == 3)
    check("F16" not in place.run("models", program=LLAMAIPC)[OUT])
    check(len(place.blobs()) == 2)
    check(place.run("rm", "user/model", program=LLAMAIPC)[CODE] == 0)
    check(not place.blobs())
    for wrong in ("user", "../../etc", "user/model:../x", "user/..", "/etc/passwd", "user/model/file"):
        check(place.run("pull", wrong, program=LLAMAIPC)[CODE] == 2, wrong)
        check(place.run("rm", wrong, program=LLAMAIPC)[CODE] == 2, wrong)


def splits(hub):
    step("a model of several files")
    place = Place(hub, "splits")
    files = {f"big/model-Q8_0-{i:05d}-of-00003.gguf": os.urandom(70000 + i) for i in (1, 2, 3)}
    hub.publish("user/split", files)
    path = place.pull("user/split")[OUT].strip()
    check(path.endswith("-00001-of-00003.gguf"), path)
    for name, content in files.items():
        check(content_of(f"{os.path.dirname(path)}/{os.path.basename(name)}") == content, name)
    del files["big/model-Q8_0-00002-of-00003.gguf"]
    hub.publish("user/partial", files)
    check("a part of the model" in place.pull("user/partial", code=3)[ERR])


def killed(hub, n_kills):
    step(f"the process is killed {n_kills} times while it fetches")
    place = Place(hub, "killed")
    content = os.urandom(2500000)
    hub.publish("slow/model", {"model-Q8_0.gguf": content})
    n_hit = 0
    for i in range(n_kills):
        process, before = place.start("--pull", "-hf", "slow/model"), place.partial()
        aim = before + random.randrange(1, 90000)
        wait_until(lambda: place.partial() > aim or process.poll() is not None, "bytes")
        process.kill()
        process.communicate()
        n_hit += not place.blobs()
        check(place.partial() >= before, "what had come is gone")
    check(n_hit > 0, "it was never hit")
    check_whole(place.pull("slow/model"), content)
    ranges = [line for line in hub.asked_for(".gguf") if "bytes=" in line]
    check(len(ranges) >= n_hit - 1, "begun anew:", hub.log())
    check(place.partial() == 0)
    print(f"  {n_hit} of {n_kills} kills hit it")


def server_breaks(hub):
    step("the server breaks off and comes back")
    place = Place(hub, "breaks")
    content = os.urandom(2000000)
    hub.publish("slow/breaks", {"model-Q8_0.gguf": content})
    process = place.start("--pull", "-hf", "slow/breaks")
    for at in (200000, 700000):
        wait_until(lambda: place.partial() > at, "bytes")
        hub.stop()
        hub.start()
    out, err = process.communicate(timeout=2 * SOON)
    check(process.returncode == 0, err)
    check_whole((out,), content)
    check("from byte" in err, err)


def cancelled(hub):
    step("Ctrl-C keeps what has come")
    place = Place(hub, "cancelled")
    content = os.urandom(1500000)
    hub.publish("slow/cancelled", {"model-Q8_0.gguf": content})
    process = place.start("pull", "slow/cancelled", program=LLAMAIPC)
    wait_until(lambda: place.partial() > 100000, "bytes")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=SOON)
    check(process.returncode == 130 and "kept" in err, process.returncode, err)
    check(place.partial() > 100000 and not place.blobs())
    check_whole(place.pull("slow/cancelled"), content)


def wrong_sums(hub):
    step("a wrong sum, and a damaged beginning")
    place = Place(hub, "sums")
    content = os.urandom(200000)
    hub.publish("user/wrong", {"model-Q8_0.gguf": content}, sums={"model-Q8_0.gguf": "ab" * 32})
    check("damaged" in place.pull("user/wrong", code=1)[ERR])
    check(not place.blobs() and place.partial() == 0)
    hub.publish("user/damaged", {"model-Q8_0.gguf": content})
    place.pull("user/damaged")
    blob = place.blobs()[0]
    os.rename(blob, blob + ".incomplete")
    os.truncate(blob + ".incomplete", 100000)
    with open(blob + ".incomplete", "r+b") as file:
        file.write(b"somebody else was here")
    result = place.pull("user/damaged")
    check("once more from its beginning" in result[ERR], result[ERR])
    check_whole(result, content)
    step("a file that somebody has cut off")
    os.truncate(place.blobs()[0], 5000)
    check_whole(place.pull("user/damaged"), content)


def statuses(hub):
    step("401, 429 with Retry-After, 500")
    files = {"model-Q8_0.gguf": os.urandom(50000)}
    for name in ("private", "busy", "broken", "lead"):
        hub.publish(f"{name}/model", files)
    place = Place(hub, "statuses")
    check("set HF_TOKEN" in place.pull("private/model", code=1)[ERR])
    wrong = Place(hub, "statuses", HF_TOKEN="hf_wrong")
    check("this HF_TOKEN" in wrong.pull("private/model", code=1)[ERR])
    right = Place(hub, "statuses", HF_TOKEN=TOKEN)
    check_whole(right.pull("private/model"), files["model-Q8_0.gguf"])
    subprocess.run([CHATBOT, "--pull", "-mu", f"{hub.address}/busy/model/resolve/{COMMIT}/model-Q8_0.gguf"], env=place.environment,
                   capture_output=True, timeout=2 * SOON)
    hub.forget_log()
    check_whole(place.pull("busy/model"), files["model-Q8_0.gguf"])
    print(f"  {sum(' 429 ' in line for line in hub.log())} times 429")
    check("cannot be fetched: status 500" in place.pull("broken/model", code=1)[ERR])
    check(place.pull("lead/model", code=1)[OUT] == "")


def elsewhere(hub):
    step("a server that leads elsewhere: the token stays")
    place = Place(hub, "elsewhere", HF_TOKEN=TOKEN)
    content = os.urandom(90000)
    hub.publish("elsewhere/model", {"model-Q8_0.gguf": content})
    hub.forget_log()
    check_whole(place.pull("elsewhere/model"), content)
    check(any(TOKEN in line for line in hub.asked_for(".gguf")), "the hub is not told who asks")
    check(hub.log("other") and not any(TOKEN in line for line in hub.log("other")), "the token is told to another server")


def no_ranges(hub):
    step("a server that cannot give a part")
    place = Place(hub, "ranges")
    content = os.urandom(900000)
    hub.publish("whole/model", {"model-Q8_0.gguf": content})
    process = place.start("--pull", "-hf", "whole/model")
    wait_until(lambda: place.partial() > 100000, "bytes")
    process.kill()
    process.communicate()
    check_whole(place.pull("whole/model"), content)


def two_at_once(hub):
    step("two want the same file: one fetches it")
    place = Place(hub, "two")
    content = os.urandom(1500000)
    hub.publish("slow/two", {"model-Q8_0.gguf": content})
    hub.forget_log()
    processes = [place.start("--pull", "-hf", "slow/two") for _ in range(3)]
    for process in processes:
        out, err = process.communicate(timeout=2 * SOON)
        check(process.returncode == 0, err)
        check_whole((out,), content)
    check(len(hub.asked_for(".gguf")) == 1, hub.log())
    step("the one that fetches it is killed: another goes on")
    hub.publish("slow/heir", {"model-Q8_0.gguf": content[::-1]})
    first = place.start("--pull", "-hf", "slow/heir")
    wait_until(lambda: place.partial() > 100000, "bytes")
    second = place.start("--pull", "-hf", "slow/heir")
    line = second.stderr.readline()
    check("another process fetches" in line, line)
    first.kill()
    first.communicate()
    out, err = second.communicate(timeout=2 * SOON)
    check(second.returncode == 0, err)
    check_whole((out,), content[::-1])


def limited(n_bytes):
    import resource
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def full_disk(hub):
    step("a disk that is full, a file that may not grow")
    content = os.urandom(3 << 20)
    hub.publish("user/large", {"model-Q8_0.gguf": content})
    place = Place(hub, "limited")
    result = place.run("--pull", "-hf", "user/large", preexec_fn=limited(1 << 20))
    check(result[CODE] == 1 and "cannot write" in result[ERR], result)
    check(not place.blobs() and place.partial() == 1 << 20, place.partial())
    check_whole(place.pull("user/large"), content)
    small = Place(hub, "small")
    os.makedirs(small.cache)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small.cache], capture_output=True).returncode != 0:
        print("  no file system of the test's own here: skipped")
        return
    try:
        check("no room" in small.pull("user/large", code=1)[ERR])
        check(not small.blobs())
    finally:
        subprocess.run(["umount", small.cache], check=True)


def hostile_lists(hub):
    step("lists that would lead out of the cache")
    place = Place(hub, "hostile")
    content = b"harmless"
    good = {"type": "file", "path": "model-Q8_0.gguf", "lfs": {"oid": "x", "size": 8}}
    bad_paths = ["../../../escaped-Q8_0.gguf", "/tmp/escaped-Q8_0.gguf", "a/../../escaped-Q8_0.gguf", "./escaped-Q8_0.gguf",
                 "a//escaped-Q8_0.gguf", "..\\escaped-Q8_0.gguf", "\nescaped-Q8_0.gguf", ""]
    bad_sums = ["../../escaped", "zz" * 32, "ab" * 33, "", 7, None, "ab" * 31 + "/x"]
    listed = [{**good, "path": path, "lfs": {"oid": "ab" * 32, "size": 8}} for path in bad_paths]
    listed += [{**good, "lfs": {"oid": sum, "size": 8}} for sum in bad_sums]
    listed += [[], "text", 7, None, {}, {"type": "file"}, {"type": "directory", "path": "x"}]
    hub.publish("user/hostile", {"model-Q8_0.gguf": content}, listed=listed)
    err = place.pull("user/hostile", code=3)[ERR]
    check("has no GGUF model" in err, err)
    for branches in ([{"name": "../../escaped", "targetCommit": COMMIT}], [{"name": "main", "targetCommit": "../../escaped"}],
                     [], [7], {"a": 1}):
        hub.publish("user/branches", {"model-Q8_0.gguf": content}, branches=branches)
        check("names no commit" in place.pull("user/branches", code=1)[ERR])
    for text in (b"", b"no json", b"[" * 100000, b'{"branches": [', b"\xff\xfe"):
        hub.write("api/models/user/branches/refs", text)
        place.pull("user/branches", code=1)
    hub.publish("user/long", {"model-Q8_0.gguf": content}, listed=[{**good, "lfs": {"oid": "ab" * 32, "size": 1 << 62}}])
    check("no room" in place.pull("user/long", code=1)[ERR])
    escaped = [path for folder in (work, "/tmp", os.getcwd()) for path in os.listdir(folder) if "escaped" in path]
    check(not escaped and not any("escaped" in path for path in place.files("")), escaped)


def addresses(hub):
    step("-mu: by its name and ETag; parts; another version")
    place = Place(hub, "addresses", HF_TOKEN=TOKEN)
    address = f"http://127.0.0.1:{hub.other_port}/plain"
    first, second = os.urandom(120000), os.urandom(130000)
    hub.write("plain/file.gguf", first)
    hub.forget_log()

    def pull(name, code=0):
        result = place.run("--pull", "-mu", f"{address}/{name}")
        check(result[CODE] == code, name, result)
        return result

    check_whole(pull("file.gguf?signature=secret"), first)
    check(not any(TOKEN in line for line in hub.log("other")), "the hub's token is told to another server")
    hub.forget_log()
    check_whole(pull("file.gguf"), first)
    check(not [line for line in hub.log("other") if line.startswith("GET")], "fetched again")
    hub.write("plain/file.gguf", second)
    os.utime(f"{hub.folder}/files/plain/file.gguf", (1, 1))
    check_whole(pull("file.gguf"), second)
    check("file.gguf" in place.run("models", program=LLAMAIPC)[OUT])
    for i in (1, 2):
        hub.write(f"plain/two-{i:05d}-of-00002.gguf", first[i:])
    path = pull("two-00001-of-00002.gguf")[OUT].strip()
    check(content_of(path.replace("00001-of", "00002-of")) == first[2:])
    for code in (0, 3):
        check(place.run("rm", "-mu", f"{address}/two-00001-of-00002.gguf", program=LLAMAIPC)[CODE] == code)
        check(not [path for path in place.files("") if "two-0000" in path and not path.endswith(".lock")])
    pull("missing.gguf", code=3)
    for wrong in ("http://user:word@127.0.0.1/x.gguf", "http://127.0.0.1/..", "http://127.0.0.1/", "http:///x.gguf",
                  "http://127.0.0.1/a b.gguf"):
        check(place.run("--pull", "-mu", wrong)[CODE] == 2, wrong)
    hub.write("plain/file.gguf.v2.gguf", first)
    check_whole(pull("file.gguf.v2.gguf"), first)
    check(place.run("rm", "-mu", f"{address}/file.gguf", program=LLAMAIPC)[CODE] == 0)
    left = [path for path in place.files("") if "file.gguf" in path and not path.endswith(".lock")]
    check(left and all("file.gguf.v2.gguf" in path for path in left), left)


def secure(hub):
    step("TLS: a certificate that nobody has signed, and one that is known; never back to where there is none")
    known = {"HF_ENDPOINT": f"https://127.0.0.1:{hub.tls_port}", "HF_TOKEN": TOKEN}
    result = Place(hub, "tls", **known).pull("user/model", code=1)
    check("certificate" in result[ERR].lower(), result[ERR])
    place = Place(hub, "tls", SSL_CERT_FILE=f"{hub.folder}/certificate.pem", **known)
    place.pull("user/model:Q8_0")
    check(any(TOKEN in line for line in hub.log("tls")))
    result = place.run("--pull", "-mu", f"https://127.0.0.1:{hub.tls_port}/down/x.gguf")
    check(result[CODE] == 1 and not place.files("x.gguf"), result)
    result = Place(hub, "plain", HF_TOKEN=TOKEN, HF_ENDPOINT="http://hub.test", http_proxy=hub.address).pull("user/model:Q8_0")
    check("without TLS" in result[ERR], result[ERR])
    check(not any(TOKEN in line for line in hub.log()[-4:]), "the token goes without TLS")


def status_of(name):
    result = subprocess.run([LLAMAIPC, "status", "--json", "--name", name], capture_output=True, text=True)
    return json.loads(result.stdout) if result.stdout.startswith("{") else {}


def ask(name, *more):
    return subprocess.run([LLAMAIPC, "ask", "--name", name, "-q", "-n", "8", "--temp", "0", *more, "What is C++?"], capture_output=True,
                          text=True, timeout=2 * SOON)


def hosts(hub):
    step("a host that fetches its model at its start, and another while it serves")
    content = content_of(MODEL)
    hub.publish("crawl/tutor", {"tutor-Q8_0.gguf": content})
    hub.publish("crawl/again", {"again-Q8_0.gguf": content})
    place = Place(hub, "hosts", HF_TOKEN=TOKEN)
    name = f"lipctest{os.getpid()}_fetch"
    host = place.start("-hf", "crawl/tutor", "--name", name, "-t", "1")
    try:
        wait_until(lambda: status_of(name).get("download_bytes", 0) > 0, "the host's download")
        status = status_of(name)
        check(status["state"] == "loading" and status["download_total"] == len(content), status)
        check("crawl/tutor" not in open(f"/proc/{host.pid}/maps").read())
        answer = ask(name).stdout
        check(len(answer) > 4 and status_of(name)["state"] == "ready", answer)
        check(status_of(name)["download_total"] == 0)

        loading = place.start("load", "-hf", "crawl/again", "--name", name, program=LLAMAIPC)
        wait_until(lambda: status_of(name).get("download_bytes", 0) > 0, "the second download")
        check(ask(name).stdout == answer, "it does not serve while it fetches")
        commands = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
        check(TOKEN not in commands, "the token is in the list of processes")
        loading.send_signal(signal.SIGINT)
        _, err = loading.communicate(timeout=SOON)
        check(loading.returncode == 130, err)
        wait_until(lambda: status_of(name)["download_bytes"] == 0, "the end of the download")
        check(place.partial() > 0 and ask(name).stdout == answer)

        step("its worker is killed while it fetches for somebody who is killed, too")
        loading = place.start("load", "-hf", "crawl/again", "--name", name, program=LLAMAIPC)
        wait_until(lambda: status_of(name).get("download_bytes", 0) > 0, "a download")
        worker = status_of(name)["worker_pid"]
        os.kill(worker, signal.SIGSTOP)
        loading.kill()
        loading.communicate(timeout=SOON)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: status_of(name)["worker_pid"] != worker and status_of(name)["state"] == "ready", "the next worker")
        wait_until(lambda: status_of(name)["download_bytes"] == 0, "the end of a download that nobody makes")
        check(ask(name).stdout == answer)

        step("its fetching process is killed")
        loading = place.start("load", "-hf", "crawl/again", "--name", name, program=LLAMAIPC)
        wait_until(lambda: status_of(name).get("download_bytes", 0) > 0, "the third download")
        worker = status_of(name)["worker_pid"]
        child = int(subprocess.run(["ps", "-o", "pid=", "--ppid", str(worker)], capture_output=True, text=True).stdout.split()[0])
        os.kill(child, signal.SIGKILL)
        _, err = loading.communicate(timeout=2 * SOON)
        check(loading.returncode == 0 and "loaded" in err, err)
        check("again" in status_of(name)["model_path"], status_of(name))
        check(ask(name).stdout == answer)
        check(subprocess.run([LLAMAIPC, "load", "-hf", "user/nothing", "--name", name], capture_output=True).returncode == 3)
        check(ask(name).stdout == answer)
        segment = open(f"/dev/shm/{name}_shared_mem", "rb").read()
        check(TOKEN.encode() not in segment, "the token is in the segment")
    finally:
        host.terminate()
        _, err = host.communicate(timeout=SOON)
    check(host.returncode == 0, err)
    check(TOKEN not in err and "fetching" in err, err)
    check(place.run("-hf", "user/nothing", "--name", name)[CODE] == 3)


def interchange(hub):
    step("llama-server finds what we fetched, and we what it fetched")
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/fetch-libllama.sh")
    peer = subprocess.run(["sh", script, "--where", "peer"], capture_output=True, text=True).stdout.strip()
    server = f"{peer}/bin/llama-server"
    if not os.access(server, os.X_OK):
        print("  no llama-server here: skipped")
        return
    content = content_of(MODEL)
    hub.publish("user/shared", {"shared-Q8_0.gguf": content})

    def serve(place, *more):
        log = f"{place.cache}.log"
        with open(log, "w") as file:
            process = subprocess.Popen([server, "-hf", "user/shared:Q8_0", "--host", "127.0.0.1", "--port", "0", "-c", "256", *more],
                                       env=place.environment, stdout=file, stderr=file)
        try:
            wait_until(lambda: "model loaded" in open(log).read() or process.poll() is not None, "llama-server")
            check(process.poll() is None, open(log).read()[-2000:])
        finally:
            process.kill()
            process.wait()

    ours = Place(hub, "ours")
    ours.pull("user/shared:Q8_0")
    serve(ours, "--offline")
    theirs = Place(hub, "theirs")
    serve(theirs)
    hub.forget_log()
    check_whole(theirs.pull("user/shared:Q8_0"), content)
    check(not hub.asked_for(".gguf"), "fetched again")
    check_whole(theirs.pull("user/shared:Q8_0", "--offline"), content)


def main():
    if not shutil.which("nginx") or not shutil.which("openssl"):
        print("fetch: skipped: nginx or openssl is not installed (scripts/setup.sh test)")
        return 77
    try:
        ctypes.CDLL("libcurl.so.4")
    except OSError:
        print("fetch: skipped: libcurl is not installed")
        return 77
    hub = Hub(f"{work}/hub", TOKEN)
    try:
        place, files = whole(hub)
        without_server(hub, place, files)
        splits(hub)
        killed(hub, 20)
        server_breaks(hub)
        cancelled(hub)
        wrong_sums(hub)
        statuses(hub)
        elsewhere(hub)
        no_ranges(hub)
        two_at_once(hub)
        full_disk(hub)
        hostile_lists(hub)
        addresses(hub)
        secure(hub)
        hosts(hub)
        interchange(hub)
        listed_and_removed(place)
    finally:
        hub.remove()
        shutil.rmtree(work, ignore_errors=True)
    print("fetch: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
