"""The Training Options node without a ComfyUI: fields that are left alone, chosen ones, and contradictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined

from modiste.core.errors import InputError
from modiste.models.presets import PRESETS
from modiste.nodes.training.config import TrainingWidgets, config_of
from modiste.nodes.training.options import BLOCKS, FIELDS, SWITCH, WEIGHTINGS, check_options, fields_of
from modiste.routes.finetune.finetune import config_for
from modiste.trainer.config import TrainConfig, field_names
from modiste.trainer.loop.optimizers import INSTALLED_BY

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests" / "data" / "comfy_object_info.json").read_text(encoding="utf-8"))
INPUTS = GOLDEN["ModisteTrainingOptions"]["input"]["required"]
AS_IT_CAME = {name: untouched for name, (_, untouched) in FIELDS.items()}
# Input → another value → the fields that come of it.
CHANGED: dict[str, tuple[Any, dict[str, Any]]] = {
    "rank": (32, {"network.rank": 32, "network.alpha": 32.0}),
    "alpha": (8.0, {"network.alpha": 8.0}),
    "blocks": ("mid and up", {"network.blocks": ["mid", "up"]}),
    "weighting": ("debiased", {"loss.debiased": True, "loss.min_snr_gamma": 0.0}),
    "min_snr_gamma": (1.0, {"loss.min_snr_gamma": 1.0}),
    "checkpointing": ("off", {"checkpointing": False}),
    "optimizer": ("adafactor", {"optimizer": "adafactor"}),
    "schedule": ("linear", {"schedule": "linear"}),
    "precision": ("bf16", {"precision": "bf16"}),
    "keep_tokens": (2, {"data.keep_tokens": 2}),
    "choose": ("last", {"validation.choose": "last"}),
    "picture_cfg": (3.0, {"validation.cfg_scale": 3.0}),
}


def at(fields: dict[str, Any] | TrainConfig, path: str) -> Any:
    """The value at `network.rank` of nested fields or of a config."""
    value: Any = fields
    for name in path.split("."):
        value = value[name] if isinstance(value, dict) else getattr(value, name)
    return value


def trained_with(options: dict[str, Any], **widgets: Any) -> TrainConfig:
    return config_of(TrainingWidgets(options=options, **widgets), PRESETS["sd15"], [Path("photos")])


def test_the_form_has_the_inputs_that_the_table_names_with_the_values_that_leave_a_field_alone():
    assert {name: about["default"] for name, (_, about) in INPUTS.items()} == AS_IT_CAME
    assert INPUTS["blocks"][1]["options"] == list(BLOCKS) and INPUTS["weighting"][1]["options"] == list(WEIGHTINGS)
    assert INPUTS["checkpointing"][1]["options"] == list(SWITCH)


def test_lists_offer_what_the_config_takes_and_bounds_leave_out_nothing_that_it_takes():
    for name, (kind, about) in INPUTS.items():
        path = FIELDS[name][0]
        if kind == "COMBO" and name not in ("blocks", "weighting", "checkpointing"):
            for choice in about["options"]:
                fields = fields_of({**AS_IT_CAME, name: choice})
                assert at(config_for(PRESETS["sd15"], [Path("photos")], {}, fields), path) == choice
    with pytest.raises(InputError, match="network.rank: Input should be less than or equal to 512"):
        trained_with({"network": {"rank": 513}})


def test_a_form_that_nobody_touched_changes_nothing_and_says_only_what_the_config_does_anyway():
    assert fields_of(AS_IT_CAME) == {}
    assert trained_with(fields_of(AS_IT_CAME)) == trained_with({})
    plain = trained_with({})
    for name, (path, untouched) in FIELDS.items():
        assert path in field_names(TrainConfig), name
        if untouched not in (0, "auto", "all", "min_snr"):  # words, and 0 where it stands for "as the trainer decides"
            assert at(plain, path) == untouched, name
    assert PydanticUndefined not in AS_IT_CAME.values()


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_that_was_changed_reaches_the_config_under_its_own_name(name):
    kind, about = INPUTS[name]
    path, untouched = FIELDS[name]
    other = {"BOOLEAN": True, "INT": 3, "FLOAT": 0.5}.get(kind)
    value, expected = CHANGED.get(name, (other, {path: other}))
    assert value != untouched
    fields = fields_of({**AS_IT_CAME, name: value})
    assert {path: at(fields, path) for path in expected} == expected
    more = {"data": {"shuffle_captions": True}} if name == "keep_tokens" else {}
    config = trained_with(fields, config=json.dumps(more), steps=100)
    for field, given in expected.items():
        found = at(config, field)
        assert found == (tuple(given) if isinstance(given, list) else given or None if "gamma" in field else given)


def test_the_form_comes_before_the_nodes_own_fields_and_json_fills_in_what_it_leaves_open():
    options = fields_of({**AS_IT_CAME, "rank": 32, "flip": True})
    config = trained_with(options, config='{"data": {"repeats": 2}, "network": {"rank": 32}}')
    assert (config.network.rank, config.network.alpha, config.data.flip, config.data.repeats) == (32, 32.0, True, 2)
    assert trained_with({}, rank=8).network.rank == 8 and trained_with(fields_of(AS_IT_CAME), rank=8).network.rank == 8


@pytest.mark.parametrize(
    ("changed", "widgets", "message"),
    [
        (
            {"rank": 32},
            {"config": '{"network": {"rank": 8}}'},
            "network.rank is 32 in Training Options and 8 in config",
        ),
        ({"rank": 32}, {"rank": 8}, "rank is 8 in LoRA Trainer and 32 in Training Options; 16 in LoRA Trainer"),
        ({"dora": True}, {"method": "loha"}, "kind 'loha' has no dora"),
        ({"warmup": 300}, {"steps": 200}, "a warmup of 300 steps leaves nothing of 200"),
        ({"alpha": float("nan")}, {}, "network.alpha: Input should be a finite number"),
    ],
)
def test_what_contradicts_another_field_is_refused_with_both_values(changed, widgets, message):
    with pytest.raises(InputError, match=message):
        trained_with(fields_of({**AS_IT_CAME, **changed}), **widgets)


def test_a_form_that_can_not_be_trained_is_refused_by_itself(monkeypatch):
    with pytest.raises(InputError, match="keep_tokens 2 does nothing while shuffle_captions is False"):
        check_options({**AS_IT_CAME, "keep_tokens": 2})
    with pytest.raises(InputError, match="optimizer: Input should be 'adamw'"):
        check_options({"optimizer": "sgd"})
    check_options({**AS_IT_CAME, "warmup": 9000})
    monkeypatch.setitem(INSTALLED_BY, "lion", ("no_such_library", "no-such-library"))
    with pytest.raises(InputError, match="The optimizer lion needs no-such-library, not installed here"):
        check_options({"optimizer": "lion"})
