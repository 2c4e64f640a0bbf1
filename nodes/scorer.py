"""IMAGE × reference → calibrated similarity, attribute differences, the best pictures."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from .schema import CATEGORY, UsesEncoder, advanced, check_choices, check_result, encoder_input, vocabulary_input


class ModisteScorer(UsesEncoder, io.ComfyNode):
    """Similarity Scorer."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs: pictures and a reference. Outputs: the best pictures, and scores in the order of the pictures."""
        return io.Schema(
            node_id="ModisteScorer",
            display_name="Fashion Similarity Scorer",
            category=CATEGORY,
            description="How like a reference photo each picture is: 0 is another garment of its kind, 1 a second "
            "photo of the same one. Gives the best pictures, the raw cosine, and what differs.",
            is_input_list=True,
            is_output_node=True,
            inputs=[
                io.Image.Input("images", display_name="images", tooltip="The pictures to score."),
                io.Image.Input(
                    "reference",
                    display_name="reference",
                    tooltip="The photo to compare with; with several of one garment, their mean counts.",
                ),
                encoder_input(),
                io.Int.Input(
                    "top_k",
                    default=1,
                    min=1,
                    max=64,
                    display_name="top k",
                    tooltip="How many of the best pictures come out.",
                ),
                advanced(
                    io.Boolean.Input(
                        "differences",
                        default=True,
                        display_name="differences",
                        tooltip="Whether to list the attributes that differ from the reference's.",
                    )
                ),
                vocabulary_input(),
            ],
            outputs=[
                io.Image.Output(
                    "best", display_name="best", is_output_list=True, tooltip="The best pictures, the best first."
                ),
                io.Float.Output(
                    "similarity",
                    display_name="similarity",
                    is_output_list=True,
                    tooltip="Calibrated, 0 … 1, in the order of the pictures.",
                ),
                io.Float.Output(
                    "raw_cosine",
                    display_name="raw cosine",
                    is_output_list=True,
                    tooltip="The encoder's own cosine, −1 … 1, in the order of the pictures.",
                ),
                io.Float.Output("best_similarity", display_name="best similarity", tooltip="Of the best picture."),
                io.String.Output("report", display_name="report", tooltip="The scores as text."),
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
        top_k: list[int],
        differences: list[bool],
        vocabulary: list[str],
    ) -> io.NodeOutput:
        """Scores the pictures."""
        from .comfy.images import images_of, pictures_of
        from .comfy.model_management import NodeProgress, notice_for_page, vision_models_for, with_notice
        from .vision.scores import score_pictures

        pictures, references = pictures_of(images), pictures_of(reference, "reference")
        vision = vision_models_for(encoder[0], vocabulary[0])
        scored = score_pictures(vision, pictures, references, differences[0], NodeProgress().show)
        best = scored.best[: top_k[0]]
        return io.NodeOutput(
            images_of([pictures[index] for index in best]),
            [similarity.similarity_score for similarity in scored.similarities],
            [similarity.raw_cosine for similarity in scored.similarities],
            scored.similarities[best[0]].similarity_score,
            with_notice(scored.report(), encoder[0]),
            ui={
                **notice_for_page(encoder[0], scored.notices),
                "modiste_scores": scored.rows(),
                "modiste_best": best,
            },
        )
