"""A comparison's pictures → its report, figure by figure; and the verdict, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING

from .fashion.second_look import labels_of
from .prompt_report import calibration_of, copy_photo, interval_of
from .runs.report import Interval, Skipped
from .runs.verdict import (
    Arm,
    Comparison,
    Diversity,
    Gain,
    Memorisation,
    ProofPhoto,
    Strength,
    Training,
    Tuned,
    Verdict,
)
from .runs.verdict_lines import in_words
from .runs.verdict_text import words
from .search.confirmation import mean_gain
from .trainer.curve import running_mean
from .version import VERSION

if TYPE_CHECKING:
    import torch

    from . import comparison
    from .comparison import CompareSettings, PhotoPair, Witnessed
    from .easel import Picture
    from .fashion.photos import Photo, Skip
    from .fashion.scorer import Scorer
    from .fashion.tagger import Tagger
    from .runs.journal import Journal
    from .search.seeds import SeedPlan
    from .studio import Studio

COMPARED = (("words", "name"), ("tuned", "base"), ("tuned", "words"), ("tuned", "name"), ("tuned_words", "words"))
POINTS = 400  # of the loss curve in the report
KEPT = -0.1  # adherence that may go before it counts as lost
COPY = 1.0  # similarity: as like as a second photo of the same garment
FEW_GARMENTS = 3
SMALL_CHANGE = 0.02  # adherence; a gain beyond it is more than what tags name


@dataclass(frozen=True)
class Seen:
    """A picture as everybody sees it."""

    arm: str
    garment: str
    photo: int  # index of its pair
    picture: Picture
    judge: float | None
    shows: dict[str, bool]  # group → whether it shows the photo's labels
    embed: torch.Tensor | None  # None: the picture was unusable

    @property
    def adherence(self) -> float:
        """Share of the groups that it shows as the photo does."""
        return sum(self.shows.values()) / max(1, len(self.shows))

    def by(self, who: str, group: str | None = None) -> float:
        """Its score by the scorer, the judge or the tagger."""
        if who == "agreement":
            return self.adherence if group is None else float(self.shows[group])
        return self.picture.score.similarity if who == "scorer" else (self.judge or 0.0)


def report_of(
    pairs: Sequence[PhotoPair],
    training: Sequence[Photo],
    studio: Studio,
    tuned: comparison.Tuned,
    settings: CompareSettings,
    seeds: SeedPlan,
    strength: float | None,
    journal: Journal,
    skipped: Sequence[Skip],
) -> Comparison:
    """The report; copies each photo into the run's folder as it was read."""
    eyes, folder = studio.eyes, journal.folder
    seen = [one for index, pair in enumerate(pairs) for one in _seen(index, pair, eyes.tagger)]
    judged = eyes.judge is not None
    gains = _gains(seen, judged)
    arms = [_arm(name, seen, strength if name.startswith("tuned") else None, judged) for name in pairs[0].arms]
    memorisation = _memorisation(seen, pairs, training, eyes.scorer, folder) if training else None
    done = [record for record in journal.rows() if record.state == "done"]
    report = Comparison(
        version=VERSION,
        created=journal.created,
        preset=settings.preset,
        host=studio.host.describe().model_dump(mode="json", exclude={"samplers"}),
        settings=settings.model_dump(mode="json", exclude={"preset", "host", "checkpoint", "checkpoint_hash"}),
        seeds={"choose": list(seeds.search) if settings.strengths else [], "confirm": list(seeds.confirm)},
        calibration=calibration_of(eyes.scorer),
        judge=calibration_of(eyes.judge) if eyes.judge else None,
        tuned=_tuned(tuned),
        arms=arms,
        gains=gains,
        strengths=_strengths(pairs, judged),
        images=[_photo(index, pair, seen, folder) for index, pair in enumerate(pairs)],
        diversity=Diversity(
            tuned=_diversity([one for one in seen if one.arm == "tuned"], eyes.scorer),
            base=_diversity([one for one in seen if one.arm == "base"], eyes.scorer),
        ),
        memorisation=memorisation,
        verdict=_verdict(gains, judged, strength),
        pictures=len(done),
        elapsed_s=round(sum(record.elapsed_s or 0.0 for record in done), 3),
        notes=_notes(tuned, pairs),
        skipped=[Skipped(path=str(bad.path), code=bad.code, reason=bad.reason) for bad in skipped],
    )
    return in_words(report)


# ── looking ──


def _seen(index: int, pair: PhotoPair, tagger: Tagger) -> list[Seen]:
    """Every confirm picture of a photo, tagged again."""
    from PIL import Image

    groups, seen = list(dict.fromkeys(tag.group for tag in pair.tags.tags)), []
    for arm, witnessed in pair.arms.items():
        whole = [one for one in witnessed if one.picture.path is not None]
        looks = tagger.observe([Image.open(one.picture.path).convert("RGB") for one in whole])
        read = {
            one.picture.shot.seed: both
            for one, both in zip(whole, zip(looks, tagger.read(looks), strict=True), strict=True)
        }
        for one in witnessed:
            look, tags = read.get(one.picture.shot.seed, (None, None))
            shows = {g: tags is not None and labels_of(tags, g) >= labels_of(pair.tags, g) for g in groups}
            embed = None if look is None else look.embed
            seen.append(Seen(arm, pair.garment, index, one.picture, one.judge, shows, embed))
    return seen


