"""`python -m modiste.bench.tagging [--json] [--photos N] [--memory N]`: how fast are a catalogue's tags?

A random ViT-B/32 in FashionCLIP's format, 3-megapixel JPEGs and the shipped vocabulary `garments`; all in one run on
one machine. Beside Modiste stands the way of the package fashion-clip 0.2.2 (`FashionCLIP.zero_shot_classification`,
its code path with transformers and without its `datasets`): one call a group of labels, each of which encodes texts
and photos; then kinder than the package, photos and texts encoded once for all groups. The last row is the loop of
open_clip's README over a ViT-B/32 of its own, its texts not counted. OMP_NUM_THREADS says how many threads all have.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from ..core.torchvision_ops import patch_torchvision_ops
from ..fashion.batch_tagging import CATALOGUE_BATCH, TAGGING_SIDE, tag_photos
from ..fashion.encoder_cache import ObservationCache, RememberingEncoder
from ..fashion.encoders.load import load_encoder
from ..fashion.encoders.settings import EncoderSettings
from ..fashion.framing import Framer
from ..fashion.photos import Skip, decode_photo, read_file
from ..fashion.shards import Catalogue
from ..fashion.tagger import Tagger
from ..fashion.taxonomy import Taxonomy, load_taxonomy
from .random_models import random_clip

if TYPE_CHECKING:
    import numpy as np

PHOTO = (1536, 2048)  # pixels
OPEN_CLIP = "ViT-B-32"  # with random weights, as no others are named
BATCH = 8  # the package's own, in zero_shot_classification
TEMPLATES = ("a photo of {}", "a product photo of {}", "{}, fashion catalogue")  # FashionCLIP's in encoders.json


@dataclass(frozen=True)
class TaggingRow:
    """One way to tag: photos a second, and how often Modiste's cold and warm runs are faster."""

    way: str
    photos: int
    seconds: float
    photos_per_s: float
    cpu_seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes photos and model, tags in each way, prints the table."""
    parser = argparse.ArgumentParser(prog="python -m modiste.bench.tagging", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--photos", type=int, default=48)
    parser.add_argument("--memory", type=int, default=0, metavar="N", help="memory over N small photos instead")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        if chosen.memory:
            megabytes = memory(Path(folder), chosen.memory)
            print(json.dumps(megabytes) if chosen.json else memory_text(megabytes))
        else:
            measured = speed(Path(folder), chosen.photos)
            print(as_json(*measured) if chosen.json else as_text(*measured))


# ── speed ──


def speed(folder: Path, count: int) -> tuple[list[TaggingRow], list[float], float]:
    """The rows; the seconds that Modiste's vocabulary takes, once, new and after the edit; and the least cosine between
    a photo decoded small and the same decoded whole."""
    model, photos = random_clip(folder / "clip"), make_photos(folder / "photos", count)
    taxonomy = load_taxonomy("garments")
    encoder = load_encoder(str(model), framer=Framer("crop"), cpu_batch=CATALOGUE_BATCH)  # as the package does it
    say(f"{count} photos of {PHOTO[0]}×{PHOTO[1]}, {sum(len(group.labels) for group in taxonomy.groups)} labels")
    rows, vocabulary_s = [], []
    with ObservationCache(encoder.identity.key, folder / "cache") as cache:
        remembering = RememberingEncoder(encoder, cache)
        for way, vocabulary in (("Modiste, cold", taxonomy), ("Modiste, a label more", with_one_more(taxonomy))):
            tagger = Tagger(remembering, vocabulary, settings=EncoderSettings(templates=TEMPLATES))
            vocabulary_s.append(timed(f"{way}: its vocabulary", 1, tagger.prepare).seconds)
            rows.append(timed(way, count, lambda tagger=tagger: tag_all(photos, tagger, cache)))
    theirs, labels = FashionClipWay(model), [probes(group) for group in taxonomy.groups if group.enabled]
    rows.append(timed("fashion-clip, one call a group", count, lambda: [theirs.zero_shot(photos, g) for g in labels]))
    rows.append(timed("fashion-clip, encoded once", count, lambda: theirs.zero_shot(photos, sum(labels, []))))
    open_clip = OpenClipLoop(sum(labels, []))
    rows.append(timed("open_clip's loop, without its texts", count, lambda: open_clip.zero_shot(photos)))
    return rows, vocabulary_s, draft_parity(encoder, photos)


def tag_all(photos: Sequence[Path], tagger: Tagger, cache: ObservationCache) -> int:
    """What the command `tag` does, without its output."""
    tagged = tag_photos(Catalogue(photos), tagger, cache=cache, skipped=[], without_garment=lambda path: True)
    return sum(1 for _ in tagged)


def probes(group) -> list[str]:
    """The texts of a group's labels, one a label: the package knows no templates."""
    return [TEMPLATES[0].replace("{}", label.probe_texts[0]) for label in group.labels]


