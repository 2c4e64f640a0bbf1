"""Prompt strategies: each turns the tags of a photo into a prompt tree, and the search finds the best of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ...core.errors import InputError
from ...core.suggestions import did_you_mean
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
WITH_NEGATIVE, NO_VIEW = ", with negative", ", no view"  # behind it: other extras than all the others have (arms.py)
EXTRAS_LINES = {
    WITH_NEGATIVE: {"en": " With the negative prompt.", "zh-TW": "加上負面提示詞。"},
    NO_VIEW: {"en": " Without the words for light and background.", "zh-TW": "不加光線與背景的詞。"},
}
# Behind it: the prompt rewritten after its first pictures were tagged again (feedback.py).
STRESSED, FIRST, OTHERWISE, AVOIDED = REWRITINGS = (
    ", missed stressed",
    ", missed first",
    ", missed in other words",
    ", uninvited avoided",
)
EXTRAS_LINES |= {
    STRESSED: {"en": " Words that its pictures missed stressed.", "zh-TW": "強調圖中沒有畫出的詞。"},
    FIRST: {"en": " Words that its pictures missed said first.", "zh-TW": "把圖中沒有畫出的詞移到最前面。"},
    OTHERWISE: {"en": " Words that its pictures missed said in other words.", "zh-TW": "把圖中沒有畫出的詞換個說法。"},
    AVOIDED: {
        "en": " What its pictures showed uninvited avoided.",
        "zh-TW": "把圖中多出來的東西寫進負面提示詞。",
    },
}
ODDS_STEP = 0.12  # weight a unit of log-odds
YOUR_WORDS, CAPTIONER = "your_words", "captioner"  # strategies whose words come from elsewhere

COLOUR_GROUPS = frozenset({"colour", "pattern"})
STYLE_GROUPS = frozenset({"style", "material", "occasion", "season"})


@dataclass(frozen=True)
class Context:
    """The run's other photos: `share` of them with a label, (group, label) → 0 … 1; empty for a run of one photo."""

    share: Mapping[tuple[str, str], float] = field(default_factory=dict)


@dataclass(frozen=True)
class TaggedPhoto:
    """One photo's tags with their vocabulary, and the run that it belongs to; `given`: strategy → what somebody else
    wrote for it, such as the photo's user."""

    tags: PhotoTags
    taxonomy: Taxonomy
    context: Context
    given: Mapping[str, Prompt] = field(default_factory=dict)

    @property
    def noun(self) -> Tag | None:
        """The tag that names the garment; None where it was not recognised."""
        return self.tags.get(self.taxonomy.noun.id)

    def at(self, slot: str) -> list[Tag]:
        """The tags whose words stand `before` the noun or `after` it, in the vocabulary's order."""
        return [tag for tag in self.tags.tags if self.taxonomy.group(tag.group).slot == slot]

    def only(self, keep: Callable[[Tag], bool]) -> TaggedPhoto:
        """The photo with the tags that `keep` accepts; the noun always stays."""
        kept = tuple(tag for tag in self.tags.tags if tag == self.noun or keep(tag))
        return replace(self, tags=self.tags.model_copy(update={"tags": kept}))


Weigh = Callable[["Tag"], float]


def plain_weight(tag: Tag) -> float:
    """Every word weighs the same."""
    return 1.0


# ── forms: how words are put together ───────────────────────────────────────────────────────────────────────────────


def phrase(tag: Tag, weigh: Weigh = plain_weight) -> Phrase:
    """The tag's words as a phrase with its weight."""
    return Phrase(tag.text, weigh(tag), tag.group)


def listed(tags: Sequence[Tag], weigh: Weigh = plain_weight) -> tuple[Clause, ...]:
    """The tags as clauses of their own: `dress, midi, red`."""
    return tuple(Clause((phrase(tag, weigh),)) for tag in tags)


def noun_phrase(photo: TaggedPhoto, weigh: Weigh = plain_weight) -> tuple[Phrase, ...]:
    """The words that stand before the noun, then the noun (else `garment`): `midi red striped dress`."""
    noun = photo.noun
    last = Phrase("garment") if noun is None else phrase(noun, weigh)
    return (*(phrase(tag, weigh) for tag in photo.at("before")), last)


