"""A training for a graph: which base, which folder, a process of its own, and what the page is told; no ComfyUI."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from train_samples import draw_photos, settings, tiny_base

from modiste.core.errors import InputError
from modiste.core.folder_lock import lock_folder, lock_holder
from modiste.models.presets import PRESETS
from modiste.nodes.comfy.graph import checkpoint_of, digest_of
from modiste.nodes.comfy.safe_paths import inside, photo_folders, read_photo_roots
from modiste.nodes.training.config import TrainingWidgets, config_of, preset_for, slug
from modiste.nodes.training.dataset import (
    caption_photos,
    check_training_photos,
    content_of,
    fingerprint,
    read_photos,
    require_one_source,
    write_pictures,
)
from modiste.nodes.training.history import (
    EVENTS,
    History,
    RunRecord,
    list_runs,
    running,
    show_run,
    thinned,
    trained_files,
)
from modiste.nodes.training.process import LOG, TrainingFailed, command, event_of, training_events
from modiste.nodes.training.publish import (
    KeysWouldBeLost,
    listed_name,
    loss_map,
    publish,
    refuse_lost_keys,
    tensors_of,
)
from modiste.nodes.training.run import LoraRun, decide, finish, prepare, train
from modiste.trainer.data.caption_files import own_caption
from modiste.trainer.loop.checkpoint import whole_checkpoints
from modiste.trainer.results import LORA_FILE, RECORD
from modiste.trainer.run import CHECKPOINTS, LOCK

ROOT = Path(__file__).parents[2]

LOADER = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15.safetensors"}}


# ── paths ──


def test_a_path_stays_inside_its_roots(tmp_path):
    first, second = tmp_path / "input", tmp_path / "output"
    for folder in (first / "photos", second / "modiste"):
        folder.mkdir(parents=True)
    (first / "out").symlink_to(tmp_path)
    roots = [first, second]
    assert inside("photos", roots) == first / "photos"
    assert inside(str(second / "modiste"), roots) == second / "modiste"
    assert inside("a/../photos", roots) == first / "photos"
    assert inside(f"  photos/{'a' * 255} ", roots) == first / "photos" / ("a" * 255)
    (tmp_path / "linked").symlink_to(first)
    assert inside("photos", [tmp_path / "linked"]) == inside(str(first), [second, tmp_path / "linked"]) / "photos"
    file = "copy the photos, or name their folder in modiste_paths.yaml"
    for name in ("../x", "/etc", "photos/../../x", "out/x", "..", str(tmp_path), f"{first}-evil"):
        with pytest.raises(InputError) as caught:
            inside(name, roots)
        assert str(caught.value) == f"{name!r} leads out of {first} or {second}; a folder in there; {file}"
    for name, shown in (
        ("a" * 300, "a" * 40),
        (f"photos/{'衣' * 100}", f"photos/{'衣' * 33}"),
        (f" {'b' * 256}", "b" * 40),
    ):
        with pytest.raises(InputError) as caught:
            inside(name, roots)
        assert str(caught.value) == f"a name in the path '{shown}…' is too long; at most 255 bytes a name"
    reasons = {"": "no folder was named", "  ": "no folder was named", "a\0b": "a path holds a NUL byte"}
    for name, reason in reasons.items():
        with pytest.raises(InputError) as caught:
            inside(name, roots)
        assert str(caught.value) == f"{reason}; a folder inside {first}"


def test_photos_on_another_disk_are_reached_by_path_and_by_a_link_where_a_file_names_their_root(tmp_path):
    disk, root, secret = tmp_path / "disk", tmp_path / "input", tmp_path / "secret"
    for folder in (disk / "brand", root, secret):
        folder.mkdir(parents=True)
        (folder / "a.jpg").touch()
    (root / "linked").symlink_to(disk / "brand")
    (root / "stolen").symlink_to(secret)
    (root / "zoom").mkdir()
    (root / "zoom" / "b.webp").touch()
    file = tmp_path / "modiste_paths.yaml"
    assert read_photo_roots(file) == []
    with pytest.raises(InputError, match="leads out of .*modiste_paths.yaml"):
        inside("linked", [root])
    file.write_text(f"photos:\n  - {disk}\n")
    roots = [root, *read_photo_roots(file)]
    assert inside("linked", roots) == inside(str(disk / "brand"), roots) == disk / "brand"
    assert photo_folders(root, roots) == ["linked", "zoom"] and photo_folders(root) == ["zoom"]
    with pytest.raises(InputError, match="leads out of"):
        inside("stolen", roots)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *(
            (text, "holds no list of folders under photos")
            for text in ("photos: 3", "- /data", "photos: [1]", "photos: {a: b}")
        ),
        ("photos: [/data, data]", "'data' is no full path"),
        ("photos: [", "can't be read: while parsing a flow node .*"),
        ("photos: [/data/é]", "can't be read: 'utf-8' codec can't decode .*"),
    ],
)
def test_a_file_of_paths_in_another_form_is_answered_with_an_example(text, reason, tmp_path):
    file = tmp_path / "modiste_paths.yaml"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(InputError) as caught:
        read_photo_roots(file)
    error = caught.value
    assert (error.where, error.to_try) == (str(file), "photos: [/data/photos, /mnt/brand]")
    said = str(error).partition(f" ({file})")[0]
    assert re.fullmatch(rf"modiste_paths.yaml:? {reason}", said) and "\n" not in said


@pytest.mark.parametrize(
    ("text", "roots"),
    [
        ("\ufeffphotos: [/data/été, ' /mnt/b ', '']", ["/data/été", "/mnt/b"]),
        ("photos: |\n  /data/a\n\n  /data/b\n", ["/data/a", "/data/b"]),
        ("photos: ~/looks", [str(Path("~/looks").expanduser())]),
        ("others: [/data]", []),
        ("", []),
    ],
)
def test_a_file_of_paths_names_full_paths_as_a_list_or_line_by_line(text, roots, tmp_path):
    (tmp_path / "modiste_paths.yaml").write_text(text, encoding="utf-8")
    assert read_photo_roots(tmp_path / "modiste_paths.yaml") == [Path(root) for root in roots]


def test_the_list_shows_folders_that_hold_photos(tmp_path):
    looks = [f"{name}/a.png" for name in ("d", "b", "a", "c", "e")]
    for file in ("look/a.jpg", "look/deep/er/b.PNG", "look/deep/er/est/c.png", "texts/a.txt", ".hidden/c.jpg", *looks):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    (tmp_path / "top.png").touch()
    assert photo_folders(tmp_path) == ["a", "b", "c", "d", "e", "look", "look/deep/er"]


# ── the graph ──


def test_the_checkpoint_is_found_behind_the_model_and_what_lies_between_is_said():
    prompt = {
        "4": LOADER,
        "10": {"class_type": "LoraLoader", "inputs": {"model": ["4", 0], "clip": ["4", 1], "lora_name": "a"}},
        "3:7": {"class_type": "FreeU", "inputs": {"model": ["10", 0]}},
        "5": {"class_type": "ModisteLoraTrainer", "inputs": {"model": ["3:7", 0]}},
    }
    found = checkpoint_of(prompt, "5")
    assert found.ckpt_name == "sd15.safetensors" and found.between == ("LoraLoader", "FreeU")
    assert "LoraLoader, FreeU" in found.warning
    assert checkpoint_of({"4": LOADER, "5": {"inputs": {"model": ["4", 0]}}}, "5").warning == ""


def test_a_merge_shows_its_first_model_and_a_primitive_its_value():
    prompt = {
        "1": {"class_type": "PrimitiveString", "inputs": {"value": "a.safetensors"}},
        "2": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": ["1", 0]}},
        "3": {"class_type": "ModelMergeSimple", "inputs": {"model1": ["2", 0], "model2": ["9", 0], "ratio": 1}},
        "5": {"inputs": {"model": ["3", 0]}},
    }
    assert checkpoint_of(prompt, "5").ckpt_name == "a.safetensors"


@pytest.mark.parametrize(
    "prompt",
    [
        {},
        {"5": {"inputs": {}}},
        {"5": {"inputs": {"model": ["9", 0]}}},
        {"5": {"inputs": {"model": ["6", 0]}}, "6": {"class_type": "UNETLoader", "inputs": {"unet_name": "x"}}},
        {"5": {"inputs": {"model": ["6", 0]}}, "6": {"class_type": "Loop", "inputs": {"model": ["6", 0]}}},
    ],
    ids=["nothing", "no link", "a link to nowhere", "another loader", "a circle"],
)
def test_a_model_without_a_checkpoint_is_answered_with_what_to_do(prompt):
    with pytest.raises(InputError, match="choose the checkpoint by its name"):
        checkpoint_of(prompt, "5")


def test_the_digest_changes_with_all_that_made_the_model_and_with_nothing_else():
    def digest(strength: float = 1.0, text: str = "a") -> str:
        prompt = {
            "4": LOADER,
            "6": {"class_type": "LoraLoader", "inputs": {"model": ["4", 0], "strength_model": strength}},
            "7": {"class_type": "CLIPTextEncode", "inputs": {"text": text, "clip": ["4", 1]}},
            "5": {"class_type": "S", "inputs": {"model": ["6", 0], "clip": ["4", 1], "seed": text}},
        }
        return digest_of(prompt, "5", ("model", "clip"))

    assert digest() == digest(text="b") != digest(0.5)


# ── datasets ──


def test_a_fingerprint_changes_with_a_photo_and_with_a_caption(tmp_path):
    photos = draw_photos(tmp_path / "photos", 3)
    seen = [fingerprint(photos)]
    (photos / "0.txt").write_text("another word")
    seen.append(fingerprint(photos))
    Image.new("RGB", (64, 64)).save(photos / "9.png")
    seen.append(fingerprint(photos))
    (photos / "notes.md").write_text("no part of it")
    assert len(set(seen)) == 3 and fingerprint(photos) == seen[-1]
    assert fingerprint(tmp_path / "nowhere") == fingerprint(tmp_path / "elsewhere")


def test_photos_are_checked_before_a_run_without_opening_a_picture(tmp_path):
    photos = draw_photos(tmp_path / "photos", 3)
    required = []
    check_training_photos(photos, lambda: required.append("captions"))
    assert required == [], "each photo has its caption"
    (photos / "1.txt").unlink()
    check_training_photos(photos, lambda: required.append("captions"))
    assert required == ["captions"]
    (photos / "0.txt").write_bytes(b"\x00\x01\x02\x03caption")
    with pytest.raises(InputError, match="binary data, no text"):
        check_training_photos(photos, lambda: None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no photos here"):
        check_training_photos(tmp_path / "empty", lambda: None)


def test_pictures_of_a_graph_are_written_once_each_beside_their_own_captions(tmp_path):
    red, blue = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
    for _ in range(2):
        write_pictures([red, blue, red], tmp_path, ["red", "blue", "never"])
    files = sorted(tmp_path.glob("*.png"))
    assert len(files) == 2 and {own_caption(file) for file in files} == {"red", "blue"}
    for file in files:
        assert Image.open(file).getpixel((0, 0)) == ((255, 0, 0) if own_caption(file) == "red" else (0, 0, 255))
    write_pictures([red], tmp_path, ["crimson"], overwrite=True)
    assert {own_caption(file) for file in files} == {"crimson", "blue"}
    assert content_of([red], None) != content_of([red], ["a"]) != content_of([blue], ["a"])


def test_a_binary_file_beside_a_photo_is_no_caption_and_overwriting_replaces_it(tmp_path):
    photos = draw_photos(tmp_path / "photos", 1)
    (photos / "0.txt").write_bytes(b"\x00\x01\x02\x03caption")
    with pytest.raises(InputError, match="binary data, no text: control character 0x01"):
        caption_photos(photos, lambda pictures: ["a dress"] * len(pictures))
    caption_photos(photos, lambda pictures: ["a dress"] * len(pictures), overwrite=True)
    assert (photos / "0.txt").read_text(encoding="utf-8").strip() == "a dress"


def test_captions_are_written_where_there_are_none_and_yours_stay(tmp_path):
    photos = draw_photos(tmp_path / "photos", 3)
    (photos / "1.txt").unlink()
    asked = []

    def words_of(pictures: list) -> list[str]:
        asked.append(len(pictures))
        return ["new"] * len(pictures)

    done = caption_photos(photos, words_of)
    assert done.texts == ["dress number 0, red, short", "new", "dress number 2, red, short"] and asked == [1]
    assert (photos / "1.txt").read_text() == "new\n" and "1 captions written, 2 kept" in done.report
    assert caption_photos(photos, words_of).texts == done.texts and asked == [1], "nothing to ask any more"
    assert caption_photos(photos, words_of, ["given"], overwrite=True).texts == ["given"] * 3
    with pytest.raises(InputError, match="2 captions for 3 pictures"):
        caption_photos(photos, words_of, ["a", "b"])


def test_what_can_not_be_read_is_named_and_the_rest_is_used(tmp_path):
    photos = draw_photos(tmp_path / "photos", 3)
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    found = read_photos(photos, 32)
    assert len(found.photos) == 3 and max(found.photos[0].image.size) == 32
    assert "broken.png: left out" in found.report()
    assert len(read_photos(photos, 64, limit=2).photos) == 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no photos here"):
        read_photos(tmp_path / "empty", 64)


def test_photos_come_from_one_place():
    for folder, pictures in (("photos", True), ("  ", False)):
        with pytest.raises(InputError):
            require_one_source(folder, pictures)
    require_one_source("photos", False), require_one_source("", True)


# ── the recipe ──


def test_a_recipe_is_a_share_of_what_suits_the_base_and_json_comes_before_the_fields(tmp_path):
    quick = config_of(TrainingWidgets(recipe="quick", trigger=" vesper "), PRESETS["sd15"], [tmp_path])
    assert (quick.steps, quick.data.resolution, quick.network.rank, quick.network.alpha) == (300, 512, 16, 16)
    assert quick.data.trigger == "vesper" and quick.learning_rate == 1e-4
    xl = config_of(TrainingWidgets(steps=7, rank=4, method="lokr"), PRESETS["sdxl"], [tmp_path])
    assert (xl.steps, xl.data.resolution, xl.network.kind) == (7, 1024, "lokr")
    own = config_of(
        TrainingWidgets(rank=4, config='{"network": {"rank": 9}, "data": {"flip": true}}'), PRESETS["mini"], [tmp_path]
    )
    assert own.network.rank == 9 and own.data.flip and own.data.folders == (tmp_path,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (TrainingWidgets(config="{"), "config is no JSON"),
        (TrainingWidgets(config="[]"), "not a JSON object"),
        (TrainingWidgets(config='{"learning_rate": NaN}'), "config holds NaN"),
        (TrainingWidgets(config='{"stepz": 3}'), "stepz: no such field; did you mean 'steps'. there are base"),
        (TrainingWidgets(config='{"rank": 8}'), "rank: no such field; did you mean 'network.rank'"),
        (TrainingWidgets(config='{"network": {"dim": 8}}'), "network.dim: no such field; there are kind, rank, alpha"),
        (TrainingWidgets(config='{"method": "full"}'), "gives no LoRA"),
        (TrainingWidgets(learning_rate=float("nan")), "learning_rate is nan"),
        (TrainingWidgets(resolution=100), "resolution 100"),
        (TrainingWidgets(recipe="slow"), "no recipe 'slow'"),
        (TrainingWidgets(method="full"), "methods: lora"),
    ],
)
def test_options_that_can_not_be_trained_are_refused_before_anything_is_opened(options, message, tmp_path):
    with pytest.raises(InputError, match=message):
        config_of(options, PRESETS["sd15"], [tmp_path])


def test_the_base_of_a_file_is_told_by_its_text_encoders(tmp_path):
    one = {"cond_stage_model.transformer.text_model.final_layer_norm.bias": torch.zeros(1)}
    two = {"conditioner.embedders.1.model.ln_final.bias": torch.zeros(1)}
    save_file(one, tmp_path / "a.safetensors")
    save_file(two, tmp_path / "b.safetensors")
    assert preset_for(tmp_path / "a.safetensors").name == "sd15"
    assert preset_for(tmp_path / "b.safetensors").name == "sdxl"
    others = {
        "model.diffusion_model.double_blocks.0.img_attn.qkv.weight": "it looks like FLUX",
        "model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": "it looks like Stable Diffusion 3",
        "conditioner.embedders.0.model.ln_final.bias": "the refiner of Stable Diffusion XL",
        "model.diffusion_model.input_blocks.0.0.weight": "a model without text encoders",
    }
    for name, message in others.items():
        save_file({name: torch.zeros(1)}, tmp_path / "other.safetensors")
        with pytest.raises(InputError, match=f"no Stable Diffusion 1, 2 or XL, .*{message}.*any model"):
            preset_for(tmp_path / "other.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"no")
    (tmp_path / "old.ckpt").write_bytes(b"no")
    for name, message in (
        ("torn.safetensors", "is damaged or no safetensors file .*download it"),
        ("old.ckpt", "pickled"),
    ):
        with pytest.raises(InputError, match=message):
            preset_for(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Été 2026/coats", "Été-2026-coats"), ("../../x", "x"), ("", "fashion"), ("a" * 99, "a" * 60), ("<b>\0", "b")],
)
def test_a_name_is_a_file_name_everywhere(name, expected):
    assert slug(name) == expected


def test_the_same_options_find_their_run_again_and_others_have_their_own(tmp_path):
    photos = draw_photos(tmp_path / "photos", 3)

    def run(seen: str = "a", **options: object) -> LoraRun:
        return decide(TrainingWidgets(**options), None, photos, seen, tmp_path / "runs")

    assert run() == run() and run(device="cpu").id == run().id
    others = [run(), run("b"), run(rank=8), run(seed=1), run(name="coats"), run(config='{"ema": 0.9}')]
    assert len({one.id for one in others}) == len(others)
    assert run(name="../x").folder.parent == tmp_path / "runs"


# ── the process ──


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A base of some thousand weights, photos, and the config of a run of 8 steps."""
    folder = tmp_path_factory.mktemp("training")
    base, photos = tiny_base(folder / "base"), draw_photos(folder / "photos")
    (folder / "config.json").write_text(json.dumps(settings(base, photos, steps=8)))
    return folder


