"""What a judgement concludes from figures that are written by hand: corrections, advice, pairs of samples."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import brand_studio
import paper_studio
import pytest
from PIL import Image

from modiste.cli.judge import _copy_best
from modiste.core.errors import InputError
from modiste.fashion.calibration import Calibration
from modiste.fashion.photos import Photo, gather_photos
from modiste.fashion.prompts.renderers import Rendered
from modiste.fashion.scorer import Scorer
from modiste.fashion.tags import PhotoTags
from modiste.hosts.errors import LoraWithoutEffect
from modiste.reports.judging import JudgedRow, JudgeReport, JudgeVerdict
from modiste.routes.compare.pairs import JudgedPicture, PhotoPair
from modiste.routes.compare.tuned import TunedModel, open_tuned
from modiste.routes.evaluator import Candidate, Picture
from modiste.routes.judge.candidates import JudgedModel, fresh_photos
from modiste.routes.judge.copies import file_to_keep
from modiste.routes.judge.effect import same_pictures, set_aside
from modiste.routes.judge.files import _choose, _prove, arms_of
from modiste.routes.judge.files_report import _cost, _gain, _traits, _verdict
from modiste.routes.judge.keep import copy_best
from modiste.routes.judge.run import JudgeRun
from modiste.routes.judge.sample_names import TrainerSample, sample_of
from modiste.routes.judge.samples import ScoredSample, judge_samples, paired
from modiste.routes.judge.settings import JudgeSettings
from modiste.routes.judge.verdict import (
    Compared,
    Judged,
    advice_of,
    gains_of,
    level_among,
    verdict_of_samples,
    verdict_over_base,
)
from modiste.routes.report_parts import calibration_of
from modiste.runs.records import Score
from modiste.search.confirmation import PairedGain
from modiste.search.elimination import elimination_rounds
from modiste.search.seeds import seed_plan
from modiste.trainer.lora.file import read_tensors, write_tensors


def gain(mean: float, half: float = 0.01, p: float = 0.001) -> PairedGain:
    return PairedGain(mean, mean - half, mean + half, 8, p=p)


def compared(over: str, mean: float = 0.1, *, half: float = 0.01, p: float = 0.001, judge=(0.1, 0.01)) -> Compared:
    return Compared(over, over, gain(mean, half, p), gain(*judge) if judge else None)


def rows(count: int = 3, best: int = 0) -> list[JudgedRow]:
    return [
        JudgedRow(
            label=f"step {step}",
            file=f"{step}.safetensors",
            step=step,
            strength=0.8,
            standing="best" if step == best else "stopped",
            pictures=8,
            similarity=0.5,
            judge=0.5,
        )
        for step in range(count)
    ]


def judged(*comparisons: Compared, best: int = 0, garments: int = 8, chosen_from: int = 1) -> Judged:
    return Judged(rows(best=best), gains_of(comparisons, chosen_from), garments)


def test_two_comparisons_that_are_each_sure_at_three_per_cent_prove_neither_and_so_does_one_among_many():
    assert [item.adjusted_p for item in gains_of([compared("base", p=0.03), compared("next", p=0.03)])] == [0.06, 0.06]
    assert not any(item.proven for item in gains_of([compared("base", p=0.03), compared("next", p=0.03)]))
    assert gains_of([compared("last", p=0.03)])[0].proven
    among = gains_of([compared("last", p=0.03)], chosen_from=9)[0]
    assert among.adjusted_p == pytest.approx(0.27) and not among.proven
    assert gains_of([compared("last", p=0.4)], chosen_from=9)[0].adjusted_p == 1
    assert level_among(11) == pytest.approx(0.995) and level_among(2) == level_among(1) == 0.95


def test_a_gain_of_which_the_judge_proves_a_loss_is_not_proven():
    assert gains_of([compared("next", judge=(-0.005, 0.01))])[0].proven, "it may point the other way by chance"
    assert not gains_of([compared("next", judge=(-0.1, 0.01))])[0].proven
    assert not gains_of([compared("next", -0.1)])[0].proven
    assert gains_of([compared("next", judge=None)])[0].proven


@pytest.mark.parametrize(
    ("base", "decision", "level"),
    [
        (compared("base"), "keep", "proven"),
        (compared("base", judge=(0.005, 0.01)), "keep", "likely"),
        (compared("base", judge=None), "keep", "one witness"),
        (compared("base", p=0.06), "no gain", None),
        (compared("base", judge=(-0.005, 0.01)), "no gain", None),
        (compared("base", -0.1, judge=(-0.1, 0.01)), "worse than base", "proven"),
        (compared("base", -0.1, judge=(-0.005, 0.01)), "worse than base", "likely"),
        (compared("base", -0.1, judge=(0.1, 0.01)), "no gain", None),
        (compared("base", -0.1, p=0.06, judge=(-0.1, 0.01)), "no gain", None),
    ],
)
def test_a_file_is_kept_or_called_worse_by_the_corrected_score_and_a_judge_that_does_not_contradict(
    base, decision, level
):
    verdict = verdict_over_base(judged(base, best=1), identical=False)
    assert (verdict.decision, verdict.level) == (decision, level)
    assert (verdict.label, verdict.file, verdict.strength) == ("step 1", "1.safetensors", 0.8)
    same = verdict_over_base(judged(base, best=1), identical=True)
    assert (same.decision, same.level, same.advice) == ("changes nothing", "proven", [])


def test_going_on_and_stopping_are_advised_only_where_they_are_proven():
    base, unsure = compared("base"), dict(p=0.5, half=0.1)
    assert advice_of(judged(base, compared("next"), best=2)) == ["train on"]
    assert advice_of(judged(base, compared("next", **unsure), best=2)) == []
    assert advice_of(judged(base, compared("next"), compared("last"), best=1)) == ["stop here"]
    assert advice_of(judged(base, compared("next"), compared("last", **unsure), best=1)) == ["any of the last"]
    one = Judged(rows(1), gains_of([base]), 8)
    assert advice_of(one) == []


def test_few_garments_or_wide_intervals_ask_for_more_photos_and_a_wide_one_that_proves_does_not():
    assert advice_of(judged(compared("base"), garments=3)) == ["too little data"]
    assert advice_of(judged(compared("base"), garments=4)) == []
    assert "too little data" in advice_of(judged(compared("base", half=0.2, p=0.5)))
    assert advice_of(judged(compared("base", 0.3, half=0.2))) == []


def test_files_that_are_not_told_apart_are_called_no_difference():
    unsure = compared("next", p=0.5, half=0.1)
    assert verdict_over_base(judged(compared("base"), unsure, best=2), False).advice == ["no difference"]
    assert verdict_over_base(judged(compared("base"), compared("next"), best=2), False).advice == ["train on"]
    of_the_last = judged(compared("base"), unsure, compared("last", p=0.5, half=0.1), best=1)
    assert verdict_over_base(of_the_last, False).advice == ["any of the last"], "which says it already"
    assert verdict_over_base(judged(compared("base")), False).advice == [], "there is no other"


def test_a_step_by_its_samples_is_kept_only_where_it_is_told_from_the_last():
    assert verdict_of_samples(judged(compared("last"))).decision == "keep"
    assert verdict_of_samples(judged(compared("last", p=0.06))).decision == "no difference"
    assert verdict_of_samples(judged(compared("last", p=0.02), chosen_from=14)).decision == "no difference"
    assert verdict_of_samples(judged(compared("next", p=0.5), compared("last"), best=1)).decision == "keep"
    assert verdict_of_samples(judged()).decision == "first sight"


def sample(step: int, prompt: str | None, seed: int | None, score: float, judge: float | None = 0.5) -> ScoredSample:
    return ScoredSample(TrainerSample(Path(f"{step}"), "kohya", step, prompt=prompt, seed=seed), 0, score, judge)


def test_samples_are_paired_by_prompt_and_seed_whatever_their_order_and_never_by_their_place():
    early = [sample(1, "a", 1, 0.1), sample(1, "b", 2, 0.5), sample(1, "b", 3, 0.7)]
    late = [sample(2, "b", 3, 0.9), sample(2, "b", 2, 0.7), sample(2, "a", 1, 0.3), sample(2, "c", 1, 9.0)]
    over = paired(late, early, "score")
    assert over.mean == pytest.approx(0.2) and over.n == 2, "two prompts are two witnesses"
    other_seeds = [sample(2, "a", 7, 0.3), sample(2, "b", 8, 0.3)]
    assert paired(other_seeds, early, "score") is None
    nameless = [sample(1, None, None, 0.1), sample(1, None, None, 0.2)]
    assert nameless[0].pair is None and paired(nameless, nameless, "score") is None
    assert sample(1, None, 4, 0.1).pair == ("", 4) and sample(1, "a", None, 0.1).pair == ("a", -1)
    without = [sample(1, "a", 1, 0.1, None)]
    assert paired(late, without, "judge") is None and paired(late, without, "score").n == 1


def test_an_interval_among_many_candidates_is_wider_than_one_by_itself():
    early, late = ([sample(s, p, 1, s / 10 + i / 100 * s) for i, p in enumerate("abcd")] for s in (1, 2))
    alone, among = (paired(late, early, "score", confidence) for confidence in (0.95, level_among(11)))
    assert among.low < alone.low < alone.mean == among.mean


# ── rounds and proof, drawn on paper ──

CANDIDATES = ("first", "lucky", "steady", "final")


class Drawer:
    """Who draws a judgement's arms: a score by arm, photo and how often the photo was drawn before."""

    def __init__(self, score):
        self.score, self.drawn = score, []

    def draw(self, arm, name, prompt, blocks):
        self.drawn.append((arm.name if arm else None, name, prompt, list(blocks)))
        return [shot(self.score(arm.name if arm else "base", place), seed) for place, (_, seed) in enumerate(blocks)]


