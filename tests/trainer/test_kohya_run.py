"""The engine kohya from a config to a file that loads, with a small program in sd-scripts' place: a real process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kohya_samples import bare_base, called, config, draw_photos, lay_engine, tree
from safetensors import safe_open

from modiste.core.errors import InputError, Stopped
from modiste.core.progress import Progress
from modiste.core.torchvision_ops import patch_torchvision_ops
from modiste.fashion.photos import read_photo
from modiste.routes.compare.report import training_of
from modiste.routes.compare.tuned import open_tuned
from modiste.routes.finetune.finetune import finetune, refuse_fresh
from modiste.trainer.kohya import process as kohya_process
from modiste.trainer.kohya.engine import MissingEngine, find_engine
from modiste.trainer.kohya.train import refuse_mixed, train_with_kohya
from modiste.trainer.lora.verify import verify

ROOT = Path(__file__).parents[2]
patch_torchvision_ops()


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    engines = tmp_path_factory.mktemp("engines")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODISTE_ENGINES", str(engines))
        yield lay_engine(engines)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return bare_base(tmp_path_factory.mktemp("base") / "sd15")


@pytest.fixture
def wanted(base, tmp_path):
    return config(base, draw_photos(tmp_path / "photos", [(64, 64), (96, 64)]))


def ask_to_stop(heard: list[Progress]):
    """A wish that comes up at step 3."""
    return lambda: any(one.stage == "train" and one.done == 3 for one in heard)


# ── success ──


def test_a_run_ends_with_a_file_that_loads_everywhere_and_says_where_it_comes_from(engine, wanted, tmp_path):
    heard: list[Progress] = []
    before = tree(tmp_path / "photos")
    result = train_with_kohya(wanted, tmp_path / "out", read_photo, progress=heard.append)

    assert result.file == tmp_path / "out" / "fashion_lora_weights.safetensors"
    assert all(report.ok for report in verify(result.file))
    record = json.loads((tmp_path / "out" / "train.json").read_text())
    assert record == result.record
    assert record["engine"]["name"] == "kohya" and record["engine"]["version"] == "small"
    assert record["running_losses"] == {str(step): 0.5 - step / 100 for step in range(1, 7)}
    assert (record["steps"], record["engine"]["starts"], record["photos"]["training"]) == (6, [0], 2)
    with safe_open(result.file, "pt") as file:
        said = file.metadata()
    assert said["ss_sd_scripts_commit_hash"] == "abc" and "ss_lowram" not in said  # its own words stay, "None" not
    assert said["ss_output_name"] == "fashion_lora" and json.loads(said["modiste.config"])["steps"] == 6

    told = training_of(open_tuned(result.file).record)  # as a comparison reports it
    assert told.losses == pytest.approx(list(record["running_losses"].values())) and told.validation == []

    steps = [one for one in heard if one.stage == "train"]
    assert [one.done for one in steps][::2] == [1, 2, 3, 4, 5, 6] and {one.total for one in steps} == {6}
    assert steps[-1].eta_s == 0 and any("prepare images." in one.message for one in heard)
    assert tree(tmp_path / "photos") == before
    assert not (tmp_path / "out" / "kohya" / "photos").exists()


def test_the_engine_sees_its_own_libraries_and_no_hub(engine, wanted, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "ours"))
    monkeypatch.setenv("RANK", "0")
    train_with_kohya(wanted, tmp_path / "out", read_photo)
    seen = called(engine)
    assert seen["cwd"] == str(engine / "sd-scripts") == seen["environ"]["PYTHONPATH"]
    assert seen["environ"]["HF_HUB_OFFLINE"] == "1" and seen["environ"]["ACCELERATE_USE_CPU"] == "true"
    assert "RANK" not in seen["environ"]


def test_a_finished_run_is_not_trained_again(engine, wanted, tmp_path, monkeypatch):
    first = train_with_kohya(wanted, tmp_path / "out", read_photo)
    first.file.unlink()
    monkeypatch.setenv("FAKE", "fails")
    assert train_with_kohya(wanted, tmp_path / "out", read_photo).file.is_file()


def test_photos_without_captions_get_the_taggers_and_nothing_is_written_beside_them(engine, base, tmp_path):
    photos = draw_photos(tmp_path / "photos", [(64, 64)], captions=False)
    wanted, before = config(base, photos), tree(photos)
    result = train_with_kohya(wanted, tmp_path / "out", read_photo, lambda seen: ["a coat"] * len(seen))
    assert result.record["photos"]["notes"] == ["captions written by the tagger: 1"]
    assert tree(photos) == before


# ── what is no success ──


@pytest.mark.parametrize(
    ("fake", "kind", "message"),
    [
        ("fails", InputError, "exit code 1: RuntimeError: Failed to import x because of: no module named y"),
        ("no file", InputError, "without an error and without a file"),
        ("zeros", InputError, "this LoRA changes nothing"),
        ("memory", Stopped, "too little memory.*micro_batch"),
        ("killed", Stopped, "from outside by signal 9.*goes on at step 2"),
        ("nan", Stopped, "is no longer finite"),
    ],
)
def test_what_goes_wrong_in_the_engine_is_an_error_and_leaves_no_result(
    fake, kind, message, engine, wanted, tmp_path, monkeypatch
):
    monkeypatch.setenv("FAKE", fake)
    with pytest.raises(kind, match=message):
        train_with_kohya(wanted, tmp_path / "out", read_photo)
    assert not (tmp_path / "out" / "fashion_lora_weights.safetensors").exists()
    assert (tmp_path / "out" / "kohya" / "sd-scripts.log").stat().st_size


def test_a_lora_that_a_reader_would_not_apply_whole_is_no_result(engine, wanted, tmp_path):
    from lora_samples import random_lora

    from modiste.trainer.lora.file import write_lora
    from modiste.trainer.lora.state import AdapterState

    whole = random_lora("sd1", "dora", resnets=False)
    small = AdapterState("sd1", whole.modules[:2])
    kept = (engine / "sd-scripts" / "result.safetensors").read_bytes()
    write_lora(small, engine / "sd-scripts" / "result.safetensors", {})
    try:
        with pytest.raises(InputError, match="would not apply sd-scripts' LoRA whole"):
            train_with_kohya(wanted, tmp_path / "out", read_photo)
    finally:
        (engine / "sd-scripts" / "result.safetensors").write_bytes(kept)
    assert not (tmp_path / "out" / "fashion_lora_weights.safetensors").exists()


# ── stopping and going on ──


def test_a_wish_to_stop_ends_the_engine_and_the_same_run_goes_on_at_its_last_whole_state(
    engine, wanted, tmp_path, monkeypatch
):
    heard: list[Progress] = []
    monkeypatch.setenv("FAKE", "waits")
    with pytest.raises(InputError, match="leave out --resume"):
        refuse_fresh(tmp_path / "out")
    with pytest.raises(Stopped, match="stopped at step 3 of 6.*goes on at step 2"):
        train_with_kohya(wanted, tmp_path / "out", read_photo, progress=heard.append, stop=ask_to_stop(heard))
    refuse_fresh(tmp_path / "out")

    monkeypatch.setenv("FAKE", "")
    heard.clear()
    result = train_with_kohya(wanted, tmp_path / "out", read_photo, progress=heard.append)
    seen = called(engine)["options"]
    assert Path(seen["resume"]).name == "lora-step00000002-state" and seen["max_train_steps"] == 4
    assert seen["lr_scheduler_args"] == ["schedule='cosine'", "steps=6", "warmup=0"]
    assert result.record["engine"]["starts"] == [0, 2]
    assert [int(step) for step in result.record["running_losses"]] == [1, 2, 3, 4, 5, 6]
    assert max(one.done for one in heard if one.stage == "train") == 6


def test_an_engine_that_is_deaf_to_the_wish_is_killed(engine, wanted, tmp_path, monkeypatch):
    heard: list[Progress] = []
    monkeypatch.setenv("FAKE", "deaf")
    monkeypatch.setattr(kohya_process, "STOP_S", 0.1)
    with pytest.raises(Stopped, match="stopped at step 3"):
        train_with_kohya(wanted, tmp_path / "out", read_photo, progress=heard.append, stop=ask_to_stop(heard))


def test_a_state_counts_only_when_the_step_after_it_was_heard(tmp_path):
    saved: list[int] = []
    watch = kohya_process.Watch(0, 6, lambda now: None, saved.append)
    for line in (
        "steps:  33%|###       | 2/6 [00:02<00:04,  1.00it/s, avr_loss=0.5]",
        "  INFO     saving state at step 2        train_util.py:5964",
        "steps:  33%|###       | 2/6 [00:02<00:04,  1.00it/s, avr_loss=0.4]",
    ):
        watch.line(line)
    assert saved == []
    watch.line("steps:  50%|#####     | 3/6 [00:03<00:03,  1.00it/s, avr_loss=0.4]")
    assert saved == [2] and watch.losses == {2: 0.4, 3: 0.4}


def test_a_run_that_has_become_another_is_refused_with_the_difference(engine, base, wanted, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE", "killed")
    with pytest.raises(Stopped):
        train_with_kohya(wanted, tmp_path / "out", read_photo)
    other = config(base, tmp_path / "photos", learning_rate=0.5)
    with pytest.raises(InputError, match=r"learning_rate: 0.0001 → 0.5"):
        train_with_kohya(other, tmp_path / "out", read_photo)


def test_the_engine_dies_with_the_process_that_started_it(tmp_path):
    script = tmp_path / "waits.py"
    script.write_text("import signal, sys\nprint('here', flush=True)\nsignal.pause()\n")
    start = ROOT / "trainer" / "kohya" / "in_sd_scripts" / "start.py"
    process = subprocess.Popen([sys.executable, start, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"here\n"
    process.stdin.close()  # as the system closes it when its holder is killed
    assert process.wait(20) == 70
    process.stdout.close()


def test_the_trainers_process_hands_the_events_on_and_stops_at_sigterm(engine, wanted, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE", "waits")
    file = tmp_path / "config.json"
    file.write_text(wanted.model_dump_json())
    command = [sys.executable, "-m", "modiste.trainer", file, "--out", tmp_path / "out", "--engine", "kohya"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        events = []
        for line in process.stdout:
            events.append(json.loads(line))
            if events[-1].get("stage") == "train" and events[-1].get("done") == 3:
                process.send_signal(signal.SIGTERM)
        assert process.wait() == 4
    assert events[-1]["event"] == "error" and "goes on at step 2" in events[-1]["message"]


# ── the command ──


def test_without_the_engine_the_error_names_the_command_that_brings_it(wanted, tmp_path, monkeypatch):
    monkeypatch.setenv("MODISTE_ENGINES", str(tmp_path / "none"))
    assert find_engine() is None
    with pytest.raises(MissingEngine, match="python install.py kohya"):
        finetune(wanted, tmp_path / "out", engine="kohya")
    with pytest.raises(InputError, match="one of diffusers, kohya"):
        finetune(wanted, tmp_path / "out", engine="cohya")
    assert not (tmp_path / "out").exists()


def test_the_command_line_knows_the_engine_and_doctor_says_whether_it_is_there(engine, tmp_path):
    photos = draw_photos(tmp_path / "photos", [(64, 64)])
    words = ["finetune", photos, "--out", tmp_path / "out", "--preset", "mini", "--engine", "kohya"]
    done = harness(*words, MODISTE_ENGINES=tmp_path / "none")
    assert done.returncode == 2 and "python install.py kohya" in done.stderr
    done = harness(*words)
    assert done.returncode == 2 and "knows the published builds of Stable Diffusion only" in done.stderr
    assert json.loads(harness("doctor", "--json").stdout)["engines"]["kohya"] == "small"
    assert "python install.py kohya" in harness("doctor", MODISTE_ENGINES=tmp_path / "none").stdout


def harness(*words: str | Path, **variables: Path) -> subprocess.CompletedProcess:
    environ = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    command = [sys.executable, str(ROOT / "harness.py"), *map(str, words)]
    return subprocess.run(command, env=environ, capture_output=True, encoding="utf-8")


def test_neither_engine_goes_on_with_the_others_folder(engine, wanted, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE", "killed")
    with pytest.raises(Stopped):
        train_with_kohya(wanted, tmp_path / "out", read_photo)
    with pytest.raises(InputError, match="--engine kohya, or another --out"):
        refuse_mixed(tmp_path / "out", "diffusers")
    checkpoint = tmp_path / "other" / "checkpoints" / "step-00000002"
    checkpoint.mkdir(parents=True)
    (checkpoint / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="--engine diffusers, or another --out"):
        refuse_mixed(tmp_path / "other", "kohya")


def test_several_processes_are_refused(engine, wanted, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="one process"):
        train_with_kohya(wanted, tmp_path / "out", read_photo)
