"""`modiste calibrate`: the score's anchors, measured on one's own photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .choices import choose_preset
from .exit_codes import EXIT_OK, EXIT_SKIPS
from .option_groups import VisionOptions, with_option_groups
from .options import AsJson, Device, Photos, PresetName
from .terminal import Display, print_json, say

if TYPE_CHECKING:
    from ..fashion.user_calibration import UserCalibration


@with_option_groups
def calibrate(
    photos: Photos,
    *,
    preset: PresetName = None,
    models: VisionOptions,
    by: Annotated[
        str, typer.Option(help="What tells garments apart: auto | names (SKU-front, SKU-back) | folders.")
    ] = "auto",
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV with a column image and one a group: fits the confidences too.", show_default=False),
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Go back to the anchors from before.")] = False,
    device: Device = "auto",
    json: AsJson = False,
) -> int:
    """Measure what 0 and 100 of the score are on your own catalogue; used from then on with the same encoder."""
    from ..fashion.label_file import read_labels
    from ..fashion.user_calibration import forget_calibration, keep_calibration
    from ..models.vision import open_judge, open_tagger
    from ..routes.calibrate import measure_calibrations

    chosen = choose_preset(preset, needed=("encoder",), **models.as_fields())
    tagger, judge = open_tagger(chosen, device), open_judge(chosen, device)
    if forget:
        known = [(tagger.encoder.identity, "clip"), *([(judge.encoder.identity, "judge")] if judge else [])]
        forgotten = [forget_calibration(identity, role) for identity, role in known]
        say("the measured anchors are forgotten" if any(forgotten) else "none were measured")
        return EXIT_OK
    said = read_labels(labels, tagger.taxonomy) if labels else {}
    with Display(quiet=json) as display:
        calibrations, skipped = measure_calibrations(photos, tagger, judge, by, said, display)
    files = [keep_calibration(calibration) for calibration in calibrations]
    if json:
        print_json([entry.model_dump(mode="json", exclude={"mean"}) for entry in calibrations])
    else:
        for calibration, file in zip(calibrations, files, strict=True):
            print_calibration(calibration, file)
    for skip in skipped:
        say(f"skipped {skip.path}: {skip.code}, {skip.reason}")
    return EXIT_SKIPS if skipped else EXIT_OK


def print_calibration(calibration: UserCalibration, file: Path) -> None:
    """The anchors of one encoder, for people, on stdout."""
    role = {"clip": "score", "judge": "judge"}[calibration.role]
    print(f"{role}: {calibration.encoder}")
    print(f"    0 is another garment of its kind: {calibration.raw_zero:.3f}")
    print(f"  100 is the same garment again:      {calibration.raw_hundred:.3f} ({calibration.pairs} pairs)")
    print(f"  {calibration.note}")
    for group, temperature in calibration.temperatures.items():
        print(f"  temperature of {group}: {temperature:g}")
    print(f"  {file}")