def shot(score: float, seed: int, path: Path | None = None) -> JudgedPicture:
    return JudgedPicture(Picture(Candidate("x", Rendered("x"), seed), path, Score(score, score, 0.0, 0.0), 0.0), None)


def judge_run(photos: int = 8, seeds: int = 1) -> JudgeRun:
    models = [
        JudgedModel(name, TunedModel(Path(f"{name}.safetensors"), "lora", name), step)
        for step, name in enumerate(CANDIDATES)
    ]
    pairs = [
        PhotoPair(Photo(Path(f"piece-{at:02d}.png"), None, f"{at}"), PhotoTags(tags=()), {}) for at in range(photos)
    ]
    plan = seed_plan(0, photos * seeds, photos * 2)
    return JudgeRun(None, None, pairs, plan, None, None, arms_of(models, (1.0,)))


def chosen(score, photos: int = 8) -> tuple[JudgeRun, Drawer]:
    run, drawer = judge_run(photos), Drawer(score)
    _choose(run, elimination_rounds(len(CANDIDATES), len(run.blocks)), drawer)
    return run, drawer


def falling(name: str, place: int) -> float:
    """`lucky` begins third and has the highest mean; those that go on fall back; `final` is last, and unsteady."""
    early = {"first": 1.0, "steady": 0.9, "lucky": 0.8, "final": 0.1}[name]
    later = {"first": 0.4, "steady": 0.3, "lucky": 0.8, "final": 0.7 * (place % 2)}[name]
    return early if place == 0 else later


