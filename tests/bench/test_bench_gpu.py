"""The card's bench: every part runs on a CPU at tiny size, one that fails or hangs is named, and the others go on."""

from __future__ import annotations

import json
import sys
import time

import pytest
import torch

from modiste.bench import gpu, gpu_training, tagging
from modiste.bench.gpu_meter import PartMeter
from modiste.bench.gpu_parts import PARTS, plans_of, run_part
from modiste.hosts.drawing_plan import DrawingPlan


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    run_part(PartMeter("weights-sd15", folder, "cpu", tiny=True))
    return folder


@pytest.fixture(scope="module")
def xl_models(models):
    run_part(PartMeter("weights-sdxl", models, "cpu", tiny=True))
    return models


def rows_of(part, models) -> list[dict]:
    run_part(PartMeter(part, models, "cpu", tiny=True, ends=time.monotonic() + 600))
    return [json.loads(line) for line in (models / f"{part}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("part", ["draw-sd15", pytest.param("draw-sdxl", marks=pytest.mark.load)])
def test_pictures_are_drawn_by_every_plan_that_a_cpu_has(part, models, request):
    if part == "draw-sdxl":
        request.getfixturevalue("xl_models")
    several, alone, tiled = rows_of(part, models)
    assert ["4 pictures" in several["what"], "1 picture" in alone["what"], "tiles" in tiled["what"]] == [True] * 3
    assert all(row["pictures_per_s"] * row["s_a_picture"] == pytest.approx(1, rel=0.05) for row in (several, alone))
    assert several["arithmetic_gib"] > 2 and several["peak_gib"] is None


def test_on_a_card_every_step_down_of_the_plan_is_drawn():
    planned = DrawingPlan("float16", 16)
    offloads = [(plan.batch, plan.vae_tiling, plan.offload) for plan in plans_of(planned, on_card=True)]
    assert offloads == [
        (16, False, "none"),
        (1, False, "none"),
        (1, True, "none"),
        (1, True, "model"),
        (1, True, "sequential"),
    ]


def test_a_step_of_training_has_its_pace_and_its_share_of_the_machine_s_peak(models, monkeypatch):
    monkeypatch.setattr(gpu_training, "BATCHES", {8: 6})
    product, eight = rows_of("lora-step", models)
    assert product["tflops"] > 0 and 0 < eight["peak_share"] < 1 and eight["what"] == "batch 8"
    assert eight["pictures_per_s"] == pytest.approx(8 * eight["steps_per_s"], rel=0.01) and eight["at_once"] == 8


@pytest.mark.load
def test_a_run_that_was_stopped_and_went_on_is_compared_bit_by_bit(models):
    again, stopped = rows_of("resume", models)
    assert again["bit_equal"] and stopped["bit_equal"] and stopped["furthest"] == 0
    assert stopped["what"] == "stopped at 3 of 6"


def test_one_photo_s_search_and_a_catalogue_s_tags_are_timed(models, tmp_path, monkeypatch):
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path))
    monkeypatch.setattr(tagging, "PHOTO", (240, 320))
    (search,) = rows_of("search", models)
    assert search["pictures"] == 8 and search["s"] > 0
    tagged, embedded = rows_of("tag", models)
    assert 0 < tagged["images_per_s"] < embedded["images_per_s"]


@pytest.mark.load
def test_the_compiled_step_stands_beside_the_plain_one(models, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(module))  # minutes of a compiler
    plain, fast = rows_of("compile", models)
    assert [plain["what"], fast["what"]] == ["batch 1, plain", "batch 1, compiled"] and len(compiled) == 1


def test_a_part_that_fails_is_named_with_its_last_words_and_keeps_its_rows(tmp_path):
    program = "open('lora-step.jsonl', 'w').write('{\"what\": \"batch 1\"}\\n'); raise SystemExit('no such kernel')"
    result = gpu.run_part("lora-step", [sys.executable, "-c", program], tmp_path, 30)
    assert (result.state, result.rows, result.bad) == ("failed", [{"what": "batch 1"}], True)
    assert "no such kernel" in result.reason and "exit code 1" in result.reason


def test_a_part_that_hangs_is_ended_when_its_time_is_over(tmp_path):
    result = gpu.run_part("tag", [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, 0.3)
    assert (result.state, result.bad) == ("out of time", True) and result.s < 10


def test_parts_without_models_or_time_or_libraries_are_left_out_with_the_reason(monkeypatch):
    failed = [gpu.PartResult("weights-sdxl", "failed")]
    assert gpu.why_not("draw-sdxl", 60, failed) == "weights-sdxl made no models"
    assert gpu.why_not("draw-sd15", 60, failed) == ""
    assert gpu.why_not("draw-sd15", 3, []) == "no time is left"
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    assert gpu.why_not("compile", 60, []) == "triton is not installed"
    assert gpu.why_not("adamw8bit", 60, []) == "bitsandbytes is not installed"


def test_named_parts_bring_the_part_that_makes_their_models():
    assert gpu.parts_of(["tag"]) == ["weights-sd15", "tag"] and gpu.parts_of(None) == list(PARTS) == list(gpu.LIMITS)


def test_without_a_card_there_is_one_line_and_exit_code_2(capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    assert gpu.main([]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "sees no CUDA device" in said.err and "--device cpu --tiny" in said.err


def test_the_others_go_on_where_one_fails_and_the_document_is_whole_after_each(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "describe_machine", lambda device: {"device": device})
    states = iter(["ok", "failed", "ok"])
    documents = []

    def measured(part, *rest):
        documents.append(json.loads(out.read_text())["parts"] if out.is_file() else [])
        return gpu.PartResult(part, next(states), [{"what": part, "s": 1.5, "peak_gib": None}], "it broke")

    monkeypatch.setattr(gpu, "measure", measured)
    out = tmp_path / "out.json"
    assert gpu.main(["--only", "draw-sd15", "tag", "--out", str(out), "--device", "cpu"]) == 3
    assert [len(parts) for parts in documents] == [0, 1, 2]
    text = capsys.readouterr().out
    assert "draw-sd15: failed" in text and "it broke" in text and "tag: ok" in text and "peak_gib" not in text


@pytest.mark.load
def test_the_whole_script_runs_on_a_cpu_as_it_would_on_a_card(capsys):
    assert gpu.main(["--device", "cpu", "--tiny", "--json", "--minutes", "60"]) == 0
    parts = {part["part"]: part for part in json.loads(capsys.readouterr().out)["parts"]}
    assert {parts.pop(name)["state"] for name in ("adamw8bit", "compile")} <= {"ok", "left out"}
    assert {part["state"] for part in parts.values()} == {"ok"} and all(part["rows"] for part in parts.values())


@pytest.mark.gpu
@pytest.mark.load
def test_the_whole_script_runs_on_a_card_in_its_time(capsys):
    began = time.monotonic()
    assert gpu.main(["--json"]) == 0
    assert time.monotonic() - began < 60 * gpu.MINUTES + 30
    assert json.loads(capsys.readouterr().out)["machine"]["card"]
