"""A1111's names of samplers and noise schedules → diffusers' schedulers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..core.weights import FAST_LORAS
from .errors import RequestRefused


@dataclass(frozen=True)
class Sampler:
    """A scheduler class of diffusers with what sets it apart; `automatic` is A1111's schedule for it."""

    scheduler: str
    config: dict[str, Any] = field(default_factory=dict)
    automatic: str = "Uniform"
    aliases: tuple[str, ...] = ()  # other names that A1111 takes for it


LMS = "LmsScheduler"  # ours (lms.py)
SAMPLERS = {
    "DPM++ 2M": Sampler("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}, "Karras", ("k_dpmpp_2m",)),
    "DPM++ 2M SDE": Sampler(
        "DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, "Karras", ("k_dpmpp_2m_sde",)
    ),
    "Euler": Sampler("EulerDiscreteScheduler", aliases=("k_euler",)),
    "Euler a": Sampler("EulerAncestralDiscreteScheduler", aliases=("k_euler_a", "k_euler_ancestral")),
    "Heun": Sampler("HeunDiscreteScheduler", aliases=("k_heun",)),
    "UniPC": Sampler("UniPCMultistepScheduler", aliases=("unipc",)),
    "DDIM": Sampler("DDIMScheduler", {"timestep_spacing": "leading"}, aliases=("ddim",)),
    "PLMS": Sampler("PNDMScheduler", {"timestep_spacing": "leading", "skip_prk_steps": True}, aliases=("plms",)),
    "LCM": Sampler("LCMScheduler", aliases=("k_lcm",)),
    "LMS": Sampler(LMS, aliases=("k_lms",)),
    "DPM2": Sampler("KDPM2DiscreteScheduler", {}, "Karras", ("k_dpm_2",)),
    "DPM2 a": Sampler("KDPM2AncestralDiscreteScheduler", {}, "Karras", ("k_dpm_2_a", "k_dpm_2_ancestral")),
}
SCHEDULES: dict[str, dict[str, Any]] = {
    "Automatic": {},
    "Uniform": {},
    "Karras": {"use_karras_sigmas": True},
    "Exponential": {"use_exponential_sigmas": True},
    "SGM Uniform": {"timestep_spacing": "trailing"},
}


def refuse_unknown(kind: str, name: str, known: Iterable[str]) -> None:
    """RequestRefused for a name that the host would not know, with the nearest one or the command that fetches it."""
    names = list(known)
    if name in names:
        return
    near = difflib.get_close_matches(name, names, 1, 0.5) or [entry for entry in names if entry.lower() == name.lower()]
    guess = f"did you mean {near[0]!r}? " if near else ""
    if name in FAST_LORAS:
        guess = f"`modiste get {name} --to FOLDER`, where FOLDER is ComfyUI's or the WebUI's own; "
    raise RequestRefused(f"there is no {kind} {name!r} here", to_try=f"{guess}{kind}s: {', '.join(names) or 'none'}")


def refuse_unfit(sampler: str, schedule: str) -> None:
    """RequestRefused where a sampler can't follow a schedule."""
    import inspect

    known = inspect.signature(scheduler_class(sampler).__init__).parameters
    if not SCHEDULES[schedule].keys() <= known.keys():
        raise RequestRefused(
            f"the sampler {sampler!r} can't follow the schedule {schedule!r} here", to_try="--scheduler Automatic"
        )


def scheduler_class(sampler: str) -> Any:
    """The class by the name that the table has: of diffusers, or ours."""
    import diffusers

    from .lms import lms_scheduler

    name = SAMPLERS[sampler].scheduler
    return lms_scheduler() if name == LMS else getattr(diffusers, name)


def make_scheduler(config: Any, sampler: str, schedule: str) -> Any:
    """A fresh scheduler for a batch: noise levels and prediction type from the model's own `config`."""
    chosen = SAMPLERS[sampler]
    noise_schedule = chosen.automatic if schedule == "Automatic" else schedule
    changes = {"timestep_spacing": "linspace", **chosen.config, **SCHEDULES[noise_schedule]}
    return scheduler_class(sampler).from_config(config, **changes)
