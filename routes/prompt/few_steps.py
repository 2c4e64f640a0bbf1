"""Few-step drawing: how the pictures that only choose are sampled where they take fewer steps than those that prove.

What has to stay is the order of the arms, not the look: half the guidance on evenly spaced noise levels keeps more of
it than the preset's own sampling in few steps (`python -m modiste.bench.few_steps`). A distilled LoRA (LCM-LoRA: Luo et
al. 2023, arXiv 2311.05556) has the guidance in it; without any more of it a negative prompt would say nothing, and an
arm with one would look like the arm without.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ...core.weights import FAST_LORAS, locate_file
from ...hosts.request import LoraRef

LCM_STEPS = 4
SCHEDULE = "Uniform"  # evenly spaced noise levels
LCM_SCHEDULE = "Automatic"  # the sampler's own levels, whatever the pictures that prove are drawn with
LCM_GUIDANCE = 1.5  # of the 1 … 2 that the authors recommend
LEAST_GUIDANCE = 1.0


def few_step_sampling(
    drawing: dict[str, Any], steps: int | None, lora: str | None, local: bool = True
) -> dict[str, Any]:
    """The fields of a request that stand in place of `drawing`'s; {} where neither steps nor a LoRA are given.

    `lora`: see `distilled_lora`; `local`: whether this process draws. InputError where the search would take as many
    steps as the proof, or more.
    """
    if lora is not None:
        steps = LCM_STEPS if steps is None else steps
        sampling = {"cfg_scale": LCM_GUIDANCE, "sampler": "LCM", "scheduler": LCM_SCHEDULE}
        sampling |= {"loras": [distilled_lora(lora, local).model_dump(mode="json")]}
    elif steps is not None:
        sampling = {"cfg_scale": max(LEAST_GUIDANCE, drawing["cfg_scale"] / 2), "scheduler": SCHEDULE}
    else:
        return {}
    if steps >= drawing["steps"]:
        raise InputError(
            f"{steps} steps for the search are not fewer than the {drawing['steps']} that prove",
            to_try="fewer for the search, or leave them out",
        )
    return {"steps": steps, **sampling}


def distilled_lora(name: str, local: bool = True) -> LoraRef:
    """The LoRA by its file or by the name that `modiste get` has for it (fast-sd15, fast-sdxl); a server's by its name.

    InputError where this process draws and the file is not on this machine.
    """
    if not local:
        return LoraRef(name=name)
    if name in FAST_LORAS:
        hub_id, file = FAST_LORAS[name]
        path = locate_file(hub_id, file)
        if path is None:
            raise InputError(f"the LoRA {name} is not on this machine", to_try=f"`modiste get {name}`")
        return LoraRef(name=name, path=path)
    path = Path(name).expanduser()
    if not path.is_file():
        raise InputError("there is no such LoRA", where=name, to_try=f"a file, or {' or '.join(FAST_LORAS)}")
    return LoraRef(name=path.stem, path=path.resolve())
