"""What is kept of pictures and captions equals what the models say, and notices every change."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from modiste.core import files
from modiste.core.errors import InputError, Stopped
from modiste.core.torchvision_ops import patch_torchvision_ops
from modiste.fashion.photos import read_photo
from modiste.trainer.data import cache as cache_module
from modiste.trainer.data.buckets import Bucket, cut
from modiste.trainer.data.cache import (
    LatentCache,
    TensorFiles,
    TextCache,
    pixels,
    sample_latents,
    shrink_mask,
    vae_identity,
)
from modiste.trainer.data.config import DataConfig
from modiste.trainer.data.dataset import load_dataset
from modiste.trainer.data.sample import Sample
from modiste.trainer.seeding import generator_for


def tiny_vae(seed: int = 0):
    patch_torchvision_ops()
    import torch
    from diffusers import AutoencoderKL

    torch.manual_seed(seed)
    return AutoencoderKL(
        latent_channels=4,
        norm_num_groups=4,
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    ).eval()


@pytest.fixture(scope="module")
def vae():
    return tiny_vae()


@pytest.fixture
def photos(tmp_path) -> Path:
    """A wide photo with a mask on its left, a tall and a square one without."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, size in (("tall", (80, 120)), ("square", (90, 90)), ("wide", (140, 100))):
        picture = rng.integers(0, 256, (size[1] // 10, size[0] // 10, 3), dtype=np.uint8)
        Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f"a {name} dress")
    paint_mask(folder)
    return folder


def paint_mask(folder: Path, right: int = 60) -> None:
    pixels = np.zeros((100, 140), np.uint8)
    pixels[20:, 20:right] = 255
    Image.fromarray(pixels).save(folder / "wide-masklabel.png")


def dataset(folder: Path, **settings) -> dict[str, Sample]:
    defaults = dict(resolution=64, bucket_step=8, bucket_least=1, held_out=0.0, held_out_least=0)
    found = load_dataset(DataConfig(folders=(folder,), **(defaults | settings)), read_photo)
    return {one.path.stem: one for one in found.samples}


def latents(folder: Path, vae, **settings) -> LatentCache:
    return LatentCache(vae_identity(vae), read_photo, folder / "cache", **settings)


# ── latents ──


def test_pixels_run_from_minus_one_to_one():
    picture = Image.new("RGB", (8, 16), (0, 255, 127))
    values = pixels(picture)
    assert values.shape == (1, 3, 16, 8)
    assert values[0, :, 0, 0].tolist() == pytest.approx([-1, 1, -1 / 255], abs=1e-6)


@pytest.mark.parametrize("flipped", [False, True])
def test_sampled_latents_equal_those_of_the_vae_without_a_cache(flipped, photos, vae, tmp_path):
    import torch

    samples = dataset(photos)
    assert len({one.bucket for one in samples.values()}) == 3
    cache = latents(tmp_path, vae)
    cache.build(vae, list(samples.values()), flips=True)
    for one in samples.values():
        picture = one.crop.apply(Image.open(one.path).convert("RGB"))
        picture = ImageOps.mirror(picture) if flipped else picture
        generators = [generator_for(1, 2, one.id, 3, "latents") for _ in range(2)]
        with torch.inference_mode():
            expected = vae.encode(pixels(picture)).latent_dist.sample(generators[0])[0] * 0.18215
        moments = cache.moments(one, flipped)
        assert moments.mean.shape == moments.logvar.shape == (4, one.bucket.height // 8, one.bucket.width // 8)
        assert torch.equal(sample_latents(moments, generators[1], 0.18215), expected)


def test_mirrored_latents_are_not_the_latents_of_the_mirrored_picture(photos, vae, tmp_path):
    import torch

    samples = dataset(photos)
    cache = latents(tmp_path, vae)
    cache.build(vae, [samples["square"]], flips=True)
    plain, mirrored = cache.moments(samples["square"]).mean, cache.moments(samples["square"], flipped=True).mean
    assert not torch.allclose(plain.flip(-1), mirrored, atol=1e-3)


def test_each_visit_draws_another_sample_of_the_posterior_with_its_mean_and_spread(photos, vae, tmp_path):
    import torch

    one = dataset(photos)["square"]
    cache = latents(tmp_path, vae)
    cache.build(vae, [one], flips=False)
    moments = cache.moments(one)
    drawn = torch.stack([sample_latents(moments, generator_for(0, 0, one.id, v, "latents"), 2.0) for v in range(400)])
    std = torch.exp(moments.logvar / 2)
    assert ((drawn.mean(0) / 2 - moments.mean) / std).abs().mean() < 0.1
    assert ((drawn.std(0) / 2) / std).mean() == pytest.approx(1, abs=0.02)


def test_half_precision_files_are_half_as_large_and_nearly_equal(photos, vae, tmp_path):
    import torch

    one = dataset(photos)["square"]
    full, half = latents(tmp_path, vae), latents(tmp_path, vae, dtype="float16")
    full.build(vae, [one], flips=False)
    half.build(vae, [one], flips=False)
    assert half.moments(one).mean.dtype == torch.float32
    assert torch.allclose(half.moments(one).mean, full.moments(one).mean, atol=2e-3)


def test_a_bfloat16_vae_is_asked_in_bfloat16(photos, tmp_path):
    import torch

    one, vae = dataset(photos)["square"], tiny_vae().to(torch.bfloat16)
    cache = latents(tmp_path, vae)
    cache.build(vae, [one], flips=False)
    with torch.inference_mode():
        picture = one.crop.apply(Image.open(one.path).convert("RGB"))
        expected = vae.encode(pixels(picture).bfloat16()).latent_dist.mean[0].float()
    assert torch.equal(cache.moments(one).mean, expected)


def test_a_vae_that_overflows_is_named_and_nothing_is_kept(photos, tmp_path):
    import torch

    one, vae = dataset(photos)["square"], tiny_vae()
    with torch.no_grad():
        vae.quant_conv.bias[0] = float("inf")
    cache = latents(tmp_path, vae)
    with pytest.raises(InputError, match="float32 gives no finite latents of square.png.*bfloat16"):
        cache.build(vae, [one], flips=False)
    assert not (tmp_path / "cache").exists()


# ── what is there is used, what changed is not ──


def test_what_is_cached_is_not_encoded_again_and_an_interrupted_build_goes_on(photos, vae, tmp_path):
    samples = list(dataset(photos).values())
    told = []

    def stop(progress):
        told.append(progress)
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        latents(tmp_path, vae).build(vae, samples, flips=True, progress=stop)
    report = latents(tmp_path, vae).build(vae, samples, flips=True)
    assert (report.found, report.encoded, report.rebuilt) == (4, 2, 0)
    assert [(one.stage, one.done, one.total) for one in told] == [("latents", 1, 3), ("latents", 2, 3)]
    report = latents(tmp_path, vae).build(None, samples, flips=True)
    assert (report.found, report.encoded) == (6, 0)


def test_a_changed_photo_mask_crop_or_vae_is_encoded_anew_and_nothing_else(photos, vae, tmp_path):
    def encoded(vae=vae, **settings):
        return latents(tmp_path, vae).build(vae, list(dataset(photos, **settings).values()), flips=False).encoded

    assert encoded() == 3 and encoded() == 0
    (photos / "square.txt").write_text("other words")
    (photos / "square.png").rename(photos / "round.png")
    (photos / "square.txt").rename(photos / "round.txt")
    assert encoded() == 0
    Image.open(photos / "round.png").point(lambda value: value // 2).save(photos / "round.png")
    assert encoded() == 1
    paint_mask(photos, right=80)
    assert encoded() == 1
    assert encoded(buckets=False) == 2  # the square one is cut as it was
    assert encoded(resolution=72, bucket_step=24) == 3
    assert encoded(tiny_vae(1)) == 3
    assert encoded() == 0


def test_the_identity_of_a_vae_is_that_of_its_encoder():
    import torch

    vae = tiny_vae()
    first = vae_identity(vae)
    assert vae_identity(tiny_vae()) == first and len(first) == 16
    with torch.no_grad():
        vae.decoder.conv_in.bias += 1
    assert vae_identity(vae) == first
    with torch.no_grad():
        vae.encoder.conv_in.bias[0] += 1e-6
    assert vae_identity(vae) != first
    assert vae_identity(tiny_vae().to(torch.bfloat16)) != first


def cut_short(data: bytes) -> bytes:
    return data[:-100]


def zeroed_tail(data: bytes) -> bytes:
    return data[:-100] + bytes(100)


def one_bit(data: bytes) -> bytes:
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


def nothing(data: bytes) -> bytes:
    return b""


def other_header(data: bytes) -> bytes:
    return b"\xff" * 16 + data[16:]


@pytest.mark.parametrize("damage", [cut_short, zeroed_tail, one_bit, nothing, other_header])
def test_a_broken_file_is_never_read_and_is_rebuilt(damage, photos, vae, tmp_path):
    import torch

    one = dataset(photos)["square"]
    cache = latents(tmp_path, vae)
    cache.build(vae, [one], flips=False)
    expected = cache.moments(one)
    (path,) = (tmp_path / "cache").rglob("*.safetensors")
    path.write_bytes(damage(path.read_bytes()))
    again = latents(tmp_path, vae)
    with pytest.raises(InputError, match="square.png are not in the cache, or their file is broken.*start again"):
        again.moments(one)
    report = again.build(vae, [one], flips=False)
    assert (report.found, report.encoded, report.rebuilt) == (0, 1, 1)
    assert torch.equal(again.moments(one).mean, expected.mean)
    assert torch.equal(again.moments(one).logvar, expected.logvar)


def test_no_changed_byte_of_a_file_goes_unnoticed(tmp_path):
    import torch

    kept, key = TensorFiles(tmp_path), {"a": 1}
    kept.write(key, {"mean": torch.arange(12.0).reshape(3, 4), "mask": torch.ones(3).half()})
    path, expected = kept.path_of(key), kept.find(key)
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 5]) + data[place + 1 :])
        found = kept.find(key)
        same = found is not None and found.keys() == expected.keys()
        assert found is None or (same and all(torch.equal(found[name], expected[name]) for name in found)), place
        path.write_bytes(data[:place])
        assert kept.find(key) is None


