"""A Hugging Face Hub of the tests' own, on the loopback address: small models, file by file.

As the real one: small files by Git's hash, weights elsewhere by redirection and SHA-256, ranges,
X-Repo-Commit, X-Error-Code, a token for what is gated.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

TOKEN = "hf_of_the_tests"
FIRST, SECOND = "1" * 40, "2" * 40  # commits


@dataclass
class Model:
    """A repository: the files of each commit, and what its branches and tags are."""

    commits: dict[str, dict[str, bytes]]
    refs: dict[str, str] = field(default_factory=lambda: {"main": FIRST})
    gated: bool = False


@dataclass
class Hub:
    """What it has, what it was asked, and how it fails."""

    models: dict[str, Model] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)  # method, path, range
    cuts: int = 0  # how many answers with weights break off half-way
    dead: bool = False  # after a cut, no weights any more
    status: int | None = None  # of every answer
    spoilt: bool = False  # weights come with a byte changed
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """Of a process that asks this one and keeps what it gets in ``home``."""
        own = ("HF_", "HUGGING", "TRANSFORMERS_", "HTTP", "http", "ALL_PROXY", "all_proxy")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(own)}
        return kept | {
            "HF_HOME": str(home), "HF_ENDPOINT": self.url, "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "*", **more,
        }  # fmt: skip

    def fetched(self) -> list[str]:
        """The files whose bytes were given, in order."""
        return [path.rpartition("/")[2] for method, path, _ in self.asked if method == "GET"]


def repository(folder: Path) -> dict[str, bytes]:
    """The files of a folder, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@contextmanager
def serving(**models: Model) -> Iterator[Hub]:
    """A Hub with these models of ``tests``, and nothing else."""
    hub = Hub({f"tests/{name.replace('_', '-')}": model for name, model in models.items()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": hub}))
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *words: object) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(self.path.partition("?")[0])
        self.hub.asked.append((self.command, path, self.headers.get("Range")))
        if self.hub.status is not None:
            self._send(self.hub.status)
            return
        if path.startswith("/cdn/"):
            self._weights(path)
            return
        name, _, rest = path.strip("/").partition("/resolve/")
        model = self.hub.models.get(name)
        if model is None:
            self._send(401, error="RepoNotFound")
        elif model.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send(401, error="GatedRepo")
        else:
            self._file(model, rest)

    def _file(self, model: Model, rest: str) -> None:
        revision, _, file = rest.rpartition("/")
        commit = model.refs.get(revision, revision)
        if commit not in model.commits:
            self._send(404, error="RevisionNotFound")
            return
        data = model.commits[commit].get(file)
        if data is None:
            self._send(404, commit=commit, error="EntryNotFound")
        elif file.endswith((".safetensors", ".bin")):
            digest = hashlib.sha256(data).hexdigest()
            self._send(302, commit=commit, **{
                "X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data)),
                "Location": f"http://localhost:{self.hub.port}/cdn/{commit}/{file}",
            })  # fmt: skip
        else:
            blob = b"blob %d\0" % len(data) + data
            self._send(200, data, commit=commit, ETag=f'"{hashlib.sha1(blob).hexdigest()}"')

    def _weights(self, path: str) -> None:
        assert "Authorization" not in self.headers, "a token went to another host"
        _, commit, file = path.strip("/").split("/")
        data = next(
            m.commits[commit][file] for m in self.hub.models.values() if commit in m.commits
        )
        if self.hub.spoilt:
            data = data[:-1] + bytes([data[-1] ^ 1])
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=")[:-1])
        cut = self.hub.cuts > 0
        if self.hub.dead and not cut:
            self.close_connection = True
            self.connection.close()
            return
        extra = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        self.hub.cuts -= cut
        self._send(206 if start else 200, data[start:], half=cut, **extra)

    def _send(
        self, status: int, data: bytes = b"", *, commit: str | None = None,
        error: str | None = None, half: bool = False, **headers: str,
    ) -> None:  # fmt: skip
        self.send_response(status)
        named = {"X-Repo-Commit": commit, "X-Error-Code": error, **headers}
        for name, value in named.items():
            if value is not None:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[: len(data) // 2] if half else data)
        if half:
            self.close_connection = True
            self.wfile.flush()
            self.connection.close()
