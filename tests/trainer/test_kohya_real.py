"""sd-scripts itself: SD_SCRIPTS_PATH is its checkout, and the environment beside it, `venv`, has its libraries.

`python install.py kohya` leaves both in engines/kohya. Needs 2.5 GB of disk and 8 GB of memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kohya_samples import config, draw_photos, random_base
from PIL import Image

from modiste.core.errors import Stopped
from modiste.core.torchvision_ops import patch_torchvision_ops
from modiste.fashion.photos import read_photo
from modiste.trainer.data.config import DataConfig
from modiste.trainer.data.dataset import load_dataset
from modiste.trainer.kohya.base import KohyaBase
from modiste.trainer.kohya.engine import STAMP, Engine, find_engine
from modiste.trainer.kohya.files import datasets, toml, write_photos
from modiste.trainer.kohya.options import SCRIPTS, Folders, ResumePoint, options
from modiste.trainer.kohya.train import START, train_with_kohya
from modiste.trainer.loop.memory_plan import first_plan
from modiste.trainer.lora.file import read_lora

pytestmark = pytest.mark.kohya
ROOT = Path(__file__).parents[2]
patch_torchvision_ops()

KNOWN = """
import json, sys
sys.argv = sys.argv[1:]
import importlib
parser = importlib.import_module(sys.argv[0].removesuffix(".py")).setup_parser()
print(json.dumps([action.dest for action in parser._actions]))
"""
READ = """
import argparse, json, sys
from library import config_util, strategy_base, strategy_sd, train_util
strategy_base.LatentsCachingStrategy.set_strategy(strategy_sd.SdSdxlLatentsCachingStrategy(True, False, 1, False))
sanitizer = config_util.ConfigSanitizer(True, True, False, True)
wanted = config_util.load_user_config(sys.argv[1])
blueprint = config_util.BlueprintGenerator(sanitizer).generate(wanted, argparse.Namespace())
group, _ = config_util.generate_dataset_group_by_blueprint(blueprint.dataset_group)
found = {}
for dataset in group.datasets:
    for info in dataset.image_data.values():
        subset = dataset.image_to_subset[info.image_key]
        image = train_util.load_image(info.absolute_path, subset.alpha_mask)
        cut, size, box = train_util.trim_and_resize_if_required(False, image, info.bucket_reso, info.resized_size)
        found[info.image_key] = dict(
            caption=info.caption, repeats=info.num_repeats, batch=dataset.batch_size, size=list(info.bucket_reso),
            whole=bool((cut == image).all()), keep=subset.keep_tokens, shuffle=subset.shuffle_caption,
            flip=subset.flip_aug, dropout=info.caption_dropout_rate, masked=subset.alpha_mask)
