"""Ways to say in a prompt what a photo shows: each turns tags into a prompt tree. The search finds the best."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ...core.errors import InputError
from .grammar import article
from .tree import Clause, Phrase, Prompt

if TYPE_CHECKING:
    from ..tags import PhotoTags, Tag
    from ..taxonomy import Taxonomy
    from .renderers import Rendered


SURE = 0.9  # calibrated confidence
LIGHTEST, HEAVIEST = 0.8, 1.3  # weights beyond these tear pictures apart
FOCUS = 1.2
REFINED = ", refined"  # behind a strategy's name: with the words that a screening found worth having
REFINED_LINES = {
    "en": " Words that cost similarity left out, such that bring some added.",
    "zh-TW": "略去降低相似度的詞，加入有助益的詞。",
}
NO_NEGATIVE, NO_VIEW = ", no negative", ", no view"  # behind it: without what every other arm has (arms.py)
WITHOUT_LINES = {
    NO_NEGATIVE: {"en": " Without the negative prompt.", "zh-TW": "不加負面提示詞。"},
    NO_VIEW: {"en": " Without the words for light and background.", "zh-TW": "不加光線與背景的詞。"},
}
ODDS_STEP = 0.12  # weight a unit of log-odds

COLOUR_GROUPS = frozenset({"colour", "pattern"})
STYLE_GROUPS = frozenset({"style", "material", "occasion", "season"})


@dataclass(frozen=True)
class Context:
    """What else the run saw: `share` of its photos that have a label, (group, label) → 0 … 1; empty for one photo."""

    share: Mapping[tuple[str, str], float] = field(default_factory=dict)


@dataclass(frozen=True)
class TaggedPhoto:
    """One photo's tags, sorted by where their words stand."""

    tags: PhotoTags
    taxonomy: Taxonomy
    context: Context

    @property
    def noun(self) -> Tag | None:
        """What the garment is called."""
        return self.tags.get(self.taxonomy.noun.id)

    def at(self, slot: str) -> list[Tag]:
        """The tags of a slot: `before` the noun or `after` it, in the vocabulary's order."""
        return [tag for tag in self.tags.tags if self.taxonomy.group(tag.group).slot == slot]

    def only(self, keep: Callable[[Tag], bool]) -> TaggedPhoto:
        """The same with fewer tags; the noun always stays."""
        kept = tuple(tag for tag in self.tags.tags if tag == self.noun or keep(tag))
        return replace(self, tags=self.tags.model_copy(update={"tags": kept}))


Weigh = Callable[["Tag"], float]


def plain_weight(tag: Tag) -> float:
    """Every word weighs the same."""
    return 1.0


# ── forms: how words are put together ───────────────────────────────────────────────────────────────────────────────


def phrase(tag: Tag, weigh: Weigh = plain_weight) -> Phrase:
    """A tag's words."""
    return Phrase(tag.text, weigh(tag), tag.group)


def listed(tags: Sequence[Tag], weigh: Weigh = plain_weight) -> tuple[Clause, ...]:
    """`dress, midi, red`: each tag a clause."""
    return tuple(Clause((phrase(tag, weigh),)) for tag in tags)


def noun_phrase(wardrobe: TaggedPhoto, weigh: Weigh = plain_weight) -> tuple[Phrase, ...]:
    """`midi red striped dress`: colour beside its noun; without a noun, a garment."""
    noun = wardrobe.noun
    last = Phrase("garment") if noun is None else phrase(noun, weigh)
    return (*(phrase(tag, weigh) for tag in wardrobe.at("before")), last)


def sentence_of(wardrobe: TaggedPhoto, weigh: Weigh = plain_weight) -> tuple[Clause, ...]:
    """`a photo of a midi red striped dress with long sleeves and a v neckline`."""
    words = noun_phrase(wardrobe, weigh)
    said = " ".join(word.text for word in words)
    opening = f"{wardrobe.taxonomy.subject} {_article_of(said)}".strip()
    phrases = [Phrase(opening), *words]
    for place, tag in enumerate(wardrobe.at("after")):
        link = f"{'and' if place else 'with'} {_article_of(tag.text)}".strip()
        phrases += [Phrase(link), phrase(tag, weigh)]
    return (Clause(tuple(phrases)),)


def _article_of(words: str) -> str:
    return article(words).removesuffix(words).strip()


# ── strategies ──────────────────────────────────────────────────────────────────────────────────────────────────────


def minimal(wardrobe: TaggedPhoto) -> Prompt | None:
    """The garment's name, nothing more."""
    noun = wardrobe.noun
    return Prompt(listed([noun] if noun else []) or (Clause((Phrase("garment"),)),))


