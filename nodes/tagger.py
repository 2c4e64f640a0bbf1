"""IMAGE → tags, captions, confidences."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from .schema import CATEGORY, TAGS, advanced, encoder_input, threshold_input, vocabulary_input


class ModisteTagger(io.ComfyNode):
    """FashionCLIP Tagger."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Pictures in; tags, captions, words and confidences out, one of each a picture."""
        return io.Schema(
            node_id="ModisteTagger",
            display_name="FashionCLIP Tagger",
            category=CATEGORY,
            description="Reads garments: category, colour, pattern, sleeves, neckline and more, each with a "
            "calibrated confidence. Pin or exclude what you know better.",
            is_input_list=True,
            is_output_node=True,
            inputs=[
                io.Image.Input("images", display_name="images", tooltip="The photos to read, one or many."),
                encoder_input(),
                threshold_input("Tags less sure than this are left out; the garment's name always stays."),
                io.String.Input(
                    "pin",
                    default="",
                    placeholder="colour:red, neckline:v_neck",
                    display_name="pin",
                    tooltip="Labels that are true whatever the encoder sees: group:label, comma-separated. Clicking a "
                    "chip fills this in.",
                ),
                io.String.Input(
                    "exclude",
                    default="",
                    placeholder="style, pattern:striped",
                    display_name="exclude",
                    tooltip="Labels (group:label) or whole groups to leave out, comma-separated; the next best label "
                    "of the group comes in.",
                ),
                advanced(
                    io.String.Input(
                        "groups",
                        default="",
                        placeholder="colour, pattern, neckline",
                        display_name="groups",
                        tooltip="Which groups to ask, comma-separated; empty: those that the vocabulary enables.",
                    )
                ),
                advanced(
                    io.String.Input(
                        "trigger",
                        default="",
                        display_name="trigger",
                        tooltip="A word for captions to begin with; what belongs to a brand's look is then left to it.",
                    )
                ),
                vocabulary_input(),
            ],
            outputs=[
                io.Custom(TAGS).Output("tags", display_name="tags", tooltip="For the Prompt Builder."),
                io.String.Output(
                    "captions", display_name="captions", is_output_list=True, tooltip="One sentence a picture."
                ),
                io.String.Output(
                    "words", display_name="words", is_output_list=True, tooltip="Comma-separated words, one line each."
                ),
                io.String.Output(
                    "confidences",
                    display_name="confidences",
                    is_output_list=True,
                    tooltip="JSON a picture: group → label, confidence 0 … 1.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        images: list[Any],
        encoder: list[str],
        threshold: list[float],
        pin: list[str],
        exclude: list[str],
        groups: list[str],
        trigger: list[str],
        vocabulary: list[str],
    ) -> io.NodeOutput:
        """Reads the pictures."""
        from ..fashion.prompts.captions import caption_of
        from .comfy.images import pictures_of
        from .comfy.model_management import NodeProgress, eyes_for
        from .vision.batches import tag
        from .vision.encoders import vocabulary_of
        from .vision.tag_edits import choices_of, confidences, finite, pack, shown

        pictures = pictures_of(images)
        least = finite("threshold", threshold[0], 0, 1)
        vision = eyes_for(encoder[0], vocabulary[0])
        pinned, excluded, asked = (
            choices_of(text[0], vision.taxonomy, what)
            for text, what in ((pin, "pin"), (exclude, "exclude"), (groups, "groups"))
        )
        tags = tag(vision, pictures, NodeProgress().show, least, pinned, excluded, [group for group, _ in asked])
        captions = [caption_of(one, vision.taxonomy, trigger[0].strip()) for one in tags]
        return io.NodeOutput(
            pack(tags, vocabulary_of(encoder[0], vocabulary[0])),
            captions,
            [", ".join(found.text for found in one.tags) for one in tags],
            [confidences(one) for one in tags],
            ui={
                "modiste_tags": [
                    {"image": index, "tags": shown(one), "caption": caption}
                    for index, (one, caption) in enumerate(zip(tags, captions, strict=True))
                ]
            },
        )
