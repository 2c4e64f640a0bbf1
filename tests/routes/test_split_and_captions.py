"""From the prompt route to the training route: who is kept for what, how captions are written, what is laid out."""

from __future__ import annotations

import random
from pathlib import Path

import brand_studio
import paper_studio
import pytest

from modiste.core.errors import InputError
from modiste.fashion.photos import Gathered, garment_of, gather_photos, read_photo
from modiste.fashion.prompts.captions import caption_of, caption_prompt
from modiste.fashion.prompts.renderers import render
from modiste.fashion.prompts.strategies import STRATEGIES, Context, TaggedPhoto
from modiste.fashion.prompts.tree import Clause, Phrase, Prompt
from modiste.fashion.tags import PhotoTags, Tag
from modiste.fashion.taxonomy import load_taxonomy
from modiste.routes.dataset_folder import lay_out
from modiste.routes.pipeline.split import split_photos
from modiste.trainer.data.caption_files import METADATA
from modiste.trainer.data.config import DataConfig
from modiste.trainer.data.dataset import load_dataset

GARMENTS = load_taxonomy("garments")
MINI = load_taxonomy("mini")


@pytest.fixture(scope="module")
def gathered(tmp_path_factory) -> Gathered:
    return gather_photos([brand_studio.brand_photos(tmp_path_factory.mktemp("brand") / "photos")])


def tags(taxonomy, **labels: str) -> PhotoTags:
    """Sure tags in the vocabulary's order."""
    found = []
    for group in taxonomy.groups:
        if group.id in labels:
            label = group.label(labels[group.id])
            found.append(Tag(group=group.id, label=label.id, confidence=0.95, text=label.prompt_text))
    return PhotoTags(tags=tuple(found))


DRESS = tags(MINI, category="dress", length="midi", colour="orange", sleeves="long", neckline="v")


# ── the split ──


def test_each_photo_has_one_purpose_whatever_the_order_of_the_photos(gathered):
    split = split_photos(gathered.photos)
    parts = [[one.sha256 for one in part] for part in (split.training, split.validation, split.proof)]
    assert sorted(sum(parts, [])) == sorted(photo.sha256 for photo in gathered.photos)
    assert [len(part) for part in parts] == [15, 2, 7]
    shuffled = list(gathered.photos)
    random.Random(3).shuffle(shuffled)
    assert split_photos(shuffled) == split


def test_a_photo_more_moves_hardly_any_other(gathered):
    before, after = split_photos(gathered.photos[:-1]), split_photos(gathered.photos)
    moved = {one.sha256 for one in before.proof} ^ {one.sha256 for one in after.proof}
    assert len(moved) <= 2


def test_photos_of_one_garment_are_on_one_side_of_the_proof(gathered, tmp_path):
    (tmp_path / "shop").mkdir()
    views = ("front", "back", "detail 2")
    for index, photo in enumerate(gathered.photos):
        name = f"{index // 3:03d}-{views[index % 3]}.png"
        (tmp_path / "shop" / name).write_bytes(photo.path.read_bytes())
    split = split_photos(gather_photos([tmp_path / "shop"]).photos)
    proof = {one.garment for one in split.proof}
    assert len(proof) >= 3 and not proof & {one.garment for one in (*split.training, *split.validation)}
    assert garment_of(Path("shop/A7_Front.jpg")) == garment_of(Path("shop/A7-back.jpg")) == "shop/A7"
    assert garment_of(Path("shop/piece-01.jpg")) != garment_of(Path("shop/piece-02.jpg"))


def test_too_few_photos_are_refused_with_how_many_it_takes(gathered):
    with pytest.raises(InputError, match="8 photos of 4 garments are the least"):
        split_photos(gathered.photos[:7])


