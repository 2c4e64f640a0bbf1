"""Keys, requests and pictures of a few pixels for tests of the journal."""

from __future__ import annotations

from pathlib import Path

from modiste.hosts.request import GenerationRequest, GenerationResult, UsedSettings
from modiste.runs.journal import Journal, Key

SETTINGS = {"preset": "mini", "budget": 40, "host": {"kind": "local"}}


PHOTO = "ab" * 32


def request_for(seed: int, prompt: str = "a photo of a red dress") -> GenerationRequest:
    return GenerationRequest(prompt=prompt, negative_prompt="blurry, grain", seed=seed, width=64, height=64)


def key_for(seed: int, strategy: str = "sentence", photo: str = PHOTO, prompt: str = "a photo of a red dress") -> Key:
    return Key(photo, strategy, seed, request_for(seed, prompt).request_hash())


def drawn(seed: int, colour=(200, 30, 60), prompt: str = "a photo of a red dress", size=(64, 64)) -> GenerationResult:
    from PIL import Image

    request = request_for(seed, prompt)
    used = UsedSettings(
        seed=seed,
        steps=20,
        cfg_scale=7,
        width=64,
        height=64,
        sampler="DPM++ 2M",
        checkpoint="models/dresses.safetensors",
        backend="diffusers 0.42.1, torch 2.13.0, cpu",
    )
    image = Image.new("RGB", size, colour)
    if max(colour):
        image.putpixel((seed % 64, 0), (255, 255, 255))
    return GenerationResult(image, request, used, elapsed_s=0.25)


def draw(journal: Journal, *seeds: int) -> list[Path]:
    journal.lease([key_for(seed) for seed in seeds])
    return [journal.finish(key_for(seed), drawn(seed)).path for seed in seeds]
