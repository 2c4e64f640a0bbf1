"""The training config as a form: what the trainer node does not show, without JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from comfy_api.v0_0_2 import io

from .schema import CATEGORY, OPTIONS, advanced, check_choices, check_result
from .training.options import BLOCKS, CHOICES, FIELDS, SWITCH, WEIGHTINGS

OPTIMIZERS = ("adamw", "adamw8bit", "adafactor", "prodigy")
CHOOSE = "Which step is kept: of the pictures most like garments that were held out, of the least loss, or the last."
SCHEDULES = ("cosine", "linear", "constant")
PRECISIONS = ("auto", "bf16", "fp16", "fp32")


class ModisteTrainingOptions(io.ComfyNode):
    """Training Options."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs: fields of a training config. Outputs: those that were changed."""
        return io.Schema(
            node_id="ModisteTrainingOptions",
            display_name="Fashion Training Options",
            category=CATEGORY,
            description="What the LoRA Trainer does not show: rank and alpha, layers, loss, captions, optimizer, "
            "sample pictures. A field that is left as it came is left to the trainer.",
            inputs=[
                *_network_inputs(),
                *_loss_inputs(),
                *_data_inputs(),
                *_optimizer_inputs(),
                *_machine_inputs(),
                *_validation_inputs(),
            ],
            outputs=[
                io.Custom(OPTIONS).Output("options", display_name="options", tooltip="For LoRA Trainer."),
                io.String.Output(
                    "config", display_name="config", tooltip="The changed fields as JSON, to read or to keep."
                ),
            ],
        )

    @classmethod
    def validate_inputs(
        cls,
        blocks: str | None,
        weighting: str | None,
        shuffle_captions: bool | None,
        keep_tokens: int | None,
        optimizer: str | None,
        schedule: str | None,
        precision: str | None,
        checkpointing: str | None,
        picture_cfg: float | None,
    ) -> bool | str:
        """Refuses words of no list, an optimizer that is not installed, and fields that need another one.

        Before queueing; None is a link.
        """
        from .training.options import check_options

        words = dict(blocks=blocks, weighting=weighting, optimizer=optimizer)
        words |= dict(schedule=schedule, precision=precision, checkpointing=checkpointing)
        values = dict(words, shuffle_captions=shuffle_captions, keep_tokens=keep_tokens, picture_cfg=picture_cfg)
        return check_result(
            lambda: check_choices(cls.define_schema(), **words),
            lambda: None in values.values() or check_options(values),
        )

    @classmethod
    def execute(cls, **values: Any) -> io.NodeOutput:
        """Gives the changed fields."""
        from .training.options import check_options, fields_of

        check_options(values)
        fields = fields_of(values)
        return io.NodeOutput(fields, json.dumps(fields, indent=1))


def _default(name: str) -> Any:
    return FIELDS[name][1]


def _int(name: str, most: int, tooltip: str, least: int = 0) -> io.Input:
    return io.Int.Input(
        name, default=_default(name), min=least, max=most, display_name=name.replace("_", " "), tooltip=tooltip
    )


def _float(name: str, most: float, step: float, tooltip: str) -> io.Input:
    return io.Float.Input(
        name,
        default=_default(name),
        min=0.0,
        max=most,
        step=step,
        round=step / 100,
        display_name=name.replace("_", " "),
        tooltip=tooltip,
    )


def _switch(name: str, tooltip: str) -> io.Input:
    return io.Boolean.Input(name, default=_default(name), display_name=name.replace("_", " "), tooltip=tooltip)


def _choice(name: str, options: Iterable[str], tooltip: str) -> io.Input:
    return io.Combo.Input(
        name, options=list(options), default=_default(name), display_name=name.replace("_", " "), tooltip=tooltip
    )


