"""A server of our own that describes pictures by OpenAI's API, and fails on demand in the ways that real ones do."""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

from PIL import Image


class CaptioningServer:
    """`faults` are used up one a question; then it says `caption` (a text, or a function of the picture)."""

    def __init__(self, caption: Any = "A red dress with long sleeves.", key: str = ""):
        self.caption, self.key = caption, key
        self.faults: list[str] = []
        self.asked: list[dict[str, Any]] = []  # the documents that came
        self.pictures: list[Image.Image] = []
        self.keys: list[str | None] = []

    def __enter__(self) -> CaptioningServer:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer._answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.keys.append(handler.headers.get("Authorization"))
        if handler.path != "/v1/chat/completions":
            return _send(handler, 404, b'{"detail": "Not Found"}')
        if self.key and self.keys[-1] != f"Bearer {self.key}":
            return _send(handler, 401, b'{"error": {"message": "Invalid API Key"}}')
        document = json.loads(body)
        self.asked.append(document)
        fault = self.faults.pop(0) if self.faults else ""
        if fault:
            return self._fail(handler, fault)
        kind, data = document["messages"][0]["content"][1]["image_url"]["url"].split(",")
        assert kind == "data:image/jpeg;base64"
        picture = Image.open(BytesIO(base64.b64decode(data)))
        self.pictures.append(picture)
        caption = self.caption(picture) if callable(self.caption) else self.caption
        answer = {"choices": [{"message": {"role": "assistant", "content": caption}, "finish_reason": "stop"}]}
        return _send(handler, 200, json.dumps(answer).encode())

    def _fail(self, handler: BaseHTTPRequestHandler, fault: str) -> None:
        if fault == "slow":
            time.sleep(1.0)
            return None
        if fault == "drip":
            handler.send_response(200)
            handler.end_headers()
            for _ in range(20):
                handler.wfile.write(b" ")
                time.sleep(0.05)
            return None
        if fault == "too large":
            return _send(handler, 200, b'{"choices": "' + b"x" * (2 << 20) + b'"}')
        if fault == "redirect":
            handler.send_response(307)
            handler.send_header("Location", "http://127.0.0.1:9/v1/chat/completions")
            handler.end_headers()
            return None
        status, answer = {
            "garbage": (200, b'{"choices": [{"mess'),
            "html": (200, b"<!DOCTYPE html><html>Sign in</html>"),
            "no choices": (200, b'{"object": "list"}'),
            "empty": (200, b'{"choices": [{"message": {"content": "  "}, "finish_reason": "length"}]}'),
            "busy": (503, b'{"error": {"message": "Loading model"}}'),
            "fails": (500, b'{"error": {"message": "image input is not supported"}}'),
            "no model": (404, b'{"error": {"message": "model \'llava\' not found"}}'),
            "refused": (400, b'{"error": {"message": "context size exceeded"}}'),
        }[fault]
        return _send(handler, status, answer)


def _send(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
