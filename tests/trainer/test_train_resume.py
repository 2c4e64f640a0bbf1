"""A run that is killed, stopped or damaged goes on as if nothing had been; one that has become another is refused."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from train_samples import ROOT, command, config, draw_photos, run_of, settings, tiny_xl, trained

from modiste.cli.train_process import Events, main
from modiste.core.errors import InputError, Stopped
from modiste.core.progress import Progress
from modiste.trainer.config import TrainConfig
from modiste.trainer.loop import checkpoint
from modiste.trainer.loop.checkpoint import (
    KEPT,
    MANIFEST,
    TrainState,
    load_latest,
    newest_manifest,
    refuse_other,
    save_checkpoint,
    verify,
    whole_checkpoints,
)
from modiste.trainer.loop.optimization import Optimization
from modiste.trainer.loop.optimizers import LossScale
from modiste.trainer.results import LORA_FILE, RECORD
from modiste.trainer.run import CHECKPOINTS, FREE_VALIDATION, as_begun, config_identity

IDENTITY = {"config": {"steps": 8, "data": {"resolution": 64}}, "base": "abc"}
KILLS = 12


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("data") / "photos", 7)


def state(step: int, size: int = 64) -> TrainState:
    """As a run would keep it after `step`, with an optimizer of its own."""
    generator = torch.Generator().manual_seed(step)
    weights = {name: torch.randn((size, 3), generator=generator) for name in ("unet.a", "unet.b")}
    parameters = [torch.nn.Parameter(tensor.clone()) for tensor in weights.values()]
    optimizer = torch.optim.AdamW(parameters, lr=0.1 / 3, betas=(0.9, 0.99))
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    optimizer.param_groups[0]["growth_rate"] = math.inf  # as Prodigy has one
    averaged = {name: tensor + 1 for name, tensor in weights.items()}
    record = {"losses": [0.1 / 3] * step, "bad": 0, "looks": []}
    return TrainState(step, 2 * step, weights, optimizer.state_dict(), averaged, weights, record)


def same(found: TrainState, expected: TrainState) -> bool:
    return (
        (found.step, found.consumed, found.record) == (expected.step, expected.consumed, expected.record)
        and _equal(found.weights, expected.weights)
        and _equal(found.ema, expected.ema)
        and _equal(found.best, expected.best)
        and json.dumps(found.optimizer["param_groups"]) == json.dumps(expected.optimizer["param_groups"])
        and all(_equal(found.optimizer["state"][i], slots) for i, slots in expected.optimizer["state"].items())
    )


def _equal(found, expected) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], one) for name, one in expected.items())


def newest_tensors(out: Path) -> dict[str, dict[str, torch.Tensor]]:
    newest = whole_checkpoints(out / CHECKPOINTS)[-1]
    return {file.stem: load_file(file) for file in newest.glob("*.safetensors")}


def assert_same_run(out: Path, reference: Path) -> None:
    """Weights, averages, optimizer, best and the exported file, bit for bit."""
    found, expected = newest_tensors(out), newest_tensors(reference)
    assert found.keys() == expected.keys()
    assert all(_equal(found[name], tensors) for name, tensors in expected.items())
    assert _equal(load_file(out / LORA_FILE), load_file(reference / LORA_FILE))
    records = [json.loads((folder / RECORD).read_text()) for folder in (out, reference)]
    assert all(records[0][name] == records[1][name] for name in ("losses", "validation", "best_step", "reason"))


# ── a checkpoint ──


def test_a_checkpoint_gives_back_what_it_was_given(tmp_path):
    save_checkpoint(tmp_path, state(3), IDENTITY)
    assert same(load_latest(tmp_path, IDENTITY), state(3))
    assert load_latest(tmp_path / "nothing", IDENTITY) is None


def test_an_optimizer_goes_on_bit_identically_from_its_file(tmp_path):
    kept = state(1)
    save_checkpoint(tmp_path, kept, IDENTITY)
    found = load_latest(tmp_path, IDENTITY)
    ends = []
    for one in (kept, found):
        parameters = [torch.nn.Parameter(tensor.clone()) for tensor in one.weights.values()]
        optimizer = torch.optim.AdamW(parameters, fused=True)
        optimizer.load_state_dict(one.optimizer)
        for parameter in parameters:
            parameter.grad = torch.full_like(parameter, 0.3)
        optimizer.step()
        ends.append(torch.cat([parameter.detach().flatten() for parameter in parameters]))
    assert torch.equal(*ends)


def test_an_optimizers_slots_within_slots_come_back_as_they_were(tmp_path):
    kept = state(1)
    table = torch.ones(2)  # shared by all
    quantised = {"state1": torch.arange(4, dtype=torch.uint8), "blocks": 2, "qmap": {"first": table, "second": table}}
    kept.optimizer["state"][0] = {"step": 3, "__bnb_optimizer_quant_state__": quantised}  # as bitsandbytes has it
    save_checkpoint(tmp_path, kept, IDENTITY)
    found = load_latest(tmp_path, IDENTITY).optimizer["state"][0]
    assert (found["step"], found["__bnb_optimizer_quant_state__"]["blocks"]) == (3, 2)
    assert torch.equal(found["__bnb_optimizer_quant_state__"]["state1"], quantised["state1"])
    assert torch.equal(found["__bnb_optimizer_quant_state__"]["qmap"]["first"], torch.ones(2))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks Linux which file a descriptor is")
def test_every_file_of_a_checkpoint_is_on_the_disk_before_its_name_and_the_manifest_is_the_last(tmp_path, monkeypatch):
    steps, fsync, replace = [], os.fsync, Path.replace

    def named(path: str | Path) -> str:
        return Path(path).name.partition(f".{os.getpid()}")[0]

    def synced(descriptor: int) -> None:
        steps.append(("sync", named(Path(f"/proc/self/fd/{descriptor}").readlink())))
        fsync(descriptor)

    def replaced(path: Path, target: Path) -> Path:
        steps.append(("name", named(target)))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    folder = save_checkpoint(tmp_path, state(1), IDENTITY).name
    files = [f"{name}.safetensors" for name in ("weights", "optimizer", "ema", "best")] + [MANIFEST]
    expected = [step for file in files for step in (("sync", file), ("name", file), ("sync", folder))]
    assert [step for step in steps if step[1] in (*files, folder)] == expected


def test_averaged_weights_go_on_from_a_checkpoint_and_do_not_begin_anew():
    """What a run of three steps averages, stopped after the second, is what it averages unstopped."""
    weights = [torch.full((2,), value) for value in (1.0, 2.0, 4.0)]

    def averaged(stops: bool) -> torch.Tensor:
        parameter = torch.nn.Parameter(torch.zeros(2))
        settings = TrainConfig.model_construct(ema=0.5, max_grad_norm=1.0)
        optimization = new = Optimization(
            settings, {"a": parameter}, torch.optim.AdamW([parameter], 0.0, fused=True), LossScale()
        )
        for step, value in enumerate(weights):
            parameter.data.copy_(value)
            parameter.grad = torch.zeros(2)
            assert optimization.update(step, torch.tensor(1.0))
            if stops and step == 1:
                new = Optimization(
                    settings, {"a": parameter}, torch.optim.AdamW([parameter], 0.0, fused=True), LossScale()
                )
                new.load(optimization.optimizer.state_dict(), optimization.ema, optimization.state())
                optimization = new
        return new.ema["a"]

    assert torch.equal(averaged(stops=True), averaged(stops=False)) and not torch.equal(averaged(True), weights[-1])


def test_two_checkpoints_are_kept_and_both_are_whole(tmp_path):
    for step in (1, 2, 3, 4):
        save_checkpoint(tmp_path, state(step), IDENTITY)
        kept = whole_checkpoints(tmp_path)
        assert len(kept) == min(step, KEPT) and all(map(verify, kept))
    assert [one.name for one in kept] == ["step-000003", "step-000004"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["step-000003", "step-000004"]


def test_the_newest_is_the_one_of_most_steps_also_beyond_a_million(tmp_path):
    for step in (999_999, 1_000_000):
        one = state(1)
        one.step = step
        save_checkpoint(tmp_path, one, IDENTITY)
    assert load_latest(tmp_path, IDENTITY).step == 1_000_000


@pytest.mark.parametrize("file", ["weights", "optimizer", "ema", "best"])
@pytest.mark.parametrize("damage", ["cut", "zeroed", "gone"])
def test_a_damaged_newest_checkpoint_is_passed_over_and_said(file, damage, tmp_path, caplog):
    for step in (1, 2):
        save_checkpoint(tmp_path, state(step), IDENTITY)
    damaged = tmp_path / "step-000002" / f"{file}.safetensors"
    data = damaged.read_bytes()
    damaged.unlink()
    if damage != "gone":
        damaged.write_bytes(data[:-64] + (bytes(64) if damage == "zeroed" else b""))
    with caplog.at_level(logging.WARNING, "modiste"):
        assert same(load_latest(tmp_path, IDENTITY), state(1))
    assert "step-000002 is damaged; going back to the one before" in caplog.text


@pytest.mark.parametrize("change", [("step", 4), ("consumed", 2), ("record", {"losses": []}), ("sha256", "0" * 64)])
def test_a_manifest_is_only_believed_as_it_was_written(change, tmp_path):
    for step in (1, 2):
        save_checkpoint(tmp_path, state(step), IDENTITY)
    manifest = tmp_path / "step-000002" / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | dict([change])))
    assert load_latest(tmp_path, IDENTITY).step == 1
    for text in ("", "[]", "null", '{"files": 3}'):
        manifest.write_text(text)
        assert load_latest(tmp_path, IDENTITY).step == 1


def test_two_whole_checkpoints_are_kept_also_after_going_back_from_a_damaged_one(tmp_path):
    for step in (10, 20):
        save_checkpoint(tmp_path, state(step), IDENTITY)
    (tmp_path / "step-000020" / "weights.safetensors").write_bytes(b"")
    assert load_latest(tmp_path, IDENTITY).step == 10
    save_checkpoint(tmp_path, state(15), IDENTITY)
    kept = whole_checkpoints(tmp_path)
    assert [one.name for one in kept] == ["step-000010", "step-000015"] and all(map(verify, kept))


def test_where_every_checkpoint_is_damaged_nothing_is_begun_again_unasked(tmp_path):
    for step in (1, 2):
        save_checkpoint(tmp_path, state(step), IDENTITY)
        (tmp_path / f"step-00000{step}" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="each of the 2 checkpoints is damaged") as refused:
        load_latest(tmp_path, IDENTITY)
    assert refused.value.where == str(tmp_path)
    assert refused.value.to_try == "delete that folder to begin again, or name another --out"
    assert newest_manifest(tmp_path) is None


def test_a_run_that_has_become_another_is_refused_with_each_difference(tmp_path):
    save_checkpoint(tmp_path, state(1), IDENTITY)
    other = {"config": {"steps": 9, "data": {"resolution": 64}, "ema": 0.5}, "base": "abd"}
    with pytest.raises(InputError) as refused:
        load_latest(tmp_path, other)
    reason = "this run is not the one that the checkpoint belongs to: "
    place = tmp_path / "step-000001"
    changes = "base: abc → abd; config.ema: nothing → 0.5; config.steps: 8 → 9"
    assert str(refused.value) == f"{reason}{changes} ({place}); the settings of before, or another --out"
    with pytest.raises(InputError) as refused:
        load_latest(tmp_path, {**IDENTITY, "base": None, "config": {"steps": 8}})
    assert f"{reason}base: abc → None; config.data.resolution: 64 → nothing (" in str(refused.value)
    newer = {**IDENTITY, "versions": {"torch": "3.0"}}
    with pytest.raises(InputError) as refused:
        load_latest(tmp_path, newer)
    accept = "--accept-versions goes on, and notes it in train.json; the libraries of before; or another --out"
    assert str(refused.value) == f"{reason}versions.torch: nothing → 3.0 ({place}); {accept}"
    assert load_latest(tmp_path, newer, accept_versions=True).step == 1
    with pytest.raises(InputError, match="versions.torch"):
        refuse_other(IDENTITY, newer, tmp_path)  # unless it is asked for
    other = {**newer, "base": "abd"}
    for accepted, versions in ((True, ""), (False, "; versions.torch: nothing → 3.0")):
        with pytest.raises(InputError) as refused:
            load_latest(tmp_path, other, accept_versions=accepted)
        changes = f"base: abc → abd{versions}"
        assert str(refused.value) == f"{reason}{changes} ({place}); the settings of before, or another --out"


def test_a_checkpoint_gives_back_its_run_also_where_that_is_said_in_tuples(tmp_path):
    save_checkpoint(tmp_path, state(1), {**IDENTITY, "folders": ["a", "b"]})
    assert load_latest(tmp_path, {**IDENTITY, "folders": ("a", "b")}).step == 1


def test_a_manifest_of_another_form_is_not_believed_and_the_newest_that_is_is_given(tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, state(step), IDENTITY)
    assert newest_manifest(tmp_path)["step"] == 3
    file = tmp_path / "step-000003" / MANIFEST
    manifest = {**json.loads(file.read_text()), "format": 2}
    del manifest["sha256"]
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    file.write_text(json.dumps({**manifest, "sha256": digest}))
    assert newest_manifest(tmp_path)["step"] == load_latest(tmp_path, IDENTITY).step == 2
    assert newest_manifest(tmp_path / "nothing") is None


def test_a_checkpoint_gives_back_an_optimizer_that_has_no_state_yet(tmp_path):
    save_checkpoint(tmp_path, TrainState(1, weights={"a": torch.ones(1)}), IDENTITY)
    found = load_latest(tmp_path, IDENTITY)
    assert found.optimizer == {"state": {}, "param_groups": []} and found.ema == found.best == found.record == {}
    assert sorted(file.name for file in (tmp_path / "step-000001").iterdir()) == [MANIFEST, "weights.safetensors"]


@pytest.mark.skipif(os.name == "nt", reason="no limits of that kind there")
def test_where_a_checkpoint_does_not_fit_two_whole_ones_stay_and_what_does_not_is_named(tmp_path):
    import resource

    for step in (1, 2):
        save_checkpoint(tmp_path, state(step), IDENTITY)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        with pytest.raises(OSError, match="^weights.safetensors: .*large"):
            save_checkpoint(tmp_path, state(3), IDENTITY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000001", "step-000002"]


def test_a_checkpoint_that_does_not_read_back_is_removed_and_named_and_two_checkpoints_stay(tmp_path, monkeypatch):
    for step in (1, 2):
        save_checkpoint(tmp_path, state(step), IDENTITY)
    read = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path, **how: read(path, **how).replace('"step": 3', '"step": 4'))
    with pytest.raises(OSError) as failed:
        save_checkpoint(tmp_path, state(3), IDENTITY)
    place = tmp_path / "step-000003"
    assert str(failed.value) == f"the checkpoint {place} does not read back as it was written"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000001", "step-000002"]


def test_what_of_a_state_is_not_finite_is_named():
    assert TrainState().not_finite() == state(1).not_finite() == ""
    for part, name in (("weights", "weights"), ("ema", "averaged weights"), ("best", "weights that were kept")):
        broken = state(1)
        setattr(broken, part, {"unet.a": torch.tensor([1.0, math.nan])})
        assert broken.not_finite() == name
    broken = state(1)
    broken.optimizer["state"][1]["exp_avg_sq"][0, 0] = math.inf
    assert broken.not_finite() == "optimizer's moments"


# ── a disk that fails ──


class Killed(BaseException):
    """What no handler cleans up after, as after a kill."""


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FailingDisk:
    """Lets `count` operations through; each one after them fails."""

    def __init__(self, patch: pytest.MonkeyPatch, count: int, failure):
        self.calls, self.count, self.failure = 0, count, failure
        for owner, name in ((os, "fsync"), (os, "unlink"), (os, "rmdir"), (Path, "replace"), (Path, "mkdir")):
            patch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, operation):
        def run(*arguments, **named):
            self.calls += 1
            if self.calls > self.count:
                raise self.failure()
            return operation(*arguments, **named)

        return run


@pytest.mark.parametrize("failure", [full_disk, Killed])
def test_whichever_operation_of_a_save_is_its_last_a_whole_checkpoint_stays(failure, tmp_path):
    count, done = 0, False
    while not done:
        folder = tmp_path / str(count)
        for step in (1, 2):
            save_checkpoint(folder, state(step), IDENTITY)
        with pytest.MonkeyPatch.context() as patch:
            disk = FailingDisk(patch, count, failure)
            try:
                save_checkpoint(folder, state(3), IDENTITY)
            except (OSError, Killed):
                pass
            done = disk.calls <= count
        found = load_latest(folder, IDENTITY)
        assert found.step in (2, 3) and same(found, state(found.step))
        save_checkpoint(folder, state(4), IDENTITY)
        kept = whole_checkpoints(folder)
        assert same(load_latest(folder, IDENTITY), state(4)) and len(kept) == KEPT and all(map(verify, kept))
        count += 1
    assert count > 15


def test_a_disk_that_fills_up_within_a_file_stops_the_run_and_leaves_what_was_whole(base, photos, tmp_path):
    """The kernel's own limit on file sizes: what safetensors makes of it is no OSError."""
    resource = pytest.importorskip("resource", reason="no limits of that kind there")
    wanted, kept = config(base, photos, save_every=2, network=dict(rank=4)), tmp_path / CHECKPOINTS
    with pytest.raises(Stopped):
        trained(wanted, tmp_path, stop=lambda: True)  # after the first step
    limit = max(one.stat().st_size for one in kept.rglob("*.safetensors")) - 100
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(Stopped, match="the checkpoint of step 2 can't be written") as stopped:
            trained(wanted, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert stopped.value.exit_code == 4
    assert [one.name for one in kept.iterdir()] == ["step-000001"] and verify(kept / "step-000001")
    assert trained(wanted, tmp_path).record["steps"] == 8


def test_a_full_disk_at_a_runs_checkpoint_is_stopped_with_exit_code_4(base, photos, tmp_path, monkeypatch):
    wanted = config(base, photos, save_every=2)

    def full(progress):
        if progress.stage == "train" and progress.done == 4:
            monkeypatch.setattr(os, "fsync", _no_space)

    with pytest.raises(Stopped, match="checkpoint of step 4 can't be written: No space left") as stopped:
        trained(wanted, tmp_path, progress=full)
    assert stopped.value.exit_code == 4
    monkeypatch.undo()
    assert [one.name for one in whole_checkpoints(tmp_path / CHECKPOINTS)] == ["step-000002"]
    assert trained(wanted, tmp_path).record["steps"] == 8


def test_a_full_disk_at_the_export_is_stopped_too_and_the_same_command_finishes(base, photos, tmp_path, monkeypatch):
    wanted = config(base, photos, save_every=2)

    def full(progress):
        if progress.stage == "train" and progress.done == 8:
            kept = checkpoint.save_checkpoint
            monkeypatch.setattr("modiste.trainer.train.save_checkpoint", lambda *a: (kept(*a), _fill(monkeypatch)))

    with pytest.raises(Stopped, match="the result can't be written: No space left"):
        trained(wanted, tmp_path, progress=full)
    monkeypatch.undo()
    assert not (tmp_path / LORA_FILE).exists()
    assert trained(wanted, tmp_path).file.is_file()


@pytest.mark.skipif(os.name == "nt", reason="the folder's lock is an open file there")
def test_a_run_whose_folder_is_deleted_meanwhile_leaves_its_result_there_again(base, photos, tmp_path):
    def delete(progress):
        if progress.stage == "train" and progress.done == 3:
            shutil.rmtree(tmp_path / "run")

    result = trained(config(base, photos, save_every=2), tmp_path / "run", delete)
    assert result.file.is_file() and result.record["steps"] == 8
    assert [folder.name for folder in whole_checkpoints(tmp_path / "run" / CHECKPOINTS)] == [
        "step-000006",
        "step-000008",
    ]
    assert trained(config(base, photos, save_every=2), tmp_path / "run").record["losses"] == result.record["losses"]


def _fill(monkeypatch) -> None:
    monkeypatch.setattr(os, "fsync", _no_space)


def _no_space(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# ── a run ──


def long_run(**more):
    """60 steps that keep a checkpoint every second: many kills fall into a save."""
    return dict(
        steps=60,
        save_every=2,
        ema=0.9,
        data=dict(held_out_least=2, flip=True, shuffle_captions=True, caption_dropout=0.2),
        validation=dict(every=10, patience=0),
        network=dict(rank=4),
        **more,
    )


@pytest.mark.slow
def test_twelve_kills_at_random_instants_leave_the_run_bit_identical(base, photos, tmp_path):
    wanted = long_run()
    file = tmp_path / "config.json"
    file.write_text(json.dumps(settings(base, photos, **wanted)))
    trained(config(base, photos, **wanted), tmp_path / "whole")
    code = f"from train_samples import kill_often; kill_often({str(file)!r}, {str(tmp_path / 'killed')!r}, {KILLS}, 4)"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["kills"] == KILLS and found["within a save"] >= 1
    assert found["always whole"]
    assert_same_run(tmp_path / "killed", tmp_path / "whole")


def test_a_run_stopped_three_times_within_an_epoch_is_the_run_that_was_never_stopped(base, photos, tmp_path):
    wanted = config(base, photos, **(long_run() | dict(steps=9, save_every=4)))
    trained(wanted, tmp_path / "whole")
    for _ in range(3):
        with pytest.raises(Stopped, match="a checkpoint is kept") as stopped:
            trained(wanted, tmp_path / "stopped", stop=lambda: True)
        assert stopped.value.exit_code == 4
    trained(wanted, tmp_path / "stopped")
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.parametrize(
    "asked",
    [
        dict(method="full"),
        dict(optimizer="adafactor"),
        dict(network=dict(text_rank=2, dora=True, rank=4)),
        dict(precision="bf16", network=dict(kind="lokr", rank=4), schedule="linear", warmup=3),
    ],
    ids=["full", "adafactor", "text encoder and dora", "bfloat16 and lokr"],
)
def test_every_way_of_training_goes_on_bit_identically(asked, base, photos, tmp_path):
    wanted = config(base, photos, steps=6, save_every=100, **asked)
    results = [trained(wanted, tmp_path / "whole")]
    calls = iter([False, False, True])
    with pytest.raises(Stopped):
        trained(wanted, tmp_path / "stopped", stop=lambda: next(calls))
    results.append(trained(wanted, tmp_path / "stopped"))
    found, expected = newest_tensors(tmp_path / "stopped"), newest_tensors(tmp_path / "whole")
    assert all(_equal(found[name], tensors) for name, tensors in expected.items())
    assert results[0].record["losses"] == results[1].record["losses"]


def test_a_finished_run_is_finished_again_without_a_step(base, photos, tmp_path):
    wanted = config(base, photos)
    first = trained(wanted, tmp_path)
    data = first.file.read_bytes()
    steps = []
    trained(wanted, tmp_path, progress=lambda now: steps.append(now.done) if now.stage == "train" else None)
    assert set(steps) == {8}
    assert _equal(load_file(first.file), torch_loaded(data))


def torch_loaded(data: bytes) -> dict[str, torch.Tensor]:
    from safetensors.torch import load

    return load(data)


# ── processes ──


def test_a_process_that_is_asked_to_end_keeps_a_checkpoint_and_exits_with_4(base, photos, tmp_path, capsys):
    file, out = tmp_path / "config.json", tmp_path / "run"
    file.write_text(json.dumps(settings(base, photos, steps=2000)))
    events = []
    with subprocess.Popen(
        command(file, out), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        for line in process.stdout:
            events.append(json.loads(line))  # nothing else than events
            if events[-1]["event"] == "progress" and events[-1]["stage"] == "train" and events[-1]["done"] == 3:
                assert main([str(file), "--out", str(out)]) == 2
                second = json.loads(capsys.readouterr().out)
                assert second["event"] == "error" and f"process {process.pid} is training here" in second["message"]
                process.send_signal(signal.SIGTERM)
    assert process.returncode == 4
    assert events[-1]["event"] == "error" and events[-1]["exit_code"] == 4
    assert all("eta_s" in event for event in events if event["event"] == "progress")
    done = max(one["done"] for one in events if one.get("stage") == "train")
    [kept] = whole_checkpoints(out / CHECKPOINTS)
    assert kept.name == f"step-{done:06d}" and verify(kept)


def test_a_command_leaves_its_result_and_says_so(base, photos, tmp_path, capsys):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(settings(base, photos, steps=2)))
    assert main([str(file), "--out", str(tmp_path / "run")]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["event"] == "done" and Path(events[-1]["file"]).is_file() and events[-1]["best_step"] == 2


def test_a_command_says_in_numbers_what_it_measures(base, photos, tmp_path, capsys):
    file, out = tmp_path / "config.json", tmp_path / "run"
    asked = settings(base, photos, steps=4, save_every=2, validation=dict(every=2), data=dict(held_out_least=2))
    file.write_text(json.dumps(asked))
    assert main([str(file), "--out", str(out)]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    record = json.loads((out / "train.json").read_text())
    steps = [one for one in events if one["event"] == "progress" and one["stage"] == "train" and one["done"]]
    assert [one["loss"] for one in steps] == pytest.approx(record["losses"], abs=1e-6)
    assert all(one["memory_mb"] > 100 and 0 < one["rate"] <= asked["learning_rate"] for one in steps)
    looks = [one for one in events if one["event"] == "validation"]
    assert [one["step"] for one in looks] == [0, 2, 4] and looks[0]["mean"] == looks[0]["high"] == 0
    assert [(one["loss"], one["low"]) for one in looks] == [
        (look["loss"], look["gain"]["low"]) for look in record["validation"]
    ]
    assert [one["step"] for one in events if one["event"] == "checkpoint"] == [2, 4]


def test_a_number_that_json_does_not_have_is_null(capsys):
    Events().progress(Progress("train", 1, 2, values={"loss": math.inf, "rate": 0.5}))
    said = json.loads(capsys.readouterr().out)
    assert said["loss"] is None and said["rate"] == 0.5


@pytest.mark.parametrize("out", ["a file", "/proc/run"])
def test_a_folder_that_can_not_be_written_is_refused_before_anything_is_read(out, base, tmp_path, capsys):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(settings(base, tmp_path / "no photos")))
    (tmp_path / "a file").write_text("")
    assert main([str(file), "--out", str(tmp_path / out)]) == 2
    assert "nothing can be written here" in json.loads(capsys.readouterr().out)["message"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ('{"base": "x"', "the config is no JSON"),
        ('{"base": "x", "data": {"folders": ["p"]}, "learning_rate": -1, "colour": 3}', "learning_rate: .*colour"),
        ('{"base": "x", "data": {"folders": ["p"]}, "learning_rate": NaN}', "learning_rate: .*finite"),
        ('{"base": "x", "data": {"folders": []}}', "data.folders"),
    ],
)
def test_a_config_that_is_wrong_names_each_field(asked, message, tmp_path, capsys):
    file = tmp_path / "config.json"
    file.write_text(asked)
    assert main([str(file), "--out", str(tmp_path / "run")]) == 2
    assert re.search(message, json.loads(capsys.readouterr().out)["message"])
    assert not (tmp_path / "run").exists()


# ── what may change from one start to the next, and what may not ──


@pytest.fixture(scope="module")
def stopped_run(base, photos, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    with pytest.raises(Stopped):
        trained(config(base, photos), out, stop=lambda: True)
    return out


# What the identity of a run with default settings has named since there are checkpoints. A further field that is not in
# LATER or ADDED would end every run that is under way.
IDENTITY_FIELDS = {
    "": "method network data loss validation steps batch_size learning_rate text_learning_rate optimizer weight_decay "
    "schedule warmup max_grad_norm ema precision clip_skip seed",
    "network": "kind rank alpha conv_rank conv_alpha text_rank text_alpha rslora dora",
    "data": "resolution buckets bucket_step max_aspect bucket_least repeats flip caption_dropout shuffle_captions "
    "keep_tokens caption_separator trigger held_out held_out_least prior_weight seed",
    "loss": "min_snr_gamma debiased huber noise_offset zero_terminal_snr background",
    "validation": "every timesteps most patience",
}


def test_the_identity_of_a_run_names_no_field_that_came_later(base, photos):
    as_older = as_begun(config(base, photos), {"config": {}})
    fields = config_identity(as_older, FREE_VALIDATION)
    named = {section: set(fields[section] if section else fields) for section in IDENTITY_FIELDS}
    assert named == {section: set(names.split()) for section, names in IDENTITY_FIELDS.items()}
    of_kohya = config_identity(as_older, set())["validation"].keys()
    assert of_kohya == {*IDENTITY_FIELDS["validation"].split(), "pictures", "picture_steps", "cfg_scale"}


@pytest.mark.parametrize(
    ("asked", "difference"),
    [
        (dict(learning_rate=1e-5), "config.learning_rate: 0.003 → 1e-05"),
        (dict(steps=9), "config.steps: 8 → 9"),
        (dict(batch_size=1), "batch_size: 2 → 1"),
        (dict(precision="bf16"), "precision: fp32 → bf16"),
        (dict(data=dict(caption_dropout=0.5)), "config.data.caption_dropout: 0.05 → 0.5"),
        (dict(seed=1), "config.seed: 0 → 1"),
    ],
)
def test_another_config_is_refused_with_the_difference(asked, difference, base, photos, stopped_run):
    with pytest.raises(InputError) as refused:
        trained(config(base, photos, **asked), stopped_run)
    assert difference in str(refused.value) and refused.value.exit_code == 2


def test_other_photos_words_or_another_base_are_refused(base, photos, stopped_run, tmp_path):
    more = shutil.copytree(photos, tmp_path / "more")
    shutil.copy(draw_photos(tmp_path / "one", 1) / "0.png", more / "another.png")
    (more / "another.txt").write_text("a coat")
    words = shutil.copytree(photos, tmp_path / "words")
    (words / "2.txt").write_text("a coat")
    for changed in (more, words):
        with pytest.raises(InputError, match="data: [0-9a-f]+ → [0-9a-f]+"):
            trained(config(base, changed), stopped_run)
    tokens = shutil.copytree(base, tmp_path / "base")
    file = tokens / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "prediction_type": "v_prediction"}))
    with pytest.raises(InputError, match="base: [0-9a-f]{16} → [0-9a-f]{16}"):
        trained(config(tokens, photos), stopped_run)


