"""`modiste get` against a hub on loopback: which files, where to, and what happens when something breaks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from clothes_parser_samples import random_parser
from loopback_hub import Hub, Repository, loopback_hub
from PIL import Image
from tiny_models import tiny_clip, tiny_diffusion, tiny_dino, tiny_open_clip
from typer.testing import CliRunner

from modiste.cli.app import app
from modiste.core.errors import InputError, MissingWeights
from modiste.core.torchvision_ops import patch_torchvision_ops
from modiste.core.weights import FAST_LORAS, PINNED, SHORT_NAMES, locate
from modiste.fashion.encoders.load import load_encoder, load_image_encoder
from modiste.models.hub_stream import BLOCK_BYTES, PART
from modiste.models.presets import PRESETS, missing_weights
from modiste.models.vision import open_finder
from modiste.routes.prompt.few_steps import distilled_lora

ROOT = Path(__file__).parents[2]
SD15, CLIP, DINO = (SHORT_NAMES[name] for name in ("sd15", "fashion-clip", "dinov2"))
UNET = "unet/diffusion_pytorch_model.fp16.safetensors"
SINGLE = "v1-5-pruned-emaonly.safetensors"


@pytest.fixture(scope="module")
def repositories(tmp_path_factory) -> dict[str, dict[str, bytes]]:
    """Repositories with all that real ones have beside what is used: pickles, Flax, other precisions."""
    patch_torchvision_ops()
    from diffusers import StableDiffusionPipeline

    folder = tmp_path_factory.mktemp("repositories")
    full = tiny_diffusion(folder / "full")
    StableDiffusionPipeline.from_pretrained(full).save_pretrained(folder / "sd", variant="fp16")
    sd = files_in(folder / "sd") | {name: data for name, data in files_in(full).items() if "safetensors" in name}
    for part, stem in (("unet", "diffusion_pytorch_model"), ("safety_checker", "model"), ("text_encoder", "model")):
        for form in (".non_ema.safetensors", ".bin", ".fp16.bin", "flax_model.msgpack", ".fp16.safetensors"):
            sd.setdefault(f"{part}/{stem}{form}", b"other")
    sd |= {"README.md": b"card", "v1-5-pruned.ckpt": b"pickle", SINGLE: b"s" * 3000, ".gitattributes": b""}
    clip = files_in(tiny_clip(folder / "clip")) | {"pytorch_model.bin": b"pickle", "README.md": b"card"}
    dino = files_in(tiny_dino(folder / "dino")) | {"pytorch_model.bin": b"pickle"}
    return {SD15: sd, CLIP: clip, DINO: dino, "brand/clip": clip}


@pytest.fixture
def hub(repositories, tmp_path, monkeypatch):
    """The hub, as huggingface_hub finds it after `HF_ENDPOINT=…`; its cache is empty."""
    from huggingface_hub import constants

    with loopback_hub({}) as hub:
        for model, files in repositories.items():
            hub.repositories[model] = Repository(dict(files), PINNED.get(model, "c" * 40))
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        known = {"ENDPOINT": hub.url, "HUGGINGFACE_CO_URL_TEMPLATE": template, "HF_HUB_OFFLINE": False}
        for name, value in known.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr("modiste.models.hub_stream.WAIT_S", 0.0)
        yield hub


def files_in(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def get(*words: str | Path):
    return CliRunner().invoke(app, ["get", *map(str, words)])


def names_of(output: str) -> set[str]:
    return {file["name"] for entry in json.loads(output) for file in entry["files"]}


# ── which files ──


def test_a_dry_run_lists_the_fp16_safetensors_configs_and_tokenizer_of_sd15_alone_and_fetches_nothing(hub, tmp_path):
    done = get("sd15", "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    assert names_of(done.stdout) == {
        UNET,
        "vae/diffusion_pytorch_model.fp16.safetensors",
        "text_encoder/model.fp16.safetensors",
        *(f"{part}/config.json" for part in ("unet", "vae", "text_encoder")),
        *(f"tokenizer/{name}" for name in ("tokenizer.json", "tokenizer_config.json")),
        "scheduler/scheduler_config.json",
        "model_index.json",
    }
    assert json.loads(done.stdout)[0]["commit"] == PINNED[SD15]
    assert json.loads(done.stdout)[0]["missing_bytes"] == json.loads(done.stdout)[0]["bytes"] > 0
    assert not (tmp_path / "cache").exists() and not any("resolve" in path for _, path, _ in hub.asked)


def test_what_was_fetched_opens_and_the_preset_is_ready(hub, tmp_path):
    from modiste.hosts.local import LocalHost
    from modiste.trainer.model.base_model import open_base

    assert missing_weights(PRESETS["sd15"]).keys() == {"checkpoint", "encoder", "judge"}
    done = get("sd15", "fashion-clip", "dinov2", "--yes")
    assert done.exit_code == 0, done.output
    assert missing_weights(PRESETS["sd15"]) == {}
    host = LocalHost(SD15, device="cpu")
    assert host.pipeline.unet.dtype.itemsize == 4 and host.describe().checkpoint == SD15
    import torch

    assert open_base(SD15, torch.float32, "cpu").family == "sd1"
    assert load_encoder(CLIP).identity.revision == PINNED[CLIP]
    assert load_image_encoder(DINO).identity.revision == PINNED[DINO]
    assert not any(file.suffix in (".bin", ".ckpt") for file in (tmp_path / "cache").rglob("*"))


def test_a_second_time_fetches_nothing(hub):
    assert get("sd15", "--yes").exit_code == 0
    hub.asked.clear()
    done = get("sd15")  # nobody is asked, either
    assert done.exit_code == 0 and not any("resolve" in path or "cdn" in path for _, path, _ in hub.asked)


def test_the_clothes_parser_is_fetched_without_its_training_state_and_found_by_real_presets(hub, tmp_path):
    random_parser(tmp_path / "parser")
    others = {name: b"other" for name in ("optimizer.pt", "pytorch_model.bin", "training_args.bin", "handler.py")}
    name = SHORT_NAMES["clothes-parser"]
    hub.repositories[name] = Repository(files_in(tmp_path / "parser") | others, PINNED[name])
    assert open_finder(PRESETS["sd15"], "cpu").parser is None
    done = get("clothes-parser", "--yes", "--json")
    assert done.exit_code == 0, done.output
    assert names_of(done.stdout) == {"model.safetensors", "preprocessor_config.json", "config.json"}
    assert open_finder(PRESETS["sd15"], "cpu").key == f"{name}@{PINNED[name]}"


def test_fashion_siglip_is_fetched_in_open_clips_form_alone_and_is_the_encoder_of_that_name(hub, tmp_path):
    name, folder = SHORT_NAMES["fashion-siglip"], tiny_open_clip(tmp_path / "siglip", "siglip")
    others = ("model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin", "marqo_fashionSigLIP.py")
    hub.repositories[name] = Repository(files_in(folder) | dict.fromkeys(others, b"other"), PINNED[name])
    with pytest.raises(MissingWeights, match="modiste get fashion-siglip"):
        load_encoder(name)
    done = get("fashion-siglip", "--yes", "--json")
    assert done.exit_code == 0, done.output
    assert {"open_clip_config.json", "open_clip_model.safetensors"} <= names_of(done.stdout)
    assert not set(others) & names_of(done.stdout)
    encoder = load_encoder(name)
    assert encoder.identity.revision == PINNED[name]
    embeds = encoder.embed_images([Image.new("RGB", (40, 60), colour) for colour in ("red", "navy")])
    assert embeds.shape == (2, 24) and embeds.norm(dim=1).allclose(embeds.new_ones(2), atol=1e-5)


def test_a_model_without_a_pin_is_fetched_at_main_and_found_by_its_id(hub):
    assert get("brand/clip", "--yes").exit_code == 0
    assert load_encoder("brand/clip").identity.revision == "c" * 40


def test_a_repository_of_single_files_wants_one_of_them_named(hub, tmp_path):
    hub.repositories["brand/files"] = Repository({"a.safetensors": b"a" * 2000, "b.safetensors": b"b" * 2000})
    hub.repositories["brand/pickles"] = Repository({"config.json": b"{}", "pytorch_model.bin": b"x"})
    refused = get("brand/files", "--yes")
    assert refused.exit_code == 2 and "brand/files/FILE" in refused.stderr and "a.safetensors" in refused.stderr
    assert get("brand/files/b.safetensors", "--yes", "--to", tmp_path / "here").exit_code == 0
    assert files_in(tmp_path / "here") == {"b.safetensors": b"b" * 2000}
    pickled = get("brand/pickles", "--yes")
    assert pickled.exit_code == 2 and "pickled" in pickled.stderr


def test_a_distilled_lora_is_fetched_by_its_short_name_found_by_a_search_and_named_so_in_a_hosts_folder(hub, tmp_path):
    repository, file = FAST_LORAS["fast-sd15"]
    hub.repositories[repository] = Repository({file: b"l" * 3000, "README.md": b"x", "image_grid.png": b"x"})
    with pytest.raises(InputError, match="modiste get fast-sd15"):
        distilled_lora("fast-sd15")
    done = get("fast-sd15", "--yes")
    assert done.exit_code == 0, done.output
    lora = distilled_lora("fast-sd15")
    assert (lora.name, lora.path.read_bytes()) == ("fast-sd15", b"l" * 3000) and str(lora.path) in done.stdout
    for layout, place in (("comfyui", "models/loras"), ("a1111", "models/Lora"), ("plain", ".")):
        folder = tmp_path / layout
        assert get("fast-sd15", "--yes", "--to", folder, "--layout", layout).exit_code == 0
        assert [path.name for path in (folder / place).iterdir()] == ["fast-sd15.safetensors"]
        hub.asked.clear()
        assert get("fast-sd15", "--to", folder, "--layout", layout).exit_code == 0  # nobody is asked: it is here


# ── where to ──


@pytest.mark.parametrize(
    ("made", "place"),
    [
        ("models/checkpoints", {"models/checkpoints/" + SINGLE, "models/fashion_clip/fashion-clip/config.json"}),
        ("models/Stable-diffusion", {"models/Stable-diffusion/" + SINGLE}),
    ],
    ids=["comfyui", "a1111"],
)
def test_a_hosts_folder_gets_the_models_where_it_looks_for_them(made, place, hub, tmp_path):
    (tmp_path / "ui" / made).mkdir(parents=True)
    done = get("sd15", "fashion-clip", "--yes", "--to", tmp_path / "ui")
    assert done.exit_code == 0, done.output
    assert place <= files_in(tmp_path / "ui").keys() and not any(PART in name for name in files_in(tmp_path / "ui"))
    if "Stable" in made:  # A1111 has no folder for it: the tab finds it in the cache
        assert locate(CLIP) is not None


def test_another_folder_gets_a_folder_a_model_that_opens(hub, tmp_path):
    assert get("fashion-clip", "--yes", "--to", tmp_path / "mine").exit_code == 0
    assert load_encoder(str(tmp_path / "mine" / "fashion-clip")).identity.id == "fashion-clip"
    assert get("sd15", "--yes", "--to", tmp_path / "mine", "--layout", "comfyui").exit_code == 0
    assert (tmp_path / "mine" / "models" / "checkpoints" / SINGLE).is_file()
    wrong = get("sd15", "--yes", "--to", tmp_path / "mine", "--layout", "invoke")
    assert wrong.exit_code == 2 and "comfyui" in wrong.stderr


# ── breaks and refusals ──


def test_a_download_that_breaks_off_goes_on_within_a_run_and_from_one_to_the_next(hub, tmp_path, repositories):
    size = len(repositories[SD15][UNET])
    here = size // 2 // BLOCK_BYTES * BLOCK_BYTES  # whole blocks are kept
    hub.breaks[UNET] = [size // 2, *[0] * 5]
    stopped = get("sd15", "--yes")
    assert stopped.exit_code == 4 and 0 < here and f"after {here:,} of {size:,}" in stopped.stderr, stopped.output
    assert hub.ranges(UNET) == ["", *[f"bytes={here}-"] * 5]
    assert locate(SD15) is None, "half a model is none"
    done = get("sd15", "--yes")
    assert done.exit_code == 0 and hub.ranges(UNET)[6:] == [f"bytes={here}-"]
    assert (locate(SD15) / UNET).read_bytes() == repositories[SD15][UNET]


def test_bytes_that_changed_on_the_way_are_not_kept(hub, tmp_path, repositories):
    hub.spoiled.add("model.safetensors")
    wrong = get("fashion-clip", "--yes")
    assert wrong.exit_code == 4 and "sha256" in wrong.stderr and locate(CLIP) is None
    assert not [file for file in (tmp_path / "cache").rglob("*") if PART in file.name]
    hub.spoiled.clear()
    assert get("fashion-clip", "--yes").exit_code == 0 and locate(CLIP) is not None


def test_a_model_behind_a_licence_asks_for_a_token_which_only_the_hub_itself_gets(hub, monkeypatch):
    hub.repositories[DINO].token = "hf_mine"
    refused = get("dinov2", "--yes")
    assert refused.exit_code == 2 and "HF_TOKEN" in refused.stderr
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    assert get("dinov2", "--yes").exit_code == 0
    asked = list(zip(hub.asked, hub.tokens, strict=True))
    assert {token for (_, path, _), token in asked if path.startswith("/cdn/")} == {""}
    assert "Bearer hf_mine" in {token for (_, path, _), token in asked if "/resolve/" in path}


def test_too_little_disk_is_said_before_anything_is_fetched(hub, tmp_path):
    hub.claimed_sizes["model.safetensors"] = 10**16
    refused = get("dinov2", "--yes")
    assert refused.exit_code == 2 and "10000000.00 GB are to be fetched" in refused.stderr
    assert not any("cdn" in path for _, path, _ in hub.asked)


def test_nobody_at_the_terminal_and_no_yes_fetches_nothing(hub):
    done = get("dinov2")
    assert done.exit_code == 2 and "--yes" in done.stderr and "config.json" in done.stderr
    assert locate(DINO) is None


def test_wrong_names_and_a_silent_hub_are_told_apart(hub, monkeypatch):
    from huggingface_hub import constants

    for words, part in (
        (("sd16",), "choose one of sd15, sdxl"),
        (("nobody/nothing",), "no model nobody/nothing"),
        (("dinov2", "--revision", "v9"), "no such revision"),
    ):
        done = get(*words, "--yes")
        assert done.exit_code == 2 and part in done.stderr, done.output
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    silent = get("dinov2", "--yes")
    assert silent.exit_code == 4 and "HF_ENDPOINT" in silent.stderr


def modiste(hub: Hub, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", **environment}
    command = [sys.executable, str(ROOT / "harness.py"), *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)


def test_the_hubs_own_variables_are_honoured(hub, tmp_path):
    offline = modiste(hub, "get", "dinov2", "--yes", HF_HUB_OFFLINE="1")
    assert offline.returncode == 4 and "HF_HUB_OFFLINE is set" in offline.stderr
    hub.repositories[DINO].token = "hf_mine"
    done = modiste(hub, "get", "dinov2", "--yes", HF_TOKEN="hf_mine")
    assert done.returncode == 0, done.stderr
    assert "MB" in done.stderr and "free" in done.stderr and done.stdout.strip() == str(locate(DINO))
    hub.asked.clear()
    here = modiste(hub, "get", "dinov2", HF_HUB_OFFLINE="1")
    assert here.returncode == 0 and str(locate(DINO)) in here.stderr and hub.asked == []


# ── who names it ──


def test_every_message_about_missing_weights_names_the_command(tmp_path, monkeypatch):
    from modiste.hosts.local import LocalHost
    from modiste.models.presets import require_weights
    from modiste.nodes.vision.encoders import find_encoder
    from modiste.trainer.kohya.base import kohya_base
    from modiste.trainer.model.base_model import find_base

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for opens, command in (
        (lambda: LocalHost(SD15), "modiste get sd15"),
        (lambda: find_base(SD15), "modiste get sd15"),
        (lambda: kohya_base(PRESETS["sdxl"].checkpoint), "modiste get sdxl"),
        (lambda: load_encoder(CLIP), "modiste get fashion-clip"),
        (lambda: load_encoder("hf-hub:Marqo/marqo-fashionSigLIP"), "modiste get fashion-siglip"),
        (lambda: find_encoder("fashion-clip", (tmp_path,)), f"harness.py get fashion-clip --to {tmp_path}"),
        (lambda: require_weights(PRESETS["sd15"], "checkpoint", "encoder"), "modiste get sd15 fashion-clip"),
    ):
        with pytest.raises(MissingWeights) as caught:
            opens()
        assert command in str(caught.value)


def test_the_command_that_a_comfyui_names_fetches_its_encoder_from_wherever_it_is_typed(hub, tmp_path):
    """In a terminal that knows neither `modiste` nor the host's Python."""
    from modiste.nodes.vision.encoders import fallback_notice, find_encoder

    folders = (tmp_path / "Comfy UI" / "models" / "fashion_clip",)
    typed = re.search(r"`(.+)`", fallback_notice("auto", folders))[1]
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "PATH": os.defpath}
    done = subprocess.run(f"{typed} --yes", shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert find_encoder("fashion-clip", folders) == folders[0] / "fashion-clip"
    assert fallback_notice("auto", folders) == ""


def test_the_doctor_lists_the_judge_and_what_gets_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    done = CliRunner().invoke(app, ["doctor"])
    assert f"judge: {DINO} is not on this machine; get it with: modiste get dinov2" in done.output


def test_a_run_without_its_judge_says_so_and_names_the_command(capsys, monkeypatch):
    from modiste.cli.choices import open_chosen_session
    from modiste.cli.option_groups import HostOptions, ModelOptions
    from modiste.models import presets

    absent = PRESETS["mini"].replaced(judge=DINO)
    monkeypatch.setitem(presets.PRESETS, "mini", absent)
    session = open_chosen_session("mini", ModelOptions(), HostOptions(), "cpu")
    assert session.vision.judge is None and "modiste get dinov2" in capsys.readouterr().err
