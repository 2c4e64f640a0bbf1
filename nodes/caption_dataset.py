"""A folder of photos, or IMAGEs → a dataset: each photo with its caption as .txt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.v0_0_2 import io

from .comfy.folders import photo_folder
from .schema import (
    CATEGORY,
    advanced,
    captions_input,
    check_choices,
    check_result,
    encoder_input,
    folder_input,
    one_line,
    threshold_input,
    vocabulary_input,
)

if TYPE_CHECKING:
    from PIL import Image


class ModisteCaptionDataset(io.ComfyNode):
    """Caption Dataset."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs: photos. Outputs: the folder for the trainer, the captions, a report."""
        return io.Schema(
            node_id="ModisteCaptionDataset",
            display_name="Caption Fashion Dataset",
            category=CATEGORY,
            description="Writes a caption as NAME.txt beside each photo, ready for training. What belongs to the "
            "brand's look is left to the trigger word.",
            is_input_list=True,
            is_output_node=True,
            inputs=[
                folder_input("A folder of ComfyUI's input. With images connected they are written into it."),
                io.String.Input(
                    "trigger",
                    default="",
                    placeholder="ohwx",
                    display_name="trigger",
                    tooltip="A rare word that stands for the look to learn; each caption that is written holds it.",
                ),
                encoder_input(),
                io.Boolean.Input(
                    "overwrite",
                    default=False,
                    display_name="overwrite",
                    tooltip="Whether to replace captions that are there already. Off keeps what you wrote.",
                ),
                advanced(threshold_input("Tags with less confidence than this are left out of captions.")),
                vocabulary_input(),
                io.Image.Input(
                    "images",
                    optional=True,
                    display_name="images",
                    tooltip="Pictures to write into the folder before its photos are captioned.",
                ),
                captions_input("Your captions, one a picture; without them the encoder writes them."),
            ],
            outputs=[
                io.String.Output("folder_path", display_name="folder", tooltip="For LoRA Trainer."),
                io.String.Output(
                    "texts", display_name="captions", is_output_list=True, tooltip="The caption beside each photo."
                ),
                io.Int.Output("count", display_name="count", tooltip="Photos in the dataset."),
                io.String.Output("report", display_name="report", tooltip="What was written, kept and skipped."),
            ],
        )

    @classmethod
    def validate_inputs(
        cls,
        folder: list[str | None],
        encoder: list[str | None],
        threshold: list[float | None],
        vocabulary: list[str | None],
        images: list[Any] | None = None,
        captions: list[Any] | None = None,
    ) -> bool | str:
        """Refuses folders outside ComfyUI's, or missing, and missing weights before queueing; None is a link."""
        from .comfy.model_management import require_encoder
        from .training.dataset import require_photos
        from .vision.tag_edits import finite

        def check_folder() -> None:
            path = photo_folder(folder[0] or "", must_exist=images is None)
            if images is None:
                require_photos(path)

        return check_result(
            lambda: check_choices(cls.define_schema(), encoder=encoder, vocabulary=vocabulary),
            lambda: folder[0] is None or check_folder(),
            lambda: encoder[0] is None or captions is not None or require_encoder(encoder[0]),
            lambda: threshold[0] is None or finite("threshold", threshold[0], 0, 1),
        )

    @classmethod
    def fingerprint_inputs(cls, folder: list[str | None], **others: Any) -> str:
        """A digest that changes with any photo or caption of the folder."""
        from .training.dataset import fingerprint

        return fingerprint(photo_folder(folder[0], must_exist=False)) if folder[0] else ""

    @classmethod
    def execute(
        cls,
        folder: list[str],
        trigger: list[str],
        encoder: list[str],
        overwrite: list[bool],
        threshold: list[float],
        vocabulary: list[str],
        images: list[Any] | None = None,
        captions: list[str] | None = None,
    ) -> io.NodeOutput:
        """Writes the captions."""
        from ..fashion.prompts.captions import caption_of
        from .comfy.images import pictures_of
        from .comfy.model_management import NodeProgress, encoder_notice, vision_models_for
        from .training.dataset import caption_photos, write_pictures
        from .vision.batches import tag
        from .vision.tag_edits import finite

        lowest = finite("threshold", threshold[0], 0, 1)
        path = photo_folder(folder[0], must_exist=images is None)
        if images is not None:
            write_pictures(pictures_of(images), path, captions, overwrite[0])
            overwrite, captions = [overwrite[0] and captions is None], None
        progress, notices = NodeProgress(), list[str]()

        def write_captions(pictures: list[Image.Image]) -> list[str]:
            vision = vision_models_for(encoder[0], vocabulary[0])
            notices.append(encoder_notice(encoder[0]))
            tags = tag(vision, pictures, progress.show, lowest)
            return [caption_of(photo_tags, vision.taxonomy, one_line(trigger[0])) for photo_tags in tags]

        dataset = caption_photos(path, write_captions, captions, overwrite[0])
        report = "\n".join(filter(None, [*notices, dataset.report]))
        return io.NodeOutput(str(path), dataset.texts, len(dataset.texts), report)