def test_the_best_is_the_last_one_left_and_not_the_highest_mean_of_few_pictures():
    run, _ = chosen(falling)
    assert run.roles == {"best": "first", "next": "steady", "last": "final"}
    assert len(run.drawn["lucky"]) == 1 and run.standings["lucky"] == "stopped"


def test_the_last_file_goes_on_with_the_better_half_however_far_behind_while_it_is_not_proven_worse():
    run, _ = chosen(falling)
    assert len(run.drawn["final"]) == len(run.drawn["first"]) == 8 and run.standings["final"] == "finalist"
    ahead, _ = chosen(lambda name, place: {"final": 0.9, "first": 0.8}.get(name, 0.1) + 0.01 * place)
    assert ahead.roles == {"best": "final", "next": "first"}, "the last is the best, and has no role beside"


def test_behind_the_best_come_those_that_stopped_and_then_by_their_distance_those_that_are_proven_worse():
    level = {"first": 0.9, "lucky": 0.3, "steady": 0.6, "final": 0.1}
    run, _ = chosen(lambda name, place: level[name] + 0.001 * place * level[name], photos=32)
    assert [run.standings[name] for name in CANDIDATES] == ["best", "eliminated", "eliminated", "eliminated"]
    assert run.roles == {"best": "first", "next": "steady", "last": "final"} and len(run.drawn["steady"]) == 4


def test_where_every_file_changes_nothing_that_is_the_verdict():
    run = judge_run()
    run.without_effect = dict.fromkeys(CANDIDATES, "its picture is the base model's")
    verdict = _verdict(run, Judged(rows(), [], 8))
    assert (verdict.decision, verdict.level, verdict.label) == ("changes nothing", "proven", "step 0")