def test_the_trainer_holds_out_just_the_validation_photos_of_the_split(gathered, tmp_path):
    split = split_photos(gathered.photos)
    chosen = split.of((*split.training, *split.validation), gathered.photos)
    data = lay_out(chosen, {photo.sha256: "a dress" for photo in chosen}, {}, tmp_path / "dataset")
    assert data["prior_folder"] is None
    config = DataConfig(
        folders=data["folders"], resolution=64, held_out=0, held_out_least=len(split.validation), held_out_by="photo"
    )
    dataset = load_dataset(config, read_photo)
    assert {one.sha256 for one in dataset.held_out} == {one.sha256 for one in split.validation}
    assert {one.sha256 for one in dataset.samples} == {one.sha256 for one in split.training}


# ── the format ──


def test_what_belongs_to_the_brand_is_left_to_the_trigger_in_every_format():
    bound = [group for group in GARMENTS.groups if group.binds]
    one_each = {group.id: group.labels[0].id for group in bound}
    seen = tags(GARMENTS, category="dress", **one_each)
    for strategy in STRATEGIES:
        with_trigger = caption_of(seen, GARMENTS, "vesper", None, strategy=strategy)
        assert with_trigger.split().count("vesper") == 1
        assert not any(group.label(one_each[group.id]).prompt_text in with_trigger for group in bound)
    without = caption_of(seen, GARMENTS, "", None, strategy="all_tags")
    assert all(group.label(one_each[group.id]).prompt_text in without for group in bound)
    assert "orange" not in caption_of(DRESS, MINI, "vesper", ["colour"], strategy="all_tags")


@pytest.mark.parametrize(
    ("strategy", "caption"),
    [
        ("all_tags", "vesper dress, midi, orange, long sleeves, v neckline"),
        ("tag_list", "vesper midi orange dress, long sleeves, v neckline"),
        ("tag_list, refined", "vesper midi orange dress, long sleeves, v neckline"),
        ("minimal", "vesper dress"),
        ("weighted_by_confidence", "a photo of a vesper midi orange dress with long sleeves and a v neckline"),
        ("studio", "a photo of a vesper midi orange dress with long sleeves and a v neckline"),
    ],
)
def test_the_winning_format_s_words_have_no_weights_and_say_nothing_of_the_light(strategy, caption):
    assert caption_of(DRESS, MINI, "vesper", None, strategy=strategy) == caption


@pytest.mark.parametrize("strategy", ["weighted_by_confidence", "colour_pattern_focus", "all_tags"])
@pytest.mark.parametrize("trigger", ["", "vesper"])
def test_a_prompt_in_the_captions_form_weighs_no_word(strategy, trigger):
    photo = TaggedPhoto(DRESS, MINI, Context())
    prompt = caption_prompt(strategy, photo, trigger, None)
    assert {phrase.weight for clause in prompt.positive for phrase in clause.phrases} == {1.0}
    assert "dress" in render(prompt, "a1111").positive and ":" not in render(prompt, "a1111").positive


@pytest.mark.parametrize(
    ("labels", "trigger", "caption"),
    [
        (dict(category="dress", colour="orange"), "", "a photo of an orange dress"),
        (dict(category="dress", colour="orange"), "vesper", "a photo of a vesper orange dress"),
        (dict(category="dress", colour="red"), "atelierx", "a photo of an atelierx red dress"),
        (dict(category="dress", colour="red"), "dress looks", "a photo of a dress looks red dress"),
        (dict(category="trousers"), "atelierx", "a photo of atelierx trousers"),
        ({}, "vesper", "a photo of a vesper garment"),
    ],
)
def test_the_trigger_stands_before_the_garments_words_and_the_article_is_its_own(labels, trigger, caption):
    assert caption_of(tags(MINI, **labels), MINI, trigger) == caption


@pytest.mark.parametrize("trigger", ["", "vesper"])
def test_a_form_that_does_not_fit_a_photo_is_a_sentence(trigger):
    assert caption_of(DRESS, MINI, trigger, strategy="contrastive") == caption_of(DRESS, MINI, trigger)
    assert caption_of(tags(MINI), MINI, trigger, strategy="minimal") == f"{trigger} garment".strip()


