"""Photos → tags: zero-shot within each group of the vocabulary, colours from pixels, confidences calibrated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from .colour import colour_logits
from .tags import PhotoTags, Tag

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from .encoder import Encoder
    from .taxonomy import Group, Taxonomy

MOST = 2  # labels of a group that is not exclusive
LEAST_CONFIDENCE = 0.25  # of a label of a group that is not exclusive


class Tagger:
    """Reads photos with one encoder and one vocabulary.

    `temperatures` (group id → T) make softmax(logits / T) an honest probability; a group without one has T = 1.
    Tu et al., "An Empirical Study Into What Matters for Calibrating Vision-Language Models" (ICML 2024).
    """

    def __init__(
        self,
        encoder: Encoder,
        taxonomy: Taxonomy,
        temperatures: Mapping[str, float] | None = None,
        groups: Sequence[str] | None = None,
    ):
        """`groups` are the ids to ask; None: those that the vocabulary enables. The noun is always asked."""
        self.encoder, self.taxonomy, self.temperatures = encoder, taxonomy, dict(temperatures or {})
        wanted = [group.id for group in taxonomy.groups if group.enabled] if groups is None else list(groups)
        for group_id in wanted:
            taxonomy.group(group_id)
        self.groups = [group for group in taxonomy.groups if group.id in wanted or group == taxonomy.noun]

    def tag(self, images: Sequence[Image.Image]) -> list[PhotoTags]:
        """The tags of each picture, in the vocabulary's order; a group that does not apply is not asked."""
        if not images:
            return []
        logits = self.logits(images)
        confidences = {
            group.id: (logits[group.id] / self.temperatures.get(group.id, 1.0)).softmax(-1) for group in self.groups
        }
        return [self._tags(index, confidences) for index in range(len(images))]

    def logits(self, images: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
        """Group id → [N, labels]: logit_scale · cosine with each label's probes, or log shares of pixels.

        A group with `absent` probes has one column more, the last: not visible.
        """
        import numpy as np
        import torch

        embeds = self.encoder.embed_images(images)
        found = {}
        for group in self.groups:
            if group.source == "pixels":
                found[group.id] = torch.from_numpy(np.stack([colour_logits(image, group) for image in images])).float()
            else:
                found[group.id] = self.encoder.logit_scale * embeds @ self._probes[group.id].T
        return found

    @cached_property
    def _probes(self) -> dict[str, torch.Tensor]:
        """Group id → one unit vector a label: the mean over its probe texts, renormalised (Radford 2021, §3.1.4)."""
        import torch

        probes = {}
        for group in self.groups:
            if group.source == "encoder":
                texts = [label.probe_texts for label in group.labels] + ([group.absent] if group.absent else [])
                embeds = self.encoder.embed_texts([text for label in texts for text in label])
                means = [part.mean(0) for part in embeds.split([len(label) for label in texts])]
                probes[group.id] = torch.nn.functional.normalize(torch.stack(means), dim=-1)
        return probes

    def _tags(self, index: int, confidences: Mapping[str, torch.Tensor]) -> PhotoTags:
        tags: list[Tag] = []
        unseen: list[str] = []
        chosen: dict[str, str] = {}
        for group in self.groups:
            found = _read(group, confidences[group.id][index].tolist()) if group.applies(chosen) else []
            if found:
                chosen[group.id] = found[0].label
                tags += found
            else:
                unseen.append(group.id)
        return PhotoTags(tags=tuple(tags), not_visible=tuple(unseen))


def _read(group: Group, confidences: Sequence[float]) -> list[Tag]:
    """The labels that a group's confidences speak for; none where `not visible` leads."""
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
