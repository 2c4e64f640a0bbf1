"""The anchors of the score: 0 is another garment of its kind, 100 a second photo of the same garment.

score = (z − zero) / (hundred − zero)        z: cosine after both embeddings are centred by a catalogue's mean
zero     median z of pairs of one category, different garments
hundred  median z of two photos of one garment
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..core.errors import InputError

if TYPE_CHECKING:
    import torch

    from .encoders.protocol import EncoderIdentity

Role = Literal["clip", "judge"]
ANCHORS, MEANS = "calibration.json", "calibration.safetensors"

# Raw cosines where no catalogue was measured. Two real photos of one subject have a median CLIP-I of .885 and a DINO
# of .774 (Ruiz et al., "DreamBooth", CVPR 2023, table 1). The zeros are assumed: above unrelated things (CLIP: .67).
GENERIC = {"clip": (0.75, 0.885), "judge": (0.45, 0.774)}


@dataclass(frozen=True)
class Calibration:
    """The anchors of one encoder. `mean` is the catalogue's mean embedding [D]; None: cosines stay uncentred."""

    kind: Literal["bundled", "catalogue", "generic"]
    zero: float
    hundred: float
    raw_zero: float  # the same anchors as raw cosines, for reports
    raw_hundred: float
    pairs: int = 0
    note: str = ""
    mean: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if not self.zero < self.hundred:
            raise InputError(
                f"a calibration whose 0 ({self.zero:.3f}) is not below its 100 ({self.hundred:.3f}) can't tell "
                "garments apart",
                to_try="calibrate on more photos, or with another encoder",
            )

    @property
    def key(self) -> str:
        """Eight hex digits that change with the anchors or the mean."""
        values = [self.zero, self.hundred, *([] if self.mean is None else self.mean.tolist())]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:8]

    @classmethod
    def bundled(cls, folder: str | Path, role: Role) -> Calibration:
        """The anchors in a preset's folder."""
        from safetensors.torch import load_file

        folder = Path(folder)
        anchors = json.loads((folder / ANCHORS).read_text(encoding="utf-8"))[role]
        return cls(
            kind="bundled",
            zero=anchors["same_category"],
            hundred=anchors["same_garment"],
            raw_zero=anchors["raw"]["same_category"],
            raw_hundred=anchors["raw"]["same_garment"],
            pairs=anchors["pairs"],
            mean=load_file(folder / MEANS)[f"{role}.mean"],
        )

    @classmethod
    def generic(cls, identity: EncoderIdentity, role: Role = "clip") -> Calibration:
        """Anchors from the literature: good for comparing prompts, not for an absolute claim."""
        zero, hundred = GENERIC[role]
        note = f"no catalogue was measured for {identity.id}; compare these scores with each other only"
        return cls("generic", zero, hundred, zero, hundred, note=note)


def load_temperatures(folder: str | Path | None) -> dict[str, float]:
    """Each group id → its temperature, from a preset's folder; empty without a folder."""
    if folder is None:
        return {}
    return dict(json.loads((Path(folder) / ANCHORS).read_text(encoding="utf-8"))["temperatures"])