class Cancelled(Exception):
    """As ComfyUI's: no error of ours."""


def test_cancel_keeps_a_checkpoint_and_the_same_command_goes_on_to_the_end(tiny):
    run = tiny / "cancelled"
    run.mkdir()
    arguments = [str(tiny / "config.json"), "--out", str(run)]
    steps: list[int] = []

    def look() -> None:
        if steps and steps[-1] >= 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        for event in training_events(arguments, run, look):
            if event["event"] == "progress" and event["stage"] == "train":
                steps.append(event["done"])
    kept = whole_checkpoints(run / CHECKPOINTS)
    said = [event_of(line) for line in (run / EVENTS).read_text().splitlines()]
    if said[-1]["event"] != "done":  # else it was at its end before the signal came
        assert said[-1]["event"] == "error" and said[-1]["exit_code"] == 4 and kept
    events = list(training_events(arguments, run, lambda: None))
    assert events[-1]["event"] == "done" and Path(events[-1]["file"]).is_file()
    history = History.of(run)
    assert [step for step, _ in history.losses] == list(range(1, 9)) and history.best_step == 8


def test_cancel_that_shows_while_the_page_is_told_ends_the_process_too(tiny, monkeypatch):
    options = TrainingWidgets(steps=400, config=json.dumps(settings(tiny / "base", tiny / "photos", steps=400)))
    run = decide(options, None, tiny / "photos", "a", tiny / "runs")

    def tell(heard: dict, history: History) -> None:
        if heard["stage"] == "train" and heard["done"] >= 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        train(run, prepare(run, lambda pictures: []), "1", [], lambda: None, tell)
    assert whole_checkpoints(run.folder / CHECKPOINTS) and run.id not in running
    assert show_run(tiny / "runs", run.id)["state"] == "stopped" and not run.finished
    begun = list_runs(tiny / "runs")[0]["started"]
    finish(run, "7", "a.safetensors", 400)
    listed = list_runs(tiny / "runs")[0]
    assert (listed["state"], listed["file"], listed["node"], listed["started"]) == ("done", "a.safetensors", "7", begun)


