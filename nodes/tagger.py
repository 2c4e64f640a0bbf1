"""IMAGE → tags, captions, confidences."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from .schema import (
    CATEGORY,
    TAGS,
    UsesEncoder,
    advanced,
    check_choices,
    check_result,
    encoder_input,
    one_line,
    threshold_input,
    vocabulary_input,
)


class ModisteTagger(UsesEncoder, io.ComfyNode):
    """FashionCLIP Tagger."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs: pictures. Outputs: for each picture its tags, caption, words and confidences."""
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
                threshold_input("Tags with less confidence than this are left out; the garment's name always stays."),
                io.String.Input(
                    "pin",
                    default="",
                    placeholder="colour:red, neckline:v_neck",
                    display_name="pin",
                    tooltip="Labels that hold whatever the encoder finds: group:label, comma-separated. Clicking a "
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
                        tooltip="Which groups to tag, comma-separated; empty: those that the vocabulary enables.",
                    )
                ),
                advanced(
                    io.String.Input(
                        "trigger",
                        default="",
                        display_name="trigger",
                        tooltip="A word that each caption holds; the words of a brand's look are then left out.",
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
    def validate_inputs(
        cls,
        encoder: list[str | None],
        threshold: list[float | None],
        vocabulary: list[str | None],
        pin: list[str | None],
        exclude: list[str | None],
        groups: list[str | None],
    ) -> bool | str:
        """Refuses missing weights and unknown tags before queueing; None is a link, whose value is known later."""
        from ..fashion.tag_edits import choices_of
        from ..fashion.taxonomy import load_taxonomy
        from .comfy.model_management import encoder_for, require_encoder
        from .vision.encoders import vocabulary_of
        from .vision.tag_edits import finite

        first = check_result(
            lambda: threshold[0] is None or finite("threshold", threshold[0], 0, 1),
            lambda: check_choices(cls.define_schema(), encoder=encoder, vocabulary=vocabulary),
        )
        if first is not True or encoder[0] is None or vocabulary[0] is None:
            return first
        taxonomy = load_taxonomy(vocabulary_of(encoder_for(encoder[0]), vocabulary[0]))
        fields = {"pin": pin[0], "exclude": exclude[0], "groups": groups[0]}
        return check_result(
            lambda: require_encoder(encoder[0]),
            lambda: [choices_of(text, taxonomy, name) for name, text in fields.items() if text],
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
        """Tags the pictures."""
        from ..fashion.prompts.captions import caption_of
        from ..fashion.tag_edits import choices_of
        from .comfy.images import pictures_of
        from .comfy.model_management import NodeProgress, encoder_for, notice_for_page, vision_models_for
        from .vision.batches import reading_notices, tag
        from .vision.encoders import vocabulary_of
        from .vision.tag_edits import confidences, finite, pack, tag_rows

        pictures = pictures_of(images)
        lowest = finite("threshold", threshold[0], 0, 1)
        vision = vision_models_for(encoder[0], vocabulary[0])
        pinned, excluded, group_choices = (
            choices_of(text[0], vision.taxonomy, what)
            for text, what in ((pin, "pin"), (exclude, "exclude"), (groups, "groups"))
        )
        group_ids = [group for group, _ in group_choices]
        tags = tag(vision, pictures, NodeProgress().show, lowest, pinned, excluded, group_ids)
        captions = [caption_of(photo_tags, vision.taxonomy, one_line(trigger[0])) for photo_tags in tags]
        return io.NodeOutput(
            pack(tags, vocabulary_of(encoder_for(encoder[0]), vocabulary[0])),
            captions,
            [", ".join(each.text for each in photo_tags.tags) for photo_tags in tags],
            [confidences(photo_tags) for photo_tags in tags],
            ui={
                **notice_for_page(encoder[0], reading_notices(tags)),
                "modiste_tags": [
                    {"image": index, "tags": tag_rows(photo_tags), "caption": caption}
                    for index, (photo_tags, caption) in enumerate(zip(tags, captions, strict=True))
                ],
            },
        )
