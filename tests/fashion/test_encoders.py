"""Encoders answer as the libraries they wrap, and say exactly what they are."""

from __future__ import annotations

import shutil

import pytest
import torch
from PIL import Image
from tiny_models import tiny_clip, tiny_dino, tiny_open_clip

from modiste.core.errors import InputError, MissingWeights
from modiste.core.weights import PINNED, locate
from modiste.fashion.encoders.load import load_encoder, load_image_encoder
from modiste.fashion.encoders.settings import TEMPLATES, EncoderSettings, encoder_settings
from modiste.fashion.framing import Framer, cropped, padded
from modiste.mini.garment import sample_garment
from modiste.mini.renderer import render

TEXTS = ["a photo of a red dress", "striped trousers", "", "dress " * 200]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("models") / "tiny-clip")


@pytest.fixture(scope="module")
def photos():
    from random import Random

    square = [render(sample_garment(Random(seed)), size=96) for seed in range(3)]
    return [*square, square[0].resize((60, 90)), square[1].resize((200, 40))]


def test_clips_photos_and_texts_are_those_of_transformers(clip, photos):
    from transformers import AutoImageProcessor, CLIPModel, CLIPTokenizer

    encoder, model = load_encoder(str(clip), framer=Framer("crop")), CLIPModel.from_pretrained(clip).eval()
    pixels = AutoImageProcessor.from_pretrained(clip)(images=photos, return_tensors="pt")
    words = CLIPTokenizer.from_pretrained(clip)(TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        theirs = model(**pixels, **words)
    ours = encoder.embed_images(photos), encoder.embed_texts(TEXTS)
    for got, wanted in zip(ours, (theirs.image_embeds, theirs.text_embeds), strict=True):
        assert got.dtype == torch.float32 and got.norm(dim=-1) == pytest.approx(1, abs=1e-5)
        assert torch.nn.functional.cosine_similarity(got, wanted).min() >= 0.9999
    assert encoder.logit_scale == pytest.approx(float(model.logit_scale.detach().exp()))


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_an_open_clip_folder_is_encoded_as_open_clip_does_it(kind, tmp_path, photos):
    import open_clip

    folder = tiny_open_clip(tmp_path / f"tiny-{kind}", kind)
    encoder = load_encoder(str(folder), framer=Framer("crop"))
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    with torch.inference_mode():
        images = model.eval().encode_image(torch.stack([transform(photo) for photo in photos]))
        texts = model.encode_text(tokenizer(TEXTS))
    for got, wanted in ((encoder.embed_images(photos), images), (encoder.embed_texts(TEXTS), texts)):
        assert got.norm(dim=-1) == pytest.approx(1, abs=1e-5)
        assert torch.nn.functional.cosine_similarity(got, wanted).min() >= 0.9999
    assert encoder.logit_scale == pytest.approx(float(model.logit_scale.detach().exp()))
    assert encoder.identity.preprocessing == "crop-32"


def test_pickled_weights_are_refused_and_nothing_of_them_runs(clip, tmp_path):
    canary = f"cos\nsystem\n(S'touch {tmp_path / 'ran'}'\ntR.".encode()  # what unpickling would execute
    folder = shutil.copytree(clip, tmp_path / "pickled", ignore=shutil.ignore_patterns("*.safetensors"))
    for name in ("pytorch_model.bin", "open_clip_pytorch_model.bin"):
        (folder / name).write_bytes(canary)
    with pytest.raises(InputError, match="pickled"):
        load_encoder(str(folder))
    assert not (tmp_path / "ran").exists()


def test_an_image_only_encoder_gives_the_pooled_output(tmp_path, photos):
    from transformers import AutoImageProcessor, Dinov2Model

    folder = tiny_dino(tmp_path / "tiny-dino")
    pixels = AutoImageProcessor.from_pretrained(folder)(images=photos[:3], return_tensors="pt")
    with torch.inference_mode():
        theirs = Dinov2Model.from_pretrained(folder).eval()(**pixels).pooler_output
    ours = load_image_encoder(str(folder)).embed_images(photos[:3])
    assert torch.nn.functional.cosine_similarity(ours, theirs).min() >= 0.9999


def test_a_portrait_keeps_head_and_hem_where_it_is_padded(clip):
    def portrait(hem) -> Image.Image:
        image = Image.new("RGB", (40, 120), (230, 230, 230))
        image.paste((120, 20, 30), (10, 30, 30, 90))
        image.paste(hem, (10, 100, 30, 118))
        return image

    first, second = portrait((0, 0, 0)), portrait((255, 255, 0))
    for framing, differ in (("pad", True), ("crop", False)):
        embeds = load_encoder(str(clip), framer=Framer(framing)).embed_images([first, second])
        assert (float(embeds[0] @ embeds[1]) < 1 - 1e-6) is differ


def test_padding_continues_the_background_and_leaves_squares_alone():
    image = Image.new("RGB", (30, 60), (200, 210, 220))
    image.paste((0, 0, 0), (10, 20, 20, 40))
    square = padded(image)
    assert square.size == (60, 60) and square.getpixel((0, 0)) == (200, 210, 220)
    assert square.crop((15, 0, 45, 60)).tobytes() == image.tobytes()
    assert padded(square) is square


def test_the_garment_is_cut_out_with_its_margin_and_all_is_kept_where_nothing_stands_out():
    image = Image.new("RGB", (400, 200), (225, 225, 225))
    image.paste((120, 20, 30), (180, 40, 230, 160))
    cut = cropped(image)
    assert 125 <= cut.height <= 145 and 55 <= cut.width <= 75  # 120 and 50, a mask's pixel of 6, and the margin of 7
    assert (120, 20, 30) in [colour for _, colour in cut.getcolors(1 << 16)]
    blank = Image.new("RGB", (400, 200), (225, 225, 225))
    assert cropped(blank) is blank
    small, large = Image.new("RGB", (120, 120), (225, 225, 225)), Image.new("RGB", (360, 360), (225, 225, 225))
    for canvas in (small, large):
        canvas.paste((120, 20, 30), tuple(canvas.width // 2 + offset for offset in (-20, -40, 20, 40)))
    crops = [Framer("garment")([canvas])[0] for canvas in (small, large)]
    assert abs(crops[0].width - crops[1].width) <= 10  # how much background is around does not matter


def test_an_identity_changes_with_weights_framing_and_name_and_with_nothing_else(clip, tmp_path):
    base = load_encoder(str(clip)).identity
    copy = shutil.copytree(clip, tmp_path / "tiny-clip")
    other = tiny_clip(tmp_path / "other" / "tiny-clip", seed=1)
    assert load_encoder(str(copy)).identity == base
    keys = {base.key, load_encoder(str(other)).identity.key}
    keys |= {load_encoder(str(clip), framer=Framer(framing)).identity.key for framing in ("crop", "garment")}
    assert len(keys) == 4 and base.preprocessing == "pad-32" and base.revision.startswith("sha256:")
    assert str(tmp_path) not in base.key


def test_a_model_of_the_hub_is_known_by_its_commit(clip, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    commits = tmp_path / "models--brand--fashion" / "snapshots"
    for commit in ("a" * 40, "b" * 40):
        shutil.copytree(clip, commits / commit)
    (tmp_path / "models--brand--fashion" / "refs").mkdir()
    (tmp_path / "models--brand--fashion" / "refs" / "main").write_text("b" * 40)
    assert load_encoder("brand/fashion").identity.revision == "b" * 40
    assert load_encoder("brand/fashion", revision="a" * 40).identity.revision == "a" * 40
    with pytest.raises(MissingWeights, match="brand/fashion at revision c+.*modiste get brand/fashion"):
        load_encoder("brand/fashion", revision="c" * 40)


def test_the_pinned_commit_of_a_known_model_goes_before_what_main_points_to(clip, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    name, folder = "patrickjohncyh/fashion-clip", tmp_path / "models--patrickjohncyh--fashion-clip"
    for commit in ("b" * 40, PINNED[name]):
        assert locate(name) is None or locate(name).name == "b" * 40
        shutil.copytree(clip, folder / "snapshots" / commit)
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / "main").write_text("b" * 40)
    assert load_encoder(name).identity.revision == PINNED[name]
    assert load_encoder(name, revision="b" * 40).identity.revision == "b" * 40


def test_a_missing_model_is_named_with_the_place_that_was_searched(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(MissingWeights, match=r"nobody/nothing.*hub"):
        load_encoder("nobody/nothing")
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="folder"):
        load_encoder(str(tmp_path / "model.safetensors"))


def test_how_many_are_encoded_at_once_changes_not_a_bit_on_a_cpu(clip, photos):
    encoder = load_encoder(str(clip), device="cpu")
    together = encoder.embed_images(photos * 9)
    alone = torch.cat([encoder.embed_images([photo]) for photo in photos])
    assert torch.equal(together[: len(photos)], alone)


@pytest.mark.parametrize("count", [1, 3, 4, 5])
def test_a_catalogue_s_photos_are_encoded_so_many_at_once_and_their_neighbours_change_not_a_bit(clip, photos, count):
    encoder = load_encoder(str(clip), device="cpu", cpu_batch=4)
    batches, inner = [], encoder.model.get_image_features
    encoder.model.get_image_features = lambda pixel_values: batches.append(len(pixel_values)) or inner(pixel_values)
    vectors = encoder.embed_images(photos[:count])
    assert batches == [4] * -(-count // 4) and len(vectors) == count
    assert torch.equal(vectors, torch.cat([encoder.embed_images([photo]) for photo in photos[:count]]))
    assert torch.equal(vectors, encoder.embed_images(photos[:count][::-1]).flip(0))


def test_texts_come_back_in_their_order_whatever_their_lengths(clip):
    encoder, texts = (
        load_encoder(str(clip), device="cpu"),
        [f"a {'very ' * (index % 7)}red dress" for index in range(80)],
    )
    alone = torch.cat([encoder.embed_texts([text]) for text in texts])
    assert torch.allclose(encoder.embed_texts(texts), alone, atol=1e-5)


# ── how a model is asked ──


def test_published_models_bring_their_own_templates_and_others_get_the_common_ones():
    assert len(encoder_settings("patrickjohncyh/fashion-clip").templates) >= 3
    assert encoder_settings("hf-hub:Marqo/marqo-fashionSigLIP").templates == ("{}",)
    assert encoder_settings("nobody/nothing") == EncoderSettings() and EncoderSettings().templates == TEMPLATES


def test_a_users_settings_come_before_the_shipped_ones_and_a_mistake_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path))
    file = tmp_path / "encoders.json"
    file.write_text('{"patrickjohncyh/fashion-clip": {"templates": ["{} here"], "temperatures": {"colour": 2}}}')
    assert encoder_settings("patrickjohncyh/fashion-clip").temperatures == {"colour": 2}
    assert encoder_settings("Marqo/marqo-fashionCLIP").templates == ("{}",)
    for wrong, words in (('{"a": {"templates": ["x"]}}', "must hold"), ('{"a": {"tempratures": {}}}', "tempratures")):
        file.write_text(wrong)
        with pytest.raises(InputError, match=f"{words}(.|\n)*encoders.json"):
            encoder_settings("a")