def _network_inputs() -> list[io.Input]:
    """What is trained."""
    return [
        _int("rank", 256, "Capacity of the LoRA; 0 takes the trainer's."),
        _float("alpha", 512.0, 1.0, "The LoRA counts by alpha / rank; 0 takes the rank, which is a factor of 1."),
        _int("conv_rank", 256, "Rank of the 3×3 convolutions, for textures; 0 leaves them as they are."),
        _int("text_rank", 256, "Rank of the text encoder's layers, for new words; 0 leaves them as they are."),
        _choice(
            "blocks",
            BLOCKS,
            "Which blocks of the UNet learn. down sees layout, mid what is shown, up style and detail; fewer blocks "
            "make a smaller file.",
        ),
        advanced(_switch("dora", "Direction and magnitude of each weight apart (DoRA); for the method lora.")),
        advanced(_switch("rslora", "Scale by alpha / √rank, for high ranks (rsLoRA); for the method lora.")),
    ]


def _loss_inputs() -> list[io.Input]:
    """How an error counts."""
    return [
        _choice(
            "weighting",
            WEIGHTINGS,
            "How the steps of the noise schedule count: min_snr caps the easy ones, debiased is 1 / √SNR, even weighs "
            "all alike.",
        ),
        advanced(_float("min_snr_gamma", 100.0, 0.5, "The cap of min_snr; other weightings have none.")),
        advanced(_float("huber", 10.0, 0.01, "δ of the pseudo-Huber loss, which odd photos pull less; 0: squared.")),
        advanced(
            _float("noise_offset", 1.0, 0.01, "Offset of the noise, for very dark and bright pictures; 0.05 is common.")
        ),
    ]


def _data_inputs() -> list[io.Input]:
    """How photos and captions are seen."""
    return [
        _float("caption_dropout", 0.99, 0.01, "Share of visits that see no caption, so that guidance keeps working."),
        _switch("shuffle_captions", "Whether a caption's comma-separated parts come in another order at each visit."),
        advanced(_int("keep_tokens", 255, "How many leading parts stay in place while captions are shuffled.")),
        _switch("flip", "Whether half of the visits are mirrored. Mirrors lettering and buttons too."),
        advanced(_int("repeats", 1000, "Visits of each photo an epoch.", least=1)),
    ]


def _optimizer_inputs() -> list[io.Input]:
    """How weights move."""
    return [
        _choice(
            "optimizer",
            OPTIMIZERS,
            "How weights are updated. adamw8bit needs bitsandbytes; prodigy needs prodigyopt and finds its own "
            "learning rate.",
        ),
        _choice("schedule", SCHEDULES, "How the learning rate falls: cosine and linear to 0, constant not at all."),
        advanced(_int("warmup", 10000, "Steps in which the learning rate rises from 0.")),
        advanced(_float("text_learning_rate", 1.0, 1e-5, "Of the text encoder; 0 takes half of the learning rate.")),
        advanced(_float("weight_decay", 1.0, 0.01, "Pull of the weights towards 0.")),
        advanced(_float("max_grad_norm", 100.0, 0.1, "Longer gradients are cut to this length.")),
        advanced(_float("ema", 0.9999, 0.001, "Decay of the averaged weights, such as 0.999; 0: no average.")),
    ]


def _machine_inputs() -> list[io.Input]:
    """What the machine has to carry."""
    return [
        _int("batch_size", 256, "Pictures an update; 0 takes what suits the memory."),
        advanced(_choice("precision", PRECISIONS, "Number format of the computation; auto is what suits the card.")),
        advanced(_choice("checkpointing", SWITCH, "Less memory for more time; auto: where memory asks for it.")),
        advanced(_int("clip_skip", 4, "Which layer of the text encoder, from the last; 1 is the last.", least=1)),
    ]


def _validation_inputs() -> list[io.Input]:
    """How the run is watched."""
    return [
        _int("pictures", 16, "Sample pictures at each validation; 0 draws none."),
        advanced(_int("picture_steps", 150, "Sampling steps of sample pictures; 0 takes what suits the base.")),
        advanced(_float("picture_cfg", 30.0, 0.5, "Guidance of sample pictures; 0 takes what suits the base.")),
        advanced(_int("validate_every", 10000, "Steps between validations; 0: a twelfth of the run.")),
        advanced(_int("patience", 100, "Validations without a better one before training stops; 0: never.")),
        advanced(_int("save_every", 10000, "Steps between checkpoints; 0: a tenth of the run.")),
        advanced(_choice("choose", CHOICES, CHOOSE)),
        advanced(
            _int("files_every", 10000, "Steps between LoRA files kept in the run's folder, for modiste judge; 0: none.")
        ),
    ]
