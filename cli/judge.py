"""`modiste judge`: which of many LoRA files to keep; or which step of a training, by its sample pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import InputError
from .choices import groups_of, open_chosen_session
from .exit_codes import EXIT_OK, EXIT_SKIPS
from .option_groups import HostOptions, ModelOptions, SamplingOptions, with_option_groups
from .options import AsJson, Device, LoraDir, PresetName, Seed, one_line
from .terminal import Display, print_json, say

if TYPE_CHECKING:
    from ..fashion.photos import Gathered
    from ..models.session import Session
    from ..reports.judging import JudgeReport


AlsoTuned = Annotated[
    list[Path] | None,
    typer.Option("--tuned", help="LoRA files or folders, one each time; beside the arguments.", show_default=False),
]
Catalogue = Annotated[
    list[Path] | None,
    typer.Option(help="Photos of the whole shop, to find the right garment among (R@1).", show_default=False),
]


@with_option_groups
def judge(
    tuned: Annotated[
        list[Path] | None,
        typer.Argument(help="LoRA files, or folders of them; not with --samples.", show_default=False),
    ] = None,
    *,
    photos: Annotated[
        list[Path], typer.Option(help="Photos of the brand, or a folder; repeat it.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder for the report, the pictures and the journal.")],
    also_tuned: AlsoTuned = None,
    samples: Annotated[
        Path | None,
        typer.Option(help="Judge the sample pictures of a training instead, without drawing any.", show_default=False),
    ] = None,
    catalogue: Catalogue = None,
    strengths: Annotated[str, typer.Option(help="Strengths to try, comma-separated.")] = "1",
    keep: Annotated[Path | None, typer.Option(help="Copy the best file there, if proven.", show_default=False)] = None,
    preset: PresetName = None,
    host: HostOptions,
    lora_dir: LoraDir = None,
    trigger: Annotated[str | None, one_line("Its word; without it what the files say.")] = None,
    bind: Annotated[
        str | None, typer.Option(help="Groups that prompts leave to the trigger, comma-separated.", show_default=False)
    ] = None,
    choosing_seeds: Annotated[int, typer.Option(help="Pictures a photo of each finalist.", min=1)] = 4,
    seeds: Annotated[int, typer.Option(help="Pictures a photo and way to draw, for the proof.", min=2, max=64)] = 4,
    seed: Seed = 0,
    sampling: SamplingOptions,
    models: ModelOptions,
    device: Device = "auto",
    json: AsJson = False,
) -> int:
    """Say which of many LoRA files to keep, proven on your photos; or which step, by a training's sample pictures."""
    from ..fashion.photos import gather_photos
    from ..reports.judging_page import write_judging
    from .print_results import print_judging

    tuned = [*(also_tuned or []), *(tuned or [])]
    _refuse_contradictions(tuned, samples, keep, catalogue)
    gathered, session = gather_photos(photos), open_chosen_session(preset, models, host, device, lora_dir)
    with Display(quiet=json) as display:
        if samples is not None:
            report = _by_samples(samples, gathered, session, out, display)
        else:
            fields = {
                "seed": seed,
                "strengths": _strengths(strengths),
                "choosing_seeds": choosing_seeds,
                "confirm_seeds": seeds,
                "bound": groups_of(bind, session.vision.taxonomy),
                **sampling.as_fields(),
            }
            report = _by_files(tuned, trigger, (gathered, catalogue), session, fields, out, display)
        write_judging(report, out, taxonomy=session.vision.taxonomy)
    _copy_best(report, keep)
    print_json(report.model_dump(mode="json")) if json else print_judging(report, out)
    return EXIT_SKIPS if report.skipped else EXIT_OK


def _copy_best(report: JudgeReport, target: Path | None) -> None:
    from ..routes.judge.keep import copy_best

    if target is None:
        return
    if report.verdict.decision != "keep":
        say(f"nothing was copied to {target}: no file is proven better than the base model")
    else:
        say(f"copied to {copy_best(report, target)}")


def _refuse_contradictions(
    tuned: list[Path] | None, samples: Path | None, keep: Path | None, catalogue: list[Path] | None
) -> None:
    if (samples is None) == (not tuned):
        raise InputError(
            "name LoRA files, or --samples FOLDER", to_try="modiste judge LORAS/ --photos BRAND/ --out DIR"
        )
    if samples is not None and keep is not None:
        raise InputError("--keep copies a LoRA file, and sample pictures are none", to_try="leave --keep out")
    if samples is not None and catalogue:
        raise InputError("--catalogue is for files: nobody knows which garment a sample shows", to_try="leave it out")
    if keep is not None and keep.is_file():
        raise InputError("the best file is not copied over another", where=str(keep), to_try="a name that is free")


def _by_samples(samples: Path, gathered: Gathered, session: Session, out: Path, display: Display) -> JudgeReport:
    from ..routes.judge.sample_names import read_samples
    from ..routes.judge.samples import judge_samples

    pictures = read_samples(samples)
    return judge_samples(gathered.photos, pictures, session.vision, session.preset.name, out, display, gathered.skipped)


def _by_files(
    tuned: list[Path],
    trigger: str | None,
    photos: tuple[Gathered, list[Path] | None],
    session: Session,
    fields: dict[str, Any],
    out: Path,
    display: Display,
) -> JudgeReport:
    from ..fashion.photos import gather_photos
    from ..routes.judge.candidates import open_candidates
    from ..routes.judge.files import judge_files
    from ..routes.judge.settings import JudgeSettings

    gathered, catalogue = photos
    candidates = open_candidates(tuned, trigger, any_model=True)
    settings = JudgeSettings.for_session(
        session, candidates, **fields, **({} if trigger is None else {"trigger": trigger})
    )
    shop = gather_photos(catalogue).photos if catalogue else ()
    return judge_files(gathered.photos, candidates, session, settings, out, display, gathered.skipped, shop)


def _strengths(text: str) -> tuple[float, ...]:
    try:
        strengths = tuple(dict.fromkeys(float(part) for part in text.split(",") if part.strip()))
    except ValueError:
        strengths = ()
    if not strengths or not all(0 < strength <= 4 for strength in strengths):
        raise InputError(f"strengths {text!r} are no numbers above 0 and up to 4", to_try="for example 0.6,0.8,1")
    return strengths
