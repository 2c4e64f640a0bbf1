"""A folder of photos → IMAGE list, captions, names."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from .comfy.folders import photo_folder, photo_folder_names
from .schema import CATEGORY, advanced, check_result, folder_input


class ModisteLoadPhotos(io.ComfyNode):
    """Load Photos."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs: a folder. Outputs: its photos, each of its own size, with captions and names."""
        folder = next(iter(photo_folder_names()), "")
        return io.Schema(
            node_id="ModisteLoadPhotos",
            display_name="Load Fashion Photos",
            category=CATEGORY,
            description="Loads a folder of photos, upright and in sRGB, each of its own size, with the captions that "
            "lie beside them. Names every file that can't be used, and why.",
            inputs=[
                folder_input(
                    "A folder of ComfyUI's input; copy your photos there. A wrong name is answered with those that "
                    "there are.",
                    folder,
                ),
                io.Int.Input(
                    "limit",
                    default=0,
                    min=0,
                    max=10000,
                    display_name="limit",
                    tooltip="The most photos to load; 0 loads all.",
                ),
                advanced(
                    io.Int.Input(
                        "longest_side",
                        default=1024,
                        min=64,
                        max=4096,
                        step=64,
                        display_name="longest side",
                        tooltip="Larger photos are made smaller; pixels.",
                    )
                ),
            ],
            outputs=[
                io.Image.Output("images", display_name="images", is_output_list=True, tooltip="One a photo."),
                io.String.Output(
                    "captions",
                    display_name="captions",
                    is_output_list=True,
                    tooltip="From NAME.txt beside each photo; empty where there is none.",
                ),
                io.String.Output("names", display_name="names", is_output_list=True, tooltip="The files' names."),
                io.String.Output("folder_path", display_name="folder", tooltip="For LoRA Trainer and Caption Dataset."),
                io.String.Output("report", display_name="report", tooltip="What was skipped and converted."),
            ],
        )

    @classmethod
    def validate_inputs(cls, folder: str | None) -> bool | str:
        """Refuses a missing or empty folder before queueing; None is a link, whose value is known later."""
        from .training.dataset import require_photos

        return folder is None or check_result(lambda: require_photos(photo_folder(folder)))

    @classmethod
    def fingerprint_inputs(cls, folder: str | None = None, **others: Any) -> str:
        """A digest that changes with any photo or caption of the folder."""
        from .training.dataset import fingerprint

        return fingerprint(photo_folder(folder)) if folder else ""

    @classmethod
    def execute(cls, folder: str, limit: int, longest_side: int) -> io.NodeOutput:
        """Loads the photos."""
        from ..trainer.data.caption_files import own_caption
        from .comfy.images import image_of
        from .training.dataset import read_photos

        path = photo_folder(folder)
        photos = read_photos(path, longest_side, limit)
        return io.NodeOutput(
            [image_of(photo.image) for photo in photos.photos],
            [own_caption(photo.path) or "" for photo in photos.photos],
            [photo.path.name for photo in photos.photos],
            str(path),
            photos.report(),
        )
