"""A real ComfyUI for tests: started from a checkout on the CPU, with a folder of its own, and used through HTTP.

MODISTE_COMFYUI             the checkout
MODISTE_COMFYUI_PYTHON      the host's own Python, made by ComfyUI's requirements and `install.py` alone; without it
                            venv/ or .venv/ of the checkout; else the tests' Python, which hides what a host lacks
MODISTE_COMFYUI_PATH        with the tests' Python: further folders with what the checkout needs, as in PYTHONPATH
MODISTE_COMFYUI_FRONT_END    the folder static/ of another comfyui-frontend-package, which the page suites then use too
MODISTE_COMFYUI_CHECKPOINT  a Stable Diffusion 1.5 file; without it a random one (2 GB) is made once
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import websocket

ROOT = Path(__file__).parent.parent
CHECKPOINT = "random-sd15.safetensors"
PUBLISHED = "v1-5-pruned-emaonly-fp16.safetensors"  # as the templates name it
START_S, RUN_S = 300, 1500
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
TEXT_EVENT = (3).to_bytes(4, "big")  # the kind of a binary message, as in ComfyUI's protocol.py
ENDS = ("execution_success", "execution_error", "execution_interrupted")

PATCH = "from modiste.core.torchvision_ops import patch_torchvision_ops; patch_torchvision_ops()\n"
BOOT = """
import runpy, sys
sys.argv = ["main.py", *sys.argv[1:]]
runpy.run_path("main.py", run_name="__main__")
"""

# Random weights under the names that ComfyUI knows a Stable Diffusion 1.5 by, of a size that keeps activations finite.
RANDOM_SD15 = """
import sys
file, sys.argv = sys.argv[1], ["main.py", "--cpu"]
import comfy.options; comfy.options.enable_args_parsing()
import torch
import comfy.ops
from comfy.ldm.models.autoencoder import AutoencoderKL
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

torch.manual_seed(0)
unet = UNetModel(
    image_size=32, in_channels=4, out_channels=4, model_channels=320, num_res_blocks=[2] * 4,
    transformer_depth=[1] * 6 + [0] * 2, transformer_depth_output=[1] * 9 + [0] * 3, transformer_depth_middle=1,
    channel_mult=(1, 2, 4, 4), num_heads=8, num_head_channels=-1, use_spatial_transformer=True, context_dim=768,
    legacy=False, dtype=torch.float16, operations=comfy.ops.manual_cast,
)
vae = AutoencoderKL(embed_dim=4, ddconfig=dict(
    double_z=True, z_channels=4, resolution=256, in_channels=3, out_ch=3, ch=128, ch_mult=[1, 2, 4, 4],
    num_res_blocks=2, attn_resolutions=[], dropout=0.0,
))
text = CLIPTextModel(CLIPTextConfig(
    vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
))
parts = {"model.diffusion_model.": unet, "first_stage_model.": vae, "cond_stage_model.transformer.": text}
weights = {}
for prefix, model in parts.items():
    for name, value in model.state_dict().items():
        if prefix.startswith("cond") and not name.startswith("text_model."):
            name = "text_model." + name
        if not value.is_floating_point():
            drawn = value.clone()
        elif "embedding" in name and value.ndim == 2:
            drawn = torch.randn(value.shape) * 0.02
        elif value.ndim > 1:
            drawn = torch.randn(value.shape) * value[0].numel() ** -0.5
        else:
            drawn = torch.ones(value.shape) if name.endswith("weight") else torch.zeros(value.shape)
        weights[prefix + name] = drawn.half().contiguous() if drawn.is_floating_point() else drawn
