"""A LoRA on its way to a server's folder: what the server could not use is not copied, and not left behind."""

from __future__ import annotations

import dataclasses
import json

import paper_studio
import pytest
import torch
from fake_comfy import fake_comfy
from faulty_webui import FaultyWebui
from lora_samples import random_lora
from safetensors.torch import load_file, save_file

from modiste.core.errors import InputError
from modiste.hosts.comfy.host import ComfyHost
from modiste.hosts.comfy.workflow import TEMPLATES
from modiste.hosts.errors import LoraWithoutEffect, NoPlace
from modiste.hosts.limits import Limits
from modiste.hosts.lora_folder import name_on_host
from modiste.hosts.request import GenerationRequest
from modiste.hosts.webui.host import WebuiHost
from modiste.routes.compare.server_lora import deliver, refuse_unreadable
from modiste.routes.compare.tuned import TunedModel
from modiste.routes.delivery import deliver_file, winning_lora
from modiste.trainer.lora.file import write_diffusers, write_lora

QUICK = Limits(base_s=0.001, cap_s=0.002, poll_s=0.001, away_s=0.05)
REQUEST = GenerationRequest(prompt="a red dress", seed=1, steps=1, width=64, height=64, sampler="Euler")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A LoRA under kohya's names, under diffusers', with a NaN in it; and one in diffusers' old form."""
    folder, state = tmp_path_factory.mktemp("files"), random_lora("sd1", "lora")
    write_lora(state, folder / "kohya.safetensors", {})
    write_diffusers(state, folder / "diffusers.safetensors")
    module = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora"
    save_file(
        {f"{module}.down.weight": torch.ones(4, 320), f"{module}.up.weight": torch.ones(320, 4)},
        folder / "processors.safetensors",
    )
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


def test_the_training_itself_delivers_its_lora_whole_once_and_leaves_a_record(files, tmp_path):
    folder, out = tmp_path / "Lora", tmp_path / "run"
    out.mkdir()
    first = deliver_file(files / "kohya.safetensors", folder, "my: brand", "vesper", out)
    place = folder / f"{name_on_host((files / 'kohya.safetensors').read_bytes(), 'my: brand')}.safetensors"
    assert first.file == str(place) and place.read_bytes() == (files / "kohya.safetensors").read_bytes()
    assert first.prompt == f"<lora:{place.stem}:0.8>, vesper" and first.notes == ()
    assert json.loads((out / "delivered.json").read_text()) == first.model_dump(mode="json")
    written = place.stat().st_mtime_ns
    again = deliver_file(files / "kohya.safetensors", folder, "my: brand", "", out, strength=0.6)
    assert again.prompt == f"<lora:{place.stem}:0.6>" and place.stat().st_mtime_ns == written


def test_a_training_delivers_no_nan_and_says_which_host_reads_a_part_only(files, tmp_path):
    with pytest.raises(InputError, match="hold NaN or infinity"):
        deliver_file(files / "nan.safetensors", tmp_path / "Lora", "x", "", tmp_path)
    assert not (tmp_path / "Lora").exists() and not (tmp_path / "delivered.json").exists()
    with pytest.raises(InputError, match="would apply 0 of"):
        deliver_file(files / "diffusers.safetensors", tmp_path / "Lora", "x", "", tmp_path)
    # Half a pair beside a whole one stops every program, diffusers too.
    attn = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to"
    tensors = {f"{attn}_q.lora_down.weight": torch.ones(4, 320), f"{attn}_q.lora_up.weight": torch.ones(320, 4)}
    save_file(tensors | {f"{attn}_k.lora_up.weight": torch.ones(320, 4)}, tmp_path / "half.safetensors")
    with pytest.raises(InputError, match="would apply 0 of"):
        deliver_file(tmp_path / "half.safetensors", tmp_path / "Lora", "x", "", tmp_path)
    save_file({f"{attn}_k.lora_up.weight": torch.ones(320, 4)}, tmp_path / "halves.safetensors")  # none is whole
    with pytest.raises(InputError, match="would apply 0 of"):
        deliver_file(tmp_path / "halves.safetensors", tmp_path / "Lora", "x", "", tmp_path)
    # Of a model that is not published no rule can tell.
    other = {name: tensor[..., :7] if "down" in name else tensor[:7] for name, tensor in tensors.items()}
    save_file({name: tensor.contiguous() for name, tensor in other.items()}, tmp_path / "other.safetensors")
    assert deliver_file(tmp_path / "other.safetensors", tmp_path / "own", "x", "", tmp_path).notes == ()
    notes = deliver_file(files / "processors.safetensors", tmp_path / "Lora", "x", "", tmp_path).notes
    assert [note.partition(" ")[0] for note in notes] == ["A1111"]


def test_a_pipeline_delivers_a_lora_where_training_paid_and_nothing_else():
    tuned = {"kind": "lora", "file": "/out/x.safetensors", "trigger": None}
    report = {"tuned": tuned, "verdict": {"decision": "training", "strength": 0.6}}
    assert winning_lora(report)[1:] == ("", 0.6)
    assert winning_lora(report | {"tuned": tuned | {"kind": "full"}}) is None
    assert winning_lora(report | {"verdict": {"decision": "words", "strength": 0.6}}) is None


def test_what_a_proof_has_shown_is_written_where_a_judgement_keeps_it_and_not_drawn_again(files, tmp_path):
    with fake_comfy() as server:
        server.lora_folder = tmp_path / "loras"
        record = tmp_path / "out" / "files" / "a1b2"  # of one file among many, not there yet
        host = ComfyHost(server.url, "first", limits=QUICK)
        lora = delivered(host, files / "kohya.safetensors", server.lora_folder, record)
        assert json.loads((record / "lora.json").read_text())["name"] == lora.name
        drawn = server.drawn
        assert delivered(host, files / "kohya.safetensors", server.lora_folder, record) == lora
    assert server.drawn == drawn > 0


def test_a_workflow_without_a_place_for_loras_is_what_the_message_is_about(files, tmp_path):
    graph = json.loads((TEMPLATES / "sdxl.json").read_text())
    graph["checkpoint"]["inputs"]["ckpt_name"] = "second.safetensors"
    loader = {"model": ["checkpoint", 0], "clip": ["checkpoint", 1], "lora_name": "Maison.safetensors"}
    graph["mine"] = {"class_type": "LoraLoader", "inputs": {**loader, "strength_model": 1.0, "strength_clip": 1.0}}
    graph["sampler"]["inputs"]["model"] = ["mine", 0]
    (tmp_path / "mine.json").write_text(json.dumps(graph))
    (tmp_path / "loras").mkdir()
    (tmp_path / "loras" / "Maison.safetensors").touch()
    with fake_comfy() as server, pytest.raises(NoPlace, match=r"Maison\.safetensors.*\{lora\}"):
        server.lora_folder = tmp_path / "loras"
        host = ComfyHost(server.url, limits=QUICK, workflow=tmp_path / "mine.json")
        delivered(host, files / "kohya.safetensors", server.lora_folder, tmp_path)
    assert [file.name for file in (tmp_path / "loras").iterdir()] == ["Maison.safetensors"]
