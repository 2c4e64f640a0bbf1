"""Inputs that several nodes have, declared once: encoder, vocabulary, sampling; and marks that a schema needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comfy_api.v0_0_2 import io

from ..core.errors import InputError, ModisteError
from ..core.suggestions import did_you_mean
from .choices import AS_SET, ASPECTS, AUTO
from .comfy.folders import encoder_names, vocabulary_names

CATEGORY = "Modiste"
TAGS = "MODISTE_TAGS"  # one entry a picture: PhotoTags dumped, with the vocabulary's name
OPTIONS = "MODISTE_TRAINING_OPTIONS"  # a part of a training config, nested as in TrainConfig
MOST_STEPS = 150  # sampling steps of a picture


class UsesEncoder:
    """A node with the input `encoder`: it runs again once the weights that it names are put in place."""

    @classmethod
    def fingerprint_inputs(cls, encoder: list[str | None] | str | None, **others: Any) -> str:
        """The encoder that is used; `encoder` is a list where the node takes lists."""
        from .comfy.model_management import encoder_for

        return encoder_for((encoder[0] if isinstance(encoder, list) else encoder) or AUTO)


def check_result(*checks: Callable[[], Any]) -> bool | str:
    """The answer of `validate_inputs`: True, or the text of the first error that a check raises."""
    try:
        for check in checks:
            check()
    except ModisteError as error:
        return str(error)
    return True


def check_choices(schema: io.Schema, **values: Any) -> None:
    """InputError for a value that its list does not have, with the nearest one and the others.

    Of nodes of this kind ComfyUI 0.3.64 takes any word; None is a link, whose value is known later.
    """
    lists = {each.id: each.options for each in schema.inputs if isinstance(each, io.Combo.Input)}
    for name, given in values.items():
        value = given[0] if isinstance(given, list | tuple) else given
        if value is not None and value not in lists[name]:
            raise InputError(f"{name}: the list has no {value!r}", to_try=did_you_mean(str(value), lists[name]))


def one_line(text: str) -> str:
    """A widget's text in one line: a line break in a trigger would split captions."""
    return " ".join(text.split())


def names_in(text: str) -> tuple[str, ...]:
    """`sentence, studio` → ("sentence", "studio")."""
    return tuple(filter(None, (name.strip() for name in text.replace("\n", ",").split(","))))


def advanced(node_input: io.Input) -> io.Input:
    """Marks an input as advanced: newer front ends fold it away, older ones show it."""
    node_input.extra_dict = {**node_input.extra_dict, "advanced": True}
    return node_input


def encoder_input() -> io.Input:
    """The encoder that tags and scores."""
    return io.Combo.Input(
        "encoder",
        options=encoder_names(),
        default=AUTO,
        display_name="encoder",
        tooltip="The model that reads the pictures. auto takes fashion-clip, which is for photos and lies in "
        "models/fashion_clip, and without it, with a notice, mini: embedded, no download, drawn garments only.",
    )


def folder_input(tooltip: str, default: str = "") -> io.Input:
    """A folder of photos by its name: text everywhere, so that it can be typed, linked and new."""
    return io.String.Input("folder", default=default, placeholder="photos", display_name="folder", tooltip=tooltip)


def vocabulary_input() -> io.Input:
    """The vocabulary: groups and labels that the tagger knows."""
    return advanced(
        io.Combo.Input(
            "vocabulary",
            options=[AUTO, *vocabulary_names()],
            default=AUTO,
            display_name="vocabulary",
            tooltip="Which groups and labels there are. auto takes the one that fits the encoder; your own go into "
            "vocabularies/NAME.json in MODISTE_HOME.",
        )
    )


def threshold_input(tooltip: str) -> io.Input:
    """The least confidence of a tag, 0 … 1."""
    return io.Float.Input(
        "threshold",
        default=0.25,
        min=0.0,
        max=1.0,
        step=0.01,
        round=0.001,
        display_name="threshold",
        tooltip=tooltip,
    )


def syntax_input() -> io.Input:
    """How weights are written."""
    return io.Combo.Input(
        "syntax",
        options=["comfy", "plain"],
        default="comfy",
        display_name="syntax",
        tooltip="comfy writes weights as (words:1.2) and escapes brackets; plain writes words only.",
    )


def captions_input(tooltip: str) -> io.Input:
    """Captions from the graph."""
    return io.String.Input("captions", optional=True, force_input=True, display_name="captions", tooltip=tooltip)


def seed_input(tooltip: str) -> io.Input:
    """A seed that does not change from run to run."""
    return io.Int.Input(
        "seed", default=0, min=0, max=2**32 - 1, control_after_generate=False, display_name="seed", tooltip=tooltip
    )


def aspect_input() -> io.Input:
    """The shape of the pictures; after the other inputs and optional, so that saved graphs run as they are."""
    return advanced(
        io.Combo.Input(
            "aspect",
            options=list(ASPECTS),
            default=AS_SET,
            optional=True,
            display_name="aspect",
            tooltip="The shape of the pictures at the area of width × height: photo takes each photo's own, so that "
            "like is compared with like; off takes width × height as they are.",
        )
    )


def model_inputs() -> list[io.Input]:
    """The models that draw: MODEL, CLIP, VAE."""
    return [
        io.Model.Input("model", display_name="model", tooltip="The diffusion model that draws."),
        io.Clip.Input("clip", display_name="clip", tooltip="The text encoder of that model."),
        io.Vae.Input("vae", display_name="vae", tooltip="The VAE that turns latents into pictures."),
    ]


def sampling_inputs() -> list[io.Input]:
    """Sampling settings by the host's own names; sides in pixels."""
    import comfy.samplers

    return [
        io.Int.Input(
            "steps",
            default=20,
            min=1,
            max=MOST_STEPS,
            display_name="steps",
            tooltip="Sampling steps of a picture.",
        ),
        io.Float.Input(
            "cfg",
            default=7.0,
            min=1.0,
            max=30.0,
            step=0.1,
            round=0.01,
            display_name="cfg",
            tooltip="Classifier-free guidance: how strictly the prompt is followed.",
        ),
        io.Combo.Input(
            "sampler_name",
            options=list(comfy.samplers.KSampler.SAMPLERS),
            default="dpmpp_2m",
            display_name="sampler",
            tooltip="The sampler, as in KSampler.",
        ),
        io.Combo.Input(
            "scheduler",
            options=list(comfy.samplers.KSampler.SCHEDULERS),
            default="karras",
            display_name="scheduler",
            tooltip="The noise schedule, as in KSampler.",
        ),
        io.Int.Input(
            "width", default=512, min=64, max=2048, step=8, display_name="width", tooltip="Pixels; 1024 suits SDXL."
        ),
        io.Int.Input(
            "height", default=512, min=64, max=2048, step=8, display_name="height", tooltip="Pixels; 1024 suits SDXL."
        ),
    ]
