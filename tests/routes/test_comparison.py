"""Base against tuned: right verdicts, honest intervals, and every figure from the pictures themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

import brand_studio
import pytest
from PIL import Image
from train_samples import tiny_base

from modiste.core.errors import InputError
from modiste.fashion.photos import Photo, gather_photos
from modiste.hosts.request import GenerationRequest, GenerationResult
from modiste.models.session import Session
from modiste.reports.comparison import ComparisonReport
from modiste.reports.comparison_page import render_verdict
from modiste.reports.prompt import Interval
from modiste.reports.verdict_sentences import filled, verdict_lines
from modiste.routes.compare.compare import compare
from modiste.routes.compare.pairs import ARMS
from modiste.routes.compare.settings import CompareSettings
from modiste.routes.compare.tuned import TunedModel, open_tuned, proof_photos
from modiste.routes.compare.verdict import verdict_of
from modiste.routes.pipeline.split import split_photos
from modiste.runs.journal import JournalError
from modiste.search.confirmation import mean_gain
from modiste.trainer.lora.file import write_lora
from modiste.trainer.lora.state import AdapterState, LoraModule

SIGNATURE = TunedModel(Path("signature.safetensors"), "lora", "0123456789abcdef", brand_studio.TRIGGER)


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> tuple[list[Photo], list[Photo]]:
    """Photos of the proof, photos of the training."""
    photos = gather_photos([brand_studio.brand_photos(tmp_path_factory.mktemp("brand") / "photos")]).photos
    split = split_photos(photos)
    return split.of(split.proof, photos), split.of(split.training, photos)


def compared(
    parts, out: Path, session: Session, seed: int = 0, tuned: TunedModel = SIGNATURE, **asked
) -> ComparisonReport:
    asked = {
        "confirm_seeds": 2,
        "choosing_seeds": 1,
        "strengths": (0.6, 1.0),
        "seed": seed,
        "same_seeds": True,
        **asked,
    }
    settings = CompareSettings.for_session(session, tuned, **asked)
    return compare(*parts, session, tuned, settings, out)


class Reseeded(brand_studio.BrandHost):
    """Its LoRA changes nothing, but draws as if on another seed: the same model, other luck."""

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationResult]:
        for request in requests:
            luck = request.seed ^ 0x5EED if request.loras else request.seed
            (result,) = super().generate([request.model_copy(update={"seed": luck, "loras": ()})])
            yield replace(result, request=request)


class Copier(brand_studio.BrandHost):
    """Its LoRA draws one training photo, whatever is asked for."""

    def __init__(self, photo: Photo):
        super().__init__()
        self.photo = photo

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationResult]:
        for result in super().generate(requests):
            yield replace(result, image=self.photo.image) if result.request.loras else result


# ── verdicts ──


def test_a_lora_that_has_learned_the_look_pays_and_the_look_is_what_it_brings(parts, tmp_path):
    report = compared(parts, tmp_path, brand_studio.session())
    verdict = report.verdict
    assert verdict.decision == "training" and verdict.words and verdict.look and not verdict.attributes
    assert verdict.strength == 1.0 and verdict.adherence == "kept" and verdict.leaks
    for over in ("base", "words"):
        assert all(report.gain("tuned", over, who).low > 0 for who in ("scorer", "judge"))
    assert verdict.next_steps[0] == "Use signature.safetensors at strength 1 and write “atelierx” before the garment."


def test_a_lora_without_a_trigger_is_drawn_once_where_two_arms_ask_for_the_same_and_no_trigger_is_spoken_of(
    parts, tmp_path
):
    few = parts[0][:2], parts[1]
    session, tuned = brand_studio.session(), replace(SIGNATURE, trigger="")
    report = compared(few, tmp_path / "with", session)
    with_trigger = session.host.drawn.copy()
    plain_session = brand_studio.session()
    plain = compared(few, tmp_path / "without", plain_session, tuned=tuned)
    requests = [request.model_dump_json() for request in plain_session.host.drawn]
    assert len(set(requests)) == len(requests) < len(with_trigger)
    assert {arm.name: arm.pictures for arm in plain.arms} == {arm.name: arm.pictures for arm in report.arms}
    said = [plain.verdict.sentence, *plain.verdict.next_steps]
    assert "trigger" in " ".join([report.verdict.sentence, *report.verdict.next_steps])
    assert not [text for text in said if "trigger" in text]
    page = render_verdict(plain, tmp_path / "without")
    assert "Tuned, no trigger" not in page and "Tuned, the best words" in page


def test_the_same_model_twice_changes_nothing_in_every_one_of_20_seeds(parts, tmp_path):
    session = brand_studio.session(learned=0.0)
    for seed in range(20):
        report = compared((parts[0][:3], []), tmp_path / str(seed), session, seed)
        assert report.verdict.decision == "changes nothing" and report.verdict.strength is None
        gain = report.gain("tuned", "base", "scorer")
        assert gain.mean == gain.low == gain.high == 0 and report.verdict.sentence.startswith("Both")


def test_the_same_model_on_other_luck_is_called_different_no_oftener_than_95_percent_intervals_may(parts, tmp_path):
    """Two of 20 and less: by chance alone more than that has a probability of 0.08."""
    session = replace(brand_studio.session(), host=Reseeded())
    found = [compared(parts, tmp_path / str(seed), session, seed).verdict.decision for seed in range(20)]
    assert sum(decision in ("no difference", "words", "worse than words") for decision in found) >= 18


def test_a_lora_that_harms_is_found_out(parts, tmp_path):
    report = compared(parts, tmp_path, brand_studio.session(learned=0.0, noise=60.0), confirm_seeds=6)
    assert report.verdict.decision == "worse than base" and report.verdict.strength is None
    assert "further from the photos" in report.verdict.sentence


def test_what_the_judge_does_not_see_does_not_count(parts, tmp_path):
    blind = brand_studio.session(judge=0.0)  # looks at the body alone
    report = compared(parts, tmp_path, blind)
    assert report.gain("tuned", "words", "scorer").low > 0
    assert report.verdict.decision == "no difference" and "not everything agrees" in report.verdict.sentence


def test_without_a_judge_the_verdict_says_so(parts, tmp_path):
    report = compared(parts, tmp_path, brand_studio.session(judge=None))
    assert (
        report.verdict.level == "one witness"
        and report.verdict.decision == "training"
        and not report.verdict.judged
        and report.judge is None
    )
    assert "no second opinion" in report.verdict.sentence and report.gain("tuned", "words", "judge") is None


def test_copies_of_training_photos_are_found_and_shown(parts, tmp_path):
    copied = parts[1][0]
    report = compared(parts, tmp_path, replace(brand_studio.session(), host=Copier(copied)))
    memory = report.memorisation
    assert memory.nearest == pytest.approx(1, abs=1e-3) and memory.photo_copy.endswith(f"{copied.sha256[:12]}.jpg")
    assert (tmp_path / memory.picture).is_file() and (tmp_path / memory.photo_copy).is_file()
    assert abs(report.diversity.tuned) < 1e-3 < report.diversity.base


def told(report: ComparisonReport, language: str = "en", **gains: tuple[float, float, float, float]):
    """The verdict and its sentences with other gains, points: `tuned_words=(score's low, high, judge's low, high)`."""
    intervals = {}
    for pair, ends in gains.items():
        arm, over = pair.split("_")
        for by, (low, high) in (("scorer", ends[:2]), ("judge", ends[2:])):
            intervals[arm, over, by] = Interval(mean=(low + high) / 200, low=low / 100, high=high / 100, n=6)
    changed = [
        gain.model_copy(update={"interval": intervals.get((gain.arm, gain.over, gain.by), gain.interval)})
        for gain in report.gains
    ]
    verdict = verdict_of(changed, judged=True, strength=1.0)
    changed_report = report.model_copy(update={"gains": changed, "verdict": verdict})
    return verdict, " ".join(filled(line, language, str) for line in verdict_lines(changed_report))


def test_a_proven_loss_is_never_left_out_of_the_sentence(parts, tmp_path):
    report = compared(parts, tmp_path, brand_studio.session())
    up, even = (12, 38, 10, 30), (-5, 6, -4, 5)
    verdict, sentence = told(report, tuned_words=(-40, -20, -35, -5), tuned_base=up, words_base=up)
    assert verdict.decision == "worse than words" and verdict.level == "proven" and len(verdict.losses) == 2
    assert "−30.0 points (−40.0 to −20.0) against the best words" in sentence and "+25.0 (+12.0 to +38.0)" in sentence
    verdict, sentence = told(report, tuned_words=even, tuned_base=(12, 38, -30, -4), words_base=even)
    assert verdict.decision == "no difference" and [loss.by for loss in verdict.losses] == ["judge"]
    assert "−17.0 (−30.0 to −4.0)" in sentence
    verdict, sentence = told(report, tuned_words=(12, 38, 10, 30), tuned_base=up, words_base=(-20, -2, -9, 9))
    assert verdict.decision == "training" and "Proven the other way: the best words against" in sentence
    verdict, sentence = told(report, tuned_words=even, tuned_base=even, words_base=(10, 20, -1, 9))
    assert verdict.decision == "words" and verdict.level == "likely" and "unsure: +4.0" in sentence
    for language in ("en", "zh-TW"):
        for pair in ("tuned_words", "tuned_base", "words_base"):
            gains = {"tuned_words": even, "tuned_base": even, "words_base": even, pair: (-20, -2, -9, 9)}
            assert "−11.0" in told(report, language, **gains)[1], "whatever is proven to be worse is said"


# ── figures ──


def test_every_figure_is_recomputed_from_the_pictures(parts, tmp_path):
    session = brand_studio.session(learned=0.7)
    report = compared(parts, tmp_path, session, confirm_seeds=3)
    seen, unclipped = {}, {}
    for who, scorer in (("scorer", session.vision.scorer), ("judge", session.vision.judge)):
        for photo, proof in zip(report.images, parts[0], strict=True):
            assert photo.image_sha256 == proof.sha256
            for arm, files in photo.pictures.items():
                pictures = [Image.open(tmp_path / file).convert("RGB") for file in files]
                similarities = scorer.score(pictures, proof.image)
                scores = [similarity.similarity_score for similarity in similarities]
                seen[who, arm, photo.garment] = scores
                unclipped[who, arm, photo.garment] = [similarity.unclipped for similarity in similarities]
                assert getattr(photo, "similarity" if who == "scorer" else who)[arm] == pytest.approx(
                    mean(scores), abs=2e-6
                )
    for gain in report.gains:
        if gain.by == "agreement":
            continue
        mine, theirs, garments = [], [], []
        for photo in report.images:
            scores = seen if gain.over == "name" else unclipped
            mine += scores[gain.by, gain.arm, photo.garment]
            theirs += scores[gain.by, gain.over, photo.garment]
            garments += [photo.garment] * 3
        differences = [a - b for a, b in zip(mine, theirs, strict=True)]
        if not any(differences):  # the same pictures
            assert gain.interval.low == gain.interval.high == 0
            continue
        expected = mean_gain(differences, garments)
        found = (gain.interval.mean, gain.interval.low, gain.interval.high, gain.interval.n)
        assert found == pytest.approx((expected.mean, expected.low, expected.high, len(report.images)), abs=5e-6)
    for arm in report.arms:
        assert arm.pictures == 3 * len(report.images)
        scores = [seen["scorer", arm.name, photo.garment] for photo in report.images]
        assert arm.similarity == pytest.approx(mean(map(mean, scores)), abs=2e-6)


def test_a_second_comparison_of_a_photo_decides_on_fresh_seeds_and_a_replay_on_the_same(parts, tmp_path, monkeypatch):
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    few = (parts[0][:3], [])

    def seeds(name: str, same_seeds: bool = False) -> dict[str, list[int]]:
        asked = {"same_seeds": same_seeds, "strengths": (1.0,)}
        return compared(few, tmp_path / name, brand_studio.session(), **asked).seeds

    first, second, again, replay = seeds("a"), seeds("b"), seeds("a"), seeds("c", same_seeds=True)
    assert first == again == replay
    assert not set(first["confirm"]) & set(second["confirm"]) and first["choose"] == second["choose"]
    assert len(set(first["confirm"])) == 6, "each photo has seeds of its own"
    from modiste.search.seeds import photo_seed_plan

    for index, photo in enumerate(few[0]):
        assert first["confirm"][index::3] == list(photo_seed_plan(0, photo.sha256, 0, 1, 2).confirm)


def test_a_photo_that_decided_on_a_prompt_gives_a_comparison_fresh_seeds(parts, tmp_path, monkeypatch):
    import paper_studio

    from modiste.fashion.photos import Gathered
    from modiste.routes.prompt.optimise import optimise_prompts

    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    settings = paper_studio.settings(8, same_seeds=False)
    report = optimise_prompts(Gathered(parts[0][:3]), paper_studio.session(), settings, tmp_path / "prompt")
    asked = {"same_seeds": False, "strengths": (1.0,)}
    seeds = compared((parts[0][:3], []), tmp_path / "compare", brand_studio.session(), **asked).seeds
    assert not set(report.seeds["confirm"]) & set(seeds["confirm"])


def test_all_ways_are_drawn_on_the_same_seeds_and_those_that_chose_the_strength_are_others(parts, tmp_path):
    session = brand_studio.session()
    report = compared(parts, tmp_path, session, confirm_seeds=3, choosing_seeds=2)
    assert not set(report.seeds["choose"]) & set(report.seeds["confirm"])
    drawn = {}
    for request in session.host.drawn:
        strength = request.loras[0].strength if request.loras else 0.0
        drawn.setdefault((request.prompt, strength), set()).add(request.seed)
    photos = len(report.images)
    for index, photo in enumerate(report.images):
        choose, confirm = (set(report.seeds[name][index::photos]) for name in ("choose", "confirm"))
        assert (len(choose), len(confirm)) == (2, 3)
        own, plain = photo.prompts["tuned"], photo.prompts["words"]
        assert drawn[own, 0.0] == drawn[own, 1.0] and drawn[own, 0.0] >= choose | confirm
        assert drawn[own, 0.6] >= choose and not drawn[own, 0.6] & set(report.seeds["confirm"])
        assert drawn[plain, 0.0] >= confirm <= drawn[plain, 1.0]
    assert len(report.strengths) == 3 and set(report.images[0].strengths) == {"0", "0.6", "1"}


def test_of_strengths_that_are_as_good_the_weakest_is_chosen(parts, tmp_path):
    report = compared(parts, tmp_path, brand_studio.session(learned=2.0), strengths=(0.4, 0.6, 0.8, 1.0))
    assert report.verdict.strength == 0.6  # the band is whole from a half on


# ── stopped, and refused ──


def test_a_comparison_stopped_after_any_picture_goes_on_and_reports_the_same(parts, tmp_path):
    whole = compared(parts, tmp_path / "whole", brand_studio.session())
    for stop in range(3, whole.pictures, 17):
        with pytest.raises(KeyboardInterrupt):
            compared(parts, tmp_path / str(stop), brand_studio.session(stop_after=stop))
        second = brand_studio.session()
        report = compared(parts, tmp_path / str(stop), second)
        assert len(second.host.drawn) == whole.pictures - stop
        assert report.model_dump(exclude={"created"}) == whole.model_dump(exclude={"created"})
    with pytest.raises(JournalError, match="tuned: "):
        compared(parts, tmp_path / "whole", brand_studio.session(), tuned=replace(SIGNATURE, identity="other"))


def test_photos_that_were_trained_on_are_not_compared_and_where_none_is_left_that_is_said(parts):
    proof, training = parts
    tuned = replace(SIGNATURE, trained_on=frozenset(photo.sha256 for photo in training))
    assert proof_photos([*training, *proof], tuned) == (proof, training)
    assert proof_photos(proof, SIGNATURE) == (proof, [])
    with pytest.raises(InputError, match="trained on all 15 photos"):
        proof_photos(training, tuned)


def test_a_tuned_file_is_known_by_its_weights_its_record_and_its_trigger(tmp_path):
    import torch

    weights = {"lora_up.weight": torch.ones(4, 1), "lora_down.weight": torch.ones(1, 4), "alpha": torch.tensor(1.0)}
    path = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    state = AdapterState("sd1", (LoraModule("unet", path, "lora", weights),))
    photos = brand_studio.brand_photos(tmp_path / "photos", 3)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_lora(state, tmp_path / name / "own.safetensors", {"modelspec.trigger_phrase": "vesper", "note": name})
    alone = open_tuned(tmp_path / "a" / "own.safetensors")
    assert alone.kind == "lora" and alone.trigger == "vesper" and alone.trained_on is None
    assert open_tuned(tmp_path / "b" / "own.safetensors").identity == alone.identity
    record = {
        "config": {"data": {"trigger": "other", "folders": [str(photos)]}},
        "photos": {"held_out": [str(photos / "piece-01.png")]},
    }
    (tmp_path / "b" / "train.json").write_text(json.dumps(record))
    known = open_tuned(tmp_path / "b" / "own.safetensors")
    assert known.trigger == "other" and len(known.trained_on) == 2
    assert open_tuned(tmp_path / "b" / "own.safetensors", "mine").trigger == "mine"
    assert open_tuned(tiny_base(tmp_path / "model")).kind == "model"
    for wrong in (tmp_path / "photos" / "piece-00.png", tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputError, match="tuned model is a LoRA"):
            open_tuned(wrong)


def test_a_whole_model_is_compared_without_strengths(parts, tmp_path):
    """Two local hosts, for real: the base beside a copy of it is the same model."""
    from modiste.hosts.local import LocalHost

    base = tiny_base(tmp_path / "base")
    session = brand_studio.session(base)
    session = replace(
        session, host=LocalHost(str(base), device="cpu"), preset=session.preset.replaced(sampler="Euler", steps="2")
    )
    tuned = open_tuned(base, brand_studio.TRIGGER)
    report = compared((parts[0][:2], []), tmp_path / "out", session, tuned=tuned, strengths=(0.5,), confirm_seeds=2)
    assert report.strengths == [] and report.seeds["choose"] == [] and report.memorisation is None
    assert report.verdict.decision == "changes nothing" and set(report.images[0].pictures) == set(ARMS)
    assert any("nobody" in note or "not known" in note for note in report.notes)