# ── figures ──


def _arm(name: str, seen: Sequence[Seen], strength: float | None, judged: bool) -> Arm:
    mine = [one for one in seen if one.arm == name]
    groups = dict.fromkeys(group for one in mine for group in one.shows)
    return Arm(
        name=name,
        strength=strength,
        similarity=_mean([one.by("scorer") for one in mine]),
        judge=_mean([one.by("judge") for one in mine]) if judged else None,
        agreement={group: _mean([one.shows[group] for one in mine if group in one.shows]) for group in groups},
        adherence=_mean([one.adherence for one in mine]),
        spread=_mean([stdev(scores) if len(scores) > 1 else 0.0 for scores in _by_photo(mine)]),
        pictures=len(mine),
    )


def _by_photo(seen: Sequence[Seen]) -> list[list[float]]:
    photos: dict[int, list[float]] = {}
    for one in seen:
        photos.setdefault(one.photo, []).append(one.by("scorer"))
    return list(photos.values())


def _gains(seen: Sequence[Seen], judged: bool) -> list[Gain]:
    found = []
    for arm, over in COMPARED:
        for who in ("scorer", "judge", "agreement") if judged else ("scorer", "agreement"):
            found.append(Gain(arm=arm, over=over, by=who, interval=_paired(seen, arm, over, who)))
        for group in dict.fromkeys(group for one in seen for group in one.shows):
            interval = _paired(seen, arm, over, "agreement", group)
            found.append(Gain(arm=arm, over=over, by="agreement", group=group, interval=interval))
    return found


def _paired(seen: Sequence[Seen], arm: str, over: str, who: str, group: str | None = None) -> Interval:
    """Picture by picture: the same photo on the same seed; the garments are the witnesses."""
    asked = [one for one in seen if group is None or group in one.shows]
    theirs = {(one.photo, one.picture.shot.seed): one for one in asked if one.arm == over}
    mine = [one for one in asked if one.arm == arm]
    gains = [one.by(who, group) - theirs[one.photo, one.picture.shot.seed].by(who, group) for one in mine]
    if not any(gains):
        count = len({one.garment for one in mine})
        return Interval(mean=0.0, low=0.0, high=0.0, n=count)  # the same pictures, or the same tags in all of them
    return interval_of(mean_gain(gains, [one.garment for one in mine]))


def _strengths(pairs: Sequence[PhotoPair], judged: bool) -> list[Strength]:
    found = []
    for strength in pairs[0].strengths:
        seen = [one for pair in pairs for one in pair.strengths[strength]]
        judge = _mean([one.judge for one in seen]) if judged else None
        similarity = _mean([one.picture.score.similarity for one in seen])
        found.append(Strength(strength=strength, similarity=similarity, judge=judge))
    return found


def _diversity(seen: Sequence[Seen], scorer: Scorer) -> float:
    """Over the pairs of pictures of one photo's prompt."""
    import torch

    photos: dict[int, list[torch.Tensor]] = {}
    for one in seen:
        if one.embed is not None:
            photos.setdefault(one.photo, []).append(one.embed)
    apart = [
        1 - like.similarity_score
        for embeds in photos.values()
        for index, embed in enumerate(embeds[:-1])
        for like in scorer.compare(torch.stack(embeds[index + 1 :]), embed)
    ]
    return _mean(apart) if apart else 0.0


