"""A1111's request and answer bodies, field by field with its names, types and defaults.

`openapi.json` says what a real server's says (1.10). What happens with fields that A1111 does not have, or that this
server can't honour, says supported_fields.py.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


def _unsayable(value: Any) -> str:
    """What of a JSON value can't be written again; empty where all of it can."""
    if isinstance(value, float) and not math.isfinite(value):
        return "a number that is not finite"
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return "half of a surrogate pair, which is no character"
    items = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next(filter(None, map(_unsayable, items)), "")


class _Processing(BaseModel):
    """What both ways of drawing take."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def refuse_unsayable(cls, body: Any) -> Any:
        """ValueError for NaN, infinities and lone surrogates anywhere: no answer could repeat them."""
        for field, value in body.items() if isinstance(body, dict) else ():
            if what := _unsayable([field, value]):
                raise ValueError(f"{field!a} holds {what}")
        return body

    prompt: str = ""
    negative_prompt: str = ""
    styles: list[str] | None = None
    seed: int = -1  # -1: drawn by lot; the pictures of a job count up from it
    subseed: int = -1
    subseed_strength: float = 0
    seed_resize_from_h: int = -1
    seed_resize_from_w: int = -1
    sampler_name: str | None = None
    scheduler: str | None = None
    batch_size: int = 1
    n_iter: int = 1
    steps: int = 50
    cfg_scale: float = 7.0
    width: int = 512  # pixels
    height: int = 512
    restore_faces: bool | None = None
    tiling: bool | None = None
    do_not_save_samples: bool = False
    do_not_save_grid: bool = False
    eta: float | None = None
    denoising_strength: float | None = None
    s_min_uncond: float | None = None
    s_churn: float | None = None
    s_tmax: float | None = None
    s_tmin: float | None = None
    s_noise: float | None = None
    override_settings: dict[str, Any] | None = None
    override_settings_restore_afterwards: bool = True
    refiner_checkpoint: str | None = None
    refiner_switch_at: float | None = None
    disable_extra_networks: bool = False
    firstpass_image: str | None = None
    comments: dict[str, Any] | None = None
    force_task_id: str | None = None
    sampler_index: str | None = "Euler"  # the sampler where sampler_name says none
    script_name: str | None = None
    script_args: list[Any] = []
    send_images: bool = True
    save_images: bool = False
    alwayson_scripts: dict[str, Any] = {}
    infotext: str | None = None


class StableDiffusionProcessingTxt2Img(_Processing):
    """Words → pictures."""

    enable_hr: bool = False
    firstphase_width: int = 0
    firstphase_height: int = 0
    hr_scale: float = 2.0
    hr_upscaler: str | None = None
    hr_second_pass_steps: int = 0
    hr_resize_x: int = 0
    hr_resize_y: int = 0
    hr_checkpoint_name: str | None = None
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str = ""
    hr_negative_prompt: str = ""


class StableDiffusionProcessingImg2Img(_Processing):
    """Words and a picture → pictures; one of `init_images` for each picture of a batch, or one for all."""

    denoising_strength: float | None = 0.75
    init_images: list[Any] | None = None  # base64, with or without `data:image/…;base64,`
    resize_mode: int = 0  # 0 stretch, 1 crop, 2 fill
    image_cfg_scale: float | None = None
    mask: str | None = None
    mask_blur_x: int = 4
    mask_blur_y: int = 4
    mask_blur: int | None = None
    mask_round: bool = True
    inpainting_fill: int = 0
    inpaint_full_res: bool = True
    inpaint_full_res_padding: int = 0
    inpainting_mask_invert: int = 0
    initial_noise_multiplier: float | None = None
    latent_mask: str | None = None
    include_init_images: bool = False


class ExtrasBaseRequest(BaseModel):
    """How a picture is resized."""

    model_config = ConfigDict(allow_inf_nan=False)

    resize_mode: Literal[0, 1] = 0  # 0: by a factor, 1: to a size
    show_extras_results: bool = True
    gfpgan_visibility: float = Field(default=0, ge=0, le=1)
    codeformer_visibility: float = Field(default=0, ge=0, le=1)
    codeformer_weight: float = Field(default=0, ge=0, le=1)
    upscaling_resize: float = Field(default=2, gt=0)  # the factor
    upscaling_resize_w: int = Field(default=512, ge=1)  # pixels
    upscaling_resize_h: int = Field(default=512, ge=1)
    upscaling_crop: bool = True  # to the exact size
    upscaler_1: str = "None"
    upscaler_2: str = "None"
    extras_upscaler_2_visibility: float = Field(default=0, ge=0, le=1)
    upscale_first: bool = False


class ExtrasSingleImageRequest(ExtrasBaseRequest):
    """One picture, base64."""

    image: str = ""


class FileData(BaseModel):
    """A picture with its name."""

    data: str  # base64
    name: str = ""


class ExtrasBatchImagesRequest(ExtrasBaseRequest):
    """Several pictures."""

    imageList: list[FileData]  # noqa: N815, the API's own name


class PNGInfoRequest(BaseModel):
    """A picture whose texts are read."""

    image: str


class InterrogateRequest(BaseModel):
    """A picture to describe: `clip` gives a caption, `deepdanbooru` tags."""

    image: str = ""
    model: str = "clip"


class TextToImageResponse(BaseModel):
    """`images`: PNG as base64; `parameters`: the request again; `info`: JSON of what was used."""

    images: list[str] | None = None
    parameters: dict[str, Any]
    info: str


class ImageToImageResponse(TextToImageResponse):
    """The same, of img2img."""


class SamplerItem(BaseModel):
    """A sampler by name."""

    name: str
    aliases: list[str]
    options: dict[str, str]


class SchedulerItem(BaseModel):
    """A noise schedule: `label` is what people see, `name` what is also taken."""

    name: str
    label: str
    aliases: list[str] | None = None
    default_rho: float | None = -1.0
    need_inner_model: bool | None = False


class SDModelItem(BaseModel):
    """The checkpoint that draws."""

    title: str
    model_name: str
    hash: str | None = None
    sha256: str | None = None
    filename: str
    config: str | None = None


class ProgressResponse(BaseModel):
    """How far the running job is: `progress` 0 … 1, `eta_relative` in seconds."""

    progress: float
    eta_relative: float
    state: dict[str, Any]
    current_image: str | None = None
    textinfo: str | None = None
