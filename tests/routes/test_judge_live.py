"""LoRAs by three trainers in one judgement: real sd-scripts, diffusers' example script, and Modiste.

SD_SCRIPTS_PATH names a checkout, SD_SCRIPTS_PACKAGES folders with what it needs beside torch (transformers 4, OpenCV);
DIFFUSERS_LORA_SCRIPT names examples/text_to_image/train_text_to_image_lora.py, and `datasets` is installed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path

import foreign_trainings
import pytest
import torch

from modiste.cli.app import main
from modiste.trainer.lora.file import read_tensors, write_tensors

ROOT = Path(__file__).parents[2]
BASE = ROOT / "mini" / "weights" / "sd"
NEEDED = ("SD_SCRIPTS_PATH", "DIFFUSERS_LORA_SCRIPT")

pytestmark = [
    pytest.mark.kohya,
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(os.environ.get(name) for name in NEEDED) or importlib.util.find_spec("datasets") is None,
        reason=f"needs {' and '.join(NEEDED)}, and datasets",
    ),
]


def run(*words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert ended.value.code in (0, None, 3), words


def test_files_of_three_trainers_are_judged_in_one_run_and_one_whose_keys_do_not_match_is_named(tmp_path):
    photos = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
    training, unseen = tmp_path / "training", tmp_path / "unseen"
    for folder, chosen in ((training, photos[:4]), (unseen, photos[4:8])):
        folder.mkdir()
        for photo in chosen:
            shutil.copy(photo, folder)
    (tmp_path / "kohya").mkdir()
    checkout, packages = Path(os.environ["SD_SCRIPTS_PATH"]), os.environ.get("SD_SCRIPTS_PACKAGES", "")
    kohya = foreign_trainings.train_by_sd_scripts(checkout, packages, BASE, photos[:4], tmp_path / "kohya")
    script = Path(os.environ["DIFFUSERS_LORA_SCRIPT"])
    theirs = foreign_trainings.train_by_diffusers(script, BASE, photos[:4], tmp_path / "diffusers")
    steps = ["--steps", str(foreign_trainings.STEPS), "--rank", str(foreign_trainings.RANK)]
    run("finetune", str(training), "--out", str(tmp_path / "ours"), "--preset", "mini", *steps, "--choose", "last")
    ours = tmp_path / "ours" / "fashion_lora_weights.safetensors"

    names = ["lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight"]
    other = {names[0]: torch.ones(4, 8), names[0].replace("down", "up"): torch.ones(8, 4)}
    write_tensors(other, tmp_path / "of-flux.safetensors", {})

    files = [*map(str, kohya), str(theirs), str(ours), str(tmp_path / "of-flux.safetensors")]
    few = ["--seeds", "2", "--choosing-seeds", "1", "--trigger", "vesper"]
    out = tmp_path / "judged"
    run("judge", *files, "--photos", str(unseen), "--preset", "mini", *few, "--out", str(out))
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))

    rows = {row["label"]: row for row in report["rows"]}
    assert [file.stem for file in kohya] == ["kohya-step00000012", "kohya-step00000024", "kohya"]
    assert [rows[f"kohya-step000000{step}"]["step"] for step in (12, 24)] == [12, 24]
    assert "kohya" not in rows, "the last step's file under another name is the same candidate"
    assert read_tensors(kohya[0])[1]["ss_network_module"] == "networks.lora"
    assert any(key.startswith("unet.") for key in read_tensors(theirs)[0]), "diffusers' own names"
    compared = {label for label, row in rows.items() if row["standing"] != "changes nothing"}
    assert compared == {"kohya-step00000012", "kohya-step00000024", "pytorch_lora_weights", "fashion_lora_weights"}
    assert all(rows[label]["pictures"] and rows[label]["traits"] for label in compared)
    assert "no module of this LoRA" in rows["of-flux"]["reason"] and "of-flux" in report["verdict"]["sentence"]
    assert report["verdict"]["label"] in compared and {gain["over"] for gain in report["gains"]} >= {"base", "next"}