def test_a_file_that_the_host_finds_without_effect_is_set_aside_with_the_hosts_reason():
    def deliver(arm) -> None:
        if arm.name == "lucky":
            raise LoraWithoutEffect("no module fits", where="the server")

    run = judge_run()
    run.session = SimpleNamespace(host=SimpleNamespace(describe=lambda: SimpleNamespace(kind="webui")))
    set_aside(run, SimpleNamespace(deliver=deliver))
    assert run.without_effect == {"lucky": "no module fits"} and run.standings == {"lucky": "changes nothing"}
    assert [arm.name for arm in run.racing] == ["first", "steady", "final"] and run.drawn == {"lucky": []}


def test_every_candidate_is_drawn_on_the_first_blocks_and_a_block_has_a_seed_of_its_own():
    run, drawer = chosen(falling)
    assert run.blocks == [(place, seed) for place, seed in enumerate(run.seeds.search)]
    assert len({seed for _, seed in run.blocks}) == 8
    assert all(blocks == run.blocks[: len(blocks)] and prompt == "tuned" for *_, prompt, blocks in drawer.drawn)


def test_what_proves_is_drawn_on_seeds_that_chose_nothing_by_base_best_next_last_and_without_the_trigger():
    run, _ = chosen(falling)
    drawer = Drawer(lambda name, place: 0.5)
    _prove(run, drawer)
    drawn = {name: (arm, prompt) for arm, name, prompt, _ in drawer.drawn}
    assert drawn == {
        "proof base": (None, "base"),
        "proof words": (None, "words"),
        "proof first": ("first", "tuned"),
        "proof steady": ("steady", "tuned"),
        "proof final": ("final", "tuned"),
        "proof best words": ("first", "tuned_words"),
    }
    assert all(blocks == run.proof_blocks and len(blocks) == 16 for *_, blocks in drawer.drawn)
    assert not {seed for _, seed in run.proof_blocks} & {seed for _, seed in run.blocks}
    assert run.proof.keys() == {"base", "words", "best", "next", "last", "best_words"}


def test_every_file_is_a_candidate_at_every_strength():
    models = [arm.model for arm in judge_run().arms][:2]
    arms = arms_of(models, (0.5, 1.0))
    assert [(arm.model.label, arm.strength) for arm in arms] == [
        ("first", 0.5),
        ("first", 1.0),
        ("lucky", 0.5),
        ("lucky", 1.0),
    ]
    assert [arm.name for arm in arms][:2] == ["first at 0.5", "first at 1"]


def test_the_trigger_is_the_one_that_is_given_else_that_of_the_files():
    models, opened = [arm.model for arm in judge_run().arms], brand_studio.session()
    models[1] = replace(models[1], tuned=replace(models[1].tuned, trigger="vesper"))
    assert JudgeSettings.for_session(opened, models).trigger == "vesper"
    assert JudgeSettings.for_session(opened, models, trigger="other").trigger == "other"
    assert JudgeSettings.for_session(opened, models).candidates == {name: name for name in CANDIDATES}


# ── what the best one costs ──


@pytest.fixture
def priced(tmp_path) -> JudgeRun:
    """Two photos; the best file draws them as they are, twice the same, and without the trigger in another colour."""
    gathered = gather_photos([brand_studio.brand_photos(tmp_path / "photos", 2)]).photos
    opened = brand_studio.session()
    second_photos = Scorer(brand_studio.BrandEyes(), Calibration("bundled", 0.4, 0.99, 0.4, 0.99, 10))
    opened = replace(opened, vision=replace(opened.vision, scorer=second_photos))
    tags = opened.vision.tagger.tag([photo.image for photo in gathered])
    plan = seed_plan(0, 2, 4)
    pairs = [PhotoPair(photo, tag, {}) for photo, tag in zip(gathered, tags, strict=True)]
    run = JudgeRun(opened, None, pairs, plan, None, None, [])
    colours = list(paper_studio.COLOURS.values())

    def drawn(role: str, shift: int, noise: float) -> list[JudgedPicture]:
        shots = []
        for photo, seed in run.proof_blocks:
            picture = brand_studio.band(
                paper_studio.paint(colours[(photo + shift) % 3], photo % 2 == 0, noise, seed % 1000), 1.0
            )
            picture.save(tmp_path / f"{role}-{seed}.png")
            shots.append(shot(0.5, seed, tmp_path / f"{role}-{seed}.png"))
        return shots

    run.proof = {
        "base": drawn("base", 0, 40),
        "words": drawn("words", 0, 0),
        "best": drawn("best", 0, 0),
        "best_words": drawn("best_words", 1, 0),
    }
    return run


