"""Settings of encoders: the sentences around a word, and the temperatures of the answers.

`encoders.json` beside this file holds those of published models; `encoders.json` in MODISTE_HOME overrides it, model
by model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ...core.home import modiste_home
from ...core.state_files import json_object, read_state

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

        def settings_of_model(content: Any) -> EncoderSettings | None:
            models = json_object(content)
            return EncoderSettings.model_validate(models[name]) if name in models else None

        settings = read_state(file, settings_of_model, "correct the settings of encoders, saved as UTF-8")
        if settings is not None:
            return settings
    return EncoderSettings()