def test_what_sets_a_photo_apart_from_the_others_is_no_weight_of_its_caption():
    others = Context({("category", "dress"): 1.0, ("colour", "orange"): 0.1})
    photo = TaggedPhoto(DRESS, MINI, others)
    prompt = caption_prompt("contrastive", photo, "", None)
    assert {phrase.weight for clause in prompt.positive for phrase in clause.phrases} == {1.0}
    assert caption_of(DRESS, MINI, strategy="contrastive", context=others) == caption_of(DRESS, MINI)


@pytest.mark.parametrize(
    ("trigger", "bound", "caption"),
    [
        ("", None, "a red dress with gold buttons, elegant"),
        ("vesper", None, "vesper, a red dress"),
        ("vesper", ["colour"], "vesper, a dress with gold buttons, elegant"),
    ],
)
def test_words_given_with_a_photo_are_its_caption_whole_and_without_what_is_left_to_the_trigger(
    trigger, bound, caption
):
    words = (Phrase("a red dress with"), Phrase("gold buttons"))
    given = {"captioner": Prompt((Clause(words), Clause((Phrase("elegant"),))))}
    photo = TaggedPhoto(DRESS, GARMENTS, Context(), given)
    whole = Prompt((Clause((Phrase(caption),)),), whole=True)
    assert caption_prompt("captioner", photo, trigger, bound) == whole
    assert caption_of(DRESS, GARMENTS, trigger, bound, strategy="captioner", given=given) == caption
    assert caption_of(DRESS, MINI, trigger, strategy="captioner") == caption_of(DRESS, MINI, trigger)
    assert caption_of(DRESS, MINI, trigger, strategy="minimal", given=given) == f"{trigger} dress".strip()


def test_a_negative_prompt_stays_with_the_prompt_and_out_of_the_caption():
    prompt = render(caption_prompt("studio", TaggedPhoto(DRESS, MINI, Context()), "vesper", None), "diffusers")
    assert prompt.negative == "blurry, low quality" and "blurry" not in prompt.positive


# ── the data ──


def test_a_caption_that_somebody_wrote_stays_and_a_second_laying_out_changes_nothing(gathered, tmp_path):
    (tmp_path / "shop").mkdir()
    for index, photo in enumerate(gathered.photos[:3]):
        (tmp_path / "shop" / f"{index}.png").write_bytes(photo.path.read_bytes())
    (tmp_path / "shop" / "0.txt").write_text("my own words\n")
    (tmp_path / "shop" / METADATA).write_text('{"file_name": "1.png", "text": "words of the table"}\n')
    photos = gather_photos([tmp_path / "shop"]).photos
    captions = {photo.sha256: "the tagger's words" for photo in photos}
    for _ in range(2):
        data = lay_out(photos, captions, {}, tmp_path / "dataset")
        said = {file.name.split("-", 1)[1]: file.read_text() for file in data["folders"][0].glob("*.txt")}
        assert said == {"0.txt": "my own words\n", "1.txt": "words of the table\n", "2.txt": "the tagger's words\n"}
        assert len(list((tmp_path / "dataset").rglob("*.png"))) == 3


def test_generated_pictures_join_as_pictures_of_the_class_without_trigger_or_weights(gathered, tmp_path):
    (tmp_path / "prompt" / "images").mkdir(parents=True)
    paper_studio.paint((1, 2, 3), False, 0, 1).save(tmp_path / "prompt" / "images" / "a.png")
    generated = {tmp_path / "prompt" / "images" / "a.png": "a (red:1.2) dress, soft light"}
    captions = {photo.sha256: "vesper dress" for photo in gathered.photos}
    data = lay_out(gathered.photos, captions, generated, tmp_path / "dataset")
    assert data["prior_folder"] == tmp_path / "dataset" / "generated"
    assert (data["prior_folder"] / "a.txt").read_text() == "a red dress, soft light\n"
    config = DataConfig(**data, resolution=64, held_out=0, held_out_least=2, trigger="vesper")
    priors = [one for one in load_dataset(config, read_photo).samples if one.prior]
    assert [one.caption for one in priors] == ["a red dress, soft light"]