def test_the_cost_is_what_is_drawn_without_the_trigger_and_how_alike_the_pictures_are(priced):
    cost = _cost(priced, ())
    assert cost.base_adherence == 1 and cost.adherence < 1 and cost.copies is None
    assert cost.adherence_change.mean == pytest.approx(cost.adherence - 1) and cost.adherence_change.n == 2
    assert cost.diversity < 0.01 < cost.base_diversity


def test_copies_are_pictures_liker_to_a_photo_that_was_trained_on_than_to_their_own(priced):
    photos = [pair.photo for pair in priced.pairs]
    assert _cost(priced, photos[:1]).copies == 0.5, "half of the pictures are of the other garment"
    assert _cost(priced, photos).copies == 1
    near = [shot(9.0, item.picture.candidate.seed, item.picture.path) for item in priced.proof["best"]]
    priced.proof["best"] = near
    assert _cost(priced, photos).copies == 0, "they are liker still to the photo that they were drawn for"


def test_photos_that_a_candidate_was_trained_on_prove_nothing_and_are_told_apart():
    models = [arm.model for arm in judge_run().arms]
    photos = [pair.photo for pair in judge_run(4).pairs]
    assert fresh_photos(photos, models) == (photos, []), "nobody knows what these were trained on"
    models[2] = replace(models[2], tuned=replace(models[2].tuned, trained_on=frozenset({"1", "3", "77"})))
    assert fresh_photos(photos, models) == ([photos[0], photos[2]], [photos[1], photos[3]])
    models[0] = replace(models[0], tuned=replace(models[0].tuned, trained_on=frozenset({"0", "2"})))
    with pytest.raises(InputError, match="trained on all 4 photos"):
        fresh_photos(photos, models)


def test_a_file_that_a_training_kept_on_its_way_knows_what_it_was_trained_on(tmp_path):
    (tmp_path / "steps").mkdir()
    for name in ("final.safetensors", "steps/final-step00000060.safetensors", "elsewhere.safetensors"):
        brand_studio.lora_file(tmp_path / name, 1)
    photos = brand_studio.brand_photos(tmp_path / "photos", 2)
    data = {"trigger": "vesper", "folders": [str(photos)]}
    record = {"config": {"data": data}, "photos": {"held_out": [str(photos / "piece-00.png")]}}
    (tmp_path / "train.json").write_text(json.dumps(record), encoding="utf-8")
    final, kept = (
        open_tuned(tmp_path / name) for name in ("final.safetensors", "steps/final-step00000060.safetensors")
    )
    assert kept.trained_on == final.trained_on and len(kept.trained_on) == 1 and kept.trigger == "vesper"


# ── its pictures ──


def test_gains_are_paired_block_by_block_over_garments():
    levels, garments = [0.1, 0.2, 0.8, 0.9], ["a", "a", "b", "b"]
    theirs = [shot(level, at) for at, level in enumerate(levels)]
    ours = [shot(level + 0.1 + at / 1000, at) for at, level in enumerate(levels)]
    over = _gain(ours, theirs, garments, "scorer")
    assert over.mean == pytest.approx(0.1015) and over.n == 2 and over.high - over.low < 0.05
    assert _gain(ours, theirs, garments, "scorer", 0.99).low < over.low
    assert _gain(ours, theirs, garments, "judge") is None, "nobody judged them"
    opinions = [replace(item, judge=Score(0.5, at / 10, 0.0, 0.0)) for at, item in enumerate(ours)]
    assert _gain(opinions, opinions[::-1], garments, "judge").mean == pytest.approx(0)


def test_traits_of_best_next_and_last_are_those_of_the_proof_and_of_the_others_of_what_they_drew():
    run, _ = chosen(falling)
    _prove(run, Drawer(lambda name, place: 0.5))
    reader = SimpleNamespace(of=lambda blocks, shots: (list(blocks), list(shots)))
    arms = {arm.name: arm for arm in run.arms}
    for role in ("best", "next", "last"):
        assert _traits(run, arms[run.roles[role]], reader) == (run.proof_blocks, run.proof[role])
    assert _traits(run, arms["lucky"], reader) == (run.blocks[:1], run.drawn["lucky"])


