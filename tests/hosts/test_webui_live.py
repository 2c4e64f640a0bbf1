"""On a real A1111, Forge or reForge at MODISTE_WEBUI_URL (64 px, one step: minutes on a CPU, seconds on a GPU)."""

from __future__ import annotations

import json
import os
import shutil
import time

import pytest
import requests
from host_suite import HostSuite
from typer.testing import CliRunner
from webui_tab import PHOTOS, lora_folder

from modiste.cli.app import app
from modiste.hosts.errors import LoraWithoutEffect, RequestRefused
from modiste.hosts.request import GenerationRequest, LoraRef
from modiste.hosts.webui.host import WebuiHost

pytestmark = [pytest.mark.webui, pytest.mark.slow]


@pytest.fixture(scope="module")
def host():
    return WebuiHost(os.environ["MODISTE_WEBUI_URL"], allow_remote=True)


def request(**changes) -> GenerationRequest:
    drawing = dict(prompt="a red dress", seed=1, steps=1, cfg_scale=4, width=64, height=64, sampler="Euler")
    return GenerationRequest(**{**drawing, **changes})


class TestARealServer(HostSuite):
    """The shared suite, without its 85 pictures of neighbours: this host draws one by one."""

    @pytest.fixture
    def host(self, host):
        return host

    def request(self, *arguments, **changes):
        return super().request(*arguments, **{"steps": 1, **changes})

    test_what_stands_beside_it_in_the_batch_changes_nothing = None


def test_a_search_over_two_photos_and_four_strategies_is_drawn_there_and_never_twice(host, tmp_path):
    photos = sorted(PHOTOS.glob("look-*.jpg"))[:2]
    drawing = ["--steps", "1", "--sampler", "Euler", "--budget", "16", "--preset", "mini", "--no-learn", "--json"]
    server = ["--host", "webui", "--url", host.url, "--allow-remote"]
    strategies = ["--strategies", "sentence,all_tags,weighted_by_confidence,tag_list"]
    command = ["prompt", *map(str, photos), "--out", str(tmp_path / "run"), *drawing, *server, *strategies]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    report = json.loads(first.stdout)
    assert len(report["images"]) == 2 and report["host"]["kind"] == "webui"
    drawn = {file: file.stat().st_mtime_ns for file in (tmp_path / "run" / "images").rglob("*.png")}
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0 and json.loads(again.stdout)["images"] == report["images"]
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "run" / "images").rglob("*.png")} == drawn


def test_a_lora_trained_on_the_server_s_checkpoint_is_delivered_into_its_folder_and_changes_its_pictures(
    host, tmp_path
):
    """The checkpoint and the folder of LoRA files are on this machine."""
    photos, folder = tmp_path / "photos", lora_folder(host.url)
    photos.mkdir()
    for photo in sorted(PHOTOS.glob("look-*.jpg"))[:2]:
        shutil.copy(photo, photos)
    models = requests.get(f"{host.url}/sdapi/v1/sd-models", timeout=60).json()
    (checkpoint,) = [each["filename"] for each in models if each["title"] == host.pinned.title]
    out, word = tmp_path / "run", f"proof{time.time_ns() % 10**6}"
    command = ["finetune", str(photos), "--preset", "mini", "--checkpoint", checkpoint, "--out", str(out)]
    config = tmp_path / "config.json"
    config.write_text('{"validation": {"pictures": 0, "timesteps": 1, "choose": "last"}}')
    training = ["--config", str(config), "--steps", "2", "--learning-rate", "0.01", "--rank", "4", "--trigger", word]
    done = CliRunner().invoke(app, [*command, *training, "--deliver-to", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    (file,) = folder.glob(f"{word}-*.safetensors")
    assert json.loads(done.stdout)["delivered"]["file"] == str(file)
    assert file.stem in host.catalogue.refresh_loras()
    assert host.prove(request(loras=(LoraRef(name=file.stem),)), file.stem).proven


def test_a_lora_of_the_server_is_proven_by_the_same_seed_with_and_without(host):
    names = sorted(host.catalogue.refresh_loras())
    if not names:
        pytest.skip("the server has no LoRA")
    proofs = {name: host.prove(request(loras=(LoraRef(name=name),)), name) for name in names[:2]}
    assert any(proof.proven for proof in proofs.values()), proofs
    for name, proof in proofs.items():
        if not proof.proven:
            with pytest.raises(LoraWithoutEffect):
                list(host.generate([request(loras=(LoraRef(name=name),))]))


def test_a_wrong_case_lora_is_refused_although_the_server_would_draw(host):
    names = sorted(host.catalogue.refresh_loras())
    if not names:
        pytest.skip("the server has no LoRA")
    with pytest.raises(RequestRefused, match="did you mean"):
        host.check(request(loras=(LoraRef(name=names[0].swapcase()),)))
