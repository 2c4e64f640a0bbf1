"""Which of A1111's fields change a picture here, which cannot, and which are refused.

field that cannot change the picture      ignored; a line in the answer's `warnings`, and once in the log
field that would change it, but not here  refused (422): a picture is either what was requested, or there is none
field that A1111 does not have            ignored as A1111 does, unless it looks like a misspelt one
--strict                                  whatever would be ignored with a warning is refused
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .errors import NOT_HONOURED, Refusal

if TYPE_CHECKING:
    from .fields import _Processing

# Fields that would change the picture, with the values at which they do not.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "subseed_strength": (0,),
    "seed_resize_from_h": (-1, 0),
    "seed_resize_from_w": (-1, 0),
    "restore_faces": (None, False),
    "tiling": (None, False),
    "s_min_uncond": (None, 0),
    "refiner_checkpoint": (None, "", "None"),
    "firstpass_image": (None, ""),
    "infotext": (None, ""),
    "resize_mode": (0, 1, 2),
    "latent_mask": (None, ""),
    "initial_noise_multiplier": (None, 1),
    "hr_checkpoint_name": (None, "", "Use same checkpoint"),
}
# The noise that a sampler adds between steps at its default; the others take no notice of eta.
ETA_OF = {"Euler a": 1.0, "DPM2 a": 1.0, "DPM++ 2M SDE": 1.0, "DDIM": 0.0}
CHURN = ("Euler", "Heun", "DPM2")  # samplers that read s_churn, and s_noise where s_churn is not 0
OTHER_NAMES = {"sampler": ("sampler_name", "sampler_index")}  # what clients call a field in a body of their own
SIMILAR = 0.8  # of difflib's ratio: an unknown field this close to a known one is taken for a misspelt one

DRAWING_SETTINGS = ("sd_model_checkpoint", "CLIP_stop_at_last_layers")
# Settings that would change the picture, with the values at which they do not.
NEUTRAL_SETTINGS: dict[str, tuple[Any, ...]] = {
    "sd_vae": (None, "", "None", "Automatic"),
    "forge_additional_modules": (None, []),
    "eta_noise_seed_delta": (None, 0),
    "sd_hypernetwork": (None, "", "None"),
    "eta_ancestral": (None, 1),
    "eta_ddim": (None, 0),
    "s_churn": (None, 0),
    "s_min_uncond": (None, 0),
    "initial_noise_multiplier": (None, 1),
    "img2img_fix_steps": (None, False),
    "tiling": (None, False),
    "face_restoration": (None, False),
    "enable_emphasis": (None, True),
    "emphasis": (None, "Original"),
    "use_old_emphasis_implementation": (None, False),
    "comma_padding_backtrack": (None, 20),
}
# Settings of how files are saved, shown and cached.
HARMLESS_SETTINGS = re.compile(
    r"(samples|grid|save|show|outdir|directories|live|image|png|jpeg|webp|export|return|do_not|list|hide|disable|ui|"
    r"font|gallery|js|notification|lora_|sd_checkpoint_cache|sd_vae_checkpoint_cache|sd_checkpoints_|sd_checkpoint_hash|"
    r"face_restoration_model|code_former_weight|upscaler_for_img2img|ESRGAN_|SWIN_|DAT_|interrogate_|deepbooru_|"
    r"enable_pnginfo|add_|infotext|extra_networks|keyedit|quicksettings|localization|memmon|multiple_tqdm|"
    r"dump_stacks|api_|auto_|training_|dataset_|pin_memory|unload_models|filter_nsfw|use_original_name_batch|"
    r"use_save_to_dirs|temp_dir|clean_temp|target_side_length|disabled_extensions|restore_config|settings_|"
    r"control_net_|ad_|forge_preset)"
)


def check_fields(body: _Processing, sampler: str, strict: bool) -> list[str]:
    """Warnings, a sentence each, of what is ignored; Refusal (422) for what would change the picture.

    `sampler`: the canonical name of the one that draws.
    """
    for field, neutral in NEUTRAL.items():
        value = getattr(body, field, None)
        if field in type(body).model_fields and value not in neutral:
            raise Refusal(NOT_HONOURED, f"{field} can't be {value!r} here; leave it out, or {neutral[0]!r}")
    _refuse_scripts(body)
    _refuse_noise(body, sampler)
    warnings = [*_ignored_fields(body), *_unknown_fields(body, sampler), *_ignored_settings(body.override_settings)]
    if strict and warnings:
        raise Refusal(NOT_HONOURED, f"{warnings[0]} (the server was started with --strict)")
    return warnings


def _refuse_scripts(body: _Processing) -> None:
    if body.script_name not in (None, "", "None"):
        raise Refusal(NOT_HONOURED, f"Script '{body.script_name}' not found")
    for script, settings in body.alwayson_scripts.items():
        if not _is_off(settings):
            raise Refusal(NOT_HONOURED, f"always on script {script} not found")


def _is_off(settings: Any) -> bool:
    """Whether an always-on script does nothing: no arguments, or `False` as the first (ADetailer's switch)."""
    arguments = settings.get("args", []) if isinstance(settings, dict) else settings
    return not arguments or (isinstance(arguments, list) and arguments[0] is False)


def _refuse_noise(body: _Processing, sampler: str) -> None:
    """Refusal where eta, s_churn or s_noise would change what this sampler draws."""
    if body.eta is not None and ETA_OF.get(sampler, body.eta) != body.eta:
        raise Refusal(
            NOT_HONOURED, f"eta of {sampler} can't be {body.eta:g} here; leave it out, or {ETA_OF[sampler]:g}"
        )
    if sampler in CHURN and body.s_churn:
        raise Refusal(NOT_HONOURED, f"s_churn of {sampler} can't be {body.s_churn:g} here; leave it out, or 0")


def _ignored_fields(body: _Processing) -> Iterable[str]:
    if body.save_images:
        yield "save_images: this server saves no pictures, it only sends them"
    if any(name not in (None, "", "None") for name in body.styles or ()):
        yield f"styles {', '.join(map(str, body.styles or ()))}: there are none here, and A1111 ignores unknown ones"
    if body.script_args and body.script_name in (None, "", "None"):
        yield "script_args: they belong to script_name, which names no script"
    for script in body.alwayson_scripts:
        yield f"alwayson_scripts {script}: it is off, and there is no such script here"


def _unknown_fields(body: _Processing, sampler: str) -> Iterable[str]:
    known = type(body).model_fields
    for field, value in (body.model_extra or {}).items():
        if field in OTHER_NAMES:
            _refuse_disagreement(body, field, value, sampler)
        elif field == "clip_skip":
            _refuse_other_clip_skip(body, value)
        elif (near := difflib.get_close_matches(field, known, 1, SIMILAR)) and near[0] not in body.model_fields_set:
            raise Refusal(NOT_HONOURED, f"there is no field {field!r}; did you mean {near[0]!r}?")
        yield f"{field}: A1111's API has no such field and ignores it"


def _refuse_disagreement(body: _Processing, field: str, value: Any, sampler: str) -> None:
    """A field of the client's own, beside A1111's for the same thing: both must say the same."""
    names = OTHER_NAMES[field]
    if not any(name in body.model_fields_set and getattr(body, name) == value for name in names):
        raise Refusal(NOT_HONOURED, f"{field} is {value!r}, but {sampler!r} would draw; the API calls it {names[0]!r}")


def _refuse_other_clip_skip(body: _Processing, value: Any) -> None:
    """SillyTavern says clip skip twice, once for another server."""
    used = (body.override_settings or {}).get("CLIP_stop_at_last_layers", 1)
    if value not in (None, used):
        raise Refusal(
            NOT_HONOURED,
            f"clip_skip is {value!r}, but {used!r} would be used; the API calls it "
            "override_settings.CLIP_stop_at_last_layers",
        )


def _ignored_settings(settings: dict[str, Any] | None) -> Iterable[str]:
    for setting, value in (settings or {}).items():
        if setting not in DRAWING_SETTINGS and (warning := ignored_setting(setting, value)):
            yield f"override_settings {warning}"


def ignored_setting(setting: str, value: Any) -> str:
    """The warning that a setting is ignored, empty where its value holds here anyway; Refusal (422) otherwise."""
    if setting in NEUTRAL_SETTINGS:
        neutral = NEUTRAL_SETTINGS[setting]
        if value not in neutral:
            raise Refusal(
                NOT_HONOURED, f"override_settings: {setting} can't be {value!r} here; leave it out, or {neutral[-1]!r}"
            )
        return ""
    if HARMLESS_SETTINGS.match(setting):
        return f"{setting}: it changes no picture here"
    raise Refusal(
        NOT_HONOURED, f"override_settings: there is no {setting!r} here; it takes {' and '.join(DRAWING_SETTINGS)}"
    )
