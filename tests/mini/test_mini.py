"""The embedded world: its pictures say what its words say, and its models keep the card's promises."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from modiste.core.files import size_bytes
from modiste.fashion.taxonomy import load_taxonomy
from modiste.mini.captions import contradict, prompt_text, sample_caption
from modiste.mini.catalogue import COLUMNS, make_catalogue, words_of
from modiste.mini.examples import SIGNATURE_TRAITS, brand_collection, sample_looks
from modiste.mini.garment import (
    GROUPS,
    SIGNATURE,
    Garment,
    applies,
    labels,
    sample_garment,
    sample_sibling,
    sample_traits,
    sample_twin,
)
from modiste.mini.photo import RenderedPhoto, another_photo, degrade, sample_photo
from modiste.mini.renderer import render
from modiste.mini.weights import LIMIT_BYTES, WEIGHTS

ROOT = Path(__file__).parents[2]
CARD = ROOT / "mini" / "card.json"


def difference(a: Image.Image, b: Image.Image) -> float:
    """Mean absolute difference, 0…255."""
    return float(np.abs(np.asarray(a, np.float32) - np.asarray(b, np.float32)).mean())


# ── pictures ──


def test_the_same_garment_and_photo_give_the_same_picture():
    garment, photo = sample_garment(Random(1)), sample_photo(Random(2))
    assert render(garment, photo).tobytes() == render(garment, photo).tobytes()
    assert Garment.from_json(json.loads(json.dumps(garment.to_json()))) == garment


@pytest.mark.parametrize("group", GROUPS)
def test_every_label_of_a_group_changes_the_picture(group):
    category = "skirt" if group == "length" else "top"
    base = sample_garment(Random(3), held_out=None, trait_share=0, category=category)
    pictures = []
    for label in labels(group):
        changes = {group: label}
        if group == "category":
            changes |= {g: labels(g)[0] if applies(g, label) else None for g in ("length", "sleeves", "neckline")}
        if group == "colour":
            changes["rgb"] = sample_garment(Random(3), held_out=None, colour=label).rgb
        pictures.append(render(replace(base, **changes), RenderedPhoto()))
    assert min(difference(a, b) for i, a in enumerate(pictures) for b in pictures[:i]) > 0.4


def test_every_unnamed_trait_is_seen_on_a_top():
    plain = sample_garment(Random(4), held_out=None, category="top", sleeves="long", colour="red", traits=())
    for kind in {t.kind for _ in range(40) for t in sample_traits(Random(_))}:
        trait = replace(SIGNATURE_TRAITS[0], kind=kind)
        assert difference(render(plain), render(replace(plain, traits=(trait,)))) > 0.5, kind


def test_a_bad_photo_differs_from_a_good_one():
    picture = render(sample_garment(Random(5)))
    assert min(difference(picture, degrade(picture, Random(k))) for k in range(12)) > 2


def test_size_changes_the_resolution_and_not_the_picture():
    garment, photo = sample_garment(Random(6)), sample_photo(Random(6))
    large = render(garment, photo, 384)
    assert large.size == (384, 384)
    assert difference(large.resize((64, 64), Image.Resampling.BOX), render(garment, photo)) < 4


@pytest.mark.parametrize("name", ["photos", "collection"])
def test_the_renderer_still_draws_the_sample_photos(name):
    folder = ROOT / "examples" / name
    for file, truth in json.loads((folder / "garments.json").read_text()).items():
        photo = truth["photo"]
        photo["backdrop"] = tuple(map(tuple, photo["backdrop"]))
        drawn = render(Garment.from_json(truth["garment"]), RenderedPhoto(**photo), 384)
        assert difference(drawn, Image.open(folder / file)) < 1.5, (
            file
        )  # what JPEG costs; another line of seam costs more


# ── what training may see ──


def test_held_out_triples_and_the_signature_are_never_sampled_for_training():
    rng = Random(7)
    garments = [sample_garment(rng, trait_share=1) for _ in range(1500)]
    garments += [sample(g, rng, trait_share=1) for sample in (sample_sibling, sample_twin) for g in garments[:300]]
    assert not any(g.held_out for g in garments)
    assert not any(SIGNATURE <= {t.kind for t in g.traits} for g in garments)
    assert all(g.held_out for g in (sample_garment(rng, held_out=True) for _ in range(50)))


def test_the_examples_are_garments_that_training_never_saw():
    assert all(g.held_out for g in sample_looks())
    assert all(SIGNATURE <= {t.kind for t in g.traits} for g in brand_collection())
    assert len({(g.category, g.colour) for g in brand_collection()}) > 15


def test_a_catalogue_is_the_same_however_many_workers_make_it():
    one = make_catalogue(6, "test", views=2, siblings=True, workers=1)
    again = make_catalogue(6, "test", views=2, siblings=True, workers=2)
    assert np.array_equal(one.pictures, again.pictures) and np.array_equal(one.table, again.table)
    assert np.array_equal(one.table[0::2, : len(GROUPS)], one.table[1::2, : len(GROUPS)])


def test_a_twin_differs_in_its_traits_alone():
    rng = Random(9)
    for garment in [sample_garment(rng, trait_share=0.5) for _ in range(200)]:
        twin = sample_twin(garment, rng)
        assert twin.traits != garment.traits and replace(twin, traits=garment.traits) == garment


def test_captions_say_only_what_is_true_of_the_garment():
    rng = Random(8)
    for k in range(600):
        garment, bad = sample_garment(rng), k % 9 == 0
        caption = sample_caption(garment.attributes, rng, bad)
        assert caption.stated.items() <= garment.attributes.items()
        words = caption.text.replace(",", " ").split()
        for group in ("colour", "pattern", "length"):
            false = {prompt_text(group, label) for label in labels(group)} - {
                prompt_text(group, label) for g, label in garment.attributes.items() if g == group
            }
            assert not false & set(words), caption.text
        assert bad == (("blurry" in caption.text) or ("low quality" in caption.text))


def test_a_contradiction_states_one_thing_that_is_not_so():
    rng = Random(9)
    for _ in range(300):
        attributes = sample_garment(rng).attributes
        caption = sample_caption(attributes, rng)
        lie = contradict(caption, rng)
        assert len(lie.stated.items() - caption.stated.items()) == 1 and lie.stated.keys() == caption.stated.keys()
        assert all(prompt_text(group, label) in lie.text for group, label in lie.stated.items())


def test_the_vocabulary_loads_as_the_product_loads_it():
    taxonomy = load_taxonomy("mini")
    assert [g.id for g in taxonomy.groups] == list(GROUPS)
    assert all({"en", "zh-TW"} <= set(label.name) for g in taxonomy.groups for label in g.labels)


# ── the shipped weights ──


def test_shipped_weights_are_fp16_safetensors_and_small():
    from safetensors import safe_open

    files = list(WEIGHTS.rglob("*.safetensors"))
    assert {f.parent.name for f in files} >= {"clip", "judge", "unet", "vae", "text_encoder"}
    assert not [f for f in WEIGHTS.rglob("*") if f.suffix in (".bin", ".pt", ".ckpt", ".pkl")]
    assert size_bytes(WEIGHTS) <= LIMIT_BYTES
    for file in files:
        if file.name not in ("calibration.safetensors", "familiarity.safetensors"):
            with safe_open(file, "pt") as tensors:
                kinds = {tensors.get_slice(k).get_dtype() for k in tensors.keys()}
            assert kinds == {"F16"}, file


def test_the_end_token_has_the_highest_id_and_is_not_two():
    from transformers import CLIPTokenizer

    for folder in (WEIGHTS / "clip", WEIGHTS / "sd" / "tokenizer"):
        tokenizer = CLIPTokenizer.from_pretrained(folder)
        assert tokenizer.eos_token_id == len(tokenizer) - 1 != 2
        assert tokenizer.model_max_length == 77
    config = json.loads((WEIGHTS / "clip" / "config.json").read_text())
    assert config["text_config"]["eos_token_id"] == tokenizer.eos_token_id
    assert len(tokenizer.tokenize("striped trousers")) == 2
    assert "<|endoftext|>" not in tokenizer.tokenize("洋裝 à la mode!?")  # unknown text falls into bytes, not away


def test_the_tagger_names_fresh_renders():
    from modiste.mini.calibration import pictures_of, tagger_of

    shots = make_catalogue(120, "tests-tagger", held_out=True, workers=1)
    tagger = tagger_of(WEIGHTS)
    logits = tagger.logits(tagger.observe(pictures_of(shots)))
    for group in ("category", "colour", "pattern"):
        found = logits[group].argmax(1).numpy()
        assert (found == shots.table[:, COLUMNS.index(group)]).mean() >= 0.95, group


def test_our_preprocessing_equals_the_shipped_processors():
    import torch
    from transformers import AutoImageProcessor

    from modiste.mini import clip, judge

    picture = render(sample_garment(Random(9)))
    for name, room in (("clip", clip), ("judge", judge)):
        theirs = AutoImageProcessor.from_pretrained(WEIGHTS / name)(images=picture, return_tensors="pt").pixel_values
        ours = clip.normalised(np.array(picture)[None], room.image_processor())
        assert torch.allclose(theirs, ours, atol=1e-2), name


def test_the_pipeline_is_a_plain_diffusers_folder_and_draws():
    import torch
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(WEIGHTS / "sd")
    pipe.set_progress_bar_config(disable=True)
    assert pipe.unet.dtype == pipe.vae.dtype == pipe.text_encoder.dtype == torch.float32
    made = [
        pipe(
            "a photo of a red striped dress",
            height=64,
            width=64,
            num_inference_steps=25,  # of the folder's own scheduler, PNDM, which is poor with fewer
            guidance_scale=4.0,
            generator=torch.Generator().manual_seed(2),
        ).images[0]
        for _ in range(2)
    ]
    assert made[0].size == (64, 64) and made[0].tobytes() == made[1].tobytes()
    pixels = np.asarray(made[0], np.int32)[16:48, 24:40].reshape(-1, 3)
    assert (pixels[:, 0] - pixels[:, 2] > 60).mean() > 0.3  # red, where the dress is


def test_the_judge_knows_a_garment_again_and_scores_lie_in_order():
    from modiste.mini.judge import embed
    from modiste.mini.weights import load_judge

    pairs = make_catalogue(60, "tests-judge", views=2, held_out=True, workers=1)
    embeds = embed(load_judge(), pairs.pictures.reshape(-1, 64, 64, 3)).reshape(60, 2, -1)
    nearest = (embeds[:, 0] @ embeds[:, 1].T).argmax(1)
    assert (nearest.numpy() == np.arange(60)).mean() > 0.8
    for anchors in (json.loads((WEIGHTS / "calibration.json").read_text())[k] for k in ("clip", "judge")):
        assert anchors["unrelated"] < anchors["same_category"] < anchors["same_garment"] <= 1


def test_the_judge_sees_the_look_of_the_collection_which_no_word_names():
    from modiste.mini.autoencoder import reconstruct
    from modiste.mini.judge import embed
    from modiste.mini.weights import load_autoencoder, load_judge

    rng = Random("tests-look")
    worn, drawn, bare = [], [], []
    for _ in range(60):
        garment, photo = sample_garment(rng, held_out=True, trait_share=0), sample_photo(rng)
        branded, again = replace(garment, traits=SIGNATURE_TRAITS), another_photo(photo, rng)
        worn.append(np.asarray(render(branded, photo)))
        drawn.append(np.asarray(render(branded, again)))
        bare.append(np.asarray(render(garment, again)))
    judge, vae = load_judge(), load_autoencoder()
    embeds = embed(judge, np.stack(worn))
    branded, plain = (embed(judge, reconstruct(vae, np.stack(pictures))) for pictures in (drawn, bare))
    gain = ((embeds * branded).sum(1) - (embeds * plain).sum(1)).numpy()
    assert gain.mean() > 1.96 * gain.std() / 60**0.5 and (gain > 0).mean() > 0.75


def test_a_reliability_curve_shows_how_far_confidence_is_from_being_right():
    import torch

    from modiste.mini.reliability import draw_reliability, expected_calibration_error, reliability

    target = torch.zeros(1000, dtype=torch.long)
    said = torch.tensor([0.8, 0.2]).repeat(1000, 1)
    said[:200] = said[:200].flip(1)  # wrong in 200 of 1,000, as 80 % promises
    honest, boastful = reliability(said, target), reliability((said * 6).softmax(1), target)
    assert [tuple(one) for one in honest] == [(0.8, 0.8, 1.0)] and expected_calibration_error(honest) < 1e-6
    assert expected_calibration_error(boastful) == pytest.approx(1 / (1 + np.exp(-3.6)) - 0.8, abs=1e-4)
    picture = np.asarray(draw_reliability({"honest": honest, "boastful": boastful}))
    assert (np.ptp(picture, 0) > 100).any() and picture.shape[1] > picture.shape[0]


def test_the_card_meets_its_goals():
    card = json.loads(CARD.read_text())
    for group, goal in card["goals"]["tagger"].items():
        figures = card["tagger"][group]
        # A goal is met as far as so many pictures can tell: necklines are .971 of 346 against .98.
        allowed = 1.645 * (goal * (1 - goal) / figures["n"]) ** 0.5
        assert figures["accuracy"] >= goal - allowed, group
        assert card["tagger"][group]["ece"] <= 0.05, group
    for group, goal in card["goals"]["generated"].items():
        assert card["generated"][group] >= goal, group
    assert card["size_bytes"] <= LIMIT_BYTES


# ── the sample photos ──


@pytest.mark.parametrize(("folder", "least"), [("photos", 12), ("collection", 24)])
def test_the_sample_photos_have_their_truth_beside_them(folder, least):
    truth = json.loads((ROOT / "examples" / folder / "garments.json").read_text())
    photos = sorted(p.name for p in (ROOT / "examples" / folder).glob("*.jpg"))
    assert photos == sorted(truth) and len(photos) >= least
    for name, entry in truth.items():
        garment = Garment.from_json(entry["garment"])
        assert garment.attributes == entry["attributes"]
        again = render(
            garment,
            RenderedPhoto(**{**entry["photo"], "backdrop": tuple(map(tuple, entry["photo"]["backdrop"]))}),
            384,
        )
        assert difference(again, Image.open(ROOT / "examples" / folder / name)) < 6


# ── the build ──


def test_the_table_of_a_catalogue_reads_back_as_words():
    row = make_catalogue(1, "words", workers=1).table[0]
    assert set(words_of(row)) <= set(GROUPS) and words_of(row)["category"] in labels("category")


@pytest.mark.slow
def test_a_tiny_build_runs_from_end_to_end(tmp_path, capsys):
    from modiste.mini.build import MARKS, main

    arguments = ["--fast", "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "mini" / "weights")]
    assert main(arguments) == 0
    assert all((tmp_path / "mini" / "weights" / mark).exists() for mark in MARKS.values() if mark)
    assert (tmp_path / "mini" / "CARD.md").exists() and (tmp_path / "mini" / "examples" / "photos").is_dir()
    assert main([*arguments, "--stage", "vae"]) == 0
    assert "already" in capsys.readouterr().out


def test_the_build_does_not_replace_shipped_weights_by_a_fast_ones():
    from modiste.mini.build import main

    with pytest.raises(SystemExit):
        main(["--fast"])
