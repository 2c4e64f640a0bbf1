"""Servers that draw while the training is here: search, training and comparison end to end over real HTTP.

The WebUI is our own server on a base model of some thousand weights, so that the trained file is really drawn with.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import brand_studio
import pytest
from fake_comfy import fake_comfy
from listening import listening
from train_samples import tiny_base
from typer.testing import CliRunner

from modiste.cli.app import app
from modiste.core.errors import InputError
from modiste.core.progress import Progress
from modiste.fashion.photos import gather_photos
from modiste.hosts.comfy.host import ComfyHost
from modiste.hosts.errors import LoraWithoutEffect
from modiste.hosts.fleet import Fleet
from modiste.hosts.local import LocalHost
from modiste.hosts.request import GenerationRequest, GenerationResult
from modiste.hosts.webui.host import WebuiHost
from modiste.models.drawing_host import HostChoice, open_host
from modiste.models.presets import preset
from modiste.models.session import Session
from modiste.routes.compare.compare import compare
from modiste.routes.compare.server_lora import Delivered, other_base
from modiste.routes.compare.settings import CompareSettings
from modiste.routes.compare.tuned import open_tuned, proof_photos
from modiste.routes.pipeline.pipeline import PipelineSettings, run_pipeline
from modiste.runs.database import JournalError
from modiste.server.app import make_app
from modiste.server.lora_folder import LoraFolder
from modiste.trainer.lora.file import read_lora, write_lora

ROOT = Path(__file__).parents[2]
WEIGHTS = Path("training", "fashion_lora_weights.safetensors")


class Watched(LocalHost):
    """Writes down what it draws; `at`: how many pictures until `then` is called."""

    def __init__(self, checkpoint: str):
        super().__init__(checkpoint, device="cpu", batch_size=1)
        self.drawn: list[GenerationRequest] = []
        self.at, self.then = 0, lambda: None

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[GenerationResult]:
        for request in requests:
            self.drawn.append(request)
            if len(self.drawn) == self.at:
                self.then()
            yield from super().generate([request])


@dataclasses.dataclass
class Shop:
    """Photos, the base that is trained on, and a server that draws with it and looks into `loras`."""

    photos: Path
    base: Path
    loras: Path
    host: Watched
    url: str
    drawn_by_the_run: Sequence[GenerationRequest] = ()

    def session(self, lora_dir: Path | None) -> Session:
        return dataclasses.replace(brand_studio.session(self.base), host=WebuiHost(self.url), lora_dir=lora_dir)


@contextmanager
def shop_of(base: Path, photos: Path, loras: Path) -> Iterator[Shop]:
    loras.mkdir()
    host = Watched(str(base))
    with listening(make_app(host, LoraFolder(loras))) as url:
        yield Shop(photos, base, loras, host, url)


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    with shop_of(tiny_base(folder / "base"), brand_studio.brand_photos(folder / "photos", 9), folder / "loras") as made:
        yield made


@pytest.fixture(scope="module")
def finished(shop, tmp_path_factory) -> Iterator[Path]:
    """A whole run, interrupted in the search and in the comparison, and finished on a server at another address."""
    out = tmp_path_factory.mktemp("whole") / "out"
    before = len(shop.host.drawn)
    for stage in ("prompt", "compare"):
        with pytest.raises(KeyboardInterrupt):
            pipeline(shop.session(shop.loras), shop.photos, out, progress=partial(stop_in, stage))
    with listening(make_app(shop.host, LoraFolder(shop.loras))) as shop.url:
        pipeline(shop.session(shop.loras), shop.photos, out)
        shop.drawn_by_the_run = shop.host.drawn[before:]
        yield out


def stop_in(stage: str, progress: Progress) -> None:
    if (progress.stage, progress.done) == (stage, 5):
        raise KeyboardInterrupt


def settings(**asked) -> PipelineSettings:
    """brand_studio's, with a sampler that servers have."""
    plain = brand_studio.settings(**asked)
    drawing = {"sampler": "Euler", "steps": 1, "cfg_scale": 2.0}
    return plain.model_copy(update={"prompt": plain.prompt.model_copy(update=drawing)})


def pipeline(session: Session, photos: Path, out: Path, **more):
    return run_pipeline(gather_photos([photos]), session, settings(), out, **more)


def pictures(out: Path) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for file in out.rglob("*.png")}


# ── the pipeline ──