def with_one_more(taxonomy: Taxonomy) -> Taxonomy:
    """The vocabulary after an edit: its first group has a label more."""
    data = taxonomy.model_dump()
    more = dict(data["groups"][0]["labels"][0], id="modiste_bench", prompt_text="pinafore", probe_texts=["a pinafore"])
    data["groups"][0]["labels"] = (*data["groups"][0]["labels"], more)
    return Taxonomy.model_validate(data)


class FashionClipWay:
    """`fashion_clip.FashionCLIP`'s code path: processor, batches of 8, everything encoded again in every call."""

    def __init__(self, folder: Path):
        patch_torchvision_ops()
        from transformers import CLIPModel, CLIPProcessor

        self.model = CLIPModel.from_pretrained(folder).eval()
        self.preprocess = CLIPProcessor.from_pretrained(folder)

    def zero_shot(self, images: Sequence[Path], labels: Sequence[str]) -> list[str]:
        """`zero_shot_classification` of 0.2.2: the label of the largest cosine."""
        import numpy as np

        text_vectors, image_vectors = self._texts(labels), self._images(images)
        image_vectors = image_vectors / np.linalg.norm(image_vectors, ord=2, axis=-1, keepdims=True)
        return [labels[index] for index in np.argmax(image_vectors @ text_vectors.T, axis=-1)]

    def _images(self, images: Sequence[Path]) -> np.ndarray:
        from PIL import Image

        return self._vectors(
            images, lambda part: {"images": [Image.open(path) for path in part]}, self.model.get_image_features
        )

    def _texts(self, texts: Sequence[str]) -> np.ndarray:
        padding = {"max_length": 77, "padding": "max_length", "truncation": True}
        return self._vectors(texts, lambda part: {"text": list(part), **padding}, self.model.get_text_features)

    def _vectors(self, items: Sequence, inputs: Callable, features: Callable) -> np.ndarray:
        import numpy as np
        import torch

        embeds = []
        with torch.no_grad():
            for start in range(0, len(items), BATCH):
                batch = self.preprocess(**inputs(items[start : start + BATCH]), return_tensors="pt")
                output = features(**batch)
                embeds.append((output if torch.is_tensor(output) else output.pooler_output).numpy())
        return np.concatenate(embeds)


class OpenClipLoop:
    """The loop of open_clip's README (3.3): its ViT-B/32 with random weights, photo by photo."""

    def __init__(self, labels: Sequence[str]) -> None:
        patch_torchvision_ops()
        import open_clip
        import torch

        self.model, _, self.preprocess = open_clip.create_model_and_transforms(OPEN_CLIP)
        self.model.eval()
        self.labels = labels
        with torch.no_grad():
            self.texts = self.model.encode_text(open_clip.get_tokenizer(OPEN_CLIP)(labels), normalize=True)

    def zero_shot(self, images: Sequence[Path]) -> list[str]:
        """The most probable label of each photo."""
        import torch
        from PIL import Image

        found = []
        with torch.no_grad():
            for path in images:
                pixels = self.preprocess(Image.open(path)).unsqueeze(0)
                features = self.model.encode_image(pixels, normalize=True)
                found.append(self.labels[int((100.0 * features @ self.texts.T).softmax(-1).argmax())])
        return found


def draft_parity(encoder, photos: Sequence[Path]) -> float:
    """The least cosine between embeddings of photos decoded at a fraction, as tagging does, and decoded whole."""
    whole = [decode_photo(read_file(path), max(PHOTO)).image for path in photos]
    small = [decode_photo(read_file(path), TAGGING_SIDE).image for path in photos]
    return float((encoder.embed_images(whole) * encoder.embed_images(small)).sum(-1).min())


