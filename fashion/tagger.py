"""Photos → tags: zero-shot within each group of the vocabulary, colours from pixels, calibrated confidences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from .colour import colour_shares
from .encoders.settings import EncoderSettings
from .garment_finder import PLAIN_GROUND, GarmentFinder
from .tags import PhotoTags, Tag

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

    from .encoders.protocol import Encoder
    from .familiarity import Familiarity
    from .taxonomy import Group, Taxonomy

LEAST_SHARE = 1e-3  # of a colour that no pixel has: its logit stays finite
WORDS_SHARE = 0.5  # of the encoder's logits beside the pixels' own
MOST = 2  # labels of a group that is not exclusive
LEAST_CONFIDENCE = 0.25  # of a label of a group that is not exclusive


@dataclass(frozen=True)
class Observation:
    """What tagging needs of a photo: its embedding, float32 [D], and its garment's pixels, sRGB uint8 [K, 3].

    No pixels: which ones are the garment's is not known.
    """

    embed: torch.Tensor
    pixels: np.ndarray


class Tagger:
    """Tags photos with one encoder and one vocabulary.

    Temperatures (group id → T) make softmax(logits / T) an honest probability; a group without one has T = 1.
    Tu et al., "An Empirical Study Into What Matters for Calibrating Vision-Language Models" (ICML 2024).
    """

    def __init__(
        self,
        encoder: Encoder,
        taxonomy: Taxonomy,
        temperatures: Mapping[str, float] | None = None,
        groups: Sequence[str] | None = None,
        settings: EncoderSettings | None = None,
        familiarity: Familiarity | None = None,
        finder: GarmentFinder = PLAIN_GROUND,
    ):
        """`groups`: the ids of the groups to tag; None: those that the vocabulary enables. The noun is always tagged.

        `temperatures` override those of the encoder's `settings`. `familiarity`: None where it was not measured.
        `finder`: finds the pixels that colours are read from.
        """
        self.encoder, self.taxonomy, self.settings = encoder, taxonomy, settings or EncoderSettings()
        self.familiarity, self.finder = familiarity, finder
        self.temperatures = {**self.settings.temperatures, **(temperatures or {})}
        self.logit_scale = self.settings.logit_scale or encoder.logit_scale
        ids = [group.id for group in taxonomy.groups if group.enabled] if groups is None else list(groups)
        for group_id in ids:
            taxonomy.group(group_id)
        self.groups = [group for group in taxonomy.groups if group.id in ids or group == taxonomy.noun]

    @property
    def key(self) -> str:
        """What observations depend on: equal ones can share a cache."""
        return f"{self.encoder.identity.key}+{self.finder.key}" if self.finder.key else self.encoder.identity.key

    def of_groups(self, groups: Sequence[str]) -> Tagger:
        """The same tagger for other groups of the vocabulary, by their ids."""
        return Tagger(
            self.encoder, self.taxonomy, self.temperatures, groups, self.settings, self.familiarity, self.finder
        )

    def tag(self, images: Sequence[Image.Image]) -> list[PhotoTags]:
        """The tags of each picture, in the vocabulary's order; a group that does not apply is left out."""
        return self.read(self.observe(images))

    def prepare(self) -> None:
        """Embeds the vocabulary now instead of with the first photo."""
        _ = self._probes

    def observe(self, images: Sequence[Image.Image]) -> list[Observation]:
        """The observation of each picture: the expensive half of tagging."""
        if not images:
            return []
        embeds = self.encoder.embed_images(images)
        return [Observation(embed, self.finder.pixels(image)) for embed, image in zip(embeds, images, strict=True)]

    def read(self, observations: Sequence[Observation]) -> list[PhotoTags]:
        """The tags of each observation: the cheap half, so that a changed vocabulary needs no photo again."""
        if not observations:
            return []
        logits = self.logits(observations)
        confidences = {
            group.id: (logits[group.id] / self.temperatures.get(group.id, 1.0)).softmax(-1) for group in self.groups
        }
        shown = self._shown(observations, logits)
        return [
            self._tags(index, confidences, len(observation.pixels) > 0).model_copy(update={"garment": shown[index]})
            for index, observation in enumerate(observations)
        ]

    def shows_garment(self, observations: Sequence[Observation]) -> list[bool]:
        """Whether each observation is of a garment, as far as the encoder can tell.

        It is none where it lies far from the garments of the encoder's training, or where the `absent` probes of the
        noun are the nearest.
        """
        return self._shown(observations, self.logits(observations)) if observations else []

    def _shown(self, observations: Sequence[Observation], logits: Mapping[str, torch.Tensor]) -> list[bool]:
        import torch

        known = [True] * len(observations)
        if self.familiarity is not None:
            known = self.familiarity.knows(torch.stack([observation.embed for observation in observations]))
        nouns = logits[self.taxonomy.noun.id].argmax(-1)
        named = [index < len(self.taxonomy.noun.labels) for index in nouns.tolist()]
        return [both == (True, True) for both in zip(known, named, strict=True)]

    def logits(self, observations: Sequence[Observation]) -> dict[str, torch.Tensor]:
        """Each group id → logits [N, labels]: logit_scale · cosine with each label's probe.

        A group with `absent` probes has one column more, the last: not visible. In a group read from pixels the log
        of the label's share is added: what is not there is ruled out, and the words tell base colour from print. Where
        the garment's pixels are not known, the words stand alone.
        """
        import numpy as np
        import torch

        embeds = torch.stack([observation.embed for observation in observations])
        logits = {}
        for group in self.groups:
            logits[group.id] = self.logit_scale * embeds @ self._probes[group.id].T
            if group.source == "pixels":
                known = torch.tensor([len(observation.pixels) > 0 for observation in observations])[:, None]
                shares = np.stack([_shares(observation.pixels, group) for observation in observations])
                log_shares = torch.from_numpy(np.log(np.maximum(shares, LEAST_SHARE))).float()
                if group.absent:  # a garment with pixels has a colour
                    log_shares = torch.nn.functional.pad(log_shares, (0, 1), value=float(np.log(LEAST_SHARE)))
                logits[group.id] = torch.where(known, WORDS_SHARE * logits[group.id] + log_shares, logits[group.id])
        return logits

    @cached_property
    def _probes(self) -> dict[str, torch.Tensor]:
        """Each group id → probes [labels, D]: a label's mean over its probe texts in all templates, renormalised."""
        import torch

        probes = {}
        for group in self.groups:
            texts = [label.probe_texts for label in group.labels] + ([group.absent] if group.absent else [])
            filled = [
                [template.replace("{}", text) for text in label for template in self.settings.templates]
                for label in texts
            ]
            embeds = self.encoder.embed_texts([text for label in filled for text in label])
            means = [part.mean(0) for part in torch.split(embeds, [len(label) for label in filled])]
            probes[group.id] = torch.nn.functional.normalize(torch.stack(means), dim=-1)
        return probes

    def _tags(self, index: int, confidences: Mapping[str, torch.Tensor], has_pixels: bool) -> PhotoTags:
        """The tags of observation `index`; `confidences`: group id → [N, labels]."""
        tags: list[Tag] = []
        not_visible: list[str] = []
        chosen: dict[str, str] = {}
        for group in self.groups:
            group_tags = _read(group, confidences[group.id][index].tolist()) if group.applies(chosen) else []
            if group_tags:
                chosen[group.id] = group_tags[0].label
                tags += group_tags
            else:
                not_visible.append(group.id)
        by_words = [] if has_pixels else [group.id for group in self.groups if group.source == "pixels"]
        named = tuple(group_id for group_id in by_words if group_id in chosen)
        return PhotoTags(tags=tuple(tags), not_visible=tuple(not_visible), by_words=named)