print(json.dumps(found))
"""


@pytest.fixture
def engine(tmp_path, monkeypatch) -> Engine:
    checkout = Path(os.environ["SD_SCRIPTS_PATH"])
    if not (checkout.parent / "venv").exists():
        pytest.skip("beside the checkout of SD_SCRIPTS_PATH there is no venv with its libraries")
    (tmp_path / "engines" / "kohya").mkdir(parents=True)
    for name, place in (("sd-scripts", checkout), ("venv", checkout.parent / "venv")):
        (tmp_path / "engines" / "kohya" / name).symlink_to(place.resolve())
    (tmp_path / "engines" / "kohya" / STAMP).write_text(json.dumps({"version": "checkout"}))
    monkeypatch.setenv("MODISTE_ENGINES", str(tmp_path / "engines"))
    return find_engine()


def ask(engine: Engine, script: str, folder: Path, *words: str | Path) -> object:
    """What a script prints with the engine's Python, started as a program of sd-scripts is."""
    file = folder / "asked.py"
    file.write_text(script)
    environ = {**os.environ, "PYTHONPATH": str(engine.checkout), "HF_HUB_OFFLINE": "1"}
    command = [str(word) for word in (engine.python, START, file, *words)]
    with subprocess.Popen(
        command, cwd=engine.checkout, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        said = process.stdout.read()
        assert process.wait() == 0
    return json.loads(said.splitlines()[-1])


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_sd_scripts_knows_every_option_that_it_is_given(family, engine, tmp_path):
    everything = config(
        tmp_path, tmp_path, network={"conv_rank": 4}, clip_skip=2, loss={"noise_offset": 0.1}, data={"resolution": 64}
    )
    base = KohyaBase("base", tmp_path, family, "epsilon", "0")
    folders = Folders(tmp_path, tmp_path, tmp_path)
    words = options(everything, base, first_plan(everything, 0, 4), ResumePoint(2, tmp_path), folders)
    assert set(words) - set(ask(engine, KNOWN, tmp_path, SCRIPTS[family])) == set()


def test_sd_scripts_reads_our_pictures_as_they_are(engine, tmp_path):
    photos = draw_photos(tmp_path / "photos", [(330, 192), (256, 256), (250, 250)])
    Image.new("L", (256, 256), 128).save(photos / "1-masklabel.png")
    asked = dict(trigger="maison", repeats=3, shuffle_captions=True, keep_tokens=1, flip=True, caption_dropout=0.25)
    wanted = DataConfig(
        folders=(photos,), resolution=256, bucket_least=1, held_out=0, held_out_least=0, caption_separator=";", **asked
    )
    samples = load_dataset(wanted, read_photo).samples
    groups = write_photos(samples, wanted, read_photo, tmp_path / "cut")
    (tmp_path / "datasets.toml").write_text(toml(datasets(groups, wanted, 2, True)), encoding="utf-8")
    found = ask(engine, READ, tmp_path, tmp_path / "datasets.toml")
    seen = {Path(path).stem: one for path, one in found.items()}
    assert set(seen) == {sample.id for sample in samples}
    for sample in samples:
        assert seen[sample.id] == dict(
            caption=f"maison; {sample.caption}",
            repeats=3,
            batch=2,
            size=[sample.bucket.width, sample.bucket.height],
            whole=True,
            keep=2,
            shuffle=True,
            flip=True,
            dropout=0.25,
            masked=True,
        )


@pytest.mark.slow
def test_sd_scripts_trains_is_stopped_goes_on_and_its_file_loads_everywhere(engine, tmp_path):
    photos = draw_photos(tmp_path / "photos", [(64, 64), (64, 64), (96, 64)])
    Image.new("L", (64, 64), 200).save(photos / "1-masklabel.png")
    wanted = config(
        random_base(tmp_path / "sd15"),
        photos,
        steps=4,
        precision="bf16",
        warmup=1,
        network={"rank": 4, "alpha": 2.0, "conv_rank": 2, "text_rank": 4, "text_alpha": 2.0},
        loss={"noise_offset": 0.05},
        data={"trigger": "maison", "flip": True},
    )
    heard = []
    with pytest.raises(Stopped, match="goes on at step 2"):
        train_with_kohya(
            wanted,
            tmp_path / "out",
            read_photo,
            progress=heard.append,
            stop=lambda: any(one.stage == "train" and one.done == 3 for one in heard),
        )
    result = train_with_kohya(wanted, tmp_path / "out", read_photo)
    assert result.record["engine"]["starts"] == [0, 2] and result.record["engine"]["untouched"] == 0
    assert [int(step) for step in result.record["running_losses"]] == [1, 2, 3, 4]
    state = read_lora(result.file)
    parts = [module.part for module in state.modules]
    assert parts.count("text_encoder") == 72 and parts.count("unet") > 192  # convolutions too
    # Four steps move some B by less than float16 can say.
    assert sum(module.changes_nothing for module in state.modules) < 0.05 * len(parts)
    assert json.loads(state.metadata["ss_tag_frequency"]).popitem()[0] == "1_maison"
    command = [sys.executable, ROOT / "harness.py", "lora", "verify", result.file]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
