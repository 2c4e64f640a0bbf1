"""Which of A1111's fields change a picture here; the others must say nothing, or the request is refused.

A real server drops what it does not know and goes on with another sampler, model or LoRA. Here a picture is either the
one that was asked for, or there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import NOT_HONOURED, Refusal

if TYPE_CHECKING:
    from .fields import _Processing

# Fields that would change the picture, with the values at which they do not; what stands in neither list is harmless.
WITHOUT_EFFECT: dict[str, tuple[Any, ...]] = {
    "styles": (None, []),
    "subseed_strength": (0,),
    "seed_resize_from_h": (-1, 0),
    "seed_resize_from_w": (-1, 0),
    "restore_faces": (None, False),
    "tiling": (None, False),
    "s_min_uncond": (None, 0),
    "s_churn": (None, 0),
    "s_noise": (None, 1),
    "refiner_checkpoint": (None, "", "None"),
    "firstpass_image": (None,),
    "infotext": (None, ""),
    "save_images": (False,),
    "enable_hr": (False,),
    "resize_mode": (0, 1),
    "mask": (None,),
    "latent_mask": (None,),
    "initial_noise_multiplier": (None, 1),
}
# Noise that a sampler adds between steps; the others take no notice of eta.
ETA_OF = {"Euler a": 1.0, "DPM++ 2M SDE": 1.0, "DDIM": 0.0}
SETTINGS = ("sd_model_checkpoint", "CLIP_stop_at_last_layers")  # of override_settings


def refuse_what_is_not_honoured(body: _Processing) -> None:
    """Refusal (422) names the first field that asks for something that this server can't do."""
    for field, neutral in WITHOUT_EFFECT.items():
        value = getattr(body, field, None)
        if field in type(body).model_fields and value not in neutral:
            raise Refusal(NOT_HONOURED, f"{field} can't be {value!r} here; leave it out, or {neutral[0]!r}")
    if body.script_name not in (None, "", "None"):
        raise Refusal(NOT_HONOURED, f"Script '{body.script_name}' not found")
    for script in body.alwayson_scripts:
        raise Refusal(NOT_HONOURED, f"always on script {script} not found")
    for setting in body.override_settings or {}:
        if setting not in SETTINGS:
            raise Refusal(
                NOT_HONOURED, f"override_settings: there is no {setting!r} here; it takes {' and '.join(SETTINGS)}"
            )


def refuse_other_eta(sampler: str, eta: float | None) -> None:
    """Refusal (422) where `eta` would change what the sampler draws."""
    if eta is not None and ETA_OF.get(sampler, eta) != eta:
        raise Refusal(NOT_HONOURED, f"eta of {sampler} can't be {eta:g} here; leave it out, or {ETA_OF[sampler]:g}")
