"""serve_hub.py MODEL - the hub of hub.py for a test in another language: gives the model as crawl/tutor, slowly, prints its address,
and is gone when its standard input ends."""

import shutil
import sys
import tempfile

from hub import Hub

with open(sys.argv[1], "rb") as file:
    content = file.read()
work = tempfile.mkdtemp(prefix="lipc-hub-")
hub = Hub(f"{work}/hub", "unused")
try:
    hub.publish("crawl/tutor", {"tutor-Q8_0.gguf": content})
    print(hub.address, flush=True)
    sys.stdin.read()
finally:
    hub.remove()
    shutil.rmtree(work, ignore_errors=True)