def _shares(pixels: np.ndarray, group: Group) -> np.ndarray:
    """The colour shares [labels] of a garment's pixels; equal ones where there are none."""
    import numpy as np

    return colour_shares(pixels, group) if len(pixels) else np.full(len(group.labels), 1 / len(group.labels))


def _read(group: Group, confidences: Sequence[float]) -> list[Tag]:
    """The most confident labels of a group; none where `not visible` is the most confident answer."""
    order = sorted(range(len(confidences)), key=lambda index: -confidences[index])
    if order[0] == len(group.labels):
        return []
    ranked = [index for index in order if index < len(group.labels)]
    if group.exclusive:
        ranked, rest = ranked[:1], ranked[1:2]
    else:
        kept = [index for index in ranked[:MOST] if confidences[index] >= LEAST_CONFIDENCE]
        ranked, rest = kept or ranked[:1], ranked[len(kept) or 1 :][:1]
    runner_up = rest[0] if rest else None
    return [
        Tag(
            group=group.id,
            label=group.labels[index].id,
            confidence=min(1.0, confidences[index]),
            text=group.labels[index].prompt_text,
            runner_up=None if runner_up is None else group.labels[runner_up].id,
            margin=max(0.0, confidences[index] - (0.0 if runner_up is None else confidences[runner_up])),
        )
        for index in ranked
    ]
