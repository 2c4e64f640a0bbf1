"""A folder of photos, or IMAGEs → a dataset: each photo with its caption as .txt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.v0_0_2 import io

from .comfy.folders import photo_folder
from .schema import CATEGORY, advanced, captions_input, encoder_input, said, threshold_input, vocabulary_input

if TYPE_CHECKING:
    from PIL import Image


class ModisteCaptionDataset(io.ComfyNode):
    """Caption Dataset."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Photos in; captions beside them, and the folder for the trainer, out."""
        return io.Schema(
            node_id="ModisteCaptionDataset",
            display_name="Caption Fashion Dataset",
            category=CATEGORY,
            description="Writes a caption as NAME.txt beside each photo, ready for training. What belongs to the "
            "brand's look is left to the trigger word.",
            is_input_list=True,
            is_output_node=True,
            inputs=[
                io.String.Input(
                    "folder",
                    default="",
                    placeholder="photos",
                    display_name="folder",
                    tooltip="A folder of ComfyUI's input. With images connected they are written into it.",
                ),
                io.String.Input(
                    "trigger",
                    default="",
                    placeholder="ohwx",
                    display_name="trigger",
                    tooltip="A rare word that what is learned binds to; captions begin with it.",
                ),
                encoder_input(),
                io.Boolean.Input(
                    "overwrite",
                    default=False,
                    display_name="overwrite",
                    tooltip="Whether to replace captions that are there already. Off keeps what you wrote.",
                ),
                advanced(threshold_input("Tags less sure than this are not said.")),
                vocabulary_input(),
                io.Image.Input(
                    "images",
                    optional=True,
                    display_name="images",
                    tooltip="Pictures to write into the folder, instead of photos that lie there.",
                ),
                captions_input("Your captions, one a picture; without them the encoder writes them."),
            ],
            outputs=[
                io.String.Output("folder_path", display_name="folder", tooltip="For LoRA Trainer."),
                io.String.Output(
                    "texts", display_name="captions", is_output_list=True, tooltip="What stands beside each photo now."
                ),
                io.Int.Output("count", display_name="count", tooltip="Photos in the dataset."),
                io.String.Output("report", display_name="report", tooltip="What was written, kept and skipped."),
            ],
        )

    @classmethod
    def validate_inputs(cls, folder: list[str | None]) -> bool | str:
        """Says before queueing where a folder leads out; None is a link, seen later."""
        return folder[0] is None or said(lambda: photo_folder(folder[0], must_exist=False))

    @classmethod
    def fingerprint_inputs(cls, folder: list[str | None], **others: Any) -> str:
        """Another one when a photo or a caption changes."""
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
        from .comfy.model_management import NodeProgress, eyes_for
        from .training.dataset import caption_photos, write_pictures
        from .vision.batches import tag
        from .vision.tag_edits import finite

        least = finite("threshold", threshold[0], 0, 1)
        path = photo_folder(folder[0], must_exist=images is None)
        if images is not None:
            write_pictures(pictures_of(images), path, captions, overwrite[0])
            overwrite, captions = [overwrite[0] and captions is None], None
        bar = NodeProgress()

        def words_of(pictures: list[Image.Image]) -> list[str]:
            vision = eyes_for(encoder[0], vocabulary[0])
            seen = tag(vision, pictures, bar.show, least)
            return [caption_of(one, vision.taxonomy, trigger[0].strip()) for one in seen]

        done = caption_photos(path, words_of, captions, overwrite[0])
        return io.NodeOutput(str(path), done.texts, len(done.texts), done.report)
