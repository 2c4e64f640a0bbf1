"""The tagging bench: its ways give answers, its ratios are those of its seconds, its memory is bounded."""

from __future__ import annotations

import json

import pytest
from tiny_models import tiny_clip, tiny_open_clip

from modiste.bench import tagging
from modiste.fashion.taxonomy import load_taxonomy
from modiste.models.presets import missing_weights, preset


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(tagging, "random_clip", tiny_clip)
    monkeypatch.setattr(tagging, "PHOTO", (480, 640))
    monkeypatch.setattr(tagging, "OPEN_CLIP", f"local-dir:{tiny_open_clip(tmp_path / 'open-clip', 'clip')}")


def test_both_ways_tag_the_same_photos_and_the_ratios_are_those_of_their_seconds(small, capsys, monkeypatch):
    encoded = []  # how many photos or texts the other way encodes, call by call: seconds of three photos are noise
    encode = tagging.FashionClipWay._vectors
    monkeypatch.setattr(
        tagging.FashionClipWay,
        "_vectors",
        lambda way, items, *rest: encoded.append(len(items)) or encode(way, items, *rest),
    )
    tagging.main(["--photos", "3", "--json"])
    found = json.loads(capsys.readouterr().out)
    cold, warm, each, once, loop = found["rows"]
    assert {row["photos"] for row in found["rows"]} == {3}
    assert found["ratios"]["cold / fashion-clip, one call a group"] == pytest.approx(
        each["seconds"] / cold["seconds"], rel=0.05
    )
    assert found["ratios"]["a label more / fashion-clip, encoded once"] == pytest.approx(
        once["seconds"] / warm["seconds"], rel=0.05
    )
    assert found["ratios"]["cold / open_clip's loop, without its texts"] == pytest.approx(
        loop["seconds"] / cold["seconds"], rel=0.05
    )
    groups = [len(group.labels) for group in load_taxonomy("garments").groups if group.enabled]
    assert len(found["ratios"]) == 6 and encoded == [*(n for labels in groups for n in (labels, 3)), sum(groups), 3]
    assert 0.9 < found["draft_parity"] <= 1.0001


def test_an_edited_vocabulary_has_a_label_more_and_is_still_one(small):
    taxonomy = load_taxonomy("garments")
    edited = tagging.with_one_more(taxonomy)
    assert len(edited.groups[0].labels) == len(taxonomy.groups[0].labels) + 1
    assert edited.groups[1:] == taxonomy.groups[1:]


def test_the_package_of_the_other_way_answers_as_its_library_does(small, tmp_path):
    folder, photos = tiny_clip(tmp_path / "clip"), tagging.make_photos(tmp_path / "photos", 3)
    import torch  # after tiny_clip, which makes torchvision importable
    from PIL import Image
    from transformers import CLIPModel, CLIPProcessor

    labels = ["a dress", "a red top", "striped trousers", "a coat"]
    processor, images = CLIPProcessor.from_pretrained(folder), [Image.open(photo) for photo in photos]
    batch = processor(text=labels, images=images, return_tensors="pt", padding="max_length", max_length=77)
    with torch.no_grad():
        best = CLIPModel.from_pretrained(folder).eval()(**batch).logits_per_image.argmax(-1)
    assert tagging.FashionClipWay(folder).zero_shot(photos, labels) == [labels[index] for index in best]


def test_open_clips_loop_answers_as_its_library_does(small, tmp_path):
    photos, labels = tagging.make_photos(tmp_path / "photos", 3), ["a dress", "a red top", "striped trousers", "a coat"]
    loop = tagging.OpenClipLoop(labels)
    import open_clip
    import torch
    from PIL import Image

    pixels = torch.stack([loop.preprocess(Image.open(photo)) for photo in photos])
    with torch.no_grad():
        images, texts, scale, *_ = loop.model(pixels, open_clip.get_tokenizer(tagging.OPEN_CLIP)(labels))
    assert loop.zero_shot(photos) == [labels[index] for index in (scale * images @ texts.T).argmax(-1)]


@pytest.mark.skipif(bool(missing_weights(preset("mini"))), reason="the embedded weights are not here")
def test_memory_does_not_grow_with_the_photos(capsys):
    tagging.main(["--memory", "600", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["60", "600"] and found["600"] - found["60"] < 50
