"""Whole simulated runs: what a run reports holds, and each rule that made it untrue is caught when it is put back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from modiste.bench import proof
from modiste.search import run_simulation
from modiste.search.confirmation import PairedGain
from modiste.search.multiple_testing import intention_to_treat
from modiste.search.run_simulation import (
    BASELINE,
    EFFECTS,
    PhotoRun,
    PhotoTruth,
    RunSetting,
    figures_of,
    simulate_run,
    simulate_runs,
)
from modiste.search.trials import TrialKey

RUNS = 4


@pytest.fixture(scope="module")
def runs():
    """Of each effect, a few whole runs."""
    rng = np.random.default_rng(7)
    return {
        name: [simulate_run(RunSetting(effect), rng, seed) for seed in range(RUNS)] for name, effect in EFFECTS.items()
    }


def test_intervals_hold_the_truth_and_the_reported_mean_is_not_flattered(runs):
    for found in runs.values():
        photos = [photo for run in found for photo in run]
        true = [photo.truth.gain(photo.candidate) for photo in photos]
        tested = [(p.gain, gain) for p, gain in zip(photos, true, strict=True) if p.candidate != BASELINE]
        share = np.mean([gain.low <= truth <= gain.high for gain, truth in tested])
        assert share == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / len(tested)) ** 0.5)
        missed = np.array([photo.gain.mean - gain for photo, gain in zip(photos, true, strict=True)])
        assert abs(missed.mean()) < 3 * missed.std() / len(missed) ** 0.5 < 0.015


def test_reporting_only_what_was_adopted_would_flatter(runs):
    """The rule that is gone: the mean of the winners' gains where they won, 0 elsewhere."""
    photos = [photo for run in runs["null"] for photo in run]
    adopted = np.mean([photo.gain.mean if photo.gain.improved else 0.0 for photo in photos])
    improved = [photo.gain.mean for photo in photos if photo.gain.improved]
    assert adopted > 0 and np.mean(improved) > 0.01  # the truth is 0
    kept = intention_to_treat([photo.gain for photo in photos])
    assert kept.low <= 0 <= kept.high


def test_a_run_without_any_effect_hardly_proves_one_although_single_photos_claim_them(runs):
    figures = simulate_runs(RunSetting(0.0), 8, seed=3)
    assert figures.false_run <= 0.15 and figures.false_photo < 0.06
    assert figures.true_gain_points == 0 == figures.regret_points


def test_the_search_leaves_less_on_the_table_than_the_best_single_image(runs):
    for effect in ("small", "large"):
        photos = [photo for run in runs[effect] for photo in run]
        ours = np.array([photo.truth.regret(photo.candidate) for photo in photos])
        single = np.array([photo.truth.regret(photo.single) for photo in photos])
        assert ours.mean() < 0.75 * single.mean()
        assert np.mean([photo.truth.gain(photo.candidate) for photo in photos]) > 0


def test_a_search_that_saw_its_confirm_seeds_is_caught(monkeypatch):
    """The rule that is gone: whoever runs again meets the same seeds, chooses on them and reports them."""

    def chosen_on_confirm_seeds(truth, candidate, seeds):
        means = {arm: np.mean([truth.score(TrialKey(arm, seed)) for seed in seeds.confirm]) for arm in truth.worth}
        best = max(means, key=means.__getitem__)
        scores = [[truth.score(TrialKey(arm, seed)) for seed in seeds.confirm] for arm in (best, BASELINE)]
        return scores[0], scores[1]

    monkeypatch.setattr(run_simulation, "confirmed", chosen_on_confirm_seeds)
    assert simulate_runs(RunSetting(0.0), 3, seed=1).bias_points > 1


def test_a_picture_is_drawn_once_and_without_effect_every_arm_is_worth_the_same():
    truth = PhotoTruth(replace(RunSetting(), effect=0.0), np.random.default_rng(0))
    assert (
        truth.score(TrialKey(BASELINE, 3)) == truth.score(TrialKey(BASELINE, 3)) != truth.score(TrialKey(BASELINE, 4))
    )
    assert set(truth.worth.values()) == {0.0}


def test_a_run_without_photos_that_differ_counts_no_coverage(monkeypatch):
    monkeypatch.setattr(run_simulation, "paired_gain", lambda ours, theirs: PairedGain(0.5, 0.4, 0.6, 6, p=1e-6))
    figures = simulate_runs(RunSetting(0.0), 2)
    assert figures.false_run == 1 and figures.false_photo == 1 and figures.coverage == 0


def test_coverage_is_that_of_photos_whose_candidate_is_another_prompt(runs):
    truth = runs["null"][0][0].truth
    same = PhotoRun(truth, BASELINE, PairedGain(0.0, 0.0, 0.0, 6), BASELINE)
    missed = PhotoRun(truth, "sentence", PairedGain(0.1, 0.05, 0.15, 6, p=0.01), BASELINE)
    assert figures_of([same, same, missed])[0] == 0
    assert np.isnan(figures_of([same, same])[0])


def test_the_bench_prints_what_was_promised(capsys):
    proof.main(["--runs", "2", "--json"])
    figures = json.loads(capsys.readouterr().out)
    assert list(figures) == ["null", "small", "large"]
    assert all(
        set(row) == {"coverage", "false_photo", "false_run", "bias_points", "regret_points"} for row in figures.values()
    )
    proof.main(["--runs", "2"])
    text = capsys.readouterr().out
    assert "16 photos a run, 40 images a photo, 2 runs of each effect" in text and "best single image" in text
    with pytest.raises(SystemExit):
        proof.main(["--runs", "1"])