def sentence_of(photo: TaggedPhoto, weigh: Weigh = plain_weight) -> tuple[Clause, ...]:
    """All tags as one sentence: `a photo of a midi red striped dress with long sleeves and a v neckline`."""
    words = noun_phrase(photo, weigh)
    text = " ".join(word.text for word in words)
    opening = f"{photo.taxonomy.subject} {_article_of(text)}".strip()
    phrases = [Phrase(opening), *words]
    for place, tag in enumerate(photo.at("after")):
        link = f"{'and' if place else 'with'} {_article_of(tag.text)}".strip()
        phrases += [Phrase(link), phrase(tag, weigh)]
    return (Clause(tuple(phrases)),)


def _article_of(words: str) -> str:
    return article(words).removesuffix(words).strip()


# ── strategies ──────────────────────────────────────────────────────────────────────────────────────────────────────


def minimal(photo: TaggedPhoto) -> Prompt | None:
    """The garment's name, nothing more."""
    noun = photo.noun
    return Prompt(listed([noun] if noun else []) or (Clause((Phrase("garment"),)),))


def all_tags(photo: TaggedPhoto) -> Prompt | None:
    """Every word, as a tagger lists them."""
    return Prompt(listed(photo.tags.tags)) if photo.tags.tags else minimal(photo)


def high_confidence_only(photo: TaggedPhoto) -> Prompt | None:
    """Sure words only, behind the subject: an unsure word can draw a wrong thing."""
    sure = photo.only(lambda tag: tag.confidence >= SURE)
    subject = Clause((Phrase(photo.taxonomy.subject), *noun_phrase(sure)))
    return Prompt((subject, *listed(sure.at("after"))))


def category_first(photo: TaggedPhoto) -> Prompt | None:
    """The name behind the subject, then the rest, the clearest first."""
    if photo.noun is None:
        return None
    rest = sorted((tag for tag in photo.tags.tags if tag != photo.noun), key=lambda tag: -tag.margin)
    return Prompt((Clause((Phrase(photo.taxonomy.subject), phrase(photo.noun))), *listed(rest)))


def weighted_by_confidence(photo: TaggedPhoto) -> Prompt | None:
    """A sentence whose words weigh what they are worth: margin over the runner-up × how rare the label is."""

    def weigh(tag: Tag) -> float:
        rare = 1 - photo.context.share.get((tag.group, tag.label), 0.0)
        return _clamped(LIGHTEST + (HEAVIEST - LIGHTEST) * tag.margin * rare)

    return Prompt(sentence_of(photo, weigh))


def sentence(photo: TaggedPhoto) -> Prompt | None:
    """One sentence, as captions are written."""
    return Prompt(sentence_of(photo))


def tag_list(photo: TaggedPhoto) -> Prompt | None:
    """The noun with its adjectives, then the details as tags."""
    return Prompt((Clause(noun_phrase(photo)), *listed(photo.at("after"))))


def colour_pattern_focus(photo: TaggedPhoto) -> Prompt | None:
    """The sentence, with colour and pattern stressed."""
    return _focused(photo, lambda tag: tag.group in COLOUR_GROUPS)


def structure_focus(photo: TaggedPhoto) -> Prompt | None:
    """The sentence, with cut stressed: everything that is neither the name nor colour, pattern or style."""
    noun = photo.taxonomy.noun.id
    return _focused(photo, lambda tag: tag.group not in {noun, *COLOUR_GROUPS, *STYLE_GROUPS})


def style_focus(photo: TaggedPhoto) -> Prompt | None:
    """The sentence, with style and material stressed."""
    return _focused(photo, lambda tag: tag.group in STYLE_GROUPS)


def contrastive(photo: TaggedPhoto) -> Prompt | None:
    """The sentence, with what sets the photo apart from the run's other photos stressed, by its log-odds."""
    if not photo.context.share:
        return None

    def weigh(tag: Tag) -> float:
        share = min(0.98, max(0.02, photo.context.share.get((tag.group, tag.label), 0.02)))
        return _clamped(1 + ODDS_STEP * math.log((1 - share) / share))

    return Prompt(sentence_of(photo, weigh))


def sentence_negative(photo: TaggedPhoto) -> Prompt | None:
    """The sentence, with the vocabulary's negative prompt."""
    return replace(Prompt(sentence_of(photo)), negative=_negative(photo)) if photo.taxonomy.negative else None


def sentence_view(photo: TaggedPhoto) -> Prompt | None:
    """The sentence, with light and background said."""
    return Prompt((*sentence_of(photo), *_view(photo))) if photo.taxonomy.view else None


def studio(photo: TaggedPhoto) -> Prompt | None:
    """The sentence with light and background, and the negative prompt."""
    if not (photo.taxonomy.view and photo.taxonomy.negative):
        return None
    return Prompt((*sentence_of(photo), *_view(photo)), _negative(photo))


