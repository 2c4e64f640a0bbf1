"""What nodes do with pictures, tags and prompts, on the embedded encoder and on a studio of paper."""

from __future__ import annotations

import json
import math
from pathlib import Path

import paper_studio
import pytest
import torch
from PIL import Image

from modiste.core.errors import InputError, MissingWeights
from modiste.fashion.tag_edits import choices_of, chosen_tags
from modiste.fashion.tags import PhotoTags, Tag
from modiste.fashion.taxonomy import load_taxonomy
from modiste.nodes.comfy.images import grid_of, image_of, images_of, pictures_of
from modiste.nodes.missing_libraries import advice, missing, require
from modiste.nodes.vision.batches import differences, one_or_each, reading_notices, tag
from modiste.nodes.vision.encoders import (
    EncoderChoice,
    chosen_encoder,
    fallback_notice,
    find_encoder,
    vision_models,
    vocabulary_of,
)
from modiste.nodes.vision.prompt_text import write_prompts
from modiste.nodes.vision.scores import score_pictures
from modiste.nodes.vision.tag_edits import (
    check_locks,
    confidences,
    finite,
    locked_tags,
    locks_of,
    pack,
    tag_rows,
    unpack,
)

MINI = load_taxonomy("mini")
LOOK = Path(__file__).parents[2] / "examples" / "photos" / "look-01.jpg"
GARMENTS = load_taxonomy("garments")


def tagged(**labels: str) -> PhotoTags:
    """A photo of the small vocabulary."""
    tags = [
        Tag(
            group=group.id,
            label=labels[group.id],
            confidence=0.8,
            text=group.label(labels[group.id]).prompt_text,
            runner_up=next(one.id for one in group.labels if one.id != labels[group.id]),
            margin=0.5,
        )
        for group in MINI.groups
        if group.id in labels
    ]
    return PhotoTags(tags=tuple(tags), not_visible=())


def labels_of(tags: PhotoTags) -> dict[str, str]:
    return {one.group: one.label for one in tags.tags}


DRESS = tagged(category="dress", length="maxi", colour="red", neckline="v")


# ── tags that a person knows better ──


def test_labels_are_meant_by_id_or_words_and_an_unknown_one_is_answered_with_what_there_is():
    assert choices_of("colour:red, neckline : V neckline\nlength", MINI, "pin") == [
        ("colour", "red"),
        ("neckline", "v"),
        ("length", ""),
    ]
    assert choices_of(" , ", MINI, "pin") == []
    with pytest.raises(InputError, match="pin: the group 'colour' has no label 'ultraviolet'; there are red, orange"):
        choices_of("colour:ultraviolet", MINI, "pin")
    with pytest.raises(InputError, match="'orang'; did you mean 'orange'"):
        choices_of("colour:orang", MINI, "pin")
    with pytest.raises(InputError, match="exclude: there is no group 'colours'; did you mean 'colour'"):
        choices_of("colours", MINI, "exclude")


def test_locks_are_checked_before_it_is_known_which_vocabulary_tags_will_have():
    check_locks("", [MINI])
    check_locks('{"colour": "emerald green", "material": "linen"}', [MINI, GARMENTS])
    for text, message in (
        ("{", "locks is no JSON"),
        ('{"colour": 3}', "not an object of group"),
        ('{"collour": "red"}', "there is no group 'collour'; did you mean 'colour'"),
    ):
        with pytest.raises(InputError, match=message):
            check_locks(text, [MINI, GARMENTS])


@pytest.mark.parametrize("side", [1, 2, 3])
def test_a_picture_of_a_few_pixels_is_refused_in_words(side):
    with pytest.raises(InputError, match=f"images is too small: {side}×{side} pixels; pictures of at least 8"):
        pictures_of([torch.zeros(1, side, side, 3)])


