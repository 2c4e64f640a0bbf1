"""Tags → positive and negative prompt."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ..fashion.prompts.strategies import STRATEGIES
from .schema import CATEGORY, TAGS, advanced, check_choices, check_result, syntax_input

DEFAULT = "sentence"


class ModistePromptBuilder(io.ComfyNode):
    """Prompt Builder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs: tags. Outputs: a positive and a negative prompt for each picture."""
        return io.Schema(
            node_id="ModistePromptBuilder",
            display_name="Fashion Prompt Builder",
            category=CATEGORY,
            description="Writes tags as a prompt, by the strategies that the prompt search compares. Lock or replace "
            "any field. Weights have ComfyUI's own meaning.",
            is_input_list=True,
            inputs=[
                io.Custom(TAGS).Input("tags", display_name="tags", tooltip="From the FashionCLIP Tagger."),
                io.Combo.Input(
                    "strategy",
                    options=list(STRATEGIES),
                    default=DEFAULT,
                    display_name="strategy",
                    tooltip="How tags become a prompt. sentence reads like a caption; all_tags lists every word; "
                    "weighted_by_confidence stresses what sets the garment apart.",
                ),
                io.String.Input(
                    "locks",
                    default="",
                    multiline=True,
                    placeholder='{"colour": "emerald green", "pattern": ""}',
                    display_name="locks",
                    tooltip="Fields that are yours, as JSON: group → your words; empty words leave the group out. "
                    "Groups that do not fit a locked garment are dropped.",
                ),
                io.String.Input(
                    "extra",
                    default="",
                    multiline=True,
                    placeholder="studio lighting",
                    display_name="extra",
                    tooltip="Words to append to the prompt, as they are.",
                ),
                io.String.Input(
                    "avoid",
                    default="",
                    multiline=True,
                    placeholder="blurry, cropped",
                    display_name="avoid",
                    tooltip="Words to append to the negative prompt, as they are.",
                ),
                advanced(syntax_input()),
            ],
            outputs=[
                io.String.Output(
                    "positive", display_name="positive", is_output_list=True, tooltip="For CLIP Text Encode."
                ),
                io.String.Output(
                    "negative", display_name="negative", is_output_list=True, tooltip="For CLIP Text Encode."
                ),
            ],
        )

    @classmethod
    def validate_inputs(
        cls, locks: list[str | None], strategy: list[str | None], syntax: list[str | None]
    ) -> bool | str:
        """Refuses locks that are no JSON or name no group, and words of no list, before queueing; None is a link."""
        from ..fashion.taxonomy import load_taxonomy
        from .comfy.folders import vocabulary_names
        from .vision.tag_edits import check_locks

        return check_result(
            lambda: check_choices(cls.define_schema(), strategy=strategy, syntax=syntax),
            lambda: not locks[0] or check_locks(locks[0], map(load_taxonomy, vocabulary_names())),
        )

    @classmethod
    def execute(
        cls,
        tags: list[Any],
        strategy: list[str],
        locks: list[str],
        extra: list[str],
        avoid: list[str],
        syntax: list[str],
    ) -> io.NodeOutput:
        """Writes the prompts."""
        from .vision.prompt_text import write_prompts
        from .vision.tag_edits import unpack

        pictures = unpack(entry for entries in tags for entry in entries)
        prompts = write_prompts(pictures, strategy[0], locks[0], extra[0], avoid[0], syntax[0])
        return io.NodeOutput([prompt.positive for prompt in prompts], [prompt.negative for prompt in prompts])