def all_tags(wardrobe: TaggedPhoto) -> Prompt | None:
    """Every word, as a tagger lists them."""
    return Prompt(listed(wardrobe.tags.tags)) if wardrobe.tags.tags else minimal(wardrobe)


def high_confidence_only(wardrobe: TaggedPhoto) -> Prompt | None:
    """Sure words only, behind the subject: an unsure word can draw a wrong thing."""
    sure = wardrobe.only(lambda tag: tag.confidence >= SURE)
    subject = Clause((Phrase(wardrobe.taxonomy.subject), *noun_phrase(sure)))
    return Prompt((subject, *listed(sure.at("after"))))


def category_first(wardrobe: TaggedPhoto) -> Prompt | None:
    """The name behind the subject, then the rest, the clearest first."""
    if wardrobe.noun is None:
        return None
    rest = sorted((tag for tag in wardrobe.tags.tags if tag != wardrobe.noun), key=lambda tag: -tag.margin)
    return Prompt((Clause((Phrase(wardrobe.taxonomy.subject), phrase(wardrobe.noun))), *listed(rest)))


def weighted_by_confidence(wardrobe: TaggedPhoto) -> Prompt | None:
    """A sentence whose words weigh what they are worth: margin over the runner-up × how rare the label is."""

    def weigh(tag: Tag) -> float:
        rare = 1 - wardrobe.context.share.get((tag.group, tag.label), 0.0)
        return _clamped(LIGHTEST + (HEAVIEST - LIGHTEST) * tag.margin * rare)

    return Prompt(sentence_of(wardrobe, weigh))


def sentence(wardrobe: TaggedPhoto) -> Prompt | None:
    """One sentence, as captions are written."""
    return Prompt(sentence_of(wardrobe))


def tag_list(wardrobe: TaggedPhoto) -> Prompt | None:
    """The noun with its adjectives, then the details as tags."""
    return Prompt((Clause(noun_phrase(wardrobe)), *listed(wardrobe.at("after"))))


def colour_pattern_focus(wardrobe: TaggedPhoto) -> Prompt | None:
    """The sentence, with colour and pattern stressed."""
    return _focused(wardrobe, lambda tag: tag.group in COLOUR_GROUPS)


def structure_focus(wardrobe: TaggedPhoto) -> Prompt | None:
    """The sentence, with cut stressed: everything that is neither the name nor colour, pattern or style."""
    noun = wardrobe.taxonomy.noun.id
    return _focused(wardrobe, lambda tag: tag.group not in {noun, *COLOUR_GROUPS, *STYLE_GROUPS})


def style_focus(wardrobe: TaggedPhoto) -> Prompt | None:
    """The sentence, with style and material stressed."""
    return _focused(wardrobe, lambda tag: tag.group in STYLE_GROUPS)


def contrastive(wardrobe: TaggedPhoto) -> Prompt | None:
    """The sentence, with what sets the photo apart from the run's other photos stressed, by its log-odds."""
    if not wardrobe.context.share:
        return None

    def weigh(tag: Tag) -> float:
        share = min(0.98, max(0.02, wardrobe.context.share.get((tag.group, tag.label), 0.02)))
        return _clamped(1 + ODDS_STEP * math.log((1 - share) / share))

    return Prompt(sentence_of(wardrobe, weigh))


def sentence_negative(wardrobe: TaggedPhoto) -> Prompt | None:
    """The sentence, with the vocabulary's negative prompt."""
    return replace(Prompt(sentence_of(wardrobe)), negative=_negative(wardrobe)) if wardrobe.taxonomy.negative else None


def sentence_view(wardrobe: TaggedPhoto) -> Prompt | None:
    """The sentence, with light and background said."""
    return Prompt((*sentence_of(wardrobe), *_view(wardrobe))) if wardrobe.taxonomy.view else None


def studio(wardrobe: TaggedPhoto) -> Prompt | None:
    """The sentence with light and background, and the negative prompt."""
    if not (wardrobe.taxonomy.view and wardrobe.taxonomy.negative):
        return None
    return Prompt((*sentence_of(wardrobe), *_view(wardrobe)), _negative(wardrobe))


def tags_negative(wardrobe: TaggedPhoto) -> Prompt | None:
    """The plain list, with the vocabulary's negative prompt."""
    plain = all_tags(wardrobe)
    return replace(plain, negative=_negative(wardrobe)) if plain and wardrobe.taxonomy.negative else None


