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
    "LCM": ("lcm", "SGM Uniform"),  # nearest to its own levels; uniform ones spend the last step on no noise
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


def sampler_for(name: str, available: Collection[str]) -> str:
    """ComfyUI's name; `available`: what the server has. RequestRefused names the nearest one."""
    if name in available:
        return name
    refuse_unknown("sampler", name, known_samplers(available))
    return SAMPLERS[name][0]


def scheduler_for(name: str, sampler: str, available: Collection[str]) -> str:
    """ComfyUI's name of the schedule; "Automatic" is the one that A1111 gives the sampler."""
    if name == AUTOMATIC:
        name = SAMPLERS.get(sampler, ("", "Uniform"))[1]
    if name in available:
        return name
    refuse_unknown(
        "scheduler", name, [AUTOMATIC, *(label for label, comfy_name in SCHEDULES.items() if comfy_name in available)]
    )
    return SCHEDULES[name]


def known_samplers(available: Collection[str]) -> list[str]:
    """A1111's names of what the server has."""
    return [name for name, (comfy_name, _) in SAMPLERS.items() if comfy_name in available]


def file_for(kind: str, name: str, available: Collection[str]) -> str:
    """The server's name of a model's file, with or without folder and suffix; RequestRefused where none fits."""
    if name in available:
        return name
    matches = [file for file in available if name in (_stem(file), file.replace("\\", "/").rpartition("/")[2])]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        refuse_unknown(kind, name, sorted({_stem(file) for file in available}))
    raise RequestRefused(f"{name!r} can be several {kind}s here", to_try=f"say which: {', '.join(sorted(matches))}")


def _stem(file: str) -> str:
    return file.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
