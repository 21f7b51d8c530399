"""hub.py - a model hub of the test's own: nginx with the Hub's paths, files that are made here, and what servers do wrong."""

import ctypes
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time

COMMIT = "0123456789abcdef0123456789abcdef01234567"

CONFIGURATION = """
{user}worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    log_format asked '$request_method $uri $status $http_authorization $http_range';
    client_body_temp_path {folder}/temp; proxy_temp_path {folder}/temp; fastcgi_temp_path {folder}/temp;
    uwsgi_temp_path {folder}/temp; scgi_temp_path {folder}/temp;
    limit_req_zone $server_name zone=once:32k rate=1r/s;
    etag on;
    server {{
        listen 127.0.0.1:{port};
        server_name hub.test;
        access_log {folder}/hub.log asked;
        root {folder}/files;
        default_type application/octet-stream;
        location /private/ {{ if ($http_authorization != "Bearer {token}") {{ return 401; }} }}
        location /api/models/private/ {{ if ($http_authorization != "Bearer {token}") {{ return 401; }} }}
        location /slow/ {{ limit_rate {slow}; }}
        location /crawl/ {{ limit_rate {crawl}; }}
        location /busy/ {{ limit_req zone=once; limit_req_status 429; error_page 429 = @busy; }}
        location @busy {{ add_header Retry-After 1 always; return 429; }}
        location /whole/ {{ max_ranges 0; limit_rate {slow}; }}
        location /broken/ {{ return 500; }}
        location ~ ^/elsewhere/model/resolve/[^/]+/(.*)$ {{ return 302 http://127.0.0.1:{other_port}/elsewhere-files/$1; }}
        location /lead/ {{ return 302 file:///etc/passwd; }}
    }}
    server {{
        listen 127.0.0.1:{other_port};
        access_log {folder}/other.log asked;
        root {folder}/files;
    }}
    server {{
        listen 127.0.0.1:{tls_port} ssl;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        access_log {folder}/tls.log asked;
        root {folder}/files;
        location /down/ {{ return 302 http://127.0.0.1:{port}/user/model/resolve/{commit}/model-Q8_0.gguf; }}
    }}
}}
"""


def check(is_so, *what):
    if not is_so:
        raise AssertionError(" ".join(str(each) for each in what))


def environment(cache, hub, **more):
    """For a program whose models come from that hub and go into that cache, whatever the user's own environment says."""
    kept = {key: value for key, value in os.environ.items()
            if not key.startswith(("HF_", "LLAMA_", "SSL_", "CURL_")) and not key.lower().endswith("_proxy")}
    return {**kept, "LLAMA_CACHE": cache, "HF_ENDPOINT": hub.address, **more}


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def die_with_parent():
    """Also if the test is killed: 1 is PR_SET_PDEATHSIG."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Hub:
    """The server, and the files that it gives."""

    def __init__(self, folder, token, slow="1m"):
        self.folder, self.token, self.slow = folder, token, slow
        os.makedirs(f"{folder}/files")
        self.port, self.other_port, self.tls_port = free_ports(3)
        self.address = f"http://127.0.0.1:{self.port}"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{folder}/key.pem",
                        "-out", f"{folder}/certificate.pem"], check=True, capture_output=True)
        with open(f"{folder}/nginx.conf", "w") as file:
            file.write(CONFIGURATION.format(user="user root;\n" if os.geteuid() == 0 else "", folder=folder, port=self.port, other_port=self.other_port, tls_port=self.tls_port,
                                            token=token, slow=slow, crawl="300k", commit=COMMIT))
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(["nginx", "-c", f"{self.folder}/nginx.conf", "-p", self.folder],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        preexec_fn=die_with_parent)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("nginx does not start: " + open(f"{self.folder}/error.log").read())

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def write(self, path, content):
        path = f"{self.folder}/files/{path}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)

    def publish(self, repository, files, sums=None, listed=None, branches=None):
        """A repository with these files. `listed` replaces the list, `sums` the sums of single files."""
        entries = []
        for name, content in files.items():
            folder = "elsewhere-files" if repository.startswith("elsewhere/") else f"{repository}/resolve/{COMMIT}"
            self.write(f"{folder}/{name}", content)
            entries.append({"type": "file", "path": name, "size": len(content), "oid": "0" * 40,
                            "lfs": {"oid": (sums or {}).get(name, hashlib.sha256(content).hexdigest()), "size": len(content)}})
        self.write(f"api/models/{repository}/refs",
                   json.dumps({"branches": [{"name": "main", "targetCommit": COMMIT}] if branches is None else branches}).encode())
        self.write(f"api/models/{repository}/tree/{COMMIT}", json.dumps(entries if listed is None else listed).encode())

    def log(self, name="hub"):
        try:
            with open(f"{self.folder}/{name}.log") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def forget_log(self):
        for name in ("hub", "other", "tls"):
            if os.path.exists(f"{self.folder}/{name}.log"):
                os.truncate(f"{self.folder}/{name}.log", 0)

    def asked_for(self, ending, name="hub"):
        return [line for line in self.log(name) if line.split(" ")[1].endswith(ending)]

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
