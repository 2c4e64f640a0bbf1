"""What a trained file says of itself: sd-scripts' `ss_*`, Stability's `modelspec.*`, and our own `modiste.*`.

The trigger stands where programs look for it: as the most frequent tag and in the directory of `ss_tag_frequency`
(A1111's tag cloud, LoRA Manager), as `class_tokens` of the first subset of `ss_datasets` (LoRA Manager), and as
`modelspec.trigger_phrase`. Names as in sd-scripts 48d368fa (train_network.py, library/sai_model_spec.py).
"""

from __future__ import annotations

import base64
import io
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ...checkpoints.families.configs import Family
from ...core.version import VERSION

if TYPE_CHECKING:
    from PIL import Image

THUMBNAIL_SIDE = 256
THUMBNAIL_QUALITY = 85
NETWORK_MODULES = {"lora": "networks.lora", "loha": "lycoris.kohya", "lokr": "lycoris.kohya"}
ARCHITECTURES = {
    ("sd1", "epsilon"): "stable-diffusion-v1",
    ("sd1", "v_prediction"): "stable-diffusion-v1",
    ("sd2", "epsilon"): "stable-diffusion-v2-512",
    ("sd2", "v_prediction"): "stable-diffusion-v2-768-v",
    ("sdxl", "epsilon"): "stable-diffusion-xl-v1-base",
    ("sdxl", "v_prediction"): "stable-diffusion-xl-v1-base",
}
BASE_VERSIONS = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}


class BucketCount(BaseModel):
    """Pictures that were trained at one size."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(ge=1)  # pixels
    height: int = Field(ge=1)  # pixels
    count: int = Field(ge=0)  # pictures


class DatasetFolder(BaseModel):
    """A folder of training pictures."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str  # the folder's own name, no path: files are shared
    count: int = Field(ge=0)  # pictures
    repeats: int = Field(default=1, ge=1)  # visits of each picture an epoch