def test_moved_files_and_what_leaves_the_weights_as_they_are_may_change(base, photos, stopped_run, tmp_path):
    out = shutil.copytree(stopped_run, tmp_path / "moved run")
    moved = shutil.copytree(photos, tmp_path / "moved photos")
    model = shutil.copytree(base, tmp_path / "moved base")
    free = dict(title="another", notes="n", checkpointing=True, micro_batch=1, save_every=3)
    record = trained(config(model, moved, **free), out).record
    assert record["steps"] == 8 and len(record["losses"]) == 8
    assert (record["plan"]["checkpointing"], record["plan"]["micro_batch"]) == (True, 1)


def test_a_run_that_was_begun_before_garments_were_held_out_goes_on_with_its_own_photos(base, photos, tmp_path):
    """Its checkpoint does not name the rule: it was the photos', and the same command goes on by it."""
    data = dict(held_out=0.3, held_out_least=1)
    with pytest.raises(Stopped):
        trained(config(base, photos, data=data | dict(held_out_by="photo")), tmp_path / "run", stop=lambda: True)
    [kept] = whole_checkpoints(tmp_path / "run" / CHECKPOINTS)
    assert "held_out_by" not in json.loads((kept / MANIFEST).read_text())["identity"]["config"]["data"]
    record = trained(config(base, photos, data=data), tmp_path / "run").record
    reference = trained(config(base, photos, data=data | dict(held_out_by="photo")), tmp_path / "whole").record
    assert record["losses"] == reference["losses"] and record["photos"] == reference["photos"]
    fresh = trained(config(base, photos, data=data), tmp_path / "fresh").record
    assert len(fresh["photos"]["held_out"]) == 2 and fresh["config"]["data"]["held_out_by"] == "garment"