def _memorisation(
    seen: Sequence[Seen], pairs: Sequence[PhotoPair], training: Sequence[Photo], scorer: Scorer, folder: Path
) -> Memorisation:
    import torch

    known = scorer.encoder.embed_images([photo.image for photo in training])
    proof = scorer.encoder.embed_images([pair.photo.image for pair in pairs])

    def nearest(embeds: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """How like the nearest training photo each is, and which it is."""
        likes = [[like.unclipped for like in scorer.compare(embeds, one)] for one in known]
        return torch.tensor(likes).max(0)

    def of(arm: str) -> list[Seen]:
        return [one for one in seen if one.arm == arm and one.embed is not None]

    tuned, base = of("tuned"), of("base")
    likes, which = nearest(torch.stack([one.embed for one in tuned]))
    closest = int(likes.argmax())
    copies = [
        float(like) >= COPY and float(like) > one.picture.score.unclipped
        for like, one in zip(likes, tuned, strict=True)
    ]
    return Memorisation(
        training_photos=len(training),
        tuned=_mean(likes.tolist()),
        base=_mean(nearest(torch.stack([one.embed for one in base]))[0].tolist()),
        photos=_mean(nearest(proof)[0].tolist()),
        copies=_mean(copies),
        nearest=round(float(likes[closest]), 6),
        picture=tuned[closest].picture.path.relative_to(folder).as_posix(),
        photo_copy=copy_photo(training[int(which[closest])], folder),
    )


def _photo(index: int, pair: PhotoPair, seen: Sequence[Seen], folder: Path) -> ProofPhoto:
    def means(who: str) -> dict[str, float]:
        return {arm: _mean([one.by(who) for one in seen if one.photo == index and one.arm == arm]) for arm in pair.arms}

    return ProofPhoto(
        image=str(pair.photo.path),
        image_sha256=pair.photo.sha256,
        garment=pair.garment,
        photo_copy=copy_photo(pair.photo, folder),
        tags=[
            {"group": tag.group, "label": tag.label, "confidence": round(tag.confidence, 4)} for tag in pair.tags.tags
        ],
        prompts={arm: prompt.positive for arm, prompt in pair.prompts.items()},
        similarity=means("scorer"),
        judge={} if any(one.judge is None for one in seen) else means("judge"),
        pictures={arm: _files(pictures, folder) for arm, pictures in pair.arms.items()},
        strengths={f"{strength:g}": _files(pictures, folder) for strength, pictures in pair.strengths.items()},
    )


def _files(witnessed: Sequence[Witnessed], folder: Path) -> list[str]:
    return [one.picture.path.relative_to(folder).as_posix() for one in witnessed if one.picture.path is not None]


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 6)


# ── what is known ──


def _tuned(tuned: comparison.Tuned) -> Tuned:
    return Tuned(
        kind=tuned.kind,
        file=str(tuned.file),
        identity=tuned.identity,
        bytes=size_bytes(tuned.file),
        trigger=tuned.trigger,
        training=training_of(tuned.record) if tuned.record else None,
    )


def size_bytes(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def training_of(record: dict) -> Training:
    """What a train.json says of how the file was made, whichever engine made it."""
    losses = list(record.get("running_losses", {}).values())  # sd-scripts keeps no others
    if "losses" in record:
        losses = running_mean(record["losses"], max(1, len(record["losses"]) // 20))
    thin = max(1, -(-len(losses) // POINTS))
    gain = record.get("gain")
    return Training(
        photos=record["photos"]["training"],
        steps=record["steps"],
        best_step=record["best_step"],
        batch_size=record["plan"]["batch_size"],
        learning_rate=record["config"]["learning_rate"],
        gain=Interval(**{name: gain[name] for name in ("mean", "low", "high", "confidence", "n")}) if gain else None,
        reason=record["reason"],
        losses=[round(loss, 6) for loss in losses[::thin]],
        validation=[
            {"step": look["step"], **{name: round(look["gain"][name], 6) for name in ("mean", "low", "high")}}
            for look in record["validation"]
        ],
    )


def _notes(tuned: comparison.Tuned, pairs: Sequence[PhotoPair]) -> list[str]:
    notes = {
        "unknown_training": tuned.trained_on is None,
        "few_garments": len({pair.garment for pair in pairs}) < FEW_GARMENTS,
    }
    return [words(key, "en") for key, holds in notes.items() if holds]


# ── the verdict ──


def _verdict(gains: Sequence[Gain], judged: bool, strength: float | None) -> Verdict:
    """Training paid where the scorer's whole interval lies above 0 over words and over base, and the judge's mean does.

    The judge looks at other things and is less sure of a few garments: that it points the same way is asked, not that
    it proves the gain alone. Everything else differs only where its whole interval lies on one side of 0.
    """

    def of(arm: str, over: str, who: str, group: str | None = None) -> Interval:
        return next(g.interval for g in gains if (g.arm, g.over, g.by, g.group) == (arm, over, who, group))

    witnesses = ("scorer", "judge") if judged else ("scorer",)
    better = all(of("tuned", over, "scorer").low > 0 for over in ("words", "base"))
    better = better and all(of("tuned", "words", who).mean > 0 for who in witnesses)
    worse = all(of("tuned", "base", who).high < 0 for who in witnesses)
    groups = list(dict.fromkeys(gain.group for gain in gains if gain.group))
    plain = of("tuned_words", "words", "agreement")
    return Verdict(
        decision="training" if better else "worse" if worse else "no difference",
        words=all(of("words", "name", who).low > 0 for who in witnesses),
        judged=judged,
        strength=strength if better else None,
        attributes=[group for group in groups if of("tuned", "words", "agreement", group).low > 0],
        lost=[group for group in groups if of("tuned", "words", "agreement", group).high < 0],
        word_attributes=[group for group in groups if of("words", "name", "agreement", group).low > 0],
        look=better and of("tuned", "words", "agreement").mean <= of("tuned", "words", "scorer").mean - SMALL_CHANGE,
        adherence="lost" if plain.high < 0 and plain.mean < KEPT else "kept" if plain.low > KEPT else "unclear",
        leaks=of("tuned_words", "words", "scorer").low > 0,
        sentence="",
        cost="",
        next_steps=[],
    )
