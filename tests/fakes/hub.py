"""A server on this machine with the paths of the Hugging Face Hub and of OpenAI's addresses.

It serves folders of files as repositories, as the Hub does: a description with sizes and checksums,
ranges, and a redirect for large files. Faults are fields that a test sets.
"""

import hashlib
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "5f0c1de0a1b2c3d4e5f60718293a4b5c6d7e8f90"
LARGE_BYTES = 100_000  # files above it are in Git LFS
BLOCK_BYTES = 1 << 16


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str | None
    token: str | None


@dataclass
class Hub:
    """What is served, what goes wrong, and what was asked for."""

    url: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    openai: dict[str, bytes] = field(default_factory=dict)  # by file name
    revisions: tuple[str, ...] = ("main", "v2", COMMIT)
    token: str | None = None  # what a request must have for the repositories
    status: int | None = None  # of every answer
    cuts: list[int] = field(default_factory=list)  # bytes after which the next bodies break
    wrong: str = ""  # the file whose content is not what the description says
    block_s: float = 0.0  # seconds before each block of 64 KiB
    requests: list[Request] = field(default_factory=list)

    def add_folder(self, repository: str, folder: Path) -> None:
        self.repositories[repository] = {
            path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()
        }

    def bodies(self, ending: str = "") -> list[str | None]:
        """The ranges of the requests for content whose path ends so, redirects not counted."""
        sent = ("/cdn/", "/main/whisper/")
        return [
            request.range
            for request in self.requests
            if request.path.endswith(ending) and request.path.startswith(sent)
        ]


def hub_host(url: str) -> str:
    """The same server under another name, as large files are on another host."""
    return url.replace("127.0.0.1", "localhost")


@contextmanager
def hub_server():
    """Serve a `Hub` until the end of the context."""
    hub = Hub()

    class Handler(_Handler):
        site = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    site: Hub

    def do_GET(self):
        hub, path = self.site, unquote(urlsplit(self.path).path)
        self.asked = Request(
            self.command, path, self.headers.get("Range"), self.headers.get("Authorization")
        )
        hub.requests.append(self.asked)
        if hub.status:
            self._refuse(hub.status)
        elif path.startswith("/main/whisper/models/"):
            *_, sha256, name = path.split("/")
            content = hub.openai.get(name)
            if content is None or sha256 not in (hashlib.sha256(content).hexdigest(), "any"):
                self._refuse(404)
            else:
                self._send(content, name)
        elif path.startswith("/api/models/"):
            self._describe(*path.removeprefix("/api/models/").split("/revision/"))
        elif "/resolve/" in path:
            repository, _, rest = path[1:].partition("/resolve/")
            self._resolve(repository, *rest.split("/", 1))
        elif path.startswith("/cdn/"):
            _, _, user, name, file = path.split("/")
            self._send(hub.repositories[f"{user}/{name}"][file], file)
        else:
            self._refuse(404)

    do_HEAD = do_GET  # noqa: N815

    def _may_read(self, repository: str, revision: str) -> bool:
        hub = self.site
        files = hub.repositories.get(repository)
        if hub.token and self.asked.token != f"Bearer {hub.token}":
            if self.asked.token:
                self._refuse(403, "GatedRepo")
            else:
                self._refuse(401, "GatedRepo" if files else "RepoNotFound")
        elif files is None:
            self._refuse(404, "RepoNotFound")
        elif revision not in hub.revisions:
            self._refuse(404, "RevisionNotFound")
        else:
            return True
        return False

    def _describe(self, repository: str, revision: str = "main") -> None:
        if not self._may_read(repository, revision):
            return
        siblings = []
        for name, content in self.site.repositories[repository].items():
            sibling = {"rfilename": name, "size": len(content), "blobId": git_sha1(content)}
            if len(content) > LARGE_BYTES:
                sha256 = hashlib.sha256(content).hexdigest()
                sibling["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
            siblings.append(sibling)
        body = json.dumps({"id": repository, "sha": COMMIT, "siblings": siblings}).encode()
        self._head(200, {"Content-Type": "application/json", "Content-Length": len(body)})
        self.wfile.write(body)

    def _resolve(self, repository: str, revision: str, name: str) -> None:
        if not self._may_read(repository, revision):
            return
        content = self.site.repositories[repository].get(name)
        if content is None:
            self._refuse(404, "EntryNotFound")
            return
        if len(content) <= LARGE_BYTES:
            self._send(content, name, {"X-Repo-Commit": COMMIT, "ETag": f'"{git_sha1(content)}"'})
            return
        sha256 = hashlib.sha256(content).hexdigest()
        headers = {"X-Repo-Commit": COMMIT, "X-Linked-Size": len(content), "Content-Length": 0}
        elsewhere = f"{hub_host(self.site.url)}/cdn/{repository}/{name}"
        headers |= {"X-Linked-Etag": f'"{sha256}"', "Location": elsewhere}
        self._head(302, headers)

    def _send(self, content: bytes, name: str, headers: dict | None = None) -> None:
        hub, start = self.site, 0
        if self.asked.range:
            start = int(self.asked.range.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self._refuse(416)
                return
        body = content[start:]
        if name == hub.wrong:
            body = bytes(byte ^ 1 for byte in body[:9]) + body[9:]
        self._head(206 if start else 200, {"Content-Length": len(body)} | (headers or {}))
        if self.command == "HEAD":
            return
        cut = hub.cuts.pop(0) if hub.cuts and len(content) > LARGE_BYTES else None
        body = body[:cut]
        for at in range(0, len(body), BLOCK_BYTES):
            time.sleep(hub.block_s)
            self.wfile.write(body[at : at + BLOCK_BYTES])
        self.close_connection = True

    def _refuse(self, status: int, code: str = "") -> None:
        headers = {"Content-Length": 0} | ({"X-Error-Code": code} if code else {})
        self._head(status, headers)

    def _head(self, status: int, headers: dict) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, *arguments):
        """Write no log."""
