"""A1111's names of samplers and noise schedules → ComfyUI's; ComfyUI's own names are taken as they are."""

from __future__ import annotations

from collections.abc import Collection

from ..errors import RequestRefused
from ..samplers import refuse_unknown

# A1111's name → ComfyUI's sampler, and the schedule that A1111 1.10 gives it on "Automatic".
SAMPLERS = {
    "DPM++ 2M": ("dpmpp_2m", "Karras"),
    "DPM++ SDE": ("dpmpp_sde", "Karras"),
    "DPM++ 2M SDE": ("dpmpp_2m_sde", "Exponential"),
    "DPM++ 2M SDE Heun": ("dpmpp_2m_sde_heun", "Exponential"),
    "DPM++ 2S a": ("dpmpp_2s_ancestral", "Karras"),
    "DPM++ 3M SDE": ("dpmpp_3m_sde", "Exponential"),
    "Euler a": ("euler_ancestral", "Uniform"),
    "Euler": ("euler", "Uniform"),
    "LMS": ("lms", "Uniform"),
    "Heun": ("heun", "Uniform"),
    "DPM2": ("dpm_2", "Karras"),
    "DPM2 a": ("dpm_2_ancestral", "Karras"),
    "DPM fast": ("dpm_fast", "Uniform"),
    "DPM adaptive": ("dpm_adaptive", "Uniform"),
    "LCM": ("lcm", "Uniform"),
    "DDIM": ("ddim", "DDIM"),
    "UniPC": ("uni_pc", "Uniform"),
}
# "Uniform" is uniform in time, which ComfyUI calls normal.
SCHEDULES = {
    "Uniform": "normal",
    "Karras": "karras",
    "Exponential": "exponential",
    "SGM Uniform": "sgm_uniform",
    "KL Optimal": "kl_optimal",
    "Simple": "simple",
    "Normal": "normal",
    "DDIM": "ddim_uniform",
    "Beta": "beta",
}
AUTOMATIC = "Automatic"


def sampler_for(name: str, has: Collection[str]) -> str:
    """ComfyUI's name; `has`: what the server has. RequestRefused names the nearest one."""
    if name in has:
        return name
    refuse_unknown("sampler", name, known_samplers(has))
    return SAMPLERS[name][0]


def scheduler_for(name: str, sampler: str, has: Collection[str]) -> str:
    """ComfyUI's name of the schedule; "Automatic" is the one that A1111 gives the sampler."""
    if name == AUTOMATIC:
        name = SAMPLERS.get(sampler, ("", "Uniform"))[1]
    if name in has:
        return name
    refuse_unknown("scheduler", name, [AUTOMATIC, *(label for label, theirs in SCHEDULES.items() if theirs in has)])
    return SCHEDULES[name]


def known_samplers(has: Collection[str]) -> list[str]:
    """A1111's names of what the server has."""
    return [name for name, (theirs, _) in SAMPLERS.items() if theirs in has]


def file_for(kind: str, name: str, has: Collection[str]) -> str:
    """The server's name of a model's file, said with or without folder and suffix; RequestRefused where none fits."""
    if name in has:
        return name
    meant = [one for one in has if name in (_stem(one), one.replace("\\", "/").rpartition("/")[2])]
    if len(meant) == 1:
        return meant[0]
    if not meant:
        refuse_unknown(kind, name, sorted({_stem(one) for one in has}))
    raise RequestRefused(f"{name!r} can be several {kind}s here", to_try=f"say which: {', '.join(sorted(meant))}")


def _stem(file: str) -> str:
    return file.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
