"""A WebUI of our own that draws noise in a millisecond and fails on demand, in every way that real ones were seen to.

It answers with the real servers' documents (tests/data/webui), keeps one queue, and counts what it was made to draw.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import socket
import ssl
import struct
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

DATA = Path(__file__).parent / "data" / "webui"
LORA = re.compile(r"<lora:([^:>]+):([^>]+)>")
HTML = b"<!DOCTYPE html><html><body>504 Gateway Time-out</body></html>"


def recorded(server: str = "a1111") -> dict[str, dict]:
    """Name → record of what a real server was asked and answered."""
    return json.loads((DATA / f"answers-{server}.json").read_text(encoding="utf-8"))


def openapi(server: str = "a1111") -> dict:
    """What a real server says of itself."""
    return json.loads((DATA / f"openapi-{server}.json").read_text(encoding="utf-8"))


class FaultyWebui:
    """A server on a port of its own. `faults` are used up one a picture; `rate` of the others fail at random."""

    def __init__(
        self,
        kind: str = "a1111-with-page",
        *,
        auth: str = "",
        draw_s: float = 0.0,
        rate: float = 0.0,
        certificate: Path | None = None,  # a PEM file with its key: the server speaks HTTPS
    ):
        self.certificate = certificate
        self.openapi, self.auth, self.draw_s, self.rate = openapi(kind), auth, draw_s, rate
        self.openapi["paths"].setdefault(
            "/sdapi/v1/cmd-flags", {}
        )  # real ones have it; the recorded list is a short one
        if kind == "forge":  # the same
            self.openapi["paths"].setdefault("/sdapi/v1/sd-modules", {})
        self.records = recorded("forge" if "forge" in kind else "a1111")
        self.models = {"tiny-sd15-a": "99502ed0e1", "tiny-sd15-b": "1a2b3c4d5e"}
        self.loaded, self.hashed = "tiny-sd15-a", True
        self.loras, self.effective_loras = {"brand": "brand"}, {"brand"}
        self.options: dict = {"CLIP_stop_at_last_layers": 1.0, "samples_format": "png"}
        self.broken: set[tuple[str, int]] = set()  # prompts with seeds whose pictures are NaN
        self.flags: dict | None = {}  # what it was started with; None: it fails at telling, as Forge with --port
        self.faults: deque[str] = deque()
        self.random, self.retry_after = random.Random(0), "0"
        self.away = 0  # requests whose connection is cut without an answer
        self.starting = 0  # requests of its API that come while there is only its page
        self.busy_looks = 0  # looks at the progress until a lost job ends
        self.received: list[dict] = []  # what was asked to be drawn
        self.asked: list[str] = []  # every route
        self.drawn: Counter[int] = Counter()  # by seed
        self.unusable = 0  # of them, those that could not be used by whoever asked
        self.interrupts = 0
        self.drawing_s = 0.0  # what drawing took, all told
        self.in_flight = self.most_in_flight = 0
        self.release = threading.Event()  # what hangs goes on
        self.on_draw: Callable[[], None] = lambda: None
        self._queue, self._lock = threading.Lock(), threading.Lock()
        self.state = dict.fromkeys(("skipped", "interrupted", "stopping_generation"), False) | {
            **{"job": "", "job_count": 0, "job_timestamp": "0", "job_no": 0},
            **{"sampling_step": 0, "sampling_steps": 0},
        }
        self.current_task, self.pending = "", []
        self.port = 0
        self.start()

    # ── its life ──

    def start(self) -> None:
        faulty = self

        class Handler(_Handler):
            webui = faulty

        self._server = _Server(("127.0.0.1", self.port), Handler)
        if self.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> FaultyWebui:
        return self

    def __exit__(self, *error: object) -> None:
        self.release.set()
        self.stop()

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"

    # ── drawing ──

    def next_fault(self) -> str:
        with self._lock:
            if self.faults:
                return self.faults.popleft()
            if self.random.random() < self.rate:
                return self.random.choice(
                    ("oom", "nan", "reset", "busy", "cut", "half_json", "html", "base64", "html502")
                )
            return ""

    def draw(self, payload: dict, fault: str) -> dict:
        """One picture and its info, under the queue's lock, as A1111 does it."""
        with self._queue:
            began = time.perf_counter()
            options = {**self.options, **(payload.get("override_settings") or {})}
            for name in options:
                if name not in self.openapi["components"]["schemas"]["Options"]["properties"]:
                    raise ServerError("KeyError", repr(name))
            self.state.update(
                interrupted=False, skipped=False, job="scripts_txt2img", job_count=1, sampling_step=0,
                job_timestamp=f"{time.time():.6f}", sampling_steps=payload["steps"],
            )  # fmt: skip
            self.current_task = payload.get("force_task_id") or "task(txt2img-1)"
            self.pending = [task for task in self.pending if task != self.current_task]
            try:
                self.on_draw()
                time.sleep(self.draw_s)
                if fault == "hang":
                    self.release.wait()
                if isinstance(options["CLIP_stop_at_last_layers"], str):
                    raise ServerError("TypeError", "bad operand type for unary -: 'str'")
                if (payload["prompt"], payload["seed"]) in self.broken:
                    raise ServerError(*ERRORS["nan"])
                if fault in ERRORS:
                    raise ServerError(*ERRORS[fault])
                return self._picture(payload, options, fault)
            finally:
                if not self.busy_looks:
                    self.state.update(job="", job_count=0)
                self.drawing_s += time.perf_counter() - began

    def _picture(self, payload: dict, options: dict, fault: str) -> dict:
        from PIL import Image
        from PIL.PngImagePlugin import PngInfo

        model = self.model_of(options.get("sd_model_checkpoint")) or self.loaded
        samplers = [item["name"] for item in self.records["get_samplers"]["body"]]
        sampler = payload["sampler_name"] if payload["sampler_name"] in samplers else "DPM++ 2M"
        schedule, seed = payload.get("scheduler") or "Automatic", payload["seed"]
        size = payload["width"] // 8 * 8, payload["height"] // 8 * 8
        worn = {name: strength for name, strength in LORA.findall(payload["prompt"]) if float(strength)}
        acting = {name: strength for name, strength in worn.items() if name in self.effective_loras}
        clip_skip = int(options["CLIP_stop_at_last_layers"])
        key = [LORA.sub("", payload["prompt"]).strip(), payload["negative_prompt"], seed, payload["steps"], sampler]
        key += [schedule, float(payload["cfg_scale"]), size, model, clip_skip, acting]
        noise = hashlib.shake_256(json.dumps(key).encode()).digest(size[0] * size[1] * 3)
        self.drawn[seed] += 1
        self.unusable += fault in AFTER or fault == "base64"
        if fault == "black":
            noise = bytes(len(noise))
        image = Image.frombytes("RGB", size, noise)
        told = {"wrong_model": ("sd_model_name", "another"), "wrong_sampler": ("sampler_name", "DPM++ 2M SDE"),
                "wrong_seed": ("all_seeds", [seed + 1]), "wrong_steps": ("steps", 1 + payload["steps"])}  # fmt: skip
        hashes = ", ".join(f"{name}: 0123456789ab" for name in worn)
        line = f"Steps: {payload['steps']}, Sampler: {sampler}, Schedule type: {schedule}, Seed: {seed}" + (
            f', Lora hashes: "{hashes}"' if worn else ""
        )
        info = {
            "prompt": payload["prompt"], "seed": seed, "all_seeds": [seed], "width": payload["width"],
            "height": payload["height"], "sampler_name": sampler, "cfg_scale": payload["cfg_scale"],
            "steps": payload["steps"], "sd_model_name": model, "clip_skip": clip_skip, "index_of_first_image": 0,
            "sd_model_hash": self.models[model] if self.hashed is not None else None,
            "infotexts": [f"{payload['prompt']}\n{line}"], "version": self.version,
            "job_timestamp": self.state["job_timestamp"],
        }  # fmt: skip
        self.hashed = self.hashed if self.hashed is None else True
        if fault in told:
            info[told[fault][0]] = told[fault][1]
        if fault == "wrong_size":
            image = image.crop((0, 0, size[0] - 8, size[1]))
        if fault == "interrupted":
            self.state["interrupted"] = True
        buffer, texts = BytesIO(), PngInfo()
        texts.add_text("parameters", info["infotexts"][0])
        image.save(buffer, "PNG", pnginfo=texts, compress_level=1)
        pictures = [base64.b64encode(buffer.getvalue()).decode()]
        if fault == "none":
            pictures = []
        if fault == "grid":
            grid = BytesIO()
            Image.new("RGB", (128, 64), "white").save(grid, "PNG")
            pictures.insert(0, base64.b64encode(grid.getvalue()).decode())
            info["index_of_first_image"] = 1
        if fault == "extra":
            pictures.append(pictures[0])
        if fault == "base64":
            pictures = ["%%%" + pictures[0]]
        if fault == "no_picture":
            pictures = [base64.b64encode(b"GIF89a, or so it says").decode()]
        return {"images": pictures, "parameters": payload, "info": json.dumps(info)}

    @property
    def version(self) -> str:
        name = "txt2img_200"
        return json.loads(self.records[name]["body"]["info"])["version"]

    def model_of(self, name: str | None) -> str | None:
        spellings = {
            spelling: item["model_name"] for item in self.sd_models() for spelling in item.values() if spelling
        }
        return spellings.get(name)

    def sd_models(self) -> list[dict]:
        return [
            {
                "title": f"{name}.safetensors [{digest}]" if self.hashed else f"{name}.safetensors",
                "model_name": name,
                "hash": digest if self.hashed else None,
                "sha256": None,
                "filename": f"/srv/webui/models/Stable-diffusion/{name}.safetensors",
                "config": None,
            }
            for name, digest in self.models.items()
        ]


