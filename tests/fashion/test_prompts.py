"""Prompts: what strategies write, how each host gets it, and that A1111's syntax is read as A1111 reads it."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from modiste.core.errors import InputError
from modiste.fashion.prompts.grammar import article, is_plural
from modiste.fashion.prompts.renderers import escape, render
from modiste.fashion.prompts.strategies import (
    DEFAULT_STRATEGIES,
    HEAVIEST,
    LIGHTEST,
    STRATEGIES,
    Context,
    describe,
    distinct_strategies,
)
from modiste.fashion.prompts.tree import Clause, Lora, Phrase, Prompt
from modiste.fashion.tags import PhotoTags, Tag
from modiste.fashion.taxonomy import load_taxonomy
from modiste.hosts.attention import Weighted, read_weights

MINI = load_taxonomy("mini")
DATA = Path(__file__).parents[1] / "data"
VECTORS = json.loads((DATA / "a1111_attention.json").read_text(encoding="utf-8"))["vectors"]
COMFY = json.loads((DATA / "comfy_attention.json").read_text(encoding="utf-8"))["written"]


def tag(group: str, label: str, confidence: float = 0.99, margin: float = 0.98) -> Tag:
    found = MINI.group(group).label(label)
    return Tag(group=group, label=label, confidence=confidence, text=found.prompt_text, margin=margin)


DRESS = PhotoTags(
    tags=(
        tag("category", "dress"),
        tag("length", "midi", 0.7, 0.4),
        tag("colour", "orange"),
        tag("pattern", "striped"),
        tag("sleeves", "long"),
        tag("neckline", "v", 0.95, 0.9),
    )
)


def written(tags: PhotoTags = DRESS, context: Context | None = None, names=DEFAULT_STRATEGIES, dialect="a1111"):
    return distinct_strategies(names, tags, MINI, context or Context(), lambda prompt: render(prompt, dialect))


# ── strategies ──


def test_each_strategy_writes_its_own_prompt():
    found = {name: prompt.positive for name, prompt in written().items()}
    assert found == {
        "minimal": "dress",
        "all_tags": "dress, midi, orange, striped, long sleeves, v neckline",
        "high_confidence_only": "a photo of orange striped dress, long sleeves, v neckline",
        "category_first": "a photo of dress, orange, striped, long sleeves, v neckline, midi",
        "weighted_by_confidence": "a photo of a midi (orange:1.29) (striped:1.29) (dress:1.29) "
        "with (long sleeves:1.29) and a (v neckline:1.25)",
        "sentence": "a photo of a midi orange striped dress with long sleeves and a v neckline",
        "tag_list": "midi orange striped dress, long sleeves, v neckline",
        "colour_pattern_focus": "a photo of a midi (orange:1.2) (striped:1.2) dress with long sleeves and a v neckline",
        "structure_focus": "a photo of a (midi:1.2) orange striped dress with (long sleeves:1.2) and a "
        "(v neckline:1.2)",
        "sentence_negative": "a photo of a midi orange striped dress with long sleeves and a v neckline",
        "sentence_view": "a photo of a midi orange striped dress with long sleeves and a v neckline, "
        "clean background, soft light",
        "studio": "a photo of a midi orange striped dress with long sleeves and a v neckline, "
        "clean background, soft light",
        "tags_negative": "dress, midi, orange, striped, long sleeves, v neckline",
    }
    negatives = {name for name, prompt in written().items() if prompt.negative}
    assert negatives == {"sentence_negative", "studio", "tags_negative"}
    assert written()["studio"].negative == "blurry, low quality"


def test_what_is_rare_in_the_run_weighs_more_and_what_all_have_weighs_less():
    share = {("category", "dress"): 0.9, ("colour", "orange"): 0.05, ("pattern", "striped"): 0.5}
    context = Context(share)
    assert "(orange:1.3) striped (dress:0.8)" in written(context=context)["contrastive"].positive
    assert "contrastive" not in written()


def test_weights_stay_where_pictures_stay_whole():
    rng = Random(0)
    for _ in range(200):
        tags = PhotoTags(tags=tuple(tag(t.group, t.label, rng.random(), rng.random()) for t in DRESS.tags))
        context = Context({(t.group, t.label): rng.random() for t in DRESS.tags})
        for prompt in written(tags, context).values():
            for run in read_weights(prompt.positive):
                assert LIGHTEST <= round(run.weight, 6) <= HEAVIEST


def test_prompts_that_say_the_same_compete_once():
    only = PhotoTags(tags=(tag("category", "shorts"),))
    found = written(only)
    texts = [(prompt.positive, prompt.negative) for prompt in found.values()]
    assert len(texts) == len(set(texts)) and "all_tags" not in found and "sentence" not in found
    assert found["high_confidence_only"].positive == "a photo of shorts"


def test_a_photo_without_any_tag_is_still_a_garment():
    found = written(PhotoTags(tags=()))
    assert found["minimal"].positive == "garment" and found["high_confidence_only"].positive == "a photo of garment"
    assert "category_first" not in found


def test_an_unknown_strategy_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match="no strategy 'sentense'.*sentence"):
        written(names=["sentense"])


def test_every_strategy_is_explained_in_both_languages():
    assert len(STRATEGIES) >= 8 and "high_confidence_only" in STRATEGIES
    lines = [describe(name, language) for name in STRATEGIES for language in ("en", "zh-TW")]
    assert all(line.endswith((".", "。")) for line in lines) and len(set(lines)) == len(lines)


@pytest.mark.parametrize(
    ("phrase", "with_article"),
    [
        ("midi dress", "a midi dress"),
        ("orange top", "an orange top"),
        ("red trousers", "red trousers"),
        ("long sleeves", "long sleeves"),
        ("glass", "a glass"),
    ],
)
def test_articles_are_those_of_english(phrase, with_article):
    assert article(phrase) == with_article
    assert is_plural(phrase) == (phrase == with_article)


# ── renderers ──

ODD = Prompt(
    (Clause((Phrase("a photo of"), Phrase("raglan (sleeve) [x] AND BREAK", 1.2, "g"))),), (Clause((Phrase("bad"),)),)
)


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("a1111", r"a photo of (raglan \(sleeve\) \[x\] and break:1.2)"),
        ("diffusers", r"a photo of (raglan \(sleeve\) \[x\] and break:1.2)"),
        ("comfy", r"a photo of (raglan \(sleeve\) [x] AND BREAK:1.2)"),
        ("plain", "a photo of raglan (sleeve) [x] AND BREAK"),
    ],
)
def test_each_host_gets_its_own_escapes_and_weights(dialect, text):
    found = render(ODD, dialect)
    assert (found.positive, found.negative) == (text, "bad")


def test_whatever_the_words_a1111_reads_them_back_as_words_of_that_weight():
    rng, pieces = Random(1), ["(", ")", "[", "]", "\\", ":1.3)", "red", " ", "BREAK", "AND", "<lora:x:1>", ",", "ü"]
    for _ in range(2000):
        text = "".join(rng.choice(pieces) for _ in range(rng.randint(1, 9)))
        weight = rng.choice([1.0, 1.2])
        runs = read_weights(render(Prompt((Clause((Phrase(text, weight),)),)), "a1111").positive)
        assert "".join(run.text or "BREAK" for run in runs).replace("< ", "<").lower() == text.lower()
        assert {round(run.weight, 6) for run in runs if run.text} <= {weight}


def test_no_text_becomes_a_lora_or_a_second_prompt_in_a1111():
    said = escape("<lora:evil:1> AND x", "a1111")
    assert "<lora" not in said and " AND " not in said


@pytest.mark.parametrize("vector", COMFY, ids=lambda vector: vector["prompt"])
def test_what_is_written_for_comfyui_its_own_parser_reads_as_the_words_with_their_weights(vector):
    clauses = tuple(Clause(tuple(Phrase(*phrase) for phrase in clause)) for clause in vector["clauses"])
    assert render(Prompt(clauses), "comfy").positive == vector["prompt"]
    assert "".join(text for text, _ in vector["runs"]) == ", ".join(clause.text for clause in clauses)
    weighted = [(phrase.text, phrase.weight) for clause in clauses for phrase in clause.phrases if phrase.weight != 1]
    assert [(text, weight) for text, weight in vector["runs"] if weight != 1] == weighted


def test_a_new_chunk_and_loras_are_said_where_the_host_reads_them_in_the_prompt():
    coat, scene = Clause((Phrase("red coat"),)), Clause((Phrase("snow"), Phrase("street", 1.2)), new_chunk=True)
    prompt = Prompt((coat, scene), loras=(Lora("my brand", 0.8), Lora("a:b>c")))
    assert render(prompt, "a1111").positive == ("red coat BREAK snow (street:1.2) <lora:my brand:0.8> <lora:a_b_c:1>")
    assert render(prompt, "diffusers").positive == "red coat BREAK snow (street:1.2)"
    assert render(prompt, "comfy").positive == "red coat, snow (street:1.2)"
    assert render(prompt, "plain").positive == "red coat, snow street"
    assert [run.text for run in read_weights(render(prompt, "diffusers").positive)][1] is None


def test_no_text_becomes_an_embedding_in_comfyui():
    assert "embedding:" not in escape("a dress, embedding:evil, Embedding:more", "comfy").lower()


def count(text: str) -> int:
    return len(text.replace(",", " , ").split())


def test_a_prompt_too_long_loses_its_lightest_words_and_says_which():
    words = [Phrase(f"word{index}", 1.0 + (index % 3) / 10, "g") for index in range(30)]
    prompt = Prompt((Clause((Phrase("a photo of"), words[0])), *(Clause((word,)) for word in words[1:])))
    found = render(prompt, "plain", count, 20)
    assert found.tokens == count(found.positive) <= 20 and found.dropped[0] == "a photo of"
    kept = [word.weight for word in words if word.text in found.positive.replace(",", "").split()]
    lost = [word.weight for word in words if word.text in found.dropped]
    assert min(kept) >= max(lost)
    assert render(prompt, "plain", count, 1).positive.count("word") == 1
    assert render(prompt, "plain").dropped == () and render(prompt, "plain").tokens is None


# ── A1111's syntax ──


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: repr(vector["prompt"])[:40])
def test_weights_are_read_as_a1111_reads_them(vector):
    found = read_weights(vector["prompt"])
    expected = [Weighted(text, 1.0 if text is None else weight) for text, weight in vector["runs"]]
    assert [run.text for run in found] == [run.text for run in expected]
    assert [run.weight for run in found] == pytest.approx([run.weight for run in expected])


def test_a_weight_that_is_no_number_is_text():
    assert read_weights("(a:.)") == [Weighted("a:.", 1.1)]
