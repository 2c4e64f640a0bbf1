"""What this machine has and lacks, for `modiste doctor`."""

from __future__ import annotations

import platform
import shutil
from typing import TYPE_CHECKING, Any

from ..core.version import VERSION
from .exit_codes import EXIT_OK
from .options import AsJson
from .terminal import print_json

if TYPE_CHECKING:
    from ..models.presets import Preset

FREE_DISK_GB = 2.0  # a run of 100 photos at 512 px leaves about 2 GB of pictures

FAMILY_OF_PRESET = {"sd15": "sd1", "sdxl": "sdxl"}  # those that a card matters to


def examine() -> dict[str, Any]:
    """Findings as JSON: versions, device, presets with what each lacks, disk; `ready`: at least one preset can run."""
    from ..core.home import modiste_home
    from ..core.library_versions import REQUIRED, versions_of
    from ..models.presets import PRESETS, missing_weights
    from ..trainer.kohya.engine import find_engine

    libraries = versions_of(REQUIRED)
    lacking = [name for name, version in libraries.items() if version is None]
    presets = {name: missing_weights(preset) for name, preset in PRESETS.items()}
    runnable = [name for name, missing in presets.items() if not {"checkpoint", "encoder"} & missing.keys()]
    home, engine = modiste_home(), find_engine()
    has_torch = libraries["torch"] is not None
    return {
        "ready": bool(runnable) and not lacking,
        "modiste": VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": libraries,
        "lacking": lacking,
        "device": _device() if has_torch else None,
        "presets": {
            name: {"ready": name in runnable, "missing": missing, "checkpoint": PRESETS[name].checkpoint}
            for name, missing in presets.items()
        },
        "clothes_parser": _clothes_parser(),
        "drawing": _drawing_plans() if has_torch else {},
        "training": _training_needs() if has_torch else {},
        "engines": {"diffusers": VERSION, "kohya": engine.version if engine else None},
        "home": str(home),
        "free_disk_gb": round(shutil.disk_usage(_existing(home)).free / 1e9, 1),
    }


def print_findings(findings: dict[str, Any]) -> None:
    """The findings as a page for people, on stdout."""
    from ..core.weights import get_command

    device = findings["device"]
    print(f"Modiste {findings['modiste']} on Python {findings['python']}, {findings['platform']}")
    print(f"device    {device['name']}, torch {device['torch']}" if device else "device    unknown: torch is missing")
    print(f"home      {findings['home']} ({findings['free_disk_gb']} GB free)")
    for name, version in findings["libraries"].items():
        print(f"  {name:<16} {version or 'MISSING'}")
    for name, state in findings["presets"].items():
        if state["ready"] and not state["missing"]:
            print(f"preset    {name:<6} ready")
            continue
        print(f"preset    {name:<6} {'ready, with less:' if state['ready'] else 'not ready:'}")
        for role, model in state["missing"].items():
            print(f"            {role}: {model} is not on this machine; get it with: {get_command(model)}")
    parser = findings["clothes_parser"]
    without = f"not on this machine (optional, for worn photos); get it with: {get_command('clothes-parser')}"
    print(f"parser    clothes {parser or without}")
    for name, plan in findings["drawing"].items():
        print(f"drawing   {name:<6} {plan}")
    for name, needed in findings["training"].items():
        print(f"training  {name:<6} {needed}")
    kohya = findings["engines"]["kohya"]
    print(f"engine    kohya  {f'sd-scripts {kohya}' if kohya else 'not installed (optional): python install.py kohya'}")
    if findings["lacking"]:
        print(f"missing   {', '.join(findings['lacking'])}: python install.py setup")
    if findings["free_disk_gb"] < FREE_DISK_GB:
        print(f"disk      only {findings['free_disk_gb']} GB free: a run of 100 photos can take {FREE_DISK_GB:.0f} GB")
    print("verdict   " + ("ready" if findings["ready"] else "something is missing (above)"))


def _clothes_parser() -> str | None:
    """Where the clothes parser lies; None where it is not on this machine."""
    from ..core.weights import SHORT_NAMES, locate

    place = locate(SHORT_NAMES["clothes-parser"])
    return None if place is None else str(place)


def _drawing_plans() -> dict[str, str]:
    """Preset → the plan by which this device draws, for the presets that a card matters to."""
    from ..models.presets import PRESETS

    plans = {name: _drawing(preset) for name, preset in PRESETS.items()}
    return {name: plan for name, plan in plans.items() if plan}


def _drawing(preset: Preset) -> str | None:
    """The plan by which this device draws the preset's pictures, and what it takes by arithmetic; None for mini."""
    from ..core.device import GIB, choose_device, choose_dtype, free_bytes
    from ..hosts.drawing_plan import DrawingPlan, needed_gib, plan_drawing

    family = FAMILY_OF_PRESET.get(preset.name)
    if family is None:
        return None
    device, pixels = choose_device(), preset.width * preset.height
    dtype = str(choose_dtype(device)).removeprefix("torch.")
    plan, free = DrawingPlan(dtype, 1), ""
    if device.startswith("cuda"):
        free_gib = free_bytes(device) / GIB
        plan, free = plan_drawing(family, pixels, free_gib, dtype), f" of {free_gib:.1f} GiB free"
    needed = needed_gib(plan, family, pixels)
    return f"{preset.width}×{preset.height}: {plan.text}; about {needed:.1f} GiB{free}, by arithmetic"


def _training_needs() -> dict[str, str]:
    """Preset → what a LoRA's step takes, the smallest card for it, and whether this one has as much free."""
    from ..core.device import GIB, choose_device, free_bytes
    from ..models.presets import PRESETS
    from ..trainer.loop.memory_plan import LORA_STEP_GIB, smallest_card

    device, needs = choose_device(), {}
    for name, family in FAMILY_OF_PRESET.items():
        whole, recomputed = LORA_STEP_GIB[family]
        text = (
            f"LoRA at {PRESETS[name].width} px: {whole:.1f} GiB, {recomputed:.1f} with activations recomputed, by "
            f"count; smallest card {smallest_card(recomputed)} GB"
        )
        if device.startswith("cuda"):
            free = free_bytes(device) / GIB
            enough = "enough here" if free >= whole else "recomputed here" if free >= recomputed else "too much here"
            text += f"; {enough}, {free:.1f} GiB free"
        needs[name] = text
    return needs


def _existing(path: Any) -> Any:
    return path if path.exists() else _existing(path.parent)


def _device() -> dict[str, str]:
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = f"{torch.cuda.get_device_name()} ({free / 2**30:.1f} of {total / 2**30:.1f} GiB free)"
    elif torch.backends.mps.is_available():
        name = "Apple GPU (mps)"
    else:
        name = f"CPU ({torch.get_num_threads()} threads)"
    return {"name": name, "torch": torch.__version__}


def doctor(json: AsJson = False) -> int:
    """Say what this machine has and lacks: Python, libraries, device, weights, folders."""

    findings = examine()
    print_json(findings) if json else print_findings(findings)
    return EXIT_OK if findings["ready"] else 2