def test_the_trained_lora_reaches_the_servers_folder_is_proven_and_drawn_with_in_each_strength(shop, finished):
    (given,) = shop.loras.glob("atelierx-*.safetensors")
    assert given.read_bytes() == (finished / WEIGHTS).read_bytes()
    known = Delivered.model_validate_json((finished / "lora.json").read_text(encoding="utf-8"))
    assert (known.name, known.server) == (given.stem, shop.url) and known.effect > 0
    report = json.loads((finished / "report.json").read_text(encoding="utf-8"))
    assert report["host"]["kind"] == "webui" and report["tuned"]["kind"] == "lora"
    worn = Counter(tuple((lora.name, lora.strength) for lora in request.loras) for request in shop.drawn_by_the_run)
    assert set(worn) == {(), ((given.stem, 0.6),), ((given.stem, 1.0),)}


def test_an_interrupted_run_draws_every_picture_once_and_proves_the_lora_to_each_process(shop, finished):
    drawn, kept = len(shop.drawn_by_the_run), len(list(finished.rglob("images/**/*.png")))
    proofs = 2 * 3  # two processes compared: with, without, and once more where the two hardly differ
    assert kept < drawn <= kept + proofs + 2  # and what was being drawn when it was interrupted


def test_a_finished_run_started_again_asks_for_no_picture(shop, finished):
    before, drawn = pictures(finished), len(shop.host.drawn)
    assert pipeline(shop.session(shop.loras), shop.photos, finished)
    assert pictures(finished) == before and len(shop.host.drawn) == drawn


# ── what goes wrong ──


def compared(tuned: Path, session: Session, photos: Path, out: Path):
    proof, training = proof_photos(gather_photos([photos]).photos, file := open_tuned(tuned))
    drawing = {"sampler": "Euler", "steps": 1, "cfg_scale": 2.0}
    asked = {"confirm_seeds": 2, "choosing_seeds": 1, "strengths": (1.0,), **drawing}
    return compare(proof, training, session, file, CompareSettings.for_session(session, file, **asked), out)


def test_without_the_folder_it_is_said_what_to_copy_where_and_the_copied_file_goes_on(shop, finished, tmp_path):
    with shop_of(shop.base, shop.photos, tmp_path / "loras") as shop:
        with pytest.raises(InputError, match="has not reached the server") as caught:
            compared(finished / WEIGHTS, shop.session(None), shop.photos, tmp_path / "out")
        assert shop.host.drawn == [] and "--lora-dir" in caught.value.to_try and "models/Lora" in caught.value.to_try
        name = next(word for word in caught.value.to_try.split() if word.startswith("atelierx-"))
        (shop.loras / name).write_bytes((finished / WEIGHTS).read_bytes())
        report = compared(finished / WEIGHTS, shop.session(None), shop.photos, tmp_path / "out")
        assert report.pictures and (tmp_path / "out" / "lora.json").is_file()
        with pytest.raises(InputError, match="has not reached") as caught:
            elsewhere = tmp_path / "elsewhere"
            elsewhere.mkdir()
            (shop.loras / name).unlink()
            compared(finished / WEIGHTS, shop.session(elsewhere), shop.photos, tmp_path / "again")
        assert f"{elsewhere} has it" in caught.value.to_try and [file.name for file in elsewhere.iterdir()] == [name]


def test_another_lora_in_the_folder_of_a_run_before_is_refused_before_it_is_copied_or_drawn(shop, finished, tmp_path):
    state = read_lora(finished / WEIGHTS)
    for tensor in state.modules[0].tensors.values():
        tensor.mul_(2)
    write_lora(state, tmp_path / "other.safetensors", {"modelspec.trigger_phrase": "atelierx"})
    with shop_of(shop.base, shop.photos, tmp_path / "loras") as shop:
        with pytest.raises(InputError, match="has not reached the server"):
            compared(finished / WEIGHTS, shop.session(None), shop.photos, tmp_path / "out")
        with pytest.raises(JournalError, match="belongs to other settings"):
            compared(tmp_path / "other.safetensors", shop.session(shop.loras), shop.photos, tmp_path / "out")
        assert shop.host.drawn == [] and not list(shop.loras.iterdir())


def test_a_lora_that_changes_nothing_is_found_out_before_the_comparison(shop, finished, tmp_path):
    state = read_lora(finished / WEIGHTS)
    for module in state.modules:
        for tensor in module.tensors.values():
            tensor.zero_()
    write_lora(state, tmp_path / "nothing.safetensors", {}, allow_zero=True)
    shop.host.drawn.clear()
    with pytest.raises(LoraWithoutEffect, match="nothing-"):
        compared(tmp_path / "nothing.safetensors", shop.session(shop.loras), shop.photos, tmp_path / "out")
    assert len(shop.host.drawn) == 2 and not (tmp_path / "out" / "lora.json").exists()


