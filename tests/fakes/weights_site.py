"""A loopback server with OpenAI's paths and one official file, so that no test needs a network."""

import contextlib
import hashlib
import threading
import time
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from maxwhisper.checkpoint import registry

CONTENT = bytes(range(256)) * 12_000  # 3 MB
_BLOCK_BYTES = 1 << 16


@dataclass
class Site:
    """What the server sends, and the `Range` of each request that it received."""

    content: bytes = CONTENT
    url: str = ""
    cut_after: int | None = None  # bytes after which the connection breaks
    pause_s: float = 0.0  # between two blocks of 64 KiB
    is_dead: bool = False  # every connection is closed without an answer
    ranges: list = field(default_factory=list)


@contextlib.contextmanager
def serving(monkeypatch, content=CONTENT, name="tiny", **entry):
    """Serve `content` as the official model `name`, of which `entry` changes fields."""
    site = Site(content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            site.ranges.append(asked)
            if site.is_dead:
                self.close_connection = True
                return
            start = int(asked[6:-1]) if asked else 0
            if start >= len(site.content):
                self.send_error(416)
                return
            body = site.content[start:]
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            body = body[: site.cut_after]
            with contextlib.suppress(OSError):  # the client has left
                for first in range(0, len(body), _BLOCK_BYTES):
                    time.sleep(site.pause_s)
                    self.wfile.write(body[first : first + _BLOCK_BYTES])

        def log_message(self, *arguments):
            """Write no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    site.url, sha256 = f"http://127.0.0.1:{server.server_port}", hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(registry, "BASE_URL", site.url)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # a closed port: no Hub
    models = registry.OFFICIAL_MODELS
    monkeypatch.setitem(models, name, replace(models[name], sha256=sha256, **entry))
    yield site
    server.shutdown()
    thread.join()
    server.server_close()
