"""Ten thousand photos: run by `python install.py test -m load`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fresh_process import python_environment

TAG = """
import os, random, sys
from io import BytesIO
from pathlib import Path
import torch
from PIL import Image
from word_encoder import TAXONOMY, WORDS, WordEncoder
from modiste.fashion.batch_tagging import tag_photos
from modiste.fashion.encoder_cache import ObservationCache
from modiste.fashion.shards import Catalogue
from modiste.fashion.tag_file import TagFile
from modiste.fashion.tagger import Tagger

class Colours(WordEncoder):
    def embed_images(self, images):
        means = torch.stack([torch.tensor(image.resize((1, 1)).getpixel((0, 0))) for image in images]).float() / 255
        padded = torch.nn.functional.pad(means, (0, len(WORDS) - 3)) + 0.01
        return torch.nn.functional.normalize(padded, dim=-1)

folder, count = Path(sys.argv[1]), int(sys.argv[2])
dice = random.Random(0)
photos = folder / "photos"
photos.mkdir()
for number in range(count):
    if number % 100 == 99:
        (photos / f"{number:05}.jpg").write_bytes(dice.randbytes(2000))
        continue
    # Of 12 megapixels at 50, of a few thousand pixels else: what a catalogue holds, within minutes.
    size = (4000, 3000) if number % 200 == 0 else (120, 160)
    colour = tuple(dice.randrange(256) for _ in range(3))
    Image.new("RGB", size, colour).save(photos / f"{number:05}.jpg", quality=60)

def rss_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

skipped, at_first, most, done = [], 0.0, 0.0, 0
tagger = Tagger(Colours(), TAXONOMY)
with TagFile(folder / "tags.jsonl") as file, ObservationCache("colours", folder / "cache") as cache:
    catalogue, forced = Catalogue([photos]), lambda path: True
    for _, line in tag_photos(catalogue, tagger, cache=cache, skipped=skipped, without_garment=forced):
        file.add(line)
        done += 1
        if done == count // 10:
            at_first = rss_mb()
        if done > count // 10 and done % 100 == 0:
            most = max(most, rss_mb())
print(done, len(skipped), {skip.code for skip in skipped}, round(most - at_first, 1))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux for the memory")
@pytest.mark.parametrize("photos", [pytest.param(10_000, marks=pytest.mark.load)])
def test_ten_thousand_photos_take_no_more_memory_than_a_thousand_and_each_bad_one_is_listed(photos, tmp_path):
    command = [sys.executable, "-c", TAG, str(tmp_path), str(photos)]
    done = subprocess.run(command, env=python_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tagged, skipped, codes, grown_mb = done.stdout.rsplit(maxsplit=3)
    assert (int(tagged), int(skipped), codes) == (photos - photos // 100, photos // 100, "{'NOT_IMAGE'}")
    assert float(grown_mb) < 50
