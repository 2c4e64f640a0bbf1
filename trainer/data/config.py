"""Which photos a run learns from, and how each visit of a photo sees it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

LATENT_STEP = 8  # pixels that one latent stands for


class PhotoFolder(BaseModel):
    """A folder with settings of its own, as a dataset TOML of sd-scripts has them (sd_scripts_toml.py)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path  # with its sub-folders
    repeats: int | None = Field(default=None, ge=1, le=1000)  # None: as the folders' names say
    class_words: str = ""  # the caption of photos that have none
    prior: bool = False  # pictures of the class that must stay as they are


class DataConfig(BaseModel):
    """The data of a run. Pixels are those of the picture the VAE sees."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    folders: tuple[Path, ...] = Field(min_length=1)  # with their sub-folders
    folder_settings: tuple[PhotoFolder, ...] = ()  # of some of them, and of folders of prior pictures
    resolution: int = Field(default=512, ge=64, le=2048)  # pixels; every picture has about resolution² of them
    original_sizes: bool = True  # SDXL is told the photo's size in its file; False: that of the photo as it was read
    buckets: bool = True  # pictures keep about their aspect ratio; False: all are cut to squares
    bucket_step: int = Field(default=64, ge=LATENT_STEP, le=512)  # pixels; sides are multiples of it
    max_aspect: float = Field(default=2.0, ge=1, le=4)  # long side over short side
    bucket_least: int = Field(default=4, ge=1)  # pictures; an emptier bucket's go to the next where that cuts little
    repeats: int = Field(default=1, ge=1, le=1000)  # visits of each photo an epoch
    kohya_names: bool = True  # folders N_name repeat their photos N times; .caption and .TXT are captions too
    class_words: bool = (
        True  # with kohya_names: N_name's photos without a caption get `name`; reg/N_name are prior ones
    )
    captions: Literal["keep", "tag"] = "keep"  # those beside the photos; "tag": the tagger's, whatever is there
    caption_tokens: Literal[75, 150, 225] = 75  # that a text encoder reads, by 75 at once, as hosts read long prompts
    flip: bool = False  # half of the visits mirrored: doubles the data, and mirrors lettering and buttons
    caption_dropout: float = Field(default=0.05, ge=0, lt=1)  # share of visits without any words
    shuffle_captions: bool = False  # a caption's parts in another order at each visit
    keep_tokens: int = Field(default=0, ge=0)  # leading parts that stay in place, the trigger not counted
    caption_separator: str = ","  # between the parts of a caption
    trigger: str = ""  # the word that what is learned binds to; put before captions that lack it
    masks: Path | None = None  # masks/NAME.png for NAME.jpg, white where the photo counts; see masks.py
    held_out: float = Field(default=0.1, ge=0, le=0.5)  # share of the photos kept for validation
    held_out_least: int = Field(default=2, ge=0)  # photos, but no more than half of them; both 0: no validation
    held_out_by: Literal["garment", "photo"] = "garment"  # whole garments; "photo": each by its content, any number
    prior_folder: Path | None = None  # pictures of the class that must stay as they are, with captions
    prior_weight: float = Field(default=1.0, gt=0, le=10)  # of their loss: λ in DreamBooth (CVPR 2023), eq. 2
    seed: int = Field(default=0, ge=0)

    @property
    def chunks(self) -> int:
        """Times 75 tokens that a text encoder reads of a caption."""
        return self.caption_tokens // 75

    @model_validator(mode="after")
    def _sides_fit(self) -> DataConfig:
        step = self.bucket_step if self.buckets else LATENT_STEP
        name = "bucket_step" if self.buckets else "the latents' step"
        if step % LATENT_STEP:
            raise ValueError(f"bucket_step {step} is no multiple of {LATENT_STEP}, the pixels of a latent")
        if self.resolution % step:
            raise ValueError(f"resolution {self.resolution} is no multiple of {name} {step}")
        return self

    @model_validator(mode="after")
    def _words_fit(self) -> DataConfig:
        if not self.caption_separator.strip():
            raise ValueError(f"caption_separator {self.caption_separator!r} is blank")
        if self.keep_tokens and not self.shuffle_captions:
            raise ValueError(f"keep_tokens {self.keep_tokens} does nothing while shuffle_captions is False")
        if self.caption_separator in self.trigger:
            raise ValueError(f"trigger {self.trigger!r} holds the caption_separator {self.caption_separator!r}")
        if len(self.trigger.splitlines()) > 1:
            raise ValueError(f"trigger {self.trigger!r} holds a line break, a caption is one line")
        if self.trigger != self.trigger.strip():
            raise ValueError(f"trigger {self.trigger!r} begins or ends with a space")
        return self

    @model_validator(mode="after")
    def _folders_fit(self) -> DataConfig:
        for name in ("masks", "prior_folder"):
            other = getattr(self, name)
            for folder in self.folders if other is not None else ():
                if _absolute(folder).is_relative_to(_absolute(other)):
                    raise ValueError(f"{name} {str(other)!r} holds the photos of folders {str(folder)!r}")
        has_priors = self.prior_folder is not None or any(folder.prior for folder in self.folder_settings)
        if not has_priors and self.prior_weight != 1:
            raise ValueError(f"prior_weight {self.prior_weight} does nothing while prior_folder is None")
        return self


def _absolute(path: Path) -> Path:
    return Path(os.path.normpath(path.expanduser().absolute()))