def test_an_unsure_tag_is_left_out_and_the_garments_name_stays():
    assert labels_of(chosen_tags(DRESS, MINI, 0.9, [], [])) == {"category": "dress"}
    assert chosen_tags(DRESS, MINI, 0.5, [], []) == DRESS


def test_a_pinned_label_takes_the_place_of_what_was_seen_and_is_sure():
    found = chosen_tags(DRESS, MINI, 0.9, [("colour", "blue")], [])
    assert labels_of(found) == {"category": "dress", "colour": "blue"}
    assert found.get("colour").confidence == 1


def test_an_excluded_label_gives_way_to_its_runner_up_and_an_excluded_group_is_gone():
    found = chosen_tags(DRESS, MINI, 0, [], [("colour", "red"), ("length", "")])
    runner_up = DRESS.get("colour").runner_up
    assert labels_of(found) == {"category": "dress", "colour": runner_up, "neckline": "v"}
    assert found.get("colour").confidence == pytest.approx(0.3)
    both = chosen_tags(DRESS, MINI, 0, [], [("colour", "red"), ("colour", runner_up)])
    assert "colour" not in labels_of(both) and "colour" in both.not_visible


def test_fields_respect_each_other_a_skirt_has_no_neckline():
    skirt = next(label.id for label in MINI.noun.labels if "neckline" not in _fit(label.id))
    assert "neckline" not in labels_of(locked_tags(DRESS, MINI, {"category": skirt}))
    assert "neckline" not in labels_of(chosen_tags(DRESS, MINI, 0, [("category", skirt)], []))
    insisted = locked_tags(DRESS, MINI, {"category": skirt, "neckline": "square neck"})
    assert insisted.get("neckline").text == "square neck", "what a person says stays"


def _fit(noun: str) -> set[str]:
    return {group.id for group in MINI.groups if group.applies({MINI.noun.id: noun})}


def test_a_garment_in_a_persons_own_words_rules_nothing_out():
    found = locked_tags(DRESS, MINI, {"category": "cheongsam", "colour": "emerald green", "length": ""})
    assert [one.text for one in found.tags] == ["cheongsam", "emerald green", DRESS.get("neckline").text]


def test_locks_are_checked_before_they_are_used():
    assert locks_of("", MINI) == {} and locks_of('{"colour": " red "}', MINI) == {"colour": "red"}
    for text, message in (("{", "no JSON"), ("[1]", "not an object"), ('{"colour": 1}', "not an object")):
        with pytest.raises(InputError, match=message):
            locks_of(text, MINI)


def test_tags_go_through_a_link_as_json_and_come_back_equal():
    sent = json.loads(json.dumps(pack([DRESS, tagged(category="dress")], "mini")))
    assert [one for one, _ in unpack(sent)] == [DRESS, tagged(category="dress")]
    assert all(vocabulary == MINI for _, vocabulary in unpack(sent))
    for wrong in (["text"], [{"tags": 1, "vocabulary": "mini"}], []):
        with pytest.raises(InputError, match="tags"):
            unpack(wrong)


def test_what_the_page_draws_is_json_with_confidences_of_0_to_1():
    assert json.loads(confidences(DRESS))["colour"] == {"red": 0.8}
    assert tag_rows(DRESS)[0] == {"group": "category", "label": "dress", "text": "dress", "confidence": 0.8}


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.1])
def test_a_number_that_is_none_or_out_of_bounds_is_refused(value):
    with pytest.raises(InputError, match="threshold is"):
        finite("threshold", value, 0, 1)


# ── prompts ──


def test_every_strategy_writes_a_prompt_for_every_picture_and_an_odd_one_out_gets_its_sentence():
    from modiste.fashion.prompts.strategies import STRATEGIES

    seen = [(DRESS, MINI), (tagged(category="dress"), MINI)]
    for strategy in STRATEGIES:
        assert all(one.positive for one in write_prompts(seen, strategy, "", "", "", "comfy")), strategy
    contrastive, sentence = (write_prompts(seen[:1], name, "", "", "", "plain") for name in ("contrastive", "sentence"))
    assert contrastive == sentence


