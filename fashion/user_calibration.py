"""Calibrations that the user measured, kept in MODISTE_HOME by the encoder's identity, framing among it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from ..core.disk import writing
from ..core.files import make_folder, write_whole
from ..core.home import modiste_home
from ..core.state_files import read_state
from .calibration import Calibration, Role

if TYPE_CHECKING:
    from .encoders.protocol import EncoderIdentity

AGAIN = "measure again: modiste calibrate FOLDER"


class UserCalibration(BaseModel):
    """Anchors of one encoder on the user's own catalogue, and its temperatures where labels were given."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    version: Literal[1] = 1
    encoder: str  # EncoderIdentity.key
    role: Role
    date: str  # YYYY-MM-DD
    photos: int
    garments: int
    pairs: int  # of one garment
    from_altered: bool  # the 100 is of altered copies of single photos
    zero: float
    hundred: float
    raw_zero: float
    raw_hundred: float
    mean: tuple[float, ...]
    temperatures: dict[str, float] = {}

    @property
    def note(self) -> str:
        """`measured on your 84 garments, 2026-11-29`."""
        measured = f"measured on your {self.garments} garments, {self.date}"
        if self.from_altered:
            measured += "; its 100 is from altered copies of single photos, so scores come out too low"
        return measured

    def as_calibration(self) -> Calibration:
        """The anchors as the scorer takes them."""
        import torch

        anchors = (self.zero, self.hundred, self.raw_zero, self.raw_hundred, self.pairs)
        return Calibration("catalogue", *anchors, note=self.note, mean=torch.tensor(self.mean))


def calibration_file(encoder: str, role: Role) -> Path:
    """Where the calibration of an encoder's key lies, whether there is one or not."""
    name = re.sub(r"[^\w.-]+", "_", encoder.partition("@")[0])[-60:]
    digest = hashlib.sha256(encoder.encode()).hexdigest()[:12]
    return modiste_home() / "calibrations" / f"{name}-{role}-{digest}.json"


def user_calibration(identity: EncoderIdentity, role: Role) -> UserCalibration | None:
    """What the user measured for an encoder; None where that was never done. DamagedFile for a broken file."""
    file = calibration_file(identity.key, role)
    return read_state(file, UserCalibration.model_validate, AGAIN) if file.is_file() else None


def keep_calibration(calibration: UserCalibration) -> Path:
    """Writes a calibration in place of an earlier one of the same encoder; the file."""
    file = calibration_file(calibration.encoder, calibration.role)
    with writing(file):
        make_folder(file.parent)
        write_whole(file, (calibration.model_dump_json(indent=1) + "\n").encode())
    return file


def forget_calibration(identity: EncoderIdentity, role: Role) -> bool:
    """Removes a calibration; whether there was one."""
    file = calibration_file(identity.key, role)
    existed = file.is_file()
    file.unlink(missing_ok=True)
    return existed