def test_a_photo_that_changes_under_a_run_is_noticed(photos, vae, tmp_path):
    one = dataset(photos)["square"]
    Image.new("RGB", (90, 90)).save(one.path)
    with pytest.raises(InputError, match="has changed since"):
        latents(tmp_path, vae).build(vae, [one], flips=False)


def test_a_full_disk_stops_resumably_and_leaves_no_part_of_a_file(photos, vae, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    one = dataset(photos)["square"]
    cache = latents(tmp_path, vae)
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        patch.setattr(cache_module, "make_folder", lambda folder: folder.mkdir(parents=True))
        with pytest.raises(Stopped, match="No space left.*MODISTE_HOME") as caught:
            cache.build(vae, [one], flips=False)
    assert caught.value.exit_code == 4 and not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert cache.build(vae, [one], flips=False).encoded == 1


def test_a_folder_that_can_not_be_made_is_named(photos, vae, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(InputError, match="folder can't be made.*MODISTE_HOME"):
        latents(tmp_path, vae).build(vae, [dataset(photos)["square"]], flips=False)


def test_the_cache_lies_in_the_users_home(vae):
    ours = Path(os.environ["MODISTE_HOME"]) / "cache"
    assert LatentCache(vae_identity(vae), read_photo).files.folder == ours / "latents"
    assert TextCache(Encoder(), "clip").files.folder == ours / "texts"


# ── masks ──


def test_a_mask_is_the_share_of_each_latents_pixels_under_the_photos_crop_and_flip(photos, vae, tmp_path):
    import torch

    one = dataset(photos, buckets=False)["wide"]  # 140×100 → 90×64, from 13 to 77
    cache = latents(tmp_path, vae)
    cache.build(vae, [one], flips=True)
    mask = cache.mask(one)
    assert mask.shape == (1, 8, 8) and mask.dtype == torch.float32
    scale = one.crop.resized[0] / 140
    left, right = 20 * scale - one.crop.left, 60 * scale - one.crop.left
    across = [max(0.0, min(right, 8 * x + 8) - max(left, 8 * x)) / 8 for x in range(8)]
    down = [max(0.0, min(1.0, (8 * y + 8 - 20 * 0.64) / 8)) for y in range(8)]
    expected = torch.tensor(down)[:, None] * torch.tensor(across)[None]
    assert (mask[0] - expected).abs().max() < 0.07 and 0 < mask.mean() < 0.4
    assert torch.allclose(cache.mask(one, flipped=True), mask.flip(-1), atol=1e-6)


def test_the_mask_lies_on_the_garment_that_the_vae_sees(tmp_path, vae):
    """A white garment on black under a cut: mask and picture stay on top of each other, mirrored too."""
    import torch

    picture = np.zeros((150, 333, 3), np.uint8)
    picture[30:140, 90:190] = 255
    (tmp_path / "photos").mkdir()
    Image.fromarray(picture).save(tmp_path / "photos" / "a.png")
    Image.fromarray(picture[..., 0]).resize((666, 300)).save(tmp_path / "photos" / "a-masklabel.png")
    (tmp_path / "photos" / "a.txt").write_text("a dress")
    one = dataset(tmp_path / "photos")["a"]
    cache = latents(tmp_path, vae)
    cache.build(vae, [one], flips=True)
    seen = pixels(one.crop.apply(Image.fromarray(picture)))[0, :1] / 2 + 0.5
    seen = torch.nn.functional.avg_pool2d(seen[None], 8)[0]
    assert (cache.mask(one) - seen).abs().max() < 0.1
    assert (cache.mask(one, flipped=True) - seen.flip(-1)).abs().max() < 0.1


def test_a_photo_without_a_mask_counts_everywhere(photos, vae, tmp_path):
    one = dataset(photos)["tall"]
    cache = latents(tmp_path, vae)
    cache.build(vae, [one], flips=False)
    mask = cache.mask(one)
    assert mask.shape == (1, one.bucket.height // 8, one.bucket.width // 8) and bool((mask == 1).all())


def test_shrinking_a_mask_keeps_its_area():
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 2, (64, 72), dtype=np.uint8) * 255
    assert float(shrink_mask(Image.fromarray(mask), (8, 9)).mean()) == pytest.approx(mask.mean() / 255, abs=1e-6)
    chequered = (np.indices((100, 100)).sum(0) % 2 * 255).astype(np.uint8)
    grey = np.asarray(cut((100, 100), Bucket(64, 64)).apply_to_mask(Image.fromarray(chequered)))
    assert grey.min() > 60 and grey.max() < 195 and grey.mean() == pytest.approx(127.5, abs=2)


# ── texts ──


class Encoder:
    """A small real text encoder that counts what it is asked for."""

    def __init__(self):
        import torch

        torch.manual_seed(0)
        self.table, self.asked = torch.nn.Embedding(128, 6), []

    def __call__(self, captions):
        self.asked += captions
        ids = [[ord(letter) % 128 for letter in caption.ljust(5)[:5]] for caption in captions]
        import torch

        tokens = self.table(torch.tensor(ids))
        return [{"tokens": one, "pooled": one.mean(0)} for one in tokens]


def test_texts_are_encoded_once_and_come_back_equal(tmp_path):
    import torch

    encoder = Encoder()
    texts = TextCache(encoder, "clip", folder=tmp_path)
    report = texts.build(["a", "b", "a", ""])
    assert (report.found, report.encoded) == (0, 3) and encoder.asked == ["a", "b", ""]
    again = TextCache(encoder, "clip", folder=tmp_path)
    found = again.embeds(["b", "", "b", "new"])
    assert encoder.asked == ["a", "b", "", "new"]
    for caption, tensors in zip(["b", "", "b", "new"], found, strict=True):
        expected = encoder([caption])[0]
        assert tensors.keys() == {"tokens", "pooled"}
        assert all(torch.equal(tensors[name], expected[name]) for name in tensors)
        assert not tensors["tokens"].requires_grad and not tensors["tokens"].is_inference()


def test_another_encoder_or_clip_skip_is_another_text(tmp_path):
    for identity, clip_skip in (("clip", 1), ("clip", 2), ("other", 1)):
        assert TextCache(Encoder(), identity, clip_skip, tmp_path).build(["a"]).encoded == 1
    assert TextCache(Encoder(), "clip", 1, tmp_path).build(["a"]).encoded == 0


def test_progress_counts_captions_found_and_encoded(tmp_path):
    TextCache(Encoder(), "clip", folder=tmp_path).build(["a", "b"])
    told = []
    report = TextCache(Encoder(), "clip", folder=tmp_path).build(list("abcdefg"), told.append, at_once=2)
    assert [(one.done, one.total) for one in told] == [(2, 7), (4, 7), (6, 7), (7, 7)]
    assert (report.found, report.encoded) == (2, 5)


def test_a_broken_text_is_encoded_again(tmp_path):
    TextCache(Encoder(), "clip", folder=tmp_path).build(["a"])
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(zeroed_tail(path.read_bytes()))
    report = TextCache(Encoder(), "clip", folder=tmp_path).build(["a"])
    assert (report.encoded, report.rebuilt) == (1, 1)


def test_bfloat16_and_what_a_run_holds_in_memory_come_back_equal(tmp_path, monkeypatch):
    import torch

    values = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).bfloat16()
    for most in (2**30, 0):
        monkeypatch.setattr(cache_module, "MOST_HELD", most)
        texts = TextCache(lambda captions: [{"tokens": values}] * len(captions), "clip", folder=tmp_path)
        for _ in range(2):
            assert torch.equal(texts.embeds(["a"])[0]["tokens"], values)


def test_a_sample_with_another_crop_has_another_file(photos, vae, tmp_path):
    one = dataset(photos)["wide"]
    cache = latents(tmp_path, vae)
    moved = replace(one, crop=replace(one.crop, left=one.crop.left + 1))
    keys = [cache.files.path_of(cache._key(each, flipped)) for each in (one, moved) for flipped in (False, True)]
    assert len(set(keys)) == 4
