"""The ComfyUI host: the shared suite and every fault against a server that speaks its API; the real one on demand."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from fake_comfy import LORAS, fake_comfy
from host_suite import HostSuite

from modiste.core.errors import InputError
from modiste.hosts.comfy.host import ComfyHost
from modiste.hosts.comfy.sampler_names import SAMPLERS, SCHEDULES, file_for, sampler_for, scheduler_for
from modiste.hosts.comfy.workflow import BUILT_IN, Workflow
from modiste.hosts.errors import (
    ApiMissing,
    HostError,
    HostUnreachable,
    Interrupted,
    OutOfMemory,
    RequestRefused,
    UnknownOutcome,
    UnreadableAnswer,
    WrongResult,
)
from modiste.hosts.limits import Limits
from modiste.hosts.request import GenerationRequest, LoraRef

QUICK = Limits(connect_s=2, answer_s=5, picture_s=5, away_s=0.5, poll_s=0.02)
OBJECT_INFO = json.loads((Path(__file__).parents[1] / "data" / "comfy_http" / "object_info.json").read_text())


@pytest.fixture
def server():
    with fake_comfy() as running:
        yield running


@pytest.fixture
def host(server):
    return ComfyHost(server.url, "first", limits=QUICK)


def request(**changes) -> GenerationRequest:
    drawing = dict(prompt="a red dress", seed=3, steps=4, cfg_scale=5.0, width=64, height=64)
    return GenerationRequest(**{**drawing, **changes})


def draw(host, *requests: GenerationRequest):
    return list(host.generate(requests or [request()]))


class TestAgainstAServerOfItsApi(HostSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def host(cls):
        with fake_comfy() as server:
            yield ComfyHost(server.url, "first", limits=QUICK)


# ── the graph ──


def graph_of(server) -> dict:
    return [body["prompt"] for path, body in server.asked if path == "/prompt"][-1]


def test_a_request_becomes_a_graph_in_comfyuis_names(server, host):
    asked = request(negative_prompt="blurry", sampler="Euler a", scheduler="Karras", clip_skip=2)
    used = draw(host, asked)[0].used
    graph = graph_of(server)
    sampler = graph["sampler"]["inputs"]
    assert (sampler["sampler_name"], sampler["scheduler"]) == ("euler_ancestral", "karras")
    assert (sampler["seed"], sampler["steps"], sampler["cfg"]) == (3, 4, 5.0)
    assert (graph["positive"]["inputs"]["text"], graph["negative"]["inputs"]["text"]) == ("a red dress", "blurry")
    assert graph["checkpoint"]["inputs"]["ckpt_name"] == "sd15/first.safetensors" == used.checkpoint
    assert graph["clip-skip"]["inputs"] == {"clip": ["checkpoint", 1], "stop_at_clip_layer": -2}
    assert graph["positive"]["inputs"]["clip"] == ["clip-skip", 0] == graph["negative"]["inputs"]["clip"]
    assert used.backend == "ComfyUI 0.3.64, torch 2.13.0+cpu, cpu"


def test_loras_stand_between_the_checkpoint_and_what_reads_from_it(server, host):
    worn = (LoraRef(name="Maison", strength=0.6), LoraRef(name="Maison.safetensors", strength=0.2))
    bare, dressed = draw(host, request(), request(loras=worn, clip_skip=2))
    graph = graph_of(server)
    assert graph["lora-0"]["inputs"]["lora_name"] == LORAS[0] and graph["lora-0"]["inputs"]["strength_clip"] == 0.6
    assert graph["lora-1"]["inputs"]["model"] == ["lora-0", 0]
    assert graph["sampler"]["inputs"]["model"] == ["lora-1", 0]
    assert graph["clip-skip"]["inputs"]["clip"] == ["lora-1", 1]
    assert graph["decode"]["inputs"]["vae"] == ["checkpoint", 2]
    assert bare.image.tobytes() != dressed.image.tobytes() and dressed.used.loras == worn


def test_a_new_lora_is_found_without_a_restart_and_an_unknown_one_is_refused(server, host):
    with pytest.raises(RequestRefused, match="did you mean 'Maison'"):
        host.check(request(loras=(LoraRef(name="maison"),)))
    server.object_info["LoraLoader"]["input"]["required"]["lora_name"][0].append("fresh.safetensors")
    host.check(request(loras=(LoraRef(name="fresh"),)))


def test_a_lora_that_get_knows_and_the_server_lacks_is_refused_with_the_command_that_fetches_it(server, host):
    with pytest.raises(RequestRefused, match="there is no LoRA 'fast-sd15' here; `modiste get fast-sd15 --to FOLDER`"):
        host.check(request(loras=(LoraRef(name="fast-sd15"),)))
    server.object_info["LoraLoader"]["input"]["required"]["lora_name"][0].append("fast-sd15.safetensors")
    host.check(request(loras=(LoraRef(name="fast-sd15"),)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sampler": "DPM++ 2N"}, "did you mean 'DPM\\+\\+ 2M'"),
        ({"scheduler": "Karas"}, "did you mean 'Karras'"),
        ({"checkpoint": "frist"}, "did you mean 'first'"),
    ],
)
def test_nothing_is_sent_of_what_the_server_lacks(change, words, server, host):
    with pytest.raises(RequestRefused, match=words):
        draw(host, request(**change))
    assert not server.asked


def test_a_server_with_several_checkpoints_wants_one_named_and_the_only_one_needs_no_name(server):
    with pytest.raises(RequestRefused, match="2 checkpoints.*--checkpoint.*second"):
        ComfyHost(server.url, limits=QUICK).describe()
    server.object_info["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0] = ["only.safetensors"]
    assert ComfyHost(server.url, limits=QUICK).describe().checkpoint == "only.safetensors"


def test_all_names_lead_to_names_that_the_recorded_server_has():
    takes = OBJECT_INFO["KSampler"]["input"]["required"]
    samplers, schedules = takes["sampler_name"][0], takes["scheduler"][0]
    for name in SAMPLERS:
        assert sampler_for(name, samplers) in samplers
        assert scheduler_for("Automatic", name, schedules) in schedules
    for name in SCHEDULES:
        assert scheduler_for(name, "Euler", schedules) in schedules
    assert scheduler_for("Automatic", "DPM++ 2M", schedules) == "karras"  # as A1111 does
    assert scheduler_for("Automatic", "LCM", schedules) == "sgm_uniform"
    assert sampler_for("res_multistep", samplers) == "res_multistep"
    assert file_for("LoRA", "b", ["a/b.safetensors", "c.safetensors"]) == "a/b.safetensors"
    with pytest.raises(RequestRefused, match="can be several LoRAs"):
        file_for("LoRA", "b", ["a/b.safetensors", "c/b.safetensors"])


# ── a workflow of the user's ──


def theirs(titles: bool) -> dict:
    """A workflow by numbers as ComfyUI exports it, with a second model in it."""
    said = {
        "1": "{checkpoint}",
        "2": "{prompt}",
        "5": "{seed} {steps} {cfg_scale} {sampler} {scheduler}",
        "7": "{picture}",
    }
    said |= {"3": "{negative_prompt}", "4": "{width} {height}"}
    sampling = {"seed": 1, "steps": 9, "cfg": 3.0, "sampler_name": "heun", "scheduler": "beta", "denoise": 1.0}
    links = {"model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0]}
    nodes = {
        "1": ("CheckpointLoaderSimple", {"ckpt_name": "second.safetensors"}),
        "2": ("CLIPTextEncode", {"text": "", "clip": ["1", 1]}),
        "3": ("CLIPTextEncode", {"text": "watermark", "clip": ["1", 1]}),
        "4": ("EmptyLatentImage", {"width": 8, "height": 8, "batch_size": 1}),
        "5": ("KSampler", sampling | links),
        "6": ("VAEDecode", {"samples": ["5", 0], "vae": ["1", 2]}),
        "7": ("SaveImage", {"images": ["6", 0], "filename_prefix": "mine"}),
    }
    return {
        node: {"class_type": kind, "inputs": inputs, "_meta": {"title": said.get(node, "") if titles else kind}}
        for node, (kind, inputs) in nodes.items()
    }


@pytest.mark.parametrize("titles", [True, False], ids=["titled", "traced"])
def test_a_workflow_is_filled_by_its_titles_or_by_following_its_links(titles, server, tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(theirs(titles)))
    host = ComfyHost(server.url, limits=QUICK, workflow=file)
    assert host.describe().checkpoint == "second.safetensors"
    result = draw(host, request(sampler="Euler", loras=(LoraRef(name="Maison"),)))[0]
    graph = graph_of(server)
    assert graph["2"]["inputs"]["text"] == "a red dress" and graph["3"]["inputs"]["text"] == ""
    assert graph["5"]["inputs"]["sampler_name"] == "euler" and graph["5"]["inputs"]["model"] == ["lora-0", 0]
    assert graph["7"]["inputs"]["filename_prefix"] == "mine" and result.image.size == (64, 64)
    assert json.loads(file.read_text()) == theirs(titles)


def test_ours_is_such_a_workflow_and_is_never_changed():
    workflow, before = Workflow.read(), BUILT_IN.read_text()
    workflow.filled({"prompt": "x"}, (LoraRef(name="a"),), 2)
    assert "lora-0" not in workflow.graph and BUILT_IN.read_text() == before


def test_what_a_workflow_lacks_is_named(server, tmp_path):
    graph = theirs(titles=False)
    two = graph | {"8": graph["5"]}
    with pytest.raises(InputError, match=r"\{prompt\}.*title"):
        Workflow.of(two)
    with pytest.raises(InputError, match=r"\{picture\}"):
        Workflow.of(graph | {"8": graph["7"]})
    with pytest.raises(InputError, match="Export"):
        Workflow.of({"nodes": [], "links": []})
    with pytest.raises(InputError, match="API format"):
        Workflow.of({"1": {"type": "KSampler"}})
    wrong = theirs(titles=True)
    wrong["6"]["_meta"]["title"] = "{seed}"
    with pytest.raises(InputError, match="seed"):
        Workflow.of(wrong)
    with pytest.raises(InputError, match="can't be read"):
        Workflow.read(tmp_path / "gone.json")
    del graph["1"], graph["5"]["inputs"]["model"]
    without = Workflow.of(graph)
    with pytest.raises(RequestRefused, match="no place for the checkpoint"):
        without.filled({"checkpoint": "x"})
    with pytest.raises(RequestRefused, match=r"\{checkpoint\}"):
        without.filled({}, (LoraRef(name="x"),))


def test_a_node_that_the_server_lacks_and_a_number_out_of_range_are_refused(server, tmp_path):
    graph = theirs(titles=True)
    graph["9"] = {"class_type": "FaceDetailer", "inputs": {}}
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(graph))
    with pytest.raises(RequestRefused, match="no node FaceDetailer"):
        ComfyHost(server.url, limits=QUICK, workflow=file).check(request())
    graph = theirs(titles=True)
    graph["5"]["inputs"]["denoise"] = 2.0
    file.write_text(json.dumps(graph))
    with pytest.raises(RequestRefused, match="denoise of node 5.*0.0 … 1.0"):
        ComfyHost(server.url, limits=QUICK, workflow=file).check(request())


# ── what goes wrong ──


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("bad_ckpt", RequestRefused, "CheckpointLoaderSimple.*nope.safetensors"),
        ("bad_sampler", RequestRefused, "KSampler.*eular"),
        ("no_class", RequestRefused, "NoSuchNode"),
        ("node errors in a 200", RequestRefused, "VAEDecode"),
        ("out of memory", OutOfMemory, "KSampler.*--lowvram"),
        ("broken node", HostError, "KSampler.*cannot be multiplied"),
        ("interrupted", Interrupted, "interrupted"),
        ("wrong size", WrongResult, "32×64"),
        ("another checkpoint", WrongResult, "other.safetensors.*although"),
        ("another's picture", WrongResult, "seed 999"),
        ("two pictures", WrongResult, "2 pictures"),
        ("no picture", WrongResult, "without a picture"),
        ("torn picture", UnreadableAnswer, "no picture"),
        ("html", UnreadableAnswer, "no picture"),
    ],
)
def test_every_failure_is_its_own_error_and_the_next_picture_is_drawn(fault, error, words, server, host):
    host.describe()
    server.breaks(fault)
    with pytest.raises(error, match=words) as caught:
        draw(host)
    assert type(caught.value) is error
    assert draw(host)[0].image.size == (64, 64)


def test_a_prompt_with_node_errors_in_a_200_is_taken_off_the_queue(server, host):
    server.breaks("node errors in a 200")
    with pytest.raises(RequestRefused):
        draw(host)
    deleted = [body["delete"] for path, body in server.asked if path == "/queue"]
    assert deleted == [[body["prompt_id"]] for path, body in server.asked if path == "/prompt"]


@pytest.mark.parametrize("fault", ["no websocket", "the line breaks", "chooses the id"])
def test_a_picture_comes_without_events_and_under_the_servers_own_id(fault, server, host):
    host.describe()
    server.breaks(fault)
    assert draw(host)[0].used.seed == 3 and server.drawn == 1


def test_a_lost_answer_is_no_second_drawing(server, host):
    host.describe()
    server.breaks("answer lost")
    assert draw(host)[0].used.seed == 3 and server.drawn == 1


def test_a_prompt_that_the_server_forgot_is_sent_again_and_after_three_times_given_up(server, host):
    server.breaks("forgets", 2)
    assert draw(host)[0].used.seed == 3 and server.drawn == 1
    server.breaks("forgets", 99)
    with pytest.raises(UnknownOutcome, match="3 times"):
        draw(host)


def test_too_long_a_drawing_is_interrupted_and_only_ours(server):
    host = ComfyHost(server.url, "first", limits=Limits(connect_s=2, answer_s=5, picture_s=0.3, poll_s=0.02))
    server.breaks("hangs")
    with pytest.raises(UnknownOutcome, match="0.3 s"):
        draw(host)
    interrupts = [body for path, body in server.asked if path == "/interrupt"]
    assert interrupts == [{"prompt_id": body["prompt_id"]} for path, body in server.asked if path == "/prompt"]
    assert draw(host)


def test_a_caller_who_is_interrupted_takes_the_prompt_along(server, host):
    def interrupt(*step):
        raise KeyboardInterrupt

    host.on_step = interrupt
    server.breaks("hangs")
    with pytest.raises(KeyboardInterrupt):
        draw(host)
    assert server.interrupted.wait(5)


def test_steps_are_told_and_only_of_our_own_prompt(server, host):
    steps = []
    host.on_step = lambda *told: steps.append(told)
    draw(host)
    assert steps == [(step, 4, 1) for step in range(1, 5)]


def test_nobody_there_and_somebody_else_there_are_told_apart(server):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(HostUnreachable, match="start ComfyUI"):
        ComfyHost(f"http://127.0.0.1:{port}", "first", limits=QUICK).describe()
    server.breaks("is another program")
    with pytest.raises(ApiMissing, match="no ComfyUI"):
        ComfyHost(server.url, "first", limits=QUICK).describe()


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://example.com:8188", "http://user:word@127.0.0.1:8188"])
def test_other_machines_schemes_and_passwords_in_addresses_are_refused(url):
    with pytest.raises(InputError):
        ComfyHost(url)
    assert ComfyHost("http://example.com:8188", allow_remote=True).url == "http://example.com:8188"


# ── the real one ──


@pytest.mark.slow
@pytest.mark.skipif("MODISTE_COMFYUI_URL" not in os.environ, reason="MODISTE_COMFYUI_URL is not set")
class TestAgainstARunningComfyUI:
    @pytest.fixture(scope="class")
    @classmethod
    def host(cls):
        host = ComfyHost(os.environ["MODISTE_COMFYUI_URL"], os.environ.get("MODISTE_COMFYUI_CHECKPOINT"))
        host.describe()
        return host

    def test_it_draws_says_what_it_used_and_draws_the_same_again(self, host):
        asked = [request(steps=1), request(steps=1, seed=4), request(steps=1)]
        first, other, again = draw(host, *asked)
        assert first.image.tobytes() == again.image.tobytes() != other.image.tobytes()
        assert (first.used.seed, first.used.steps, first.used.sampler) == (3, 1, "DPM++ 2M")
        assert first.used.backend.startswith("ComfyUI ")

    def test_it_refuses_what_the_server_lacks_and_every_sampler_of_ours_is_known_there(self, host):
        with pytest.raises(RequestRefused, match="did you mean 'Euler'"):
            host.check(request(sampler="Eular"))
        for sampler in SAMPLERS:
            host.check(request(sampler=sampler))

    def test_an_interrupted_caller_leaves_nothing_running(self, host):
        def interrupt(*step):
            raise KeyboardInterrupt

        host.on_step = interrupt
        with pytest.raises(KeyboardInterrupt):
            draw(host, request(steps=30, seed=77))
        host.on_step = None
        assert draw(host, request(steps=1, seed=78))[0].used.seed == 78
