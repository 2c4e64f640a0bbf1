"""An encoder that knows eight words, and a vocabulary of them: what is tagged follows from numbers in a test."""

from __future__ import annotations

import torch
from PIL import Image

from modiste.fashion.encoders.protocol import EncoderIdentity
from modiste.fashion.taxonomy import Taxonomy

WORDS = ("dress", "top", "long sleeves", "short sleeves", "hidden sleeves", "evening", "casual", "sport")


class WordEncoder:
    """An encoder whose space has one axis a word; a picture's red, green and blue say how much of which it shows."""

    identity = EncoderIdentity(id="words", revision="1", preprocessing="none")
    logit_scale = 20.0
    device = "cpu"

    def embed_images(self, images):
        return torch.nn.functional.normalize(torch.stack([image.shown for image in images]), dim=-1)

    def embed_texts(self, texts):
        axes = torch.eye(len(WORDS))
        return torch.stack([axes[[word in text for word in WORDS].index(True)] for text in texts])


def shown(**words: float) -> Image.Image:
    image = Image.new("RGB", (32, 32))
    image.shown = torch.tensor([words.get(word.replace(" ", "_"), 0.0) for word in WORDS])
    return image


def labels(*words: str) -> list[dict]:
    return [{"id": word.split()[0], "prompt_text": word, "probe_texts": [f"a {word}", f"the {word}"]} for word in words]


TAXONOMY = Taxonomy.model_validate(
    {
        "id": "test",
        "version": "1",
        "groups": [
            {"id": "category", "slot": "noun", "labels": labels("dress", "top")},
            {
                "id": "sleeves",
                "slot": "after",
                "labels": labels("long sleeves", "short sleeves"),
                "absent": ["hidden sleeves"],
                "applies_to": {"category": ["top"]},
            },
            {"id": "style", "slot": "before", "exclusive": False, "labels": labels("evening", "casual", "sport")},
        ],
    }
)