def test_several_servers_prove_the_lora_each_on_its_own(shop, finished, tmp_path):
    with listening(make_app(Watched(str(shop.base)), LoraFolder(shop.loras))) as other:
        fleet = Fleet([WebuiHost(shop.url), WebuiHost(other)], [shop.url, other])
        session = dataclasses.replace(shop.session(shop.loras), host=fleet)
        report = compared(finished / WEIGHTS, session, shop.photos, tmp_path / "out")
    assert report.host["url"] == f"{shop.url}, {other}" and report.pictures


def test_the_folder_of_a_server_is_nothing_for_the_local_host(shop):
    with pytest.raises(InputError, match="--lora-dir is a server's"):
        open_host(brand_studio.session(shop.base).preset, HostChoice("local", lora_dir=shop.loras))


def test_it_is_said_where_the_server_may_draw_with_another_base_than_the_one_that_is_trained_on(shop):
    drawer, mini = WebuiHost(shop.url).describe(), preset("mini").checkpoint
    assert other_base(str(shop.base), drawer) is None
    for other in (mini, "somebody/not-here"):
        notice = other_base(other, drawer)
        assert other in notice and drawer.checkpoint_hash in notice and "same base loaded" in notice


# ── ComfyUI, by its protocol ──


def test_the_pipeline_draws_on_comfyui_with_the_lora_by_the_servers_own_name(shop, tmp_path):
    loras = tmp_path / "loras"
    loras.mkdir()
    with fake_comfy() as comfy:
        comfy.lora_folder = loras
        host = ComfyHost(comfy.url, "second.safetensors")
        session = dataclasses.replace(brand_studio.session(shop.base), host=host, lora_dir=loras)
        story = pipeline(session, shop.photos, tmp_path / "out")
        (given,) = loras.iterdir()
        assert given.read_bytes() == (tmp_path / "out" / WEIGHTS).read_bytes() and story.host["kind"] == "comfy"
        graphs = [sent["prompt"].values() for path, sent in comfy.asked if path == "/prompt"]
        loaders = [part["inputs"] for graph in graphs for part in graph if part["class_type"] == "LoraLoader"]
        assert {loader["lora_name"] for loader in loaders} == {given.name}
        assert {loader["strength_model"] for loader in loaders} == {0.6, 1.0}
        drawn = comfy.drawn
        assert pipeline(session, shop.photos, tmp_path / "out") and comfy.drawn == drawn
        bare = dataclasses.replace(session, host=ComfyHost(comfy.url, "second.safetensors"), lora_dir=None)
        given.unlink()
        with pytest.raises(InputError, match="has not reached the server"):
            compared(tmp_path / "out" / WEIGHTS, bare, shop.photos, tmp_path / "bare")


# ── the commands ──


@pytest.mark.slow
def test_the_commands_train_here_draw_there_and_a_killed_comparison_draws_nothing_twice(shop, tmp_path):
    (tmp_path / "train.json").write_text(json.dumps({"base": str(shop.base), "network": {"rank": 2, "alpha": 2.0}}))
    server = ["--host", "webui", "--url", shop.url, "--lora-dir", shop.loras]
    drawing = ["--preset", "mini", "--steps", 1, "--sampler", "Euler", "--seeds", 2, "--json"]
    trained = ["--config", tmp_path / "train.json", "--train-steps", 2, "--trigger", "vesper", "--no-learn"]
    searched = ["--searched", 1, "--budget", 8]
    done = command(
        "pipeline", "--force", shop.photos, "--out", tmp_path / "run", *server, *drawing, *trained, *searched
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["host"]["kind"] == "webui" and list(shop.loras.glob("vesper-*.safetensors"))

    words = ["compare", "--force", shop.photos, "--tuned", tmp_path / "run" / WEIGHTS, "--out", tmp_path / "kept"]
    words += [*server, *drawing]
    shop.host.drawn.clear()
    process = subprocess.Popen([sys.executable, str(ROOT / "harness.py"), *map(str, words)], stderr=subprocess.DEVNULL)
    shop.host.at, shop.host.then = 12, lambda: os.kill(process.pid, signal.SIGKILL)
    assert process.wait(timeout=120) == -signal.SIGKILL
    kept = pictures(tmp_path / "kept")
    before = len(shop.host.drawn)
    assert before - 1 - 3 <= len(kept) <= before - 1 - 2  # the one that was being drawn, two or three of the proof
    done = command(*words)
    assert done.exit_code == 0, done.output
    assert kept.items() <= pictures(tmp_path / "kept").items()
    missing = json.loads(done.stdout)["pictures"] - len(kept)
    assert missing < len(shop.host.drawn) - before <= missing + 2  # what proves the LoRA to the new process


def command(*words):
    return CliRunner().invoke(app, [str(word) for word in words])
