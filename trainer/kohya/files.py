"""What sd-scripts reads: cut pictures with captions and masks, and TOML. All of it in the run's folder, none beside
the photos.

Pictures are cut as the own engine cuts them, and a dataset has one size, so that sd-scripts resizes nothing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...core.files import make_folder
from ..data.captions import caption_of

if TYPE_CHECKING:
    from PIL import Image

    from ..data.config import DataConfig
    from ..data.sample import Read, Sample

Group = tuple[Any, int, int]  # bucket, repeats, leading parts of a caption that stay in place


def write_photos(samples: Sequence[Sample], config: DataConfig, read: Read, folder: Path) -> dict[Group, Path]:
    """Writes every sample as ID.png and ID.txt into a folder of its group; the mask becomes the alpha channel.

    InputError for a file that changed since `samples` were read.
    """
    shutil.rmtree(folder, ignore_errors=True)
    masked = any(sample.mask for sample in samples)
    groups: dict[Group, Path] = {}
    for sample in samples:
        caption = caption_of(sample, config)
        group = (sample.bucket, sample.repeats, _kept(caption, sample, config))
        into = groups.setdefault(group, folder / f"{sample.bucket.width}x{sample.bucket.height}-{len(groups)}")
        make_folder(into)
        image = sample.crop.apply(_unchanged(read, sample.path, sample.sha256).convert("RGB"))
        if masked:
            image.putalpha(_mask(sample, read))
        image.save(into / f"{sample.id}.png", compress_level=1)
        (into / f"{sample.id}.txt").write_text(f"{caption}\n", encoding="utf-8")  # an empty file stops sd-scripts
    return groups


def datasets(groups: Mapping[Group, Path], config: DataConfig, batch: int, masked: bool) -> dict[str, Any]:
    """The dataset config: a dataset a size, a subset a group; `batch` pictures at once."""
    sizes = {bucket: [group for group in groups if group[0] == bucket] for bucket, _, _ in groups}
    return {
        "general": {
            "enable_bucket": False,
            "caption_extension": ".txt",
            "caption_separator": config.caption_separator,
            "caption_dropout_rate": config.caption_dropout,
            "shuffle_caption": config.shuffle_captions,
            "flip_aug": config.flip,
        },
        "datasets": [
            {
                "resolution": [bucket.width, bucket.height],
                "batch_size": batch,
                "subsets": [
                    {
                        "image_dir": str(groups[group]),
                        "num_repeats": group[1],
                        "keep_tokens": group[2],
                        "alpha_mask": masked,
                    }
                    for group in inside
                ],
            }
            for bucket, inside in sizes.items()
        ],
    }


def toml(table: Mapping[str, Any], path: str = "") -> str:
    """TOML of strings, numbers, booleans, lists of them, tables and lists of tables."""
    plain = {key: value for key, value in table.items() if not _is_table(value)}
    text = "".join(f"{key} = {_value(value)}\n" for key, value in plain.items())
    for key, value in table.items():
        if key in plain:
            continue
        name = f"{path}{key}"
        for inner in [value] if isinstance(value, Mapping) else value:
            heading = f"[{name}]" if isinstance(value, Mapping) else f"[[{name}]]"
            text += f"\n{heading}\n{toml(inner, f'{name}.')}"
    return text


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))


def _value(value: Any) -> str:
    """TOML's basic strings, numbers and booleans are JSON's, but for DEL."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")


def _kept(caption: str, sample: Sample, config: DataConfig) -> int:
    """Leading parts that shuffling leaves: the trigger is one more where it was put before the caption."""
    if not config.shuffle_captions:
        return 0
    first = caption.split(config.caption_separator)[0].strip()
    return config.keep_tokens + int(bool(config.trigger) and not sample.prior and first == config.trigger)


def _mask(sample: Sample, read: Read) -> Image.Image:
    from PIL import Image

    if sample.mask is None:
        return Image.new("L", (sample.bucket.width, sample.bucket.height), 255)
    return sample.crop.apply_to_mask(_unchanged(read, sample.mask.path, sample.mask.sha256).convert("L"))


def _unchanged(read: Read, path: Path, sha256: str) -> Image.Image:
    photo = read(path)
    if photo.sha256 != sha256:
        raise InputError("the file has changed since the data was read", where=str(path), to_try="start again")
    return photo.image