def left_alone(tiny: Path, root: Path) -> LoraRun:
    """A run at work, whose host was killed: a second Python stands for that, and kills itself at the third step."""
    options = TrainingWidgets(steps=150, config=json.dumps(settings(tiny / "base", tiny / "photos", steps=150)))
    run = decide(options, None, tiny / "photos", "alone", root)
    prepare(run, lambda pictures: [])
    host = subprocess.Popen([sys.executable, "-c", HOST, str(run.folder), str(run.folder / "config.json")], cwd=ROOT)
    assert host.wait(60) == -signal.SIGKILL
    RunRecord(run=run.id, node="1", title="alone", started=0.0, total=150).write(root)
    return run


def test_a_training_whose_host_was_killed_goes_on_and_the_same_options_follow_it_to_its_end(tiny, tmp_path):
    run = left_alone(tiny, tmp_path)
    shown = show_run(tmp_path, run.id)
    assert (shown["state"], shown["live"]) == ("running", False)
    with pytest.raises(InputError, match="is training here"):
        lock_folder(run.folder, LOCK, "training here")
    told: list[dict] = []
    train(run, prepare(run, lambda pictures: []), "1", [], lambda: None, lambda update, history: told.append(update))
    steps = [update["done"] for update in told if update["loss"] is not None]
    assert steps[-1] == 150 and steps == list(range(steps[0], 151)), "each step once: nobody began anew"
    assert run.finished and lock_holder(run.folder / LOCK) is None
    assert (run.folder / EVENTS).read_text().count('"event": "done"') == 1