def tags_negative(photo: TaggedPhoto) -> Prompt | None:
    """The plain list, with the vocabulary's negative prompt."""
    plain = all_tags(photo)
    return replace(plain, negative=_negative(photo)) if plain and photo.taxonomy.negative else None


def your_words(photo: TaggedPhoto) -> Prompt | None:
    """The words that you gave: a text file beside the photo, or --words."""
    return photo.given.get(YOUR_WORDS)


def captioner(photo: TaggedPhoto) -> Prompt | None:
    """What the captioner, a model that describes pictures, says of the photo."""
    return photo.given.get(CAPTIONER)


def _focused(photo: TaggedPhoto, chosen: Callable[[Tag], bool]) -> Prompt | None:
    if not any(map(chosen, photo.tags.tags)):
        return None
    return Prompt(sentence_of(photo, lambda tag: FOCUS if chosen(tag) else 1.0))


def _clamped(weight: float) -> float:
    return round(min(HEAVIEST, max(LIGHTEST, weight)), 2)


def _view(photo: TaggedPhoto) -> tuple[Clause, ...]:
    return tuple(Clause((Phrase(text),)) for text in photo.taxonomy.view)


def _negative(photo: TaggedPhoto) -> tuple[Clause, ...]:
    return tuple(Clause((Phrase(text),)) for text in photo.taxonomy.negative)


@dataclass(frozen=True)
class Strategy:
    """A way to write a prompt; `write` returns None for a photo that it does not fit."""

    write: Callable[[TaggedPhoto], Prompt | None]
    zh_tw: str  # its description; the English one is the function's docstring

    @property
    def name(self) -> str:
        """The strategy's name in reports and options."""
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
# Of words that are given with a photo: no tags can be written so, and they compete wherever there are some.
GIVEN = {
    strategy.name: strategy
    for strategy in (
        Strategy(your_words, "您提供的文字：照片旁的文字檔或 --words。"),
        Strategy(captioner, "圖說模型（描述圖片的模型）對照片的描述。"),
    )
}


def describe(name: str, language: str = "en") -> str:
    """The description of a strategy, in English or Traditional Chinese, also of one whose words were screened."""
    strategy = strategy_of(name)
    line = strategy.zh_tw if language == "zh-TW" else (strategy.write.__doc__ or "").strip()
    line += "".join(lines[language] for extras, lines in EXTRAS_LINES.items() if extras in name)
    return line + REFINED_LINES[language] * name.endswith(REFINED)


def strategy_of(name: str) -> Strategy:
    """The strategy of an arm by its name; KeyError for one that there is none of."""
    form = form_of(name)
    return GIVEN[form] if form in GIVEN else STRATEGIES[form]


def form_of(name: str) -> str:
    """The strategy that an arm's name begins with: `sentence, no view, refined` → `sentence`."""
    return name.partition(", ")[0]


def refuse_unknown_strategies(names: Sequence[str]) -> None:
    """Raises InputError for a name that is no strategy."""
    for name in names:
        if name not in STRATEGIES and name not in GIVEN:
            raise InputError(f"there is no strategy {name!r}", to_try=did_you_mean(name, STRATEGIES, len(STRATEGIES)))


def distinct_strategies(
    names: Sequence[str],
    tags: PhotoTags,
    taxonomy: Taxonomy,
    context: Context,
    write: Callable[[Prompt], Rendered],
) -> dict[str, Rendered]:
    """Each strategy → its prompt, in the order of `names`; of those that write the same text the first stays.

    `write` renders for the host. Raises InputError for a name that is no strategy.
    """
    refuse_unknown_strategies(names)
    photo = TaggedPhoto(tags, taxonomy, context)
    prompts: dict[str, Rendered] = {}
    for name in names:
        prompt = strategy_of(name).write(photo)
        if prompt is not None:
            rendered = write(prompt)
            if (rendered.positive, rendered.negative) not in {(p.positive, p.negative) for p in prompts.values()}:
                prompts[name] = rendered
    return prompts


def label_shares(tags: Sequence[PhotoTags]) -> dict[tuple[str, str], float]:
    """Each (group, label) → the share of the run's photos that have it; empty for a single photo."""
    if len(tags) < 2:
        return {}
    counts = Counter((tag.group, tag.label) for photo in tags for tag in photo.tags)
    return {label: count / len(tags) for label, count in counts.items()}
