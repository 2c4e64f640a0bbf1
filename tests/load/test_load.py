"""Ten thousand photos: run by `python install.py test -m load`. `MODISTE_PHOTOS` says how many, 10,000 without it."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from fresh_process import python_environment
from PIL import Image

from modiste.mini.catalogue import make_catalogue

ROOT = Path(__file__).parents[2]
PHOTOS = int(os.environ.get("MODISTE_PHOTOS", 10_000))
MOST_MB = 50  # more than after a tenth of the photos


def jpeg(image: Image.Image, **more: object) -> bytes:
    file = BytesIO()
    image.save(file, "JPEG", quality=85, **more)
    return file.getvalue()


def png(size: tuple[int, int], mode: str = "RGB") -> bytes:
    file = BytesIO()
    Image.new(mode, size).save(file, "PNG")
    return file.getvalue()


def gif() -> bytes:
    file = BytesIO()
    Image.new("P", (120, 160)).save(file, "GIF")
    return file.getvalue()


def with_wrong_checksum(data: bytes) -> bytes:
    place = data.index(b"IDAT") + 6
    return data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :]


# What the bad ones are, in turn: how the file is made of a good photo, and the code that it is skipped with.
BAD: list[tuple[Callable[[Path, bytes], object], str]] = [
    (lambda path, photo: path.write_bytes(random.Random(path.name).randbytes(2000)), "NOT_IMAGE"),
    (lambda path, photo: path.write_bytes(b""), "EMPTY"),
    (lambda path, photo: path.write_bytes(b"<!DOCTYPE html><html>504</html>"), "NOT_IMAGE"),
    (lambda path, photo: path.write_bytes(photo[: len(photo) // 2]), "TRUNCATED"),
    (lambda path, photo: path.write_bytes(with_wrong_checksum(png((120, 160)))), "CORRUPT"),
    (lambda path, photo: path.write_bytes(gif()), "FORMAT"),
    (lambda path, photo: path.write_bytes(png((1, 1))), "TOO_SMALL"),
    (lambda path, photo: path.write_bytes(png((4000, 64))), "ASPECT"),
    (lambda path, photo: path.write_bytes(png((12_000, 12_000), "1")), "BOMB"),
    (lambda path, photo: path.symlink_to(path), "PERM"),
    (lambda path, photo: path.symlink_to("not there.jpg"), "GONE"),
    (lambda path, photo: os.mkfifo(path), "NOT_FILE"),
]


def laid_out(photos: Path, count: int) -> dict[str, str]:
    """Renders of the embedded garments, one in a hundred files bad; the bad ones' names with their codes."""
    shots = make_catalogue(40, "load", held_out=None, workers=1).pictures[:, 0]
    small = [Image.fromarray(shot).resize((128, 128), Image.Resampling.BICUBIC) for shot in shots]
    large = small[0].resize((3500, 3500))  # 12 megapixels: of these one in 200, of a few thousand pixels else
    photos.mkdir()
    codes = {}
    for number in range(count):
        path = photos / f"{number:05}.jpg"
        photo = jpeg(large if number % 200 == 0 else small[number % len(small)], comment=f"photo {number}")
        if number % 100 == 99:
            make, codes[path.name] = BAD[number // 100 % len(BAD)]
            make(path, photo)
        else:
            path.write_bytes(photo)
    return codes


def peak_mb(pid: int) -> float:
    """The most memory that a running process has had."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) / 1e3


@pytest.mark.load
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the memory")
def test_ten_thousand_photos_take_no_more_memory_than_a_thousand_and_each_bad_one_is_listed(tmp_path):
    codes, lines = laid_out(tmp_path / "photos", PHOTOS), tmp_path / "tags.jsonl"
    # --force: two of the forty renders are no garment to the small encoder.
    command = [sys.executable, str(ROOT / "harness.py"), "tag", "photos", "--force"]
    command += ["--preset", "mini", "--out", str(lines)]
    environment = python_environment(MODISTE_HOME=str(tmp_path / "home"), OMP_NUM_THREADS="1")
    with (tmp_path / "errors").open("w") as errors:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=errors, stdout=subprocess.DEVNULL)
        tagged = 0
        while tagged < PHOTOS // 10 and process.poll() is None:
            time.sleep(0.1)
            tagged = lines.read_bytes().count(b"\n") if lines.is_file() else 0
        at_first = peak_mb(process.pid) if process.returncode is None else 0.0
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    told = (tmp_path / "errors").read_text(encoding="utf-8")
    assert process.returncode == 3 and "Traceback" not in told, told[-2000:]
    grown_mb = usage.ru_maxrss / 1e3 - at_first
    print(f"{at_first:.0f} MB after {tagged}, {grown_mb:+.1f} MB after {PHOTOS}, {usage.ru_utime:.0f} CPU s")

    skipped = dict(re.findall(r"skipped photos/(\S+): (\w+),", told))
    assert skipped == codes
    names = {Path(json.loads(line)["image"]).name for line in lines.read_text(encoding="utf-8").splitlines()}
    assert names == {f"{number:05}.jpg" for number in range(PHOTOS)} - codes.keys()
    assert grown_mb < MOST_MB
