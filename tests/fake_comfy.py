"""A ComfyUI server as far as a client of its API can tell: the recorded node classes, a queue, news by websocket.

A picture's colours are the digest of the graph that drew it. `fault` makes it misbehave in one named way.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from queue import Queue
from urllib.parse import parse_qs, urlsplit

from PIL import Image
from PIL.PngImagePlugin import PngInfo

RECORDED = Path(__file__).parent / "data" / "comfy_http"
CHECKPOINTS, LORAS = ["sd15/first.safetensors", "second.safetensors"], ["Maison.safetensors"]
WEBSOCKET_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455


class FakeComfy(ThreadingHTTPServer):
    """`drawn` counts executions; `fault` names what goes wrong with the next prompt, `after` what heals it."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.object_info = json.loads((RECORDED / "object_info.json").read_text(encoding="utf-8"))
        self.recorded = json.loads((RECORDED / "recorded.json").read_text(encoding="utf-8"))
        self.object_info["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0] = CHECKPOINTS
        self.object_info["LoraLoader"]["input"]["required"]["lora_name"][0] = list(LORAS)
        self.fault, self.faults_left, self.drawn, self.asked = "", 0, 0, []
        self.lora_folder: Path | None = None  # looked at anew each time, in place of LORAS
        self.prompts: Queue = Queue()
        self.pending: list[tuple] = []
        self.running: list[tuple] = []
        self.history: dict[str, dict] = {}
        self.files: dict[str, bytes] = {}
        self.lines: dict[str, Handler] = {}
        self.interrupted = threading.Event()
        threading.Thread(target=self._work, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """A client that hangs up is no news."""

    def breaks(self, fault: str, times: int = 1) -> None:
        self.fault, self.faults_left = fault, times

    def failing(self, fault: str) -> bool:
        """Whether this is one of the times that `fault` happens."""
        if self.fault != fault or self.faults_left == 0:
            return False
        self.faults_left -= 1
        return True

    def tell(self, client: str, kind: str, **data) -> None:
        line = self.lines.get(client)
        if line is None:
            return
        if kind == "progress" and self.failing("the line breaks"):
            self.lines.pop(client).connection.close()
            return
        payload = json.dumps({"type": kind, "data": data}).encode()
        with suppress(OSError):
            line.wfile.write(b"\x82" + frame_length(8) + b"\0\0\0\1prev")  # a preview, which nobody asked for
            line.wfile.write(b"\x81" + frame_length(len(payload)) + payload)
            line.wfile.flush()

    def _work(self) -> None:
        while True:
            item = self.prompts.get()
            if item in self.pending:
                self.pending.remove(item)
                self.running.append(item)
                self._execute(*item)
                self.running.remove(item)

    def _execute(self, number: int, prompt_id: str, graph: dict, extra: dict, outputs: list) -> None:
        client, self.drawn = extra.get("client_id", ""), self.drawn + 1
        self.interrupted.clear()
        self.tell(client, "execution_start", prompt_id=prompt_id)
        sampler = next(part["inputs"] for part in graph.values() if part["class_type"] == "KSampler")
        for step in range(1, sampler["steps"] + 1):
            self.tell(client, "progress", value=step, max=sampler["steps"], prompt_id="somebody else's", node="1")
            self.tell(client, "progress", value=step, max=sampler["steps"], prompt_id=prompt_id, node="1")
        messages, found = [["execution_start", {"prompt_id": prompt_id}]], {}
        end, status = "execution_success", "success"
        if self.failing("hangs"):
            self.interrupted.wait()
        error = next((kind for kind in ERRORS if self.failing(kind)), None)
        if self.interrupted.is_set() or self.failing("interrupted"):
            end, status = "execution_interrupted", "error"
        elif error:
            end, status = "execution_error", "error"
        else:
            found = self._pictures(graph)
        said = {"prompt_id": prompt_id, "node_id": "sampler", "node_type": "KSampler", **ERRORS.get(error, {})}
        self.history[prompt_id] = {
            "prompt": [number, prompt_id, self._as_executed(graph), extra, outputs],
            "outputs": found,
            "status": {"status_str": status, "completed": status == "success", "messages": [*messages, [end, said]]},
        }
        self.tell(client, end, **said)

    def _as_executed(self, graph: dict) -> dict:
        changed = deepcopy(graph)
        if self.failing("another checkpoint"):
            next(p for p in changed.values() if "ckpt_name" in p["inputs"])["inputs"]["ckpt_name"] = "other.safetensors"
        return changed

    def _pictures(self, graph: dict) -> dict:
        digest = hashlib.sha256(json.dumps(graph, sort_keys=True).encode()).digest()
        latent = next(part["inputs"] for part in graph.values() if part["class_type"] == "EmptyLatentImage")
        size = (
            (latent["width"] // 2, latent["height"])
            if self.failing("wrong size")
            else (latent["width"], latent["height"])
        )
        picture = Image.frombytes("RGB", (4, 2), digest[:24]).resize(size, Image.Resampling.NEAREST)
        told, data, texts = deepcopy(graph), BytesIO(), PngInfo()
        if self.failing("another's picture"):
            next(part for part in told.values() if "seed" in part["inputs"])["inputs"]["seed"] = 999
        texts.add_text("prompt", json.dumps(told))
        picture.save(data, "PNG", pnginfo=texts)
        name = f"{digest.hex()[:12]}.png"
        self.files[name] = data.getvalue()
        if self.failing("torn picture"):
            self.files[name] = data.getvalue()[:-40]
        if self.failing("html"):
            self.files[name] = b"<html>502</html>"
        files = [{"filename": name, "subfolder": "", "type": "temp"}] * (2 if self.failing("two pictures") else 1)
        outputs = [node for node, part in graph.items() if part["class_type"] in ("PreviewImage", "SaveImage")]
        return {} if self.failing("no picture") else {outputs[0]: {"images": files}}


ERRORS = {
    "out of memory": {"exception_type": "torch.OutOfMemoryError", "exception_message": "Allocation on device \n"},
    "broken node": {"exception_type": "RuntimeError", "exception_message": "mat1 and mat2 shapes cannot be multiplied"},
}


def frame_length(length: int) -> bytes:
    return bytes([length]) if length < 126 else b"\x7e" + struct.pack(">H", length)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a head and a body are two packets, which it would hold back
    server: FakeComfy

    def log_message(self, *words):
        pass

    def answer(self, document, status: int = 200, kind: str = "application/json") -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        fake, parts = self.server, urlsplit(self.path)
        route, _, rest = parts.path.lstrip("/").partition("/")
        if route == "ws":
            self.open_websocket(parse_qs(parts.query)["clientId"][0])
        elif fake.failing("is another program"):
            self.answer(b"<html>welcome</html>", kind="text/html")
        elif route == "object_info":
            if fake.lora_folder is not None:
                files = sorted(file.name for file in fake.lora_folder.glob("*.safetensors"))
                fake.object_info["LoraLoader"]["input"]["required"]["lora_name"][0] = files
            self.answer({rest: fake.object_info[rest]} if rest in fake.object_info else {})
        elif route == "history":
            self.answer({rest: fake.history[rest]} if rest in fake.history else {})
        elif route == "queue":
            self.answer({"queue_running": fake.running, "queue_pending": fake.pending})
        elif route == "system_stats":
            self.answer(fake.recorded["system_stats"])
        elif route == "view":
            self.answer(fake.files[parse_qs(parts.query)["filename"][0]], kind="image/png")
        else:
            self.answer(b"404: Not Found", 404, "text/plain")

    def do_POST(self):
        fake = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fake.asked.append((self.path, body))
        if self.path == "/prompt":
            self.queue_prompt(body)
        elif self.path == "/queue":
            fake.pending = [item for item in fake.pending if item[1] not in body["delete"]]
            self.answer(b"")
        elif self.path == "/interrupt":
            if fake.running and body.get("prompt_id") == fake.running[0][1]:
                fake.interrupted.set()
            self.answer(b"")

    def queue_prompt(self, body: dict) -> None:
        fake, prompt_id = self.server, body["prompt_id"]
        if fake.failing("chooses the id"):
            prompt_id = str(uuid.uuid4())
        for name in ("bad_ckpt", "bad_sampler", "no_class"):
            if fake.failing(name):
                return self.answer(fake.recorded[name]["body"], fake.recorded[name]["status"])
        wrong = fake.recorded["one_output_bad"]["body"]["node_errors"] if fake.failing("node errors in a 200") else {}
        if not fake.failing("forgets"):
            item = (len(fake.asked), prompt_id, body["prompt"], {"client_id": body["client_id"]}, ["picture"])
            fake.pending.append(item)
            fake.prompts.put(item)
        if fake.failing("answer lost"):
            self.close_connection = True
            return None
        return self.answer({"prompt_id": prompt_id, "number": 0, "node_errors": wrong})

    def open_websocket(self, client: str) -> None:
        if self.server.failing("no websocket"):
            return self.answer(b"", 404)
        accept = base64.b64encode(hashlib.sha1(self.headers["Sec-WebSocket-Key"].encode() + WEBSOCKET_KEY).digest())
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept.decode())
        self.end_headers()
        self.server.lines[client] = self
        self.server.tell(client, "status", status={"exec_info": {"queue_remaining": 0}})
        with suppress(OSError):
            while self.rfile.read(1):  # until the client hangs up
                pass
        self.close_connection = True
        return None


@contextmanager
def fake_comfy() -> Iterator[FakeComfy]:
    server = FakeComfy()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.interrupted.set()
        server.shutdown()
        server.server_close()