def test_weights_are_comfyuis_and_brackets_are_escaped():
    locks = '{"neckline": "v (deep)"}'
    (one,) = write_prompts([(DRESS, MINI)], "colour_pattern_focus", locks, "film grain, ", "blurry", "comfy")
    assert "(red:1.2)" in one.positive and r"\(deep\)" in one.positive
    assert one.positive.endswith(", film grain") and one.negative == "blurry"
    with pytest.raises(InputError, match="there is no strategy 'nope'"):
        write_prompts([(DRESS, MINI)], "nope", "", "", "", "comfy")


# ── pictures ──


def test_an_image_goes_through_as_the_same_pixels():
    picture = paper_studio.paint((200, 40, 40), True, 4, 0)
    assert pictures_of([image_of(picture)])[0].tobytes() == picture.tobytes()
    assert len(pictures_of([torch.zeros(3, 8, 8, 3), torch.zeros(1, 9, 8, 4), torch.zeros(1, 8, 9, 1)])) == 5


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (torch.zeros(0, 8, 8, 3), "empty batch"),
        (torch.zeros(1, 0, 8, 3), "empty batch"),
        (torch.full((1, 8, 8, 3), math.nan), "NaN"),
        (torch.zeros(8, 8, 3), r"no IMAGE: \[8, 8, 3\]"),
        (torch.zeros(1, 8, 8, 2), "no IMAGE"),
        ({"samples": 1}, "no IMAGE: dict"),
    ],
    ids=["no pictures", "no height", "nan", "three dimensions", "two channels", "latents"],
)
def test_what_is_no_picture_is_refused_in_words(batch, message):
    with pytest.raises(InputError, match=message):
        pictures_of([batch])


def test_pictures_of_one_size_are_a_batch_and_others_a_list():
    small, large = Image.new("RGB", (8, 8)), Image.new("RGB", (8, 16))
    assert [one.shape[0] for one in images_of([small, small])] == [2]
    assert [tuple(one.shape) for one in images_of([small, large])] == [(1, 8, 8, 3), (1, 16, 8, 3)]
    assert grid_of([[small, large], [large]], 64).size == (132, 132)


def test_one_value_is_for_all_and_another_number_is_refused():
    assert one_or_each(["a"], 3, "captions") == ["a"] * 3 and one_or_each(["a", "b"], 2, "captions") == ["a", "b"]
    with pytest.raises(InputError, match="2 captions for 3 pictures"):
        one_or_each(["a", "b"], 3, "captions")


# ── eyes ──


def test_scores_are_the_mean_over_references_and_the_best_comes_first():
    vision = paper_studio.session().vision
    red, blue = (paper_studio.paint(paper_studio.COLOURS[name], False, 0, 0) for name in ("red", "blue"))
    scored = score_pictures(vision, [blue, red], [red], True, lambda done, total: None)
    assert scored.best == [1, 0] and scored.similarities[1].similarity_score == pytest.approx(1, abs=1e-5)
    assert (
        scored.differences[1] == []
        and {"group": "colour", "reference": "red", "image": "blue"} in scored.differences[0]
    )
    two = score_pictures(vision, [blue, red], [red, blue], False, lambda done, total: None)
    alone = [
        score_pictures(vision, [red], [one], False, lambda done, total: None).similarities[0] for one in (red, blue)
    ]
    assert two.similarities[1].unclipped == pytest.approx(sum(one.unclipped for one in alone) / 2, abs=1e-5)
    row = scored.rows()[0]
    assert row["anchors"]["kind"] == "measured" and row["image"] == 0 and "1: " in scored.report()


def test_a_group_that_the_picture_does_not_show_is_a_difference_to_nothing():
    assert differences(DRESS, tagged(category="dress", length="maxi", colour="red")) == [
        {"group": "neckline", "reference": DRESS.get("neckline").text, "image": ""}
    ]


