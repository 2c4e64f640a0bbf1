"""A LoRA on its way to a server's folder: what the server could not use is not copied, and not left behind."""

from __future__ import annotations

import dataclasses

import paper_studio
import pytest
from fake_comfy import fake_comfy
from faulty_webui import FaultyWebui
from lora_samples import random_lora
from safetensors.torch import load_file, save_file

from modiste.core.errors import InputError
from modiste.hosts.comfy.host import ComfyHost
from modiste.hosts.errors import LoraWithoutEffect
from modiste.hosts.limits import Limits
from modiste.hosts.lora_folder import name_on_host
from modiste.hosts.request import GenerationRequest
from modiste.hosts.webui.host import WebuiHost
from modiste.routes.compare.server_lora import deliver, refuse_unreadable
from modiste.routes.compare.tuned import TunedModel
from modiste.trainer.lora.file import write_diffusers, write_lora

QUICK = Limits(base_s=0.001, cap_s=0.002, poll_s=0.001, away_s=0.05)
REQUEST = GenerationRequest(prompt="a red dress", seed=1, steps=1, width=64, height=64, sampler="Euler")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same LoRA under kohya's names, under diffusers' names, and with a NaN in it."""
    folder, state = tmp_path_factory.mktemp("files"), random_lora("sd1", "lora")
    write_lora(state, folder / "kohya.safetensors", {})
    write_diffusers(state, folder / "diffusers.safetensors")
    tensors = load_file(folder / "kohya.safetensors")
    next(iter(tensors.values())).view(-1)[0] = float("nan")
    save_file(tensors, folder / "nan.safetensors")
    return folder


def delivered(host, file, lora_dir, out):
    session = dataclasses.replace(paper_studio.session(), host=host, lora_dir=lora_dir)
    return deliver(TunedModel(file, "lora", "x"), session, REQUEST, out)


def test_a_file_that_a1111_would_not_apply_whole_is_refused_before_it_is_copied(files, tmp_path):
    with FaultyWebui() as webui:
        host = WebuiHost(webui.url, limits=QUICK)
        assert host.lora_readers == ("A1111",)
        with pytest.raises(InputError, match=r"A1111 would apply 0 of the LoRA's \d+ modules") as caught:
            delivered(host, files / "diffusers.safetensors", tmp_path / "loras", tmp_path)
        assert "lora verify" in caught.value.to_try
        assert webui.received == [] and not (tmp_path / "loras").exists()


def test_a_file_with_nan_is_refused_before_it_is_copied(files, tmp_path):
    with FaultyWebui() as webui, pytest.raises(InputError, match="hold NaN or infinity"):
        delivered(WebuiHost(webui.url, limits=QUICK), files / "nan.safetensors", tmp_path / "loras", tmp_path)
    assert not (tmp_path / "loras").exists()


def test_a_copy_that_turns_out_to_change_nothing_is_taken_away_again(files, tmp_path):
    file = files / "kohya.safetensors"
    name = name_on_host(file.read_bytes(), "kohya")
    with FaultyWebui() as webui:
        webui.loras[name] = name  # the server lists it, and can't use it
        for was_there in (False, True):
            place = tmp_path / "loras" / f"{name}.safetensors"
            if was_there:
                place.write_bytes(file.read_bytes())
            with pytest.raises(LoraWithoutEffect):
                delivered(WebuiHost(webui.url, limits=QUICK), file, tmp_path / "loras", tmp_path)
            assert place.exists() == was_there  # the user's own file stays
        webui.effective_loras.add(name)
        lora = delivered(WebuiHost(webui.url, limits=QUICK), file, tmp_path / "loras", tmp_path)
    assert lora.name == name and (tmp_path / "loras" / f"{name}.safetensors").exists()


def test_each_server_reads_by_its_own_rules(files):
    with FaultyWebui("forge") as forge, fake_comfy() as comfy:
        hosts = (WebuiHost(forge.url, limits=QUICK), ComfyHost(comfy.url, "second.safetensors"))
        forge.openapi["paths"]["/sdapi/v1/sd-modules"] = {}  # as a real Forge has it; the recorded list is a short one
        assert [host.lora_readers for host in hosts] == [("Forge",), ("ComfyUI",)]
    refuse_unreadable(files / "kohya.safetensors", ("A1111", "Forge", "ComfyUI"))