# What the exceptions of real servers look like in their answers.
ERRORS = {
    "oom": ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 8.00 GiB total capacity)"),
    "oom_cpu": ("RuntimeError", "[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory"),
    "nan": ("NansException", "A tensor with NaNs was produced in Unet."),
    "failure": ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied"),
}


class ServerError(Exception):
    """An exception within the WebUI: its type's name and its words."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that leave are what this is for; anything else is a fault of the test itself."""
        if not isinstance(sys.exc_info()[1], (OSError, ValueError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    webui: FaultyWebui
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet an answer

    def log_message(self, *arguments: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._answer("GET", None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer("POST", json.loads(body) if body else None)

    def _answer(self, method: str, payload: dict | None) -> None:
        webui, path = self.webui, self.path.partition("?")[0]
        webui.asked.append(f"{method} {path}")
        if webui.away:
            webui.away -= 1
            return self._cut()
        protected = path.startswith("/sdapi/") and "lora" not in path
        if webui.auth and protected:
            said = self.headers.get("Authorization", "")
            if said != "Basic " + base64.b64encode(webui.auth.encode()).decode():
                name = "auth_401_wrong" if said else "auth_401_none"
                return self._send(401, webui.records[name]["body"])
        if webui.starting and path.startswith("/sdapi/"):
            webui.starting -= 1
            return self._send(404, {"detail": "Not Found"})
        if path != "/openapi.json" and path not in webui.openapi["paths"]:
            return self._send(404, {"detail": "Not Found"})
        getattr(self, f"_{path.strip('/').replace('/', '_').replace('-', '_').replace('.', '_')}")(method, payload)

    def _cut(self) -> None:
        """As a killed process does it: a reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _send(self, status: int, document: object, headers: dict | None = None) -> None:
        self._raw(status, json.dumps(document).encode(), "application/json", headers)

    def _raw(self, status: int, body: bytes, kind: str, headers: dict | None = None, length: int | None = None) -> None:
        self.send_response(status)
        all_headers = {"Content-Type": kind, "Content-Length": len(body) if length is None else length}
        for name, value in {**all_headers, **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    # ── routes ──

    def _openapi_json(self, method: str, payload: dict | None) -> None:
        self._send(200, self.webui.openapi)

    def _sdapi_v1_samplers(self, method: str, payload: dict | None) -> None:
        self._send(200, self.webui.records["get_samplers"]["body"])

    def _sdapi_v1_schedulers(self, method: str, payload: dict | None) -> None:
        self._send(200, self.webui.records["get_schedulers"]["body"])

    def _sdapi_v1_sd_models(self, method: str, payload: dict | None) -> None:
        self._send(200, self.webui.sd_models())

    def _sdapi_v1_refresh_checkpoints(self, method: str, payload: dict | None) -> None:
        self._send(200, None)

    def _sdapi_v1_loras(self, method: str, payload: dict | None) -> None:
        item = {"path": "/srv/webui/models/Lora/x.safetensors", "metadata": {}}
        self._send(200, [{"name": name, "alias": alias, **item} for name, alias in self.webui.loras.items()])

    def _sdapi_v1_refresh_loras(self, method: str, payload: dict | None) -> None:
        self._send(200, None)

    def _sdapi_v1_cmd_flags(self, method: str, payload: dict | None) -> None:
        if self.webui.flags is None:
            self._send(500, {"error": "ResponseValidationError", "detail": "", "body": "", "message": "1 error"})
        else:
            self._send(200, self.webui.flags)

    def _sdapi_v1_options(self, method: str, payload: dict | None) -> None:
        assert method == "GET", "global options are nobody's business"
        title = next(item["title"] for item in self.webui.sd_models() if item["model_name"] == self.webui.loaded)
        self._send(200, {**self.webui.options, "sd_model_checkpoint": title})

    def _sdapi_v1_progress(self, method: str, payload: dict | None) -> None:
        webui = self.webui
        state = dict(webui.state)
        if webui.busy_looks:
            webui.busy_looks -= 1
            state.update(job="scripts_txt2img", job_count=1)
            if not webui.busy_looks:
                webui.state.update(job="", job_count=0)
        self._send(200, {**webui.records["progress_idle"]["body"], "state": state})

    def _sdapi_v1_interrupt(self, method: str, payload: dict | None) -> None:
        self.webui.interrupts += 1
        self.webui.release.set()
        self.webui.state["interrupted"] = True
        self._send(200, {})

    def _internal_progress(self, method: str, payload: dict | None) -> None:
        task = (payload or {}).get("id_task")
        active = task == self.webui.current_task
        self._send(200, {"active": active, "queued": task in self.webui.pending, "completed": False})

    def _internal_pending_tasks(self, method: str, payload: dict | None) -> None:
        self._send(200, {"size": len(self.webui.pending), "tasks": self.webui.pending})

    def _sdapi_v1_txt2img(self, method: str, payload: dict | None) -> None:
        webui, fault = self.webui, self.webui.next_fault()
        webui.received.append(payload)
        with webui._lock:
            webui.in_flight += 1
            webui.most_in_flight = max(webui.most_in_flight, webui.in_flight)
        try:
            before = BEFORE.get(fault)
            if before:
                return before(self)
            document = webui.draw(payload, fault)
        except ServerError as error:
            name, text = error.args
            words = "message" if webui.version.startswith("f") else "errors"
            return self._send(500, {"error": name, "detail": "", "body": "", words: text})
        finally:
            with webui._lock:
                webui.in_flight -= 1
        AFTER.get(fault, _Handler._whole)(self, json.dumps(document).encode())

    def _whole(self, body: bytes) -> None:
        self._raw(200, body, "application/json")

    def _drip(self, body: bytes) -> None:
        self._raw(200, b"", "application/json", length=len(body))
        for place in range(len(body)):
            time.sleep(0.01)
            self.wfile.write(body[place : place + 1])
            self.wfile.flush()

    def _drip_headers(self, body: bytes) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for place in range(1000):
            time.sleep(0.01)
            self.wfile.write(b"X" if place % 50 else b"X: 1\r\n")
            self.wfile.flush()

    def _endless(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.close_connection = True
        self.end_headers()
        for _ in range(1 << 12):
            self.wfile.write(b" " * (1 << 16))


# Before anything is drawn, and instead of the whole answer after it.
BEFORE = {
    "busy": lambda handler: handler._send(429, {"detail": "Too Many"}, {"Retry-After": handler.webui.retry_after}),
    "busy503": lambda handler: handler._raw(503, HTML, "text/html"),
    "redirect": lambda handler: handler._raw(307, b"", "text/html", {"Location": "http://elsewhere.invalid/login"}),
    "401": lambda handler: handler._send(401, {"detail": "Not authenticated"}),
    "422": lambda handler: handler._send(422, handler.webui.records["txt2img_422_type"]["body"]),
}
AFTER = {
    "reset": lambda handler, body: handler._cut(),
    "cut": lambda handler, body: (
        handler._raw(200, body[: len(body) // 2], "application/json", length=len(body)),
        handler._cut(),
    ),  # fmt: skip
    "half_json": lambda handler, body: handler._whole(body[: len(body) // 2]),
    "html": lambda handler, body: handler._raw(200, HTML, "text/html"),
    "html502": lambda handler, body: handler._raw(502, HTML, "text/html"),
    "html504": lambda handler, body: handler._raw(504, HTML, "text/html"),
    "drip": _Handler._drip,
    "drip_headers": _Handler._drip_headers,
    "endless": _Handler._endless,
}
