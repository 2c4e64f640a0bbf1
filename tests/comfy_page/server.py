"""The HTTP side of ComfyUI that Modiste's page talks to, over the repository's real web/ and locales/."""

from __future__ import annotations

import json
import mimetypes
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[2]
HOST = Path(__file__).parent / "host"
PIXEL = b"<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'><rect width='8' height='8' fill='tan'/></svg>"


def translations(root: Path = ROOT) -> dict[str, Any]:
    """As ComfyUI's server merges them: main.json at the top, the other files under their names."""
    merged = {}
    for folder in sorted((root / "locales").iterdir()):
        parts = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("*.json")}
        merged[folder.name] = parts.pop("main") | parts
    return merged


class Server:
    """What the routes answer; a test changes it as a training would. `asked` are the bodies of POST /modiste/tag."""

    def __init__(self):
        self.url = ""
        self.runs: dict[str, dict[str, Any]] = {}
        self.listed: list[dict[str, Any]] = []
        self.groups: list[dict[str, Any]] = []
        self.tagged: dict[str, Any] | None = None
        self.asked: list[dict[str, Any]] = []

    def answer(self, path: str) -> Any | None:
        """The JSON of that route; None where there is none."""
        if path == "/object_info":
            return json.loads((ROOT / "tests/data/comfy_object_info.json").read_text(encoding="utf-8"))
        if path == "/extensions":
            files = sorted((ROOT / "web").rglob("*.js"))
            return [f"/extensions/modiste/{file.relative_to(ROOT / 'web').as_posix()}" for file in files]
        if path.startswith("/api/modiste/runs/"):
            return self.runs.get(path.removeprefix("/api/modiste/runs/"))
        known = {
            "/api/i18n": translations,
            "/api/modiste/runs": lambda: {"runs": self.listed},
            "/api/modiste/vocabulary": lambda: {"groups": self.groups},
        }
        return known[path]() if path in known else None


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = unquote(urlsplit(self.path).path)
            answer = server.answer(path)
            if answer is not None:
                self._send(json.dumps(answer).encode(), "application/json")
            elif path in ("/view", "/favicon.ico"):
                self._send(PIXEL, "image/svg+xml")
            else:
                self._file(path)

        def do_POST(self):
            server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if self.path == "/api/modiste/tag" and server.tagged is not None:
                self._send(json.dumps(server.tagged).encode(), "application/json")
            else:
                error = {"error": "fashion-clip is missing in models/fashion_clip"}
                self._send(json.dumps(error).encode(), "application/json", 400)

        def _file(self, path: str):
            ours = path.startswith("/extensions/modiste/")
            root, name = (ROOT / "web", path.removeprefix("/extensions/modiste/")) if ours else (HOST, path[1:])
            file = root / (name or "index.html")
            if file.is_file():
                kind = "text/javascript" if file.suffix == ".js" else mimetypes.guess_type(file)[0]
                self._send(file.read_bytes(), kind or "application/octet-stream")
            else:
                self._send(b"", "text/plain", 404)

        def _send(self, body: bytes, kind: str, status: int = 200):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


@contextmanager
def serving():
    """A `Server` on a free port."""
    server = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