save_file(weights, file)
"""


def host_python() -> Path | None:
    """The Python of the host's own environment; None where there is none and the tests' Python stands in."""
    if given := os.environ.get("MODISTE_COMFYUI_PYTHON"):
        return Path(given)
    checkout = Path(os.environ["MODISTE_COMFYUI"])
    places = [checkout / name / inner for name in ("venv", ".venv") for inner in ("bin/python", "Scripts/python.exe")]
    return next((python for python in places if python.is_file()), None)


def _command(code: str) -> list[str]:
    """Runs code with the host's Python as it is; the tests' own Python may need its torchvision patched first."""
    python = host_python()
    return [str(python), "-c", code] if python else [sys.executable, "-c", PATCH + code]


def _environment(home: Path) -> dict[str, str]:
    """Environment of the server; nothing of the tests' Python reaches the host's."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    if host_python() is None:
        folders = filter(None, (os.environ["MODISTE_COMFYUI"], os.environ.get("MODISTE_COMFYUI_PATH")))
        kept["PYTHONPATH"] = os.pathsep.join(folders)
    settings = {"PYTHONNOUSERSITE": "1", "MODISTE_HOME": str(home)}
    return {**kept, **settings, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def random_checkpoint() -> Path:
    """The file to draw and train with."""
    if given := os.environ.get("MODISTE_COMFYUI_CHECKPOINT"):
        return Path(given)
    file = Path(tempfile.gettempdir()) / f"modiste-{CHECKPOINT}"
    if not file.is_file():
        begun = file.with_suffix(".part")
        command = [*_command(RANDOM_SD15), str(begun)]
        subprocess.run(command, cwd=os.environ["MODISTE_COMFYUI"], env=_environment(file.parent), check=True)
        begun.rename(file)
    return file


@dataclass
class Outcome:
    """What became of a prompt: how it ended, what the nodes showed, and every event on the way."""

    end: str
    outputs: dict[str, Any] = field(default_factory=dict)
    message: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    previews: int = 0
    shown: list[tuple[str, str]] = field(default_factory=list)  # (node, text that it showed while it ran)


@dataclass
class Comfy:
    """A running server; `base` is its --base-directory."""

    url: str
    base: Path
    log: Path
    pid: int
    info: dict[str, Any] = field(default_factory=dict)

    def call(self, path: str, data: Any = None) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, _json(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _json(error.read())

    def picture(self, image: dict[str, str] | str) -> bytes:
        """The bytes of a picture that a node showed, or that lies at a path of the server."""
        path = image if isinstance(image, str) else f"/view?{urllib.parse.urlencode(image)}"
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return answer.read()

    def node(self, kind: str, **inputs: Any) -> dict[str, Any]:
        """A node with its defaults, and these inputs."""
        wanted = self.info[kind]["input"]
        known = {name: spec for part in ("required", "optional") for name, spec in wanted.get(part, {}).items()}
        defaults = {name: _default(spec) for name, spec in known.items()}
        return {"class_type": kind, "inputs": {n: v for n, v in defaults.items() if v is not None} | inputs}

    def run(self, prompt: dict[str, Any], hear: Callable[[dict[str, Any]], None] = lambda event: None) -> Outcome:
        """Queues a prompt, as a page would, and waits for its end; `hear` is told each event."""
        client = uuid.uuid4().hex
        socket_url = f"{self.url.replace('http', 'ws')}/ws?clientId={client}"
        channel = websocket.create_connection(socket_url, timeout=RUN_S)
        try:
            prompt_id, refusal = self.queue(prompt, client)
            return self._heard(channel, prompt_id, hear) if prompt_id else Outcome("refused", message=refusal)
        finally:
            channel.close()

    def queue(self, prompt: dict[str, Any], client: str = "") -> tuple[str, str]:
        """The id of the queued prompt and "", or "" and the text of the refusal."""
        _, answer = self.call("/prompt", {"prompt": prompt, "client_id": client})
        errors = [one for node in answer.get("node_errors", {}).values() for one in node["errors"]]
        if "prompt_id" not in answer or errors:
            return "", _errors_text(errors) or json.dumps(answer.get("error"))
        return answer["prompt_id"], ""

    def _heard(self, channel: Any, prompt_id: str, hear: Callable[[dict[str, Any]], None]) -> Outcome:
        found = Outcome("")
        while not found.end:
            said = channel.recv()
            if isinstance(said, bytes):
                if said[:4] == TEXT_EVENT:
                    length = int.from_bytes(said[4:8], "big")
                    found.shown.append((said[8 : 8 + length].decode(), said[8 + length :].decode()))
                else:
                    found.previews += 1
                continue
            event = json.loads(said)
            found.events.append(event)
            hear(event)
            if event["type"] in ENDS and event["data"].get("prompt_id") == prompt_id:
                found.end = event["type"].removeprefix("execution_")
                found.message = event["data"].get("exception_message", "").strip()
        while not (history := self.call(f"/history/{prompt_id}")[1]):  # written a moment after the last event
            pass
        found.outputs = history[prompt_id]["outputs"]
        return found


def _errors_text(errors: list[dict[str, Any]]) -> str:
    """Each text once: ComfyUI repeats what `validate_inputs` says for every input that it names."""
    texts = []
    for error in errors:
        own = error["details"].partition(" - ")[2] if error["type"] == "custom_validation_failed" else ""
        texts.append(own or f"{error['message']}: {error['details']}")
    return "; ".join(dict.fromkeys(texts))


def _json(body: bytes) -> Any:
    try:
        return json.loads(body or b"null")
    except ValueError:
        return body.decode("utf-8", "replace")


def _default(spec: list[Any]) -> Any:
    """None where an input has none; the first of a list that names none."""
    first = spec[0][0] if isinstance(spec[0], list) and spec[0] else None
    return spec[1].get("default", first) if len(spec) > 1 else first


def api_prompt(graph: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
    """A workflow as the page saves it → a prompt as the page would queue it."""
    links = {link[0]: [str(link[1]), link[2]] for link in graph["links"]}
    prompt = {}
    for node in graph["nodes"]:
        if node["type"] not in info:  # a note
            continue
        inputs = dict(zip(_widgets(info[node["type"]]), node.get("widgets_values") or (), strict=True))
        inputs.pop("", None)
        for slot in node.get("inputs", ()):
            if slot.get("link") is not None:
                inputs[slot["name"]] = links[slot["link"]]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def _widgets(about: dict[str, Any]) -> list[str]:
    """Names in the order of `widgets_values`; "" for a value of the page's own, as behind a seed."""
    found = []
    for part in ("required", "optional"):
        for name, spec in about["input"].get(part, {}).items():
            options = spec[1] if len(spec) > 1 else {}
            if (isinstance(spec[0], list) or spec[0] in WIDGETS) and not options.get("forceInput"):
                found.append(name)
                if options.get("control_after_generate") or options.get("image_upload"):
                    found.append("")
    return found


@contextmanager
def comfyui(base: Path, *options: str) -> Iterator[Comfy]:
    """A server on a free port, with this checkout as its only pack, a random checkpoint, and photos to work with.

    `options` are further ones of ComfyUI's command line.
    """
    furnish(base)
    with serving(base, *options) as server:
        yield server


def furnish(base: Path) -> None:
    """Puts this checkout, checkpoints and photos into a new --base-directory."""
    (base / "custom_nodes").mkdir(parents=True)
    (base / "custom_nodes" / "modiste").symlink_to(ROOT, target_is_directory=True)
    (base / "models" / "checkpoints").mkdir(parents=True)
    for name in (CHECKPOINT, PUBLISHED):
        (base / "models" / "checkpoints" / name).symlink_to(random_checkpoint())
    (base / "models" / "checkpoints" / "zz-broken.safetensors").write_bytes(b"\xff" * 64)
    (base / "input" / "empty").mkdir(parents=True)
    photos = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
    (base / "input" / "binary").mkdir()
    shutil.copy(photos[0], base / "input" / "binary" / "a.jpg")
    (base / "input" / "binary" / "a.txt").write_bytes(b"\x00\x01\x02\x03caption")
    for folder in ("photos", "wordless"):  # captions get beside the first; the second stays without any
        (base / "input" / folder).mkdir()
        for photo in photos[:6]:
            shutil.copy(photo, base / "input" / folder)
    shutil.copy(photos[0], base / "input" / "example.png")


@contextmanager
def serving(base: Path, *options: str, port: int = 0, packs: Sequence[str] = ()) -> Iterator[Comfy]:
    """A server over a furnished folder; again over the same one, it is the host started anew.

    `port` 0 takes a free one; `packs` are folders of custom_nodes that are loaded beside modiste.
    """
    port = port or free_port()
    log = base / "server.log"
    flags = ["--cpu", "--port", str(port), "--base-directory", str(base), "--disable-auto-launch"]
    flags += ["--disable-all-custom-nodes", "--whitelist-custom-nodes", "modiste", *packs, *options]
    with log.open("ab") as said:
        command = [*_command(BOOT), *flags]
        process = subprocess.Popen(
            command, cwd=os.environ["MODISTE_COMFYUI"], env=_environment(base / "home"), stdout=said, stderr=said
        )
        try:
            server = Comfy(f"http://127.0.0.1:{port}", base, log, process.pid)
            _await(server, process)
            yield server
        finally:
            process.terminate()
            process.wait(60)


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _await(server: Comfy, process: subprocess.Popen[bytes]) -> None:
    for _ in range(START_S):
        try:
            server.info = server.call("/object_info")[1]
            return
        except urllib.error.URLError:
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                continue
            break
    raise AssertionError(f"ComfyUI did not start: {server.log.read_text(errors='replace')[-3000:]}")