def _focused(wardrobe: TaggedPhoto, chosen: Callable[[Tag], bool]) -> Prompt | None:
    if not any(map(chosen, wardrobe.tags.tags)):
        return None
    return Prompt(sentence_of(wardrobe, lambda tag: FOCUS if chosen(tag) else 1.0))


def _clamped(weight: float) -> float:
    return round(min(HEAVIEST, max(LIGHTEST, weight)), 2)


def _view(wardrobe: TaggedPhoto) -> tuple[Clause, ...]:
    return tuple(Clause((Phrase(text),)) for text in wardrobe.taxonomy.view)


def _negative(wardrobe: TaggedPhoto) -> tuple[Clause, ...]:
    return tuple(Clause((Phrase(text),)) for text in wardrobe.taxonomy.negative)


@dataclass(frozen=True)
class Strategy:
    """A way to write a prompt; `write` gives None where it makes no sense for a photo."""

    write: Callable[[TaggedPhoto], Prompt | None]
    zh_tw: str  # its line for people; the English one is the function's own

    @property
    def name(self) -> str:
        """The name in reports and options."""
        return self.write.__name__


STRATEGIES = {
    strategy.name: strategy
    for strategy in (
        Strategy(minimal, "只有衣服的名稱，別無其他。"),
        Strategy(all_tags, "標記器列出的每一個詞。"),
        Strategy(high_confidence_only, "主詞之後只寫有把握的詞：不確定的詞可能畫出錯誤的東西。"),
        Strategy(category_first, "主詞後先寫名稱，其餘由最明確者開始。"),
        Strategy(weighted_by_confidence, "句子中每個詞依其價值加權：與第二名的差距 × 標籤的稀有程度。"),
        Strategy(sentence, "一個完整句子，如同圖說的寫法。"),
        Strategy(tag_list, "名詞與其形容詞，再列出細節標籤。"),
        Strategy(colour_pattern_focus, "完整句子，強調顏色與圖案。"),
        Strategy(structure_focus, "完整句子，強調版型：名稱、顏色、圖案、風格以外的一切。"),
        Strategy(style_focus, "完整句子，強調風格與材質。"),
        Strategy(contrastive, "完整句子，強調這張照片與其他照片的不同之處（對數勝算）。"),
        Strategy(sentence_negative, "完整句子，加上詞彙表的負面提示詞。"),
        Strategy(sentence_view, "完整句子，並說明光線與背景。"),
        Strategy(studio, "完整句子，說明光線與背景，並加上負面提示詞。"),
        Strategy(tags_negative, "單純詞列，加上詞彙表的負面提示詞。"),
    )
}
DEFAULT_STRATEGIES = tuple(STRATEGIES)


def describe(name: str, language: str = "en") -> str:
    """One line on a strategy, in English or Traditional Chinese; also on one whose words were screened."""
    strategy = STRATEGIES[form_of(name)]
    line = strategy.zh_tw if language == "zh-TW" else (strategy.write.__doc__ or "").strip()
    line += "".join(lines[language] for without, lines in WITHOUT_LINES.items() if without in name)
    return line + REFINED_LINES[language] * name.endswith(REFINED)


def form_of(name: str) -> str:
    """The strategy that an arm's name begins with: `sentence, no negative, refined` → `sentence`."""
    return name.partition(", ")[0]


def refuse_unknown_strategies(names: Sequence[str]) -> None:
    """InputError for a name that is no strategy."""
    for name in names:
        if name not in STRATEGIES:
            raise InputError(f"there is no strategy {name!r}", to_try=f"choose from {', '.join(STRATEGIES)}")


def distinct_strategies(
    names: Sequence[str],
    tags: PhotoTags,
    taxonomy: Taxonomy,
    context: Context,
    write: Callable[[Prompt], Rendered],
) -> dict[str, Rendered]:
    """Strategy → prompt text, in the order of `names`; of those that write the same text the first stays.

    `write` renders for the host. InputError for a name that is no strategy.
    """
    refuse_unknown_strategies(names)
    wardrobe, prompts = TaggedPhoto(tags, taxonomy, context), {}
    for name in names:
        prompt = STRATEGIES[name].write(wardrobe)
        if prompt is not None:
            rendered = write(prompt)
            if (rendered.positive, rendered.negative) not in {(p.positive, p.negative) for p in prompts.values()}:
                prompts[name] = rendered
    return prompts


def label_shares(tags: Sequence[PhotoTags]) -> dict[tuple[str, str], float]:
    """(group, label) → share of the run's photos that have it; empty for a single photo, which is no catalogue."""
    if len(tags) < 2:
        return {}
    counts = Counter((tag.group, tag.label) for seen in tags for tag in seen.tags)
    return {label: count / len(tags) for label, count in counts.items()}