def test_the_embedded_encoder_always_works_and_progress_is_told(tmp_path):
    vision = vision_models(EncoderChoice("mini", vocabulary_of("mini"), "cpu", (tmp_path,)))
    assert vision_models(EncoderChoice("mini", "mini", "cpu", (tmp_path,))) is vision, "opened once"
    heard = []
    picture = Image.new("RGB", (64, 64), "white")
    found = tag(vision, [picture] * 9, lambda done, total: heard.append((done, total)), groups=["colour"])
    assert heard == [(8, 9), (9, 9)] and {one.group for one in found[0].tags} <= {"category", "colour"}


def test_a_missing_encoder_is_answered_with_the_files_and_the_folder_they_belong_in(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(MissingWeights) as caught:
        find_encoder("fashion-clip", (tmp_path / "fashion_clip",))
    said = str(caught.value)
    assert str(tmp_path / "fashion_clip" / "fashion-clip") in said and "model.safetensors" in said and "mini" in said
    with pytest.raises(InputError, match="there is no encoder '../mini'"):
        find_encoder("../mini", (tmp_path,))
    (tmp_path / "fashion_clip").mkdir()
    (tmp_path / "fashion_clip" / "config.json").write_text("{}")
    assert find_encoder("fashion-clip", (tmp_path / "fashion_clip",)) == tmp_path / "fashion_clip"


def test_auto_is_fashionclip_where_it_is_here_and_else_the_embedded_encoder_with_a_notice(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    folders = (tmp_path / "fashion_clip",)
    assert chosen_encoder("auto", folders) == "mini"
    notice = fallback_notice("auto", folders)
    assert "drawn garments only" in notice and f"get fashion-clip --to {folders[0]}`" in notice
    assert chosen_encoder("fashion-clip", folders) == "fashion-clip" and fallback_notice("fashion-clip", folders) == ""
    assert fallback_notice("mini", folders) == "", "chosen by name, nothing to tell"
    (folders[0] / "fashion-clip").mkdir(parents=True)
    (folders[0] / "fashion-clip" / "config.json").write_text("{}")
    assert chosen_encoder("auto", folders) == "fashion-clip" and fallback_notice("auto", folders) == ""


def test_vocabularies_fit_their_encoders_unless_another_is_asked_for():
    assert [vocabulary_of(name) for name in ("mini", "fashion-clip", "my-clip")] == ["mini", "garments", "garments"]
    assert vocabulary_of("mini", "garments") == "garments" and GARMENTS.id == "garments"


def test_a_missing_library_is_named_with_the_line_that_gets_it():
    assert missing("json", "no_such_library") == ["no_such_library"] and advice("Reading", "json") is None
    with pytest.raises(InputError, match=r"Training needs no_such_library, not installed here; try: .* -m pip install"):
        require("Training", "json", "no_such_library")


def test_nodes_say_which_pictures_show_no_garment_and_whose_colour_is_from_words():
    vision = vision_models(EncoderChoice("mini", "mini", "cpu", ()))
    dress, noise = Image.open(LOOK).convert("RGB"), Image.effect_noise((256, 256), 90).convert("RGB")
    tags = tag(vision, [dress, noise], lambda done, total: None)
    assert reading_notices(tags).startswith("picture 2: NO_GARMENT") and "picture 1" not in reading_notices(tags)
    assert reading_notices(tags[:1]) == ""
    by_words = tags[0].model_copy(update={"by_words": ("colour",)})
    assert "picture 1: colour: by the encoder's words" in reading_notices([by_words])
    assert locked_tags(by_words, MINI, {"colour": "red"}).by_words == ()
    scored = score_pictures(vision, [noise, dress], [dress], False, lambda done, total: None)
    assert scored.notices.startswith("image 1: NO_GARMENT") and "reference" not in scored.notices
    assert scored.notices in scored.report()
