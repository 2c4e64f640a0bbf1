"""A hub on loopback: huggingface_hub's routes over files, with the breaks and refusals of a real one."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

LFS = (".safetensors", ".ckpt", ".bin", ".model")
CHUNK = 1 << 22


@cache
def digest_of(data: bytes | Path, kind: str) -> str:
    """The hex digest of bytes or of a file, by hashlib's name."""
    if isinstance(data, bytes):
        return hashlib.new(kind, data).hexdigest()
    digest = hashlib.new(kind)
    with data.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def size_of(data: bytes | Path) -> int:
    return len(data) if isinstance(data, bytes) else data.stat().st_size


@dataclass
class Repository:
    """The files of a repository at its one commit, as bytes or where they lie; `token`: who may read it, "": all."""

    files: dict[str, bytes | Path]
    commit: str = "c" * 40
    token: str = ""


@dataclass
class Hub:
    """Repositories by id, what was asked, and what goes wrong."""

    repositories: dict[str, Repository]
    url: str = ""
    files_url: str = ""  # another host than the hub's own, as a real one has: large files come from there
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, Range
    tokens: list[str] = field(default_factory=list)  # each request's Authorization
    breaks: dict[str, list[int]] = field(default_factory=dict)  # file → after how many bytes each answer ends
    claimed_sizes: dict[str, int] = field(default_factory=dict)  # file → bytes that the listing says it has
    spoiled: set[str] = field(default_factory=set)  # files whose last byte arrives changed

    def ranges(self, name: str) -> list[str]:
        """The ranges in which a file's bytes were asked for, "" for all of it."""
        digest = next(digest_of(r.files[name], "sha256") for r in self.repositories.values() if name in r.files)
        return [asked for method, path, asked in self.asked if method == "GET" and path == f"/cdn/{digest}"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *words: object) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlparse(self.path).path)
        self.hub.asked.append((self.command, path, self.headers.get("Range", "")))
        self.hub.tokens.append(self.headers.get("Authorization", ""))
        if path.startswith("/api/models/"):
            self._info(path.removeprefix("/api/models/"))
        elif path.startswith("/cdn/"):
            self._bytes_of(path.removeprefix("/cdn/"))
        elif "/resolve/" in path:
            model, _, rest = path.lstrip("/").partition("/resolve/")
            self._resolve(model, *rest.split("/", 1))
        else:
            self._send(404, b"")

    def _repository(self, model: str, revision: str) -> Repository | None:
        repository = self.hub.repositories.get(model)
        if repository is None:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        elif repository.token and self.headers.get("Authorization") != f"Bearer {repository.token}":
            self._send(401, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
        elif revision not in ("main", repository.commit):
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"})
        else:
            return repository
        return None

    def _info(self, path: str) -> None:
        model, _, revision = path.partition("/revision/")
        repository = self._repository(model, revision or "main")
        if repository is None:
            return
        siblings = []
        for name, data in repository.files.items():
            size = self.hub.claimed_sizes.get(name, size_of(data))
            sibling = {"rfilename": name, "size": size, "blobId": digest_of(data, "sha1")}
            if name.endswith(LFS):
                sibling["lfs"] = {"sha256": digest_of(data, "sha256"), "size": size, "pointerSize": 130}
            siblings.append(sibling)
        body = {"id": model, "modelId": model, "sha": repository.commit, "siblings": siblings, "tags": []}
        self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _resolve(self, model: str, revision: str, name: str) -> None:
        repository = self._repository(model, revision)
        if repository is None:
            return
        data = repository.files.get(name)
        if data is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": repository.commit})
            return
        sha256 = digest_of(data, "sha256")
        if name.endswith(LFS):
            linked = {"X-Linked-Size": str(size_of(data)), "X-Linked-Etag": f'"{sha256}"'}
            where = {"Location": f"{self.hub.files_url}/cdn/{sha256}", "X-Repo-Commit": repository.commit}
            self._send(302, b"", {**linked, **where})
        else:
            etag = digest_of(data, "sha1")
            self._send(
                200,
                data if isinstance(data, bytes) else data.read_bytes(),
                {"ETag": f'"{etag}"', "X-Repo-Commit": repository.commit},
            )

    def _bytes_of(self, sha256: str) -> None:
        everything = [item for repository in self.hub.repositories.values() for item in repository.files.items()]
        name, data = next((name, data) for name, data in everything if digest_of(data, "sha256") == sha256)
        if isinstance(data, Path):
            return self._send_file(data)
        if name in self.hub.spoiled:
            data = data[:-1] + bytes([data[-1] ^ 1])
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        status, body = (206, data[start:]) if start else (200, data)
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        breaks = self.hub.breaks.get(name, [])
        if breaks and self.command == "GET":
            self._send(status, body, headers, most=breaks.pop(0))
            self.close_connection = True
        else:
            self._send(status, body, headers)

    def _send_file(self, path: Path) -> None:
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        size = size_of(path)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(size - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()
        with path.open("rb") as file:
            file.seek(start)
            while self.command == "GET" and (chunk := file.read(CHUNK)):
                self.wfile.write(chunk)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None, most: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body if most is None else body[:most])


@contextmanager
def loopback_hub(repositories: dict[str, Repository]) -> Iterator[Hub]:
    """A hub with these repositories, at `hub.url`."""
    hub = Hub(repositories)
    handler = type("_HubHandler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    hub.files_url = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