def test_two_arms_draw_the_same_only_where_every_pixel_of_every_picture_is(tmp_path):
    for name, colour in (("red", "red"), ("again", "red"), ("blue", "blue")):
        Image.new("RGB", (8, 8), colour).save(tmp_path / f"{name}.png")
    red, again, blue = (shot(0.5, 1, tmp_path / f"{name}.png") for name in ("red", "again", "blue"))
    assert same_pictures([red, blue], [again, blue]) and not same_pictures([red, red], [again, blue])


def samples_of(folder: Path, pictures: dict[str, Image.Image]) -> list[TrainerSample]:
    folder.mkdir()
    for name, picture in pictures.items():
        picture.save(folder / name)
    return [sample_of(folder / name) for name in pictures]


def test_samples_that_are_copies_of_the_photos_are_counted_and_a_table_says_which_photo_is_meant(tmp_path):
    gathered = gather_photos([brand_studio.brand_photos(tmp_path / "photos", 2)]).photos
    opened = brand_studio.session()
    second_photos = Scorer(brand_studio.BrandEyes(), Calibration("bundled", 0.4, 0.99, 0.4, 0.99, 10))
    vision = replace(opened.vision, scorer=second_photos)
    first, second = (photo.image for photo in gathered)
    plain = paper_studio.paint(paper_studio.COLOURS["blue"], False, 4, 0)
    pictures = {"step-000001-0.png": plain, "step-000001-1.png": plain}
    pictures |= {"step-000002-0.png": first, "step-000002-1.png": second, "step-000002-2.png": plain}
    samples = samples_of(tmp_path / "samples", pictures)
    report = judge_samples(gathered, samples, vision, "mini", tmp_path / "out")
    assert report.verdict.label == "step 2" and report.cost.copies == pytest.approx(2 / 3, abs=1e-5)
    meant = [replace(sample, photo=f"piece-0{1 - int(sample.prompt == '1')}.png") for sample in samples]
    other = judge_samples(gathered, meant, vision, "mini", tmp_path / "other")
    assert other.cost.copies == 0, "each is compared with the photo that is named, which is another one"
    lost = [replace(samples[0], photo="elsewhere.png"), *samples[1:]]
    with pytest.raises(InputError, match="not among those that were given"):
        judge_samples(gathered, lost, vision, "mini", tmp_path / "lost")


# ── the copy ──


def report_with(decision: str, **fields) -> JudgeReport:
    calibration = calibration_of(brand_studio.session().vision.scorer)
    verdict = JudgeVerdict(decision=decision, label="step 1", file="1.safetensors", sentence="Step 1 it is.")
    common = dict(version="0", created="2026", kind="files", preset="mini", scorer_judge=None, references=[])
    return JudgeReport(
        **common, calibration=calibration, rows=rows(), verdict=verdict, pictures=1, full_grid=1, **fields
    )


def test_a_copy_of_a_file_without_a_description_has_the_verdict_and_the_strength_alone(tmp_path):
    source = brand_studio.lora_file(tmp_path / "1.safetensors", 1)
    tensors, _ = read_tensors(source)
    write_tensors(tensors, tmp_path / "bare.safetensors", {})
    report = report_with("keep")
    update = {"file": str(tmp_path / "bare.safetensors"), "strength": 0.8}
    report = report.model_copy(update={"verdict": report.verdict.model_copy(update=update)})
    copied = copy_best(report, tmp_path / "kept")
    assert copied == tmp_path / "kept" / "bare.safetensors"
    assert read_tensors(copied)[1]["modelspec.description"] == "Step 1 it is. Strength 0.8."


@pytest.mark.parametrize("decision", ["no gain", "worse than base", "changes nothing"])
def test_what_is_not_proven_is_not_copied_and_not_left_in_a_servers_folder(tmp_path, capsys, decision):
    _copy_best(report_with(decision), tmp_path / "best.safetensors")
    assert not list(tmp_path.iterdir()) and "nothing was copied" in capsys.readouterr().err
    assert file_to_keep(report_with(decision).verdict) is None
    assert file_to_keep(report_with("keep").verdict) == Path("1.safetensors")
