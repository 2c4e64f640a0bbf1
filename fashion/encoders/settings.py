"""Settings of encoders: the sentences around a word, and the temperatures of the answers.

`encoders.json` beside this file holds those of published models; `encoders.json` in MODISTE_HOME overrides it, model
by model.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ...core.errors import InputError
from ...core.home import modiste_home

FILE = "encoders.json"
TEMPLATES = ("{}", "a photo of {}")  # of a model without settings


class EncoderSettings(BaseModel):
    """`templates`: a label's probes are averaged over them (Radford et al., "Learning Transferable Visual Models From
    Natural Language Supervision", ICML 2021, §3.1.4). `temperatures`: group id → T of softmax(logits / T)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    templates: tuple[str, ...] = Field(default=TEMPLATES, min_length=1)
    temperatures: dict[str, float] = {}
    logit_scale: float | None = Field(default=None, gt=0)  # what cosines are multiplied by; None: the model's own

    @field_validator("templates")
    @classmethod
    def _hold_the_label(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for template in templates:
            if template.count("{}") != 1 or template.count("{") != 1:
                raise ValueError(f"the template {template!r} must hold {{}} once, where the label goes")
        return templates


def encoder_settings(model: str) -> EncoderSettings:
    """The settings of a model by its hub id or folder; InputError names the wrong field of a file."""
    name = model.removeprefix("hf-hub:")
    for file in (modiste_home() / FILE, Path(__file__).parent / FILE):
        if not file.is_file():
            continue
        try:
            known = json.loads(file.read_text(encoding="utf-8-sig"))
            if name in known:
                return EncoderSettings.model_validate(known[name])
        except (ValidationError, json.JSONDecodeError, TypeError) as error:
            raise InputError(f"the settings of encoders can't be read: {error}", where=str(file)) from error
    return EncoderSettings()