def test_a_run_goes_on_with_its_own_number_of_threads_and_says_what_it_computes_with(base, photos, tmp_path):
    threads, before = [], torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with pytest.raises(Stopped):
            trained(config(base, photos), tmp_path, stop=lambda: True)
        torch.set_num_threads(2)
        record = trained(config(base, photos), tmp_path, lambda now: threads.append(torch.get_num_threads())).record
        assert set(threads) == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    [begun] = record["arithmetic"]
    assert begun["threads"] == 1 and begun["device"] == "cpu" and begun["processor"]
    assert json.loads((tmp_path / RECORD).read_text())["arithmetic"] == [begun]


def test_a_run_that_goes_on_on_another_processor_says_that_bits_may_differ(base, photos, tmp_path):
    with pytest.raises(Stopped):
        trained(config(base, photos), tmp_path, stop=lambda: True)
    run = run_of(config(base, photos), tmp_path)
    assert run.note_arithmetic() == [] and len(run.loop.arithmetic) == 1
    run.loop.arithmetic[0]["processor"] = "aarch64 SVE"
    [message] = run.note_arithmetic()
    assert "last bits" in message and "processor: aarch64 SVE → " in message and len(run.loop.arithmetic) == 2


def test_a_run_of_an_older_version_goes_on_by_its_own_formulas(photos, tmp_path):
    """Its identity names no formulas: size conditions and VAE stay in its format, and nothing is refused."""
    asked = config(tiny_xl(tmp_path / "xl"), photos, precision="bf16")
    with pytest.raises(Stopped):
        trained(asked, tmp_path / "run", stop=lambda: True)
    new = run_of(asked, tmp_path / "run").model
    assert not new.as_before
    [kept] = whole_checkpoints(tmp_path / "run" / CHECKPOINTS)
    manifest = json.loads((kept / MANIFEST).read_text())
    del manifest["sha256"], manifest["identity"]["formulas"], manifest["record"]["arithmetic"]
    (kept / MANIFEST).write_text(json.dumps({**manifest, "sha256": checkpoint._digest(manifest)}))
    run = run_of(asked, tmp_path / "run")
    old, photo = run.model, run.data.samples[0]
    assert old.as_before and not torch.equal(old.latents.moments(photo).mean, new.latents.moments(photo).mean)
    kinds = [
        model.conditioning([photo.caption], [photo])["added_cond_kwargs"]["time_ids"].dtype for model in (old, new)
    ]
    assert kinds == [torch.bfloat16, torch.float32]
    assert trained(asked, tmp_path / "run").record["steps"] == 8
