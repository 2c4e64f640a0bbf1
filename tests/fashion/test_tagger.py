"""What the tagger says, when it says nothing, and how a catalogue's tags are written."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from word_encoder import TAXONOMY, WordEncoder, shown

from modiste.bench.tagging import PHOTO, make_photos
from modiste.core.errors import InputError
from modiste.fashion.batch_tagging import TAGGING_SIDE
from modiste.fashion.encoder_cache import KeepingTexts, ObservationCache, RememberingEncoder
from modiste.fashion.encoders.load import load_encoder
from modiste.fashion.encoders.settings import EncoderSettings
from modiste.fashion.photos import decode_photo, read_file
from modiste.fashion.prompts.captions import caption_of
from modiste.fashion.tagger import Observation, Tagger
from modiste.fashion.taxonomy import load_taxonomy
from modiste.models.presets import missing_weights, preset


def tags_of(temperatures=None, **words):
    return Tagger(WordEncoder(), TAXONOMY, temperatures).tag([shown(**words)])[0]


def test_a_group_that_does_not_apply_is_not_asked():
    dress = tags_of(dress=1, long_sleeves=1, casual=1)
    assert dress.get("category").label == "dress" and dress.get("sleeves") is None
    assert dress.not_visible == ("sleeves",)
    top = tags_of(top=1, long_sleeves=1, casual=1)
    assert top.get("sleeves").text == "long sleeves" and top.not_visible == ()


def test_what_can_not_be_seen_gets_no_label():
    assert tags_of(top=1, hidden_sleeves=1, casual=1).not_visible == ("sleeves",)


def test_confidences_are_a_softmax_within_the_group_at_its_temperature():
    cold, warm = tags_of(dress=2, top=1), tags_of({"category": 4.0}, dress=2, top=1)
    cosine = torch.tensor([2, 1]) / 5**0.5
    assert cold.get("category").confidence == pytest.approx(float((20 * cosine).softmax(0)[0]))
    assert warm.get("category").confidence == pytest.approx(float((5 * cosine).softmax(0)[0]))
    runner = warm.get("category")
    assert runner.runner_up == "top" and runner.margin == pytest.approx(2 * runner.confidence - 1)


def test_a_label_is_asked_in_every_template_of_the_encoder():
    asked = []

    class Listening(WordEncoder):
        def embed_texts(self, texts):
            asked.extend(texts)
            return super().embed_texts(texts)

    settings = EncoderSettings(templates=("{}", "a photo of {}"), temperatures={"category": 3.0}, logit_scale=10)
    tagger = Tagger(Listening(), TAXONOMY, {"style": 2.0}, settings=settings)
    found = tagger.tag([shown(dress=2, top=1)])[0]
    assert asked[:4] == ["a dress", "a photo of a dress", "the dress", "a photo of the dress"]
    assert tagger.temperatures == {"category": 3.0, "style": 2.0}
    cosine = torch.tensor([2, 1]) / 5**0.5
    assert found.get("category").confidence == pytest.approx(float((10 / 3 * cosine).softmax(0)[0]))


def test_a_label_whose_probes_disagree_weighs_as_much_as_one_whose_probes_agree():
    class TwoMinded(WordEncoder):
        def embed_texts(self, texts):
            return super().embed_texts(["evening" if "the dress" in text else text for text in texts])

    found = Tagger(TwoMinded(), TAXONOMY).tag([shown(dress=1, evening=1, top=1)])[0].get("category")
    cosine = torch.tensor([2 / 6**0.5, 1 / 3**0.5])  # with the mean of two probes at a right angle, and with one
    assert found.label == "dress"
    assert found.confidence == pytest.approx(float((20 * cosine).softmax(0)[0]))


def test_a_group_that_is_not_exclusive_may_give_two_labels_and_gives_one_at_least():
    assert {tag.label for tag in tags_of(dress=1, evening=1, casual=1).tags if tag.group == "style"} == {
        "evening",
        "casual",
    }
    assert sum(tag.group == "style" for tag in tags_of(dress=1, sport=1).tags) == 1


def test_a_further_label_is_given_from_a_confidence_of_a_quarter_on():
    def styles(casual: float) -> dict[str, float]:
        tags = tags_of(dress=1, evening=1, casual=casual).tags
        return {tag.label: tag.confidence for tag in tags if tag.group == "style"}

    assert 0.25 <= styles(0.92)["casual"] < 0.28
    assert styles(0.89).keys() == {"evening"} and 0.75 < styles(0.89)["evening"] < 0.8


def test_only_the_chosen_groups_are_asked_and_the_noun_always():
    tagger = Tagger(WordEncoder(), TAXONOMY, groups=["style"])
    assert {tag.group for tag in tagger.tag([shown(top=1, casual=1)])[0].tags} == {"category", "style"}
    with pytest.raises(InputError, match="no group 'styles'"):
        Tagger(WordEncoder(), TAXONOMY, groups=["styles"])


def test_the_large_vocabulary_is_as_large_as_fashion_needs_it():
    groups = load_taxonomy("garments").groups
    assert len(groups) == 16 and sum(len(group.labels) for group in groups) >= 240
    assert {group.id for group in groups if not group.enabled} == {"occasion", "season", "view"}
    skirt = {"category": "skirt"}
    assert not {"neckline", "sleeve_length", "sleeve_type"} & {g.id for g in groups if g.applies(skirt)}
    assert {"length", "waist", "silhouette"} <= {g.id for g in groups if g.applies(skirt)}


def test_tagging_many_is_tagging_each():
    tagger = Tagger(WordEncoder(), TAXONOMY)
    pictures = [shown(dress=1, casual=1), shown(top=1, short_sleeves=1), shown(top=1, hidden_sleeves=1)]
    assert tagger.tag(pictures) == [tagger.tag([picture])[0] for picture in pictures]
    assert tagger.tag([]) == []


# ── vocabularies ──


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": TAXONOMY.model_dump()["groups"] * 2}, "named twice"),
        ({"groups": TAXONOMY.model_dump()["groups"][1:]}, "slot 'noun'"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_vocabulary_that_makes_no_sense_is_refused_by_its_field(change, message, tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(TAXONOMY.model_dump() | change))
    with pytest.raises(InputError, match=message):
        load_taxonomy(file)


def test_a_missing_vocabulary_is_answered_with_those_that_exist():
    for name in ("minis", "../mini"):
        with pytest.raises(InputError, match=f"no vocabulary '{name}'.*garments, mini"):
            load_taxonomy(name)


def test_the_users_own_copy_comes_before_the_shipped_vocabulary(tmp_path, monkeypatch):
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path))
    assert load_taxonomy("mini").version == "1"
    (tmp_path / "vocabularies").mkdir()
    mine = load_taxonomy("mini").model_copy(update={"version": "mine"})
    (tmp_path / "vocabularies" / "mini.json").write_text(mine.model_dump_json(), encoding="utf-8-sig")
    assert load_taxonomy("mini") == mine


def test_every_label_has_a_name_in_both_languages_and_text_without_prompt_syntax():
    for name in ("mini", "garments"):
        for group in load_taxonomy(name).groups:
            for label in group.labels:
                assert {"en", "zh-TW"} <= label.name.keys(), label.id
                assert not set("()[]<>:\\,|") & set(label.prompt_text), label.id


# ── catalogues ──


def test_a_caption_says_what_was_seen_and_can_carry_a_trigger():
    tags = tags_of(top=1, long_sleeves=1, sport=1)
    assert caption_of(tags, TAXONOMY) == "a photo of a sport top with long sleeves"
    assert caption_of(tags, TAXONOMY, "atelierx") == "a photo of an atelierx sport top with long sleeves"


def test_what_is_bound_to_the_trigger_is_left_unsaid_and_only_beside_a_trigger():
    tags = tags_of(top=1, long_sleeves=1, sport=1)
    assert caption_of(tags, TAXONOMY, "atelierx", ["style"]) == "a photo of an atelierx top with long sleeves"
    assert caption_of(tags, TAXONOMY, "", ["style"]) == "a photo of a sport top with long sleeves"
    nameless = ["category", "style"]  # the garment's name stays
    assert caption_of(tags, TAXONOMY, "atelierx", nameless) == "a photo of an atelierx top with long sleeves"
    binding = [group.model_copy(update={"binds": group.id == "sleeves"}) for group in TAXONOMY.groups]
    own = TAXONOMY.model_copy(update={"groups": tuple(binding)})
    assert caption_of(tags, own, "atelierx") == "a photo of an atelierx sport top"
    assert {group.id for group in load_taxonomy("garments").groups if group.binds} == {"details", "style"}


# ── what was seen is kept ──


def test_what_is_kept_comes_back_to_the_bit_and_belongs_to_its_encoder(tmp_path):
    one = Observation(torch.rand(8), np.arange(30, dtype=np.uint8).reshape(10, 3))
    with ObservationCache("a", tmp_path) as cache:
        cache.add([("photo", one)])
        found = cache.find("photo")
        assert torch.equal(found.embed, one.embed) and np.array_equal(found.pixels, one.pixels)
        assert cache.find("other") is None
    with ObservationCache("b", tmp_path) as other:
        assert other.find("photo") is None


def test_no_text_is_encoded_twice_and_an_edit_encodes_its_new_words_only(tmp_path):
    asked = []

    class Listening(WordEncoder):
        def embed_texts(self, texts):
            asked.append(list(texts))
            return super().embed_texts(texts)

    with ObservationCache("words", tmp_path) as cache:
        first = RememberingEncoder(Listening(), cache).embed_texts(["a dress", "a top", "a dress"])
    with ObservationCache("words", tmp_path) as cache:
        second = RememberingEncoder(Listening(), cache).embed_texts(["a top", "casual", "a dress"])
    assert asked == [["a dress", "a top"], ["casual"]]
    assert torch.equal(first[0], second[2]) and torch.equal(first[1], second[0])
    with ObservationCache("others", tmp_path) as cache:
        assert cache.find_texts(["a top"]) == {}


def test_a_second_process_does_not_read_the_vocabulary_again_and_a_slow_first_one_says_so(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path))
    read: list[str] = []

    class Listening(WordEncoder):
        def embed_texts(self, texts):
            read.extend(texts)
            return super().embed_texts(texts)

    first, second = (Tagger(KeepingTexts(Listening(), "words"), TAXONOMY) for _ in range(2))
    monkeypatch.setattr("modiste.fashion.encoder_cache.SLOW_S", -1.0)
    first.prepare()
    assert [record.message for record in caplog.records] == [
        f"{WordEncoder().identity.id} reads the vocabulary, once: its sentences are kept"
    ]
    count = len(read)
    second.prepare()
    assert count > 3 and len(read) == count
    for group, probes in first._probes.items():
        assert torch.equal(probes, second._probes[group])


def test_without_a_place_to_keep_them_texts_are_read_as_ever(tmp_path, monkeypatch, caplog):
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    vectors = KeepingTexts(WordEncoder(), "words").embed_texts(["a dress"])
    assert torch.equal(vectors, WordEncoder().embed_texts(["a dress"])) and "texts are not kept" in caplog.text


def test_a_broken_cache_is_named_with_what_to_do(tmp_path):
    (tmp_path / "observations-1.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match="observations-1.sqlite.*delete"):
        ObservationCache("a", tmp_path)


@pytest.mark.skipif(bool(missing_weights(preset("mini"))), reason="the embedded weights are not here")
def test_a_jpeg_decoded_at_a_fraction_embeds_as_the_whole_one(tmp_path):
    encoder = load_encoder(preset("mini").encoder)
    photos = make_photos(tmp_path / "photos", 4)
    whole, small = ([decode_photo(read_file(file), side).image for file in photos] for side in (4096, TAGGING_SIDE))
    assert whole[0].width == PHOTO[0] and max(small[0].size) <= TAGGING_SIDE
    assert (encoder.embed_images(whole) * encoder.embed_images(small)).sum(-1).min() >= 0.999