def make_photos(folder: Path, count: int) -> list[Path]:
    """Drawn garments, enlarged, with a camera's grain: JPEGs of about a megabyte."""
    import numpy as np
    from PIL import Image

    from ..mini.garment import sample_garment
    from ..mini.renderer import render

    folder.mkdir()
    rng = np.random.default_rng(0)
    files = []
    for index in range(count):
        drawn = render(sample_garment(Random(index)), size=512).resize(PHOTO, Image.Resampling.BICUBIC)
        grain = np.asarray(drawn, np.int16) + rng.normal(0, 5, (PHOTO[1], PHOTO[0], 1)).round().astype(np.int16)
        files.append(folder / f"{index:04}.jpg")
        Image.fromarray(grain.clip(0, 255).astype(np.uint8)).save(files[-1], quality=90)
    return files


def timed(way: str, count: int, work: Callable[[], object]) -> TaggingRow:
    """`work`, once."""
    say(f"{way} …")
    start, cpu = time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return TaggingRow(way, count, round(seconds, 3), round(count / seconds, 2), round(cpu, 3))


def ratios(rows: Sequence[TaggingRow]) -> dict[str, float]:
    """How many times as fast as each other way Modiste is, cold and after the edit."""
    cold, warm, *theirs = rows
    return {
        f"{ours} / {row.way}": round(row.seconds / mine.seconds, 2)
        for ours, mine in (("cold", cold), ("a label more", warm))
        for row in theirs
    }


def as_json(rows: Sequence[TaggingRow], vocabulary_s: Sequence[float], parity: float) -> str:
    """All of it as one JSON document."""
    document = {"rows": [asdict(row) for row in rows], "ratios": ratios(rows)}
    return json.dumps({**document, "vocabulary_s": vocabulary_s, "draft_parity": parity}, indent=2)


def as_text(rows: Sequence[TaggingRow], vocabulary_s: Sequence[float], parity: float) -> str:
    """The table for people."""
    lines = [f"{'':34}{'photos/s':>12}{'s':>10}{'CPU s':>10}"]
    lines += [f"{row.way:34}{row.photos_per_s:>12.2f}{row.seconds:>10.2f}{row.cpu_seconds:>10.2f}" for row in rows]
    lines += ["", *(f"{name}: {ratio:.1f}×" for name, ratio in ratios(rows).items())]
    once = " and ".join(f"{seconds:.1f} s" for seconds in vocabulary_s)
    lines += ["", f"Modiste's vocabulary, encoded once and kept: {once} after the edit"]
    return "\n".join([*lines, f"decoded small against decoded whole: least cosine {parity:.5f}"])


# ── memory ──


def memory(folder: Path, count: int) -> dict[str, float]:
    """Resident memory in MB after a tenth of `count` small photos and after all, tagged on the embedded preset."""
    from ..models.presets import preset
    from ..models.vision import open_tagger

    tagger = open_tagger(preset("mini"), "cpu", cpu_batch=CATALOGUE_BATCH)
    megabytes = {}
    with ObservationCache(tagger.encoder.identity.key, folder / "cache") as cache:
        small = Catalogue(list(make_small_photos(folder / "photos", count)))
        tagged = tag_photos(small, tagger, cache=cache, skipped=list[Skip](), without_garment=lambda path: True)
        for done, _ in enumerate(tagged, 1):
            if done in (count // 10, count):
                megabytes[str(done)] = round(resident_mb(), 1)
    return megabytes


def make_small_photos(folder: Path, count: int) -> Iterator[Path]:
    """JPEGs of 96×96 pixels, no two alike."""
    from PIL import Image

    folder.mkdir()
    for index in range(count):
        image = Image.new("RGB", (96, 96), (230, 230, 228))
        image.paste((index % 256, index // 256 % 256, 120), (24, 12, 72, 84))
        file = folder / f"{index:06}.jpg"
        image.save(file)
        yield file


def resident_mb() -> float:
    """This process's memory in RAM; Linux only."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def memory_text(megabytes: dict[str, float]) -> str:
    """For people."""
    (first, before), (last, after) = megabytes.items()
    return f"{before:.0f} MB after {first} photos, {after:.0f} MB after {last}: {after - before:+.1f} MB"


def say(line: str) -> None:
    """Progress, beside the result."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
