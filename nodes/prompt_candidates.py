"""Tags → the prompts that could be best, each on the same seeds, as lists that any graph draws one by one."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ..fashion.prompts.strategies import refuse_unknown_strategies
from .schema import CATEGORY, TAGS, advanced, check_choices, check_result, names_in, seed_input, syntax_input

STRATEGIES = "all_tags, sentence, weighted_by_confidence, studio"


class ModistePromptCandidates(io.ComfyNode):
    """Prompt Candidates."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs: tags. Outputs: lists of equal length, an entry a picture to draw."""
        return io.Schema(
            node_id="ModistePromptCandidates",
            display_name="Fashion Prompt Candidates",
            category=CATEGORY,
            description="Writes tags as several prompts, each on the same seeds, as lists: every node behind runs once "
            "an entry, whatever model it draws with. Fashion Judge says which prompt is best.",
            is_input_list=True,
            inputs=[
                io.Custom(TAGS).Input(
                    "tags", display_name="tags", tooltip="Of one photo, from the FashionCLIP Tagger."
                ),
                io.String.Input(
                    "strategies",
                    default=STRATEGIES,
                    multiline=True,
                    display_name="strategies",
                    tooltip="Which ways of writing compete, comma-separated; the first is the one to beat.",
                ),
                io.Int.Input(
                    "pictures",
                    default=4,
                    min=2,
                    max=32,
                    display_name="pictures",
                    tooltip="Pictures a prompt: the first half chooses, the second half decides. 8 and more prove "
                    "smaller gains.",
                ),
                seed_input("What decides the seeds; all prompts share them."),
                advanced(syntax_input()),
            ],
            outputs=[
                io.String.Output(
                    "positive", display_name="positive", is_output_list=True, tooltip="For the text encoder."
                ),
                io.String.Output(
                    "negative", display_name="negative", is_output_list=True, tooltip="For the text encoder."
                ),
                io.Int.Output("seeds", display_name="seed", is_output_list=True, tooltip="For the sampler's seed."),
                io.String.Output(
                    "labels", display_name="label", is_output_list=True, tooltip="For Fashion Judge: the strategy."
                ),
                io.Int.Output("count", display_name="count", tooltip="Pictures to draw in all."),
            ],
        )

    @classmethod
    def validate_inputs(cls, strategies: list[str | None], syntax: list[str | None]) -> bool | str:
        """Refuses unknown strategies and syntaxes before queueing; None is a link."""
        return check_result(
            lambda: check_choices(cls.define_schema(), syntax=syntax),
            lambda: refuse_unknown_strategies(names_in(strategies[0] or "")),
        )

    @classmethod
    def execute(
        cls, tags: list[Any], strategies: list[str], pictures: list[int], seed: list[int], syntax: list[str]
    ) -> io.NodeOutput:
        """Writes the prompts."""
        from .vision.prompt_text import write_candidates
        from .vision.tag_edits import unpack

        photos = unpack(entry for entries in tags for entry in entries)
        plan = write_candidates(photos, names_in(strategies[0]), pictures[0], seed[0], syntax[0])
        return io.NodeOutput(
            [candidate.positive for candidate in plan],
            [candidate.negative for candidate in plan],
            [candidate.seed for candidate in plan],
            [candidate.label for candidate in plan],
            len(plan),
        )