def test_cancel_ends_a_training_whose_host_was_killed_and_keeps_its_checkpoint(tiny, tmp_path):
    run = left_alone(tiny, tmp_path)

    def cancel(update: dict, history: History) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        train(run, prepare(run, lambda pictures: []), "1", [], lambda: None, cancel)
    assert lock_holder(run.folder / LOCK) is None and not run.finished
    assert whole_checkpoints(run.folder / CHECKPOINTS) and show_run(tmp_path, run.id)["state"] == "stopped"


HOST = """
import os, signal, sys
from pathlib import Path
from modiste.nodes.training.process import training_events

run, config = map(Path, sys.argv[1:])
for event in training_events([str(config), "--out", str(run)], run, lambda: None):
    if event["event"] == "progress" and event.get("stage") == "train" and event["done"] >= 3:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_that_ended_while_its_host_was_away_says_how_its_file_is_listed(tmp_path):
    finished(tmp_path, "a-1")
    assert show_run(tmp_path, "a-1")["message"] == ""
    for name in (RECORD, LORA_FILE):
        (tmp_path / "a-1" / name).write_bytes(b"{}")
    assert "queue it again" in show_run(tmp_path, "a-1")["message"]


def test_a_process_that_fails_says_why_and_one_that_dies_is_not_taken_for_a_success(tiny, tmp_path):
    with pytest.raises(TrainingFailed, match="there is no such config"):
        list(training_events([str(tmp_path / "no.json"), "--out", str(tmp_path / "run")], tmp_path, lambda: None))
    (tmp_path / "modiste").mkdir()
    (tmp_path / "modiste" / "trainer.py").write_text("import os, sys\nsys.exit('the disk is on fire')\n")
    with pytest.raises(TrainingFailed, match=f"code 1: the disk is on fire; see .*{LOG}"):
        list(training_events([], tmp_path, lambda: None, root=tmp_path))
    (tmp_path / "modiste" / "trainer.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    with pytest.raises(TrainingFailed, match="signal 9"):
        list(training_events([], tmp_path, lambda: None, root=tmp_path))


def test_an_embedded_python_that_ignores_its_folder_starts_the_training_too(tmp_path):
    start = command("--help", isolated=True)
    done = subprocess.run([start[0], "-I", *start[1:]], cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 0 and "a TrainConfig as JSON" in done.stdout, done.stderr


@pytest.mark.parametrize("line", ["", "Loading 5/5", "[1]", '{"no": 1}', '{"event": 3}', '{"event": "progr'])
def test_a_line_that_is_no_event_is_passed_over(line):
    assert event_of(line) is None


# ── what the page is told ──

SAYS = [
    {"event": "progress", "stage": "data", "done": 0, "total": 1, "message": "reading", "eta_s": None},
    {"event": "validation", "step": 0, "loss": 0.5, "mean": 0.0, "low": 0.0, "high": 0.0},
    {"event": "progress", "stage": "train", "done": 1, "total": 4, "message": "m", "loss": 9.0, "rate": 1e-4},
    {"event": "progress", "stage": "train", "done": 2, "total": 4, "loss": 8.0, "rate": 1e-4, "memory_mb": 12.5},
    {"event": "checkpoint", "step": 2},
    {"event": "error", "message": "stopped at step 2", "exit_code": 4},
    {"event": "progress", "stage": "train", "done": 2, "total": 4, "loss": 7.0, "rate": 2e-4},
    {"event": "heartbeat", "stage": "train", "done": 2},
    {"event": "validation", "step": 2, "loss": 0.4, "mean": 0.1, "low": 0.05, "high": 0.15},
    {"event": "unheard of", "anything": 1},
]


def test_the_page_is_told_that_samples_are_drawn_before_the_first_step():
    history = History("r")
    history.add({"event": "progress", "stage": "train", "done": 0, "total": 4})
    drawing = history.add({"event": "progress", "stage": "drawing", "done": 0, "total": 2})
    assert (drawing["stage"], drawing["done"], drawing["total"]) == ("drawing", 0, 2)
    back = history.add({"event": "progress", "stage": "train", "done": 1, "total": 4, "loss": 1.0})
    assert (back["stage"], back["total"]) == ("train", 4)


def finished(root: Path, run: str, started: float = 1.0, **record: object) -> Path:
    RunRecord(run=run, node="1:2", title="t", started=started, total=4, **record).write(root)
    sample = {"event": "sample", "step": 2, "file": str(root / run / "samples" / "a & b.png")}
    lines = [*SAYS, sample, {"event": "done", "file": "x", "best_step": 2, "reason": "least"}]
    (root / run / EVENTS).write_text("\n".join(map(json.dumps, lines)) + '\n{"torn')
    return root / run


def test_a_run_is_redrawn_from_its_file_and_steps_done_twice_count_once(tmp_path):
    finished(tmp_path, "a-1", state="done", file="a.safetensors")
    shown = show_run(tmp_path, "a-1")
    assert shown["losses"] == [[1, 9.0], [2, 7.0]] and shown["rates"][1] == [2, 2e-4] and shown["checkpoints"] == [2]
    assert [look["step"] for look in shown["held_out"]] == [0, 2] and shown["reason"] == "least"
    url = "/view?filename=a+%26+b.png&subfolder=modiste%2Fa-1%2Fsamples&type=output"
    assert shown["samples"] == [{"step": 2, "url": url}] and shown["memory_mb"] == 12.5 and shown["node"] == "1:2"
    json.dumps(shown, allow_nan=False)


def test_runs_are_listed_newest_first_with_their_gain(tmp_path):
    assert list_runs(tmp_path / "nowhere") == []
    for index in range(3):
        finished(tmp_path, f"run-{index}", started=index, state="done", file="a.safetensors")
    (tmp_path / "search-1").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    found = list_runs(tmp_path)
    assert [one["run"] for one in found] == ["run-2", "run-1", "run-0"]
    assert found[0]["gain"] == {"mean": 0.1, "low": 0.05, "high": 0.15} and found[0]["best_step"] == 2
    assert found[0]["steps"] == 2 and found[0]["total"] == 4


def test_what_follows_the_training_does_not_count_as_steps():
    history = History("a-1")
    for stage, done in (("train", 40), ("signs", 3)):
        history.add({"event": "progress", "stage": stage, "done": done, "total": 48})
    assert history.steps == 40 and history.done == 3


def test_a_run_that_nobody_runs_any_more_is_stopped(tmp_path, monkeypatch):
    finished(tmp_path, "a-1")
    assert show_run(tmp_path, "a-1")["state"] == "stopped"
    monkeypatch.setattr("modiste.nodes.training.history.running", running | {"a-1"})
    assert show_run(tmp_path, "a-1")["state"] == "running"


def test_the_newest_trained_lora_comes_first_each_file_once_and_unfinished_runs_have_none(tmp_path):
    assert trained_files(tmp_path / "nowhere") == []
    for run, started, file in (("a", 1, "a"), ("b", 3, None), ("c", 2, "c"), ("d", 4, "a")):
        finished(tmp_path, run, started, file=file and f"{file}.safetensors", state="done" if file else "stopped")
    assert trained_files(tmp_path) == ["a.safetensors", "c.safetensors"]


@pytest.mark.parametrize("name", ["..", ".", "", "a/..", "../out", "nope", "/etc", "a-1/samples", "a\0b"])
def test_no_name_of_a_run_leads_out_of_the_runs(name, tmp_path):
    finished(tmp_path / "modiste", "a-1")
    finished(tmp_path, "out")
    assert show_run(tmp_path / "modiste", name) is None


def test_what_the_page_hears_live_has_every_field_whatever_an_event_lacks():
    history = History("a-1")
    heard = [history.add(event) for event in SAYS]
    assert len({tuple(one) for one in heard}) == 1
    assert heard[2]["loss"] == 9.0 and heard[4]["checkpoint"] == 2 and heard[8]["held_out"]["low"] == 0.05
    assert heard[7]["loss"] is None and heard[7]["done"] == 2 and heard[9]["total"] == 4


def test_a_long_curve_is_thinned_to_means_of_neighbours():
    points = [[step, float(step % 2)] for step in range(1, 3001)]
    found = thinned(points)
    assert len(found) == 500 and {y for _, y in found} == {0.5} and found[-1][0] == 3000
    assert thinned(points[:500]) == points[:500]


# ── the file ──


def lora(file: Path, name: str = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q") -> Path:
    save_file(
        {
            f"{name}.lora_up.weight": torch.ones(320, 2),
            f"{name}.lora_down.weight": torch.ones(2, 320),
            f"{name}.alpha": torch.tensor(2.0),
        },
        file,
    )
    return file


def test_a_file_is_published_under_a_name_of_its_content_and_is_never_written_over(tmp_path):
    loras = tmp_path / "output" / "loras"
    first = publish(lora(tmp_path / "a.safetensors"), loras, "coats")
    again = publish(tmp_path / "a.safetensors", loras, "coats")
    other = publish(lora(tmp_path / "b.safetensors", "lora_unet_x"), loras, "coats")
    assert first == again != other and first.name.startswith("coats-") and len(list(loras.iterdir())) == 2
    assert listed_name(first, [tmp_path / "models", loras]) == first.name
    assert listed_name(first, [tmp_path / "output"]) == str(Path("loras") / first.name)
    assert load_file(first).keys() == tensors_of(first).keys()


def test_a_key_that_a_loader_would_leave_out_in_silence_is_an_error(tmp_path):
    good = lora(tmp_path / "good.safetensors")
    assert "all 1 modules load in ComfyUI" in refuse_lost_keys(good, None)
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    assert refuse_lost_keys(good, None, {name})
    with pytest.raises(KeysWouldBeLost, match="would leave out 3 keys"):
        refuse_lost_keys(good, None, {"lora_unet_another"})
    path = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    silent = {f"{path}.lora_A.weight": torch.ones(2, 320), f"{path}.lora_B.weight": torch.ones(320, 2)}
    save_file(silent, tmp_path / "silent.safetensors")
    with pytest.raises(KeysWouldBeLost, match="would leave out 2 keys"):
        refuse_lost_keys(tmp_path / "silent.safetensors", None)


@pytest.mark.parametrize("losses", [[0.5, 0.4], [0.5, 0.5, 0.5], [0.5], [], [0.0]])
def test_no_loss_is_so_flat_that_comfyuis_graph_divides_by_nothing(losses):
    found = loss_map(losses)["loss"]
    assert max(found) - min(found) > 0 and found[: len(losses)] == losses