class LoraMetadata(BaseModel):
    """What is known of a finished training; `strings` is what safetensors holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    family: Family
    base_model: str  # name or hub id
    base_hash: str = ""  # sha256 of its weights, or the first digits of it
    prediction_type: Literal["epsilon", "v_prediction"] = "epsilon"

    trigger: str = ""
    tag_frequency: dict[str, int] = Field(default_factory=dict)  # tag → captions that have it
    folders: tuple[DatasetFolder, ...] = ()
    resolution: tuple[int, int] = (512, 512)  # width, height; pixels
    buckets: tuple[BucketCount, ...] = ()
    images: int = Field(default=0, ge=0)  # training pictures, without repeats
    validation_images: int = Field(default=0, ge=0)

    kind: Literal["lora", "loha", "lokr"] = "lora"
    rank: int = Field(ge=1)
    alpha: float = Field(gt=0)
    conv_rank: int = Field(default=0, ge=0)  # 0: 3×3 convolutions were left alone
    conv_alpha: float = Field(default=0.0, ge=0)
    dora: bool = False
    rslora: bool = False

    steps: int = Field(default=0, ge=0)  # optimizer updates in this checkpoint
    planned_steps: int = Field(default=0, ge=0)
    epochs: int = Field(default=0, ge=0)
    batch_size: int = Field(default=1, ge=1)  # pictures an update
    learning_rate: float = Field(default=0.0, ge=0)  # UNet
    text_learning_rate: float | None = None  # None: the text encoder was left alone
    optimizer: str = ""
    schedule: str = ""
    seed: int = Field(default=0, ge=0)
    clip_skip: int = Field(default=1, ge=1)  # 1: the last layer
    precision: str = ""  # of the computation, e.g. "bf16"
    min_snr_gamma: float | None = None
    noise_offset: float = 0.0
    started: float | None = None  # unix time, seconds
    finished: float | None = None  # unix time, seconds

    reason: str = ""  # why this checkpoint was chosen
    description: str = ""
    usage_hint: str = ""
    author: str = ""
    licence: str = ""
    thumbnail: str = ""  # data URL of a JPEG, see `thumbnail_url`
    config: dict[str, Any] = Field(default_factory=dict)  # the config that made the file

    def strings(self) -> dict[str, str]:
        """Key → text; what is not known is left out, never "None"."""
        values = {**self._kohya(), **self._modelspec(), **self._ours()}
        return {key: _text(value) for key, value in values.items() if value is not None and value != ""}

    def checkpoint_strings(self) -> dict[str, str]:
        """What a whole model's single file says of itself: the same without what only adapters have."""
        values = {**self._modelspec(), **self._ours()}
        values["modelspec.architecture"] = ARCHITECTURES[self.family, self.prediction_type]
        return {key: _text(value) for key, value in values.items() if value is not None and value != ""}

    def _kohya(self) -> dict[str, Any]:
        folder = f"{self.folders[0].repeats if self.folders else 1}_{self.trigger or self.title}"
        tags = {folder: self._tags()}
        buckets = {
            str(index): {"resolution": [bucket.width, bucket.height], "count": bucket.count}
            for index, bucket in enumerate(self.buckets)
        }
        bucket_info = {"buckets": buckets} if buckets else None
        return {
            "ss_output_name": self.title,
            "ss_base_model_version": BASE_VERSIONS[self.family] + self._v_suffix,
            "ss_v2": self.family == "sd2",
            "ss_sd_model_name": self.base_model,
            "ss_new_sd_model_hash": self.base_hash,
            "ss_network_module": NETWORK_MODULES[self.kind],
            "ss_network_dim": self.rank,
            "ss_network_alpha": self.alpha,
            "ss_network_args": self._network_args() or None,
            "ss_tag_frequency": tags,
            "ss_dataset_dirs": self._dirs(folder),
            "ss_datasets": [self._dataset(folder, tags, bucket_info)],
            "ss_bucket_info": bucket_info,
            "ss_enable_bucket": bool(buckets),
            "ss_resolution": f"({self.resolution[0]}, {self.resolution[1]})",
            "ss_num_train_images": sum(folder.count * folder.repeats for folder in self.folders) or self.images,
            "ss_num_validation_images": self.validation_images,
            "ss_steps": self.steps,
            "ss_max_train_steps": self.planned_steps or self.steps,
            "ss_epoch": self.epochs,
            "ss_num_epochs": self.epochs,
            "ss_total_batch_size": self.batch_size,
            "ss_learning_rate": self.learning_rate,
            "ss_unet_lr": self.learning_rate,
            "ss_text_encoder_lr": self.text_learning_rate,
            "ss_optimizer": self.optimizer,
            "ss_lr_scheduler": self.schedule,
            "ss_seed": self.seed,
            "ss_clip_skip": self.clip_skip,
            "ss_mixed_precision": self.precision,
            "ss_min_snr_gamma": self.min_snr_gamma,
            "ss_noise_offset": self.noise_offset or None,
            "ss_training_started_at": _clock(self.started),
            "ss_training_finished_at": _clock(self.finished),
            "ss_training_comment": self.reason,
        }

    @property
    def _v_suffix(self) -> str:
        return "_v" if self.family == "sd2" and self.prediction_type == "v_prediction" else ""

    def _tags(self) -> dict[str, int]:
        """The trigger stands in every caption, so it leads."""
        if not self.trigger:
            return self.tag_frequency
        most = max([self.images, *self.tag_frequency.values(), 1])
        return {self.trigger: most, **{tag: n for tag, n in self.tag_frequency.items() if tag != self.trigger}}

    def _dirs(self, folder: str) -> dict[str, Any]:
        if not self.folders:
            return {folder: {"n_repeats": 1, "img_count": self.images}}
        return {folder.name: {"n_repeats": folder.repeats, "img_count": folder.count} for folder in self.folders}

    def _dataset(self, folder: str, tags: dict[str, Any], bucket_info: dict[str, Any] | None) -> dict[str, Any]:
        subset = {
            "image_dir": self.folders[0].name if self.folders else folder,
            "img_count": self.images,
            "num_repeats": self.folders[0].repeats if self.folders else 1,
            "class_tokens": self.trigger or None,
        }
        return {
            "resolution": list(self.resolution),
            "batch_size_per_device": self.batch_size,
            "subsets": [subset],
            "tag_frequency": tags,
            "bucket_info": bucket_info,
        }

    def _network_args(self) -> dict[str, Any]:
        """What another program would need to train on, in sd-scripts' and LyCORIS' words."""
        arguments: dict[str, Any] = {}
        if self.conv_rank:
            arguments |= {"conv_dim": self.conv_rank, "conv_alpha": self.conv_alpha or self.conv_rank}
        if self.kind != "lora":
            arguments["algo"] = self.kind
        if self.dora:
            arguments |= {"dora_wd": True, "wd_on_output": True}
        return arguments

    def _modelspec(self) -> dict[str, Any]:
        date = None if self.finished is None else datetime.fromtimestamp(self.finished, timezone.utc)
        return {
            "modelspec.sai_model_spec": "1.0.1",
            "modelspec.architecture": f"{ARCHITECTURES[self.family, self.prediction_type]}/lora",
            "modelspec.implementation": (
                "https://github.com/Stability-AI/generative-models" if self.family == "sdxl" else "diffusers"
            ),
            "modelspec.title": self.title,
            "modelspec.resolution": f"{self.resolution[0]}x{self.resolution[1]}",
            "modelspec.description": self.description or self.reason,
            "modelspec.author": self.author,
            "modelspec.date": None if date is None else date.isoformat(timespec="seconds"),
            "modelspec.license": self.licence,
            "modelspec.usage_hint": self.usage_hint,
            "modelspec.thumbnail": self.thumbnail,
            "modelspec.tags": ", ".join(self._tags()),
            "modelspec.trigger_phrase": self.trigger,
            "modelspec.prediction_type": "v" if self.prediction_type == "v_prediction" else "epsilon",
            "modelspec.encoder_layer": self.clip_skip,
        }

    def _ours(self) -> dict[str, Any]:
        return {
            "modiste.version": VERSION,
            "modiste.reason": self.reason,
            "modiste.rslora": self.rslora or None,
            "modiste.config": self.config or None,
        }


def thumbnail_url(image: Image.Image, side: int = THUMBNAIL_SIDE) -> str:
    """A picture as a data URL, its longer side at most `side` pixels: what `modelspec.thumbnail` holds."""
    small = image.convert("RGB")
    small.thumbnail((side, side))
    data = io.BytesIO()
    small.save(data, "JPEG", quality=THUMBNAIL_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"


def _clock(seconds: float | None) -> str | None:
    """Always as many characters: the same training then leaves a file of the same size at any hour."""
    return None if seconds is None else f"{seconds:.6f}"


def _text(value: Any) -> str:
    """JSON for what has parts, Python's own word for the rest, as sd-scripts writes them ("True", "1e-04")."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
