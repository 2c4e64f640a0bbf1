"""The step that is kept is chosen by pictures of held-out garments, and the choice survives whatever stops the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from train_samples import config, draw_photos, run_of

from modiste.core.errors import InputError, Stopped
from modiste.fashion.photos import read_photo
from modiste.routes.judge.candidates import open_candidates
from modiste.trainer.data.sample import Dataset
from modiste.trainer.loop.checkpoint import MANIFEST, newest_manifest, whole_checkpoints
from modiste.trainer.loop.choice import compared, criterion_of, picked, reason_of
from modiste.trainer.loop.validation import PictureScores, Validation, ValidationResult
from modiste.trainer.lora.file import read_lora
from modiste.trainer.run import CHECKPOINTS
from modiste.trainer.train import train

CHOSEN = dict(
    validation=dict(every=2, picture_steps=2, choice_steps=1, choice_pictures=4, pictures=0, cfg_scale=1.5, patience=0),
    data=dict(held_out_least=4, trigger="brand"),
    files_every=2,
    ema=0.5,
)
GARMENTS = ("a", "b", "c", "d") * 2


class Script:
    """A critic that likes the pictures of each look as much as it was told; the judge sees the opposite or nothing."""

    def __init__(self, *likes: float, key: str = "script", judge: bool = False):
        self.likes, self.key, self.judge, self.looks = list(likes), key, judge, []

    def look(self, pictures, photos, training):
        like = self.likes[len(self.looks)]
        self.looks.append([photo.name for photo in photos])
        rows = [{"similarity": min(1.0, like), "unclipped": like * (1 + index / 100)} for index in range(len(pictures))]
        for index, row in enumerate(rows):
            row |= {"colour_delta_e": 7.0} | ({"judge": -like + index / 100} if self.judge else {})
        return rows

    def signs(self, gallery):
        return {"warnings": []}


LIKES = (0.1, 0.9, 0.3, 0.2, 0.1)  # at steps 0, 2, 4, 6, 8
AT_THE_END = (0.8, 0.3, 0.1)  # of steps 2, 4 and 8


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("data") / "photos", 9)


@pytest.fixture(scope="module")
def whole(base, photos, tmp_path_factory):
    """A run whose pictures are best at step 2."""
    out, critic = tmp_path_factory.mktemp("runs") / "whole", Script(*LIKES, *AT_THE_END)
    return train(config(base, photos, **CHOSEN), out, read_photo, critic=critic), out, critic


def tensors_of(file: Path) -> dict[str, torch.Tensor]:
    return dict(read_lora(file).named_tensors())


def equal(file: Path, other: Path) -> bool:
    ours, theirs = tensors_of(file), tensors_of(other)
    return ours.keys() == theirs.keys() and all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def scores(*similarity: float, judge: tuple[float, ...] = ()) -> PictureScores:
    return PictureScores(similarity, judge)


# ── what chooses ──


def test_pictures_choose_where_somebody_scores_them_and_garments_suffice_and_else_it_is_said_why(base, photos):
    asked = config(base, photos)
    held_out = Dataset((), held_out=(object(),))

    def by(choose: str, critic=True, garments: int = 4, data: Dataset = held_out) -> tuple[str, str]:
        validation = asked.validation.model_copy(update={"choose": choose})
        chosen = asked.model_copy(update={"validation": validation})
        return criterion_of(chosen, data, Script() if critic else None, garments)

    assert asked.validation.choose == "pictures" and by("pictures") == ("pictures", "")
    assert by("pictures", critic=False) == ("loss", "nobody scores pictures here")
    few = by("pictures", garments=3)
    assert few == ("loss", "3 garments held out; at least 4 are needed to choose by pictures")
    assert by("loss") == ("loss", "") and by("last") == ("last", "")
    assert by("pictures", data=Dataset(())) == ("last", "no photos were held out to choose by")


def test_the_most_alike_step_is_kept_and_of_equals_the_last_one():
    last = scores(*(0.5 + index / 100 for index in range(8)))
    better = scores(*(0.6 + index / 101 for index in range(8)))
    worse = scores(*(0.4 + index / 101 for index in range(8)))
    assert picked(compared({300: better, 600: worse, 900: last}, GARMENTS)).step == 300
    assert picked(compared({300: worse, 900: last}, GARMENTS)).step == 900
    assert picked(compared({300: last, 900: last}, GARMENTS)).step == 900
    assert picked(compared({900: last}, GARMENTS)).step == 900


def test_a_gain_that_chance_may_have_made_is_called_not_proven():
    last = scores(*(0.5 + index / 100 for index in range(8)))
    lucky = scores(0.9, 0.4, 0.9, 0.4, 0.7, 0.6, 0.9, 0.4)
    kept = reason_of(compared({300: lucky, 900: last}, GARMENTS), GARMENTS, 300)
    assert kept.startswith("step 300 draws") and kept.endswith("over the last step, 900, not proven")


def test_a_step_that_the_judge_proves_worse_is_not_kept():
    spread = [index / 100 for index in range(8)]
    last = scores(*(0.5 + s for s in spread), judge=tuple(0.8 + s for s in spread))
    step = scores(*(0.6 + s * 1.1 for s in spread), judge=tuple(0.5 + s * 1.1 for s in spread))
    assert picked(compared({300: step, 900: last}, GARMENTS)).step == 900
    unsure = scores(*(0.6 + s * 1.1 for s in spread), judge=(0.5, 1.2) * 4)
    assert picked(compared({300: unsure, 900: last}, GARMENTS)).step == 300


def test_more_candidates_ask_more_of_each():
    rows = {step: scores(*(0.5 + index * step / 1e5 for index in range(8))) for step in (300, 600, 900)}
    [first, second, last] = compared(rows, GARMENTS)
    assert first.over_last.confidence == second.over_last.confidence == 0.975 and last.over_last is None
    assert compared({300: rows[300], 900: rows[900]}, GARMENTS)[0].over_last.confidence == 0.95


def test_the_reason_names_garments_pictures_and_the_gain_with_its_interval():
    last, better = scores(*[0.5, 0.52] * 4), scores(*[0.6, 0.63] * 4)
    kept = reason_of(compared({300: better, 900: last}, GARMENTS), GARMENTS, 120)
    assert kept.startswith("step 300 draws 62 of 100 alike, on 4 held-out garments (8 pictures): +10.5 points (")
    assert kept.endswith("over the last step, 900; the loss would keep step 120")
    stays = reason_of(compared({300: last, 900: better}, GARMENTS), GARMENTS, 900)
    assert "the last step, 900, draws 62 of 100 alike" in stays and "against it: step 300 -10.5 points (" in stays
    assert "the loss" not in stays


# ── in a run ──


def test_the_file_is_that_of_the_step_that_draws_the_held_out_garments_best(whole):
    result, out, critic = whole
    choice = result.record["choice"]
    assert result.record["best_step"] == 2 and choice["by"] == "pictures" and choice["why"] is None
    assert [row["step"] for row in choice["candidates"]] == [2, 4, 8]
    assert choice["candidates"][0]["over_last"]["mean"] == pytest.approx(1.015 * 0.7)
    assert choice["garments"] == choice["pictures"] == 4
    assert equal(result.file, out / "steps" / "fashion_lora_weights-step00000002.safetensors")
    assert not equal(result.file, out / "steps" / "fashion_lora_weights-step00000008.safetensors")
    assert result.record["reason"].startswith("step 2 draws 81 of 100 alike")
    assert len(critic.looks) == 8 and all(len(set(look)) == 4 for look in critic.looks)
    held_out = {Path(photo).name for photo in result.record["photos"]["held_out"]}
    assert {name for look in critic.looks for name in look} == held_out


def test_the_loss_stands_beside_the_pictures_in_train_json(whole):
    result, out, _ = whole
    rows = json.loads((out / "train.json").read_text())["validation"]
    assert [row["step"] for row in rows] == [0, 2, 4, 6, 8] and all(row["loss"] > 0 for row in rows)
    assert [row["pictures"]["similarity"] for row in rows] == pytest.approx([1.015 * like for like in LIKES])
    assert rows[1]["pictures"]["gain"]["mean"] == pytest.approx(1.015 * 0.8) and rows[1]["pictures"]["judge"] is None
    assert rows[1]["pictures"]["colour_delta_e"] == 7
    least = min(rows[1:], key=lambda row: row["loss"])["step"]
    assert result.record["choice"]["least_loss"] == least


def test_a_run_that_is_stopped_and_goes_on_chooses_the_same_step_of_the_same_weights(whole, base, photos, tmp_path):
    result, _, _ = whole
    seen = []
    wanted = config(base, photos, **CHOSEN)
    with pytest.raises(Stopped):
        train(wanted, tmp_path, read_photo, None, seen.append, lambda: seen[-1].done == 4, critic=Script(*LIKES[:3]))
    assert [result["step"] for result in newest_manifest(tmp_path / CHECKPOINTS)["record"]["looks"]] == [0, 2, 4]
    again = train(wanted, tmp_path, read_photo, critic=Script(*LIKES[3:], *AT_THE_END))
    assert equal(again.file, result.file)
    for name in ("validation", "choice", "best_step", "reason", "files", "losses"):
        assert again.record[name] == result.record[name]


def test_scores_of_another_scale_are_not_mixed_and_pictures_are_not_given_up_in_silence(base, photos, tmp_path):
    wanted, seen = config(base, photos, **CHOSEN), []
    with pytest.raises(Stopped):
        train(wanted, tmp_path, read_photo, None, seen.append, lambda: seen[-1].done == 3, critic=Script(*LIKES))
    with pytest.raises(InputError, match="scored by script, and now by another"):
        train(wanted, tmp_path, read_photo, critic=Script(*LIKES, *LIKES, key="another"))
    with pytest.raises(InputError, match="choice.by: pictures → nothing"):
        train(wanted, tmp_path, read_photo)


def test_a_run_that_an_older_version_began_goes_on_by_the_loss(base, photos, tmp_path):
    wanted = config(base, photos, **CHOSEN | dict(validation=dict(every=4, pictures=0)))
    with pytest.raises(Stopped):
        train(wanted, tmp_path, read_photo, stop=lambda: True)
    [kept] = whole_checkpoints(tmp_path / CHECKPOINTS)
    identity = json.loads((kept / MANIFEST).read_text())["identity"]
    assert "choice" not in identity and not {"choose", "choice_steps"} & set(identity["config"]["validation"])
    record = train(wanted, tmp_path, read_photo, critic=Script()).record
    assert record["choice"]["by"] == "loss" and "least loss" in record["reason"]


def test_the_last_step_is_kept_where_that_is_asked_for_and_patience_does_not_end_the_run(base, photos, tmp_path):
    asked = CHOSEN | dict(validation=dict(choose="last", every=1, patience=1, pictures=0), learning_rate=0.5)
    critic = Script()
    record = train(config(base, photos, **asked), tmp_path, read_photo, critic=critic).record
    assert (
        critic.looks == []
        and record["best_step"] == record["steps"] == 8
        and record["reason"].startswith("the last step, 8, as was asked")
    )
    assert min(record["validation"], key=lambda row: row["loss"])["step"] < 8


def test_patience_counts_by_the_pictures(base, photos, tmp_path):
    asked = CHOSEN | dict(validation=CHOSEN["validation"] | dict(patience=2))
    critic = Script(0.1, 0.9, 0.3, 0.2, 0.9, 0.3, 0.2)
    record = train(config(base, photos, **asked), tmp_path, read_photo, critic=critic).record
    assert record["steps"] == 6 and record["best_step"] == 2
    assert min(record["validation"], key=lambda row: row["loss"])["step"] == 6  # by the loss it would have gone on


def test_of_a_whole_model_one_step_waits_beside_the_last(base, photos, tmp_path):
    run = run_of(config(base, photos, method="full", validation=CHOSEN["validation"]), tmp_path)
    run.loop.validation = Validation(by="pictures")
    from modiste.trainer.choosing import keep_candidates

    for step, like in ((2, 0.5), (4, 0.7), (6, 0.6)):
        run.loop.step = step
        run.loop.validation.results.append(ValidationResult(step, (1.0,), scores(like)))
        keep_candidates(run)
    assert list(run.loop.kept) == [4]


# ── files on the way ──


def test_files_are_kept_every_n_steps_averaged_as_the_result_is_by_names_that_judge_reads(whole):
    result, out, _ = whole
    assert [row["step"] for row in result.record["files"]] == [2, 4, 6, 8]
    assert all((out / row["file"]).is_file() for row in result.record["files"])
    models = open_candidates([out / "steps"])
    assert [(model.step, model.epoch) for model in models] == [(2, None), (4, None), (6, None), (8, None)]
    assert {model.tuned.trigger for model in models} == {"brand"}


def test_a_whole_model_is_not_kept_every_n_steps(base, photos):
    with pytest.raises(InputError, match="files_every 2 is for LoRA"):
        config(base, photos, method="full", files_every=2)
