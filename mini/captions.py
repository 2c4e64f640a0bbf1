"""True captions of a garment: in every form that a prompt strategy writes, about a random part of its attributes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

from ..fashion.prompts.grammar import article
from .garment import GROUPS, labels, vocabulary

BEFORE, AFTER = ("length", "colour", "pattern"), ("sleeves", "neckline")


@dataclass(frozen=True)
class GarmentCaption:
    """A caption; `stated`: what it claims, `{group: label}`; `degraded`: whether it calls the picture a bad one."""

    text: str
    stated: dict[str, str]
    degraded: bool = False


@cache
def prompt_text(group: str, label: str) -> str:
    """The words of a label in a prompt."""
    return next(
        entry["prompt_text"]
        for g in vocabulary()["groups"]
        if g["id"] == group
        for entry in g["labels"]
        if entry["id"] == label
    )


def noun_phrase(words: dict[str, str]) -> str:
    """A noun phrase such as `midi red striped dress`; without a category the noun is `garment`."""
    adjectives = [prompt_text(g, words[g]) for g in BEFORE if g in words]
    return " ".join([*adjectives, prompt_text("category", words["category"]) if "category" in words else "garment"])


def sentence(words: dict[str, str], *, articles: bool = True) -> str:
    """A sentence such as `a midi red striped dress with long sleeves and a v neckline`."""
    details = [prompt_text(g, words[g]) for g in AFTER if g in words]
    phrase = noun_phrase(words)
    if articles:
        phrase, details = article(phrase), [article(d) for d in details]
    return f"{phrase} with {' and '.join(details)}" if details else phrase


def tag_list(words: dict[str, str], rng: Random) -> str:
    """A list such as `dress, red, striped, long sleeves`: shuffled, the category first, last or anywhere."""
    tags = [prompt_text(g, label) for g, label in words.items() if g != "category"]
    rng.shuffle(tags)
    if "category" in words:
        place = rng.choices((0, len(tags), rng.randrange(len(tags) + 1)), weights=(6, 2, 2))[0]
        tags.insert(place, prompt_text("category", words["category"]))
    return ", ".join(tags)


def sample_caption(attributes: dict[str, str], rng: Random, degraded: bool = False) -> GarmentCaption:
    """A caption of a random form about a random share of `attributes`; bad pictures are called bad, good ones never."""
    share = 1.0 if rng.random() < 0.25 else rng.random()
    stated = {g: attributes[g] for g in GROUPS if g in attributes and rng.random() < share}
    if not stated or rng.random() < 0.03:
        stated = {"category": attributes["category"]}
    text = write(stated, rng)
    if degraded:
        bad = ", ".join(rng.sample(vocabulary()["negative"], rng.choice((1, 2, 2))))
        if rng.random() < 0.4:
            text, stated = bad, {}
        else:
            text = f"{text}, {bad}" if rng.random() < 0.5 else f"{bad}, {text}"
    return GarmentCaption(text, stated, degraded)


def contradict(caption: GarmentCaption, rng: Random) -> GarmentCaption:
    """The caption with one thing that it states changed: the nearest lie, which teaches each attribute by itself.

    After the hard negatives of Yuksekgonul et al., "When and Why Vision-Language Models Behave like Bags-of-Words"
    (ICLR 2023).
    """
    stated = caption.stated or {"category": rng.choice(labels("category"))}
    group = rng.choice(list(stated))
    others = [label for label in labels(group) if label != stated[group]]
    changed = {**stated, group: rng.choice(others)}
    return GarmentCaption(write(changed, rng), changed)


def write(stated: dict[str, str], rng: Random) -> str:
    """A text of a random form that states just this."""
    spec, form = vocabulary(), rng.random()
    if form < 0.5:
        text = sentence(stated, articles=rng.random() < 0.85)
        if rng.random() < 0.7:
            text = f"{spec['subject']} {text}"
    elif form < 0.9:
        text = tag_list(stated, rng)
        if rng.random() < 0.25:
            text = f"{spec['subject']} {text}"
    else:  # a noun phrase, then the rest as tags
        front = {g: label for g, label in stated.items() if g not in AFTER}
        rest = [prompt_text(g, stated[g]) for g in AFTER if g in stated]
        rng.shuffle(rest)
        text = ", ".join([article(noun_phrase(front)) if rng.random() < 0.5 else noun_phrase(front), *rest])
    if rng.random() < 0.25:
        text = ", ".join([text, *rng.sample(spec["view"], rng.randint(1, len(spec["view"])))])
    return text


def words_in_captions() -> list[str]:
    """Every word that a caption can hold, sorted."""
    spec = vocabulary()
    texts = [spec["subject"], *spec["view"], *spec["negative"], "a an and with garment"]
    for group in spec["groups"]:
        for label in group["labels"]:
            texts += [label["prompt_text"], *label["probe_texts"]]
    return sorted({word for text in texts for word in text.replace(",", " ").lower().split()})
