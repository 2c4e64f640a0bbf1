"""A run's files → the page's tables, pictures and texts for txt2img."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.state_files import json_object

Rows = list[list[Any]]

SHOWN = 8  # garments of a comparison


def tag_rows(photos: Sequence[Mapping[str, Any]]) -> Rows:
    """Rows of photo, group, label, confidence in percent; from `tag --json` or a report's photos."""
    return [
        [Path(photo["image"]).name, tag["group"], tag["label"], round(100 * tag["confidence"])]
        for photo in photos
        for tag in photo["tags"]
    ]


def result_rows(report: Mapping[str, Any]) -> Rows:
    """Rows of photo, strategy, similarity, the tagger-only baseline (both 0 … 100), whether the gain is proven."""
    return [
        [
            Path(photo["image"]).name,
            photo["strategy"],
            round(100 * photo["similarity_score"]),
            round(100 * photo["baseline_score"]),
            "✓" if photo["improved"] else "–",
        ]
        for photo in report["images"]
    ]


def gallery(report: Mapping[str, Any], out: Path) -> list[tuple[str, str]]:
    """(file, caption) of each photo and of its first picture by the recommended prompt."""
    shown = []
    for photo in report["images"]:
        name = Path(photo["image"]).name
        adopted = "winner" if photo["improved"] else "baseline"
        drawn = photo["pictures"].get(adopted) or photo["pictures"].get("baseline") or []
        for file, caption in [(photo["photo_copy"], name), *((picture, photo["strategy"]) for picture in drawn[:1])]:
            if (out / file).is_file():
                shown.append((str(out / file), caption))
    return shown


def infotexts(report: Mapping[str, Any], drawing: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Photo → the recommended prompt as A1111 reads it, with the run's drawing settings."""
    settings = ", ".join(f"{name}: {value}" for name, value in (drawing or {}).items())
    texts = {}
    for photo in report["images"]:
        negative = photo["negative_prompt"]
        lines = [photo["optimized_prompt"], f"Negative prompt: {negative}" if negative else "", settings]
        texts[Path(photo["image"]).name] = "\n".join(line for line in lines if line)
    return texts


def drawing_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Steps, Sampler, CFG scale and Size under A1111's names, those that the report has."""
    settings = report.get("settings") or {}
    named = {"Steps": "steps", "Sampler": "sampler", "CFG scale": "cfg_scale"}
    drawing = {name: settings[key] for name, key in named.items() if key in settings}
    if {"width", "height"} <= settings.keys() and not settings.get("aspect"):  # else each photo has its own
        drawing["Size"] = f"{settings['width']}x{settings['height']}"
    return drawing


def way_rows(report: Mapping[str, Any], label: Callable[[str], str]) -> Rows:
    """Rows of a comparison's report: arm, similarity, the judge's similarity, tags met, each 0 … 100."""
    return [
        [
            label(f"way_{arm['name']}"),
            round(100 * arm["similarity"]),
            "–" if arm["judge"] is None else round(100 * arm["judge"]),
            round(100 * arm["adherence"]),
        ]
        for arm in report["arms"]
    ]


def side_by_side(report: Mapping[str, Any], out: Path, label: Callable[[str], str]) -> list[tuple[str, str]]:
    """(file, caption) of held-out garments: the photo, the best words' picture, the tuned model's."""
    shown = []
    for photo in report["images"][:SHOWN]:
        cells = [(photo["photo_copy"], Path(photo["image"]).name)]
        for way in ("words", "tuned"):
            caption = f"{label(f'way_{way}')} {100 * photo['similarity'][way]:.0f}"
            cells += [(file, caption) for file in photo["pictures"].get(way, [])[:1]]
        shown += [(str(out / file), caption) for file, caption in cells if (out / file).is_file()]
    return shown


def read_report(out: Path) -> dict[str, Any] | None:
    """The run's report.json; None where there is none yet."""
    return read_json(out / "report.json")


def read_json(file: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is none that is whole."""
    try:
        return json_object(json.loads(file.read_bytes())) if file.is_file() else None
    except (OSError, ValueError, RecursionError):  # damaged, or half copied: as if there were none
        return None


def delivered_prompt(out: Path) -> str:
    """The prompt text of the LoRA that the run itself has copied into the WebUI's folder; empty where it has none."""
    delivered = read_json(out / "delivered.json")
    return str(delivered["prompt"]) if delivered and "prompt" in delivered else ""
