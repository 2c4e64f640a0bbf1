"""Pictures of any model, by whatever graph → which of several ways is nearest to the photos, with its interval."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from .schema import CATEGORY, UsesEncoder, check_choices, check_result, encoder_input, vocabulary_input


class ModisteJudge(UsesEncoder, io.ComfyNode):
    """Judge."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs: pictures with labels, photos. Outputs: the label to use, its pictures, its gain, a verdict."""
        return io.Schema(
            node_id="ModisteJudge",
            display_name="Fashion Judge",
            category=CATEGORY,
            description="Which of several prompts, LoRAs or models draws nearest to your photos, and whether that is "
            "proven. Takes pictures alone, of any model and any graph.",
            is_input_list=True,
            is_output_node=True,
            inputs=[
                io.Image.Input(
                    "images", display_name="images", tooltip="The pictures to judge, in the order of their labels."
                ),
                io.Image.Input(
                    "reference",
                    display_name="reference",
                    tooltip="The photo to come near to: one for all, or one for each picture of a label.",
                ),
                encoder_input(),
                vocabulary_input(),
                io.Image.Input(
                    "base",
                    optional=True,
                    display_name="base",
                    tooltip="The pictures to beat, on the same seeds in the same order. Without them the first label "
                    "is the base.",
                ),
                io.String.Input(
                    "labels",
                    optional=True,
                    force_input=True,
                    display_name="labels",
                    tooltip="Whose picture each is: labels or prompts of Prompt Candidates. Without them all are one "
                    "candidate.",
                ),
            ],
            outputs=[
                io.String.Output(
                    "best", display_name="best", tooltip="The label to use; the base's where no gain is proven."
                ),
                io.Image.Output("pictures", display_name="images", is_output_list=True, tooltip="Its pictures."),
                io.Float.Output("gain", display_name="gain", tooltip="Of the best candidate over the base, −1 … 1."),
                io.Boolean.Output("improved", display_name="improved", tooltip="Whether that gain is proven."),
                io.String.Output("report", display_name="report", tooltip="The verdict, and every label's score."),
            ],
        )

    @classmethod
    def validate_inputs(cls, encoder: list[str | None], vocabulary: list[str | None]) -> bool | str:
        """Refuses words that are in no list, and an encoder without weights, before queueing; None is a link."""
        from .comfy.model_management import require_encoder

        return check_result(
            lambda: check_choices(cls.define_schema(), encoder=encoder, vocabulary=vocabulary),
            lambda: encoder[0] is None or require_encoder(encoder[0]),
        )

    @classmethod
    def execute(
        cls,
        images: list[Any],
        reference: list[Any],
        encoder: list[str],
        vocabulary: list[str],
        base: list[Any] | None = None,
        labels: list[str] | None = None,
    ) -> io.NodeOutput:
        """Judges the pictures."""
        from .comfy.images import images_of, pictures_of
        from .comfy.model_management import NodeProgress, notice_for_page, vision_models_for, with_notice
        from .vision.judging import arms_of, judge

        arms = arms_of(pictures_of(images), labels or [], pictures_of(base, "base") if base else None)
        vision = vision_models_for(encoder[0], vocabulary[0])
        judgement = judge(arms, pictures_of(reference, "reference"), vision, NodeProgress().show)
        return io.NodeOutput(
            judgement.arm,
            images_of(arms[judgement.arm]),
            judgement.gain.mean,
            judgement.improved,
            with_notice(judgement.report(), encoder[0]),
            ui=notice_for_page(encoder[0]),
        )
