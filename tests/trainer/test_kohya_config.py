"""Every field of a run in sd-scripts' words: translated, refused by name, or said aloud as left out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kohya_samples import draw_photos, tree
from PIL import Image
from pydantic import BaseModel

from modiste.core.errors import InputError
from modiste.fashion.photos import read_photo
from modiste.trainer.config import TrainConfig, read_config
from modiste.trainer.data.dataset import load_dataset
from modiste.trainer.kohya.base import KohyaBase
from modiste.trainer.kohya.files import datasets, toml, write_photos
from modiste.trainer.kohya.in_sd_scripts.modiste_rates import factor, rates
from modiste.trainer.kohya.options import Folders, ResumePoint, environ, notices_of, options, refuse
from modiste.trainer.loop.memory_plan import first_plan
from modiste.trainer.loop.optimizers import rate_factor

GOLDEN = Path(__file__).parents[1] / "data" / "kohya_run.toml"
BASE = KohyaBase("sd15", Path("/models/sd15"), "sd1", "epsilon", "0123456789abcdef")
V_BASE = KohyaBase("sd2", Path("/models/sd2"), "sd2", "v_prediction", "0123456789abcdef")
XL_BASE = KohyaBase("sdxl", Path("/models/sdxl"), "sdxl", "epsilon", "0123456789abcdef")
FOLDERS = Folders(Path("/run/datasets.toml"), Path("/run/tokenizers"), Path("/run/start-1"))

# Field → another value, and what else has to be set for both values to mean something.
ANOTHER: dict[str, tuple[Any, dict[str, Any]]] = {
    "base": ("/models/other", {}),
    "prediction": ("v_prediction", {}),
    "network.dropout": (0.1, {}),
    "network.rank_dropout": (0.1, {}),
    "data.folder_settings": ([{"path": "{photos}", "repeats": 3}], {}),
    "data.original_sizes": (False, {}),
    "data.class_words": (False, {"data.folders": ["{layout}"], "data.trigger": "maison"}),
    "data.captions": ("tag", {}),
    "data.caption_tokens": (150, {}),
    "loss.multires_noise": (3, {}),
    "loss.multires_discount": (0.5, {"loss.multires_noise": 3}),
    "loss.input_perturbation": (0.1, {}),
    "loss.timesteps": ([0, 500], {}),
    "loss.timestep_sampling": ("sigmoid", {}),
    "loss.timestep_shift": (2.0, {}),
    "block_rates": ({"up_blocks": 2.0}, {}),
    "plus_ratio": (16.0, {}),
    "scale_weight_norms": (1.0, {}),
    "extend": (4, {}),
    "extended": ([{"at": 8, "steps": 4}], {}),
    "from_lora": ("/loras/vesper.safetensors", {}),
    "accept_versions": (True, {}),
    "log": (["tensorboard"], {}),
    "method": ("full", {}),
    "network.kind": ("loha", {}),
    "network.rank": (4, {}),
    "network.alpha": (4.0, {}),
    "network.conv_rank": (4, {}),
    "network.conv_alpha": (1.0, {"network.conv_rank": 4}),
    "network.text_rank": (16, {}),
    "network.text_alpha": (4.0, {"network.text_rank": 16}),
    "network.blocks": (["mid", "up"], {}),
    "network.rslora": (True, {}),
    "network.dora": (True, {}),
    "data.folders": (["{photos}/wide"], {}),
    "data.resolution": (128, {}),
    "data.buckets": (False, {}),
    "data.bucket_step": (32, {}),
    "data.max_aspect": (1.0, {}),
    "data.bucket_least": (1, {"data.folders": ["{few}"]}),
    "data.repeats": (3, {}),
    "data.flip": (True, {}),
    "data.caption_dropout": (0.5, {}),
    "data.shuffle_captions": (True, {}),
    "data.keep_tokens": (1, {"data.shuffle_captions": True}),
    "data.caption_separator": (";", {}),
    "data.trigger": ("maison", {}),
    "data.masks": ("{masks}", {}),
    "data.held_out": (0.5, {}),
    "data.held_out_least": (2, {}),
    "data.kohya_names": (False, {"data.folders": ["{5_named}"]}),
    "data.held_out_by": ("photo", {"data.held_out": 0.5}),
    "data.prior_folder": ("{prior}", {}),
    "data.prior_weight": (0.5, {"data.prior_folder": "{prior}"}),
    "data.seed": (1, {}),
    "loss.min_snr_gamma": (None, {}),
    "loss.debiased": (True, {"loss.min_snr_gamma": None}),
    "loss.huber": (0.2, {}),
    "loss.noise_offset": (0.05, {}),
    "loss.zero_terminal_snr": (True, {}),
    "loss.background": (0.1, {}),
    "validation.every": (1, {}),
    "validation.prompts_file": ("/prompts.txt", {}),
    "validation.timesteps": (4, {}),
    "validation.most": (4, {}),
    "validation.patience": (1, {}),
    "validation.choose": ("loss", {}),
    "validation.choice_pictures": (8, {}),
    "validation.choice_steps": (4, {}),
    "validation.pictures": (0, {}),
    "validation.picture_steps": (10, {}),
    "validation.cfg_scale": (5.0, {}),
    "steps": (12, {}),
    "batch_size": (2, {}),
    "micro_batch": (2, {"batch_size": 4}),
    "learning_rate": (1e-5, {}),
    "text_learning_rate": (1e-5, {}),
    "optimizer": ("prodigy", {}),
    "weight_decay": (0.1, {}),
    "schedule": ("linear", {}),
    "warmup": (2, {}),
    "max_grad_norm": (0.5, {}),
    "ema": (0.9, {}),
    "precision": ("bf16", {}),
    "checkpointing": (True, {}),
    "compile": (True, {}),
    "device": ("cuda:7", {}),
    "clip_skip": (2, {}),
    "save_every": (2, {}),
    "files_every": (2, {}),
    "seed": (1, {}),
    "title": ("another", {}),
    "notes": ("a note", {}),
}


def fields(model: type[BaseModel], before: str = "") -> list[str]:
    """Dotted names of every field that holds a value."""
    found = []
    for name, field in model.model_fields.items():
        inner = field.annotation if isinstance(field.annotation, type) else None
        if inner is not None and issubclass(inner, BaseModel):
            found += fields(inner, f"{before}{name}.")
        else:
            found.append(f"{before}{name}")
    return found


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, Path]:
    """Photos of three shapes, masks of some, and pictures of the class."""
    folder = tmp_path_factory.mktemp("data")
    draw_photos(folder / "photos" / "wide", [(192, 128), (200, 128), (128, 128)])
    draw_photos(folder / "photos" / "tall", [(128, 160), (256, 128)])
    draw_photos(folder / "prior", [(128, 128)] * 4)
    draw_photos(folder / "5_named", [(128, 128)])
    draw_photos(folder / "layout" / "img", [(128, 128)])
    draw_photos(folder / "layout" / "reg" / "1_coat", [(128, 160)])
    draw_photos(folder / "few", [(166, 128), *[(128, 128)] * 4])
    (folder / "masks" / "wide").mkdir(parents=True)
    Image.new("L", (192, 128), 128).save(folder / "masks" / "wide" / "0.png")
    return {name: folder / name for name in ("photos", "masks", "prior", "few", "5_named", "layout")}


def asked(places: dict[str, Path], values: dict[str, Any]) -> TrainConfig:
    """A config of dotted names."""
    nested: dict[str, Any] = {"base": "/models/sd15", "device": "cpu", "precision": "fp32", "batch_size": 1}
    nested["data"] = {"folders": ["{photos}"], "resolution": 256, "held_out": 0, "held_out_least": 0}
    nested["steps"] = 8
    for name, value in values.items():
        inner = nested
        *parents, last = name.split(".")
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    text = json.dumps(nested)
    for name, folder in places.items():
        text = text.replace(f"{{{name}}}", folder.as_posix())
    return read_config(json.loads(text))


def outcome(config: TrainConfig, folder: Path) -> list[Any]:
    """Everything that reaches sd-scripts or people: options, datasets, pictures, captions, variables, notices."""
    base = replace(BASE, source=Path(config.base), prediction=config.prediction or BASE.prediction)
    refuse(config, base)
    data = load_dataset(config.data, read_photo)
    plan = first_plan(config, 0, len(data.samples))
    groups = write_photos(data.samples, config.data, read_photo, folder)
    tables = datasets(groups, config.data, plan.micro_batch, any(sample.mask for sample in data.samples))
    words = options(config, base, plan, ResumePoint(), FOLDERS)
    return [words, json.loads(json.dumps(tables)), tree(folder), environ(plan.device), notices_of(config, base)]


def test_no_field_is_forgotten():
    assert sorted(ANOTHER) == sorted(fields(TrainConfig))


@pytest.mark.parametrize("name", ANOTHER)
def test_a_field_that_changes_changes_what_the_engine_is_told_or_is_refused_by_name(name, places, tmp_path):
    value, others = ANOTHER[name]
    before = outcome(asked(places, others), tmp_path / "files")
    try:
        after = outcome(asked(places, {**others, name: value}), tmp_path / "files")
    except InputError as error:
        named = name.rpartition(".")[2]
        assert named in str(error) or str(value) in str(error)
    else:
        assert after != before


def test_the_options_are_those_of_the_golden_file(places):
    config = asked(places, {"data.trigger": "maison", "network.text_rank": 16, "loss.noise_offset": 0.05, "warmup": 2})
    plan = first_plan(config, 0, 4)
    assert toml(options(config, BASE, plan, ResumePoint(), FOLDERS)) == GOLDEN.read_text(encoding="utf-8")


def test_a_state_is_gone_on_with_for_the_steps_that_are_left_and_on_the_runs_own_rates(places):
    config = asked(places, {"steps": 100, "save_every": 10})
    plan = first_plan(config, 0, 4)
    first = options(config, BASE, plan, ResumePoint(), FOLDERS)
    again = options(config, BASE, plan, ResumePoint(30, Path("/run/start-1/lora-step00000030-state")), FOLDERS)
    assert (again["max_train_steps"], again["initial_step"]) == (70, 0)
    assert again["lr_scheduler_args"] == first["lr_scheduler_args"] == ["schedule='cosine'", "steps=100", "warmup=0"]
    assert "resume" not in first


def test_a_model_that_predicts_v_and_one_of_sdxl_are_told_so(places):
    config = asked(places, {"loss.zero_terminal_snr": True})
    plan = first_plan(config, 0, 4)
    refuse(config, V_BASE)
    words = options(config, V_BASE, plan, ResumePoint(), FOLDERS)
    assert words["v2"] and words["v_parameterization"] and words["zero_terminal_snr"]
    words = options(asked(places, {}), XL_BASE, plan, ResumePoint(), FOLDERS)
    assert words["no_half_vae"] and not words["v2"]
    assert any("size conditions" in one for one in notices_of(asked(places, {}), XL_BASE))
    with pytest.raises(InputError, match="clip_skip 2"):
        refuse(asked(places, {"clip_skip": 2}), XL_BASE)


def test_all_that_can_not_be_is_named_at_once(places):
    config = asked(places, {"network.dora": True, "ema": 0.9, "network.text_rank": 4})
    with pytest.raises(InputError, match=r"network.dora; network.text_rank 4 \(0, or the UNet's 16\).*; ema 0.9"):
        refuse(config, BASE)


def test_a_micro_batch_that_does_not_divide_the_batch_is_refused(places):
    config = asked(places, {"batch_size": 4, "micro_batch": 3})
    with pytest.raises(InputError, match="micro_batch 3 does not divide batch_size 4"):
        options(config, BASE, first_plan(config, 0, 4), ResumePoint(), FOLDERS)


def test_a_device_of_its_own_is_the_only_one_that_the_engine_sees():
    assert environ("cuda:1") == {"CUDA_VISIBLE_DEVICES": "1"}
    assert environ("cpu") == {"ACCELERATE_USE_CPU": "true"} and environ("cuda") == {}


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [0, 3])
def test_the_rates_are_the_own_engines_at_every_step_also_where_they_go_on(schedule, warmup, places):
    import torch

    config = asked(places, {"schedule": schedule, "warmup": warmup, "steps": 9})
    wanted = [rate_factor(step, config) for step in range(9)]
    assert [factor(step, schedule, 9, warmup) for step in range(9)] == wanted

    def run(state: tuple[dict, dict] | None, count: int) -> tuple[list[float], tuple[dict, dict]]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = rates(optimizer, schedule, 9, warmup)
        if state is not None:
            optimizer.load_state_dict(state[0])
            scheduler.load_state_dict(state[1])
        seen = []
        for _ in range(count):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return seen, (optimizer.state_dict(), scheduler.state_dict())

    seen, state = run(None, 5)
    rest, _ = run(state, 4)
    assert [*seen, *rest] == pytest.approx(wanted)
