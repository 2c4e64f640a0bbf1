"""Random bytes where others' files and answers are read: what comes back is good, or an error of ours. Bounded."""

from __future__ import annotations

import base64
import json
import random
import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from lora_samples import small_lora
from PIL import Image, ImageCms

from modiste.core.errors import ModisteError
from modiste.core.state_files import json_object, read_state
from modiste.fashion.photos import CODES, BadPhoto, PhotoFile, decode_photo
from modiste.hosts.connection import Answer
from modiste.hosts.webui.responses import read_json
from modiste.hosts.webui.result import Txt2ImgResult
from modiste.trainer.data.caption_files import read_caption, read_metadata
from modiste.trainer.lora.file import read_lora, write_lora

ROUNDS = pytest.mark.parametrize("rounds", [300, pytest.param(20_000, marks=pytest.mark.load)])
ODD = [
    b"",
    b"\0",
    b"\xff",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"[" * 3000,
    b'{"a":' * 3000,
    b"\r\n",
    b"NaN",
    b"1e999",
    b'"\\ud800"',
]


def mutations(seeds: list[bytes], rounds: int) -> Iterator[bytes]:
    """The seeds with bytes changed, cut out, doubled and put in, always the same ones."""
    dice = random.Random(19)
    for _ in range(rounds):
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.randint(1, 6)):
            at, length = dice.randrange(len(data) + 1), dice.randint(0, 40)
            part = dice.choice([dice.randbytes(length), bytes(length), data[at : at + length] * 2, dice.choice(ODD)])
            data[at : at + dice.choice([0, length])] = part
        yield bytes(data)


def pictures() -> list[bytes]:
    """A small photo in each format, with EXIF, a colour profile and XMP."""
    image = Image.fromarray((np.arange(48 * 40 * 3) % 251).astype(np.uint8).reshape(48, 40, 3))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a dress" * 20
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    made = []
    for kind, more in (("PNG", {}), ("JPEG", {"xmp": b"<x:xmpmeta/>" * 4}), ("WEBP", {"xmp": b"<x/>"}), ("TIFF", {})):
        buffer = BytesIO()
        image.save(buffer, kind, exif=exif, icc_profile=profile, **more)
        made.append(buffer.getvalue())
    return made


@ROUNDS
@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged EXIF
def test_a_photo_of_any_bytes_is_a_photo_or_a_named_skip(rounds):
    good = 0
    for data in mutations(pictures(), rounds):
        try:
            photo = decode_photo(PhotoFile(Path("a.jpg"), data, "0" * 64))
            assert photo.image.mode == "RGB" and min(photo.image.size) > 0
            good += 1
        except BadPhoto as bad:
            assert bad.code in CODES and bad.reason
    assert 0.02 * rounds < good < 0.9 * rounds


@ROUNDS
def test_a_caption_of_any_bytes_is_text_or_a_named_error(rounds, tmp_path):
    row = json.dumps({"file_name": "a.png", "text": "a red dress, été"}).encode()
    seeds = ["a red dress".encode(code) for code in ("utf-8", "utf-8-sig", "utf-16", "utf-32")] + [row + b"\n" + row]
    for number, data in enumerate(mutations(seeds, rounds)):
        path = tmp_path / f"{number % 8}.txt"
        path.write_bytes(data)
        for read in (lambda: [read_caption(path)], lambda: read_metadata(path).values()):  # noqa: B023
            try:
                for caption in read():
                    assert caption.text == " ".join(caption.text.split()) and "\0" not in caption.text
                    caption.text.encode()
            except ModisteError as error:
                assert error.exit_code == 2 and str(path) in str(error)


@ROUNDS
def test_a_state_file_of_any_bytes_is_read_or_named(rounds, tmp_path):
    path = tmp_path / "state.json"
    for data in mutations([b'{"a": [1, 2.5, null, "x"], "b": {"c": true}}'], rounds):
        path.write_bytes(data)
        try:
            assert isinstance(read_state(path, json_object, "delete it"), dict)
        except ModisteError as error:
            assert error.exit_code == 2 and "state.json" in str(error)


@ROUNDS
def test_a_safetensors_file_of_any_bytes_is_read_or_refused(rounds, tmp_path):
    path = tmp_path / "lora.safetensors"
    write_lora(small_lora(), path, {"lora_adapter_metadata": '{"unet.r": 4}'})
    whole = path.read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    header, tensors = whole[8 : 8 + length], whole[8 + length :]
    seeds = [whole, *(struct.pack("<Q", len(text)) + text + tensors for text in mutations([header], 50))]
    for data in mutations(seeds, rounds):
        path.write_bytes(data)
        try:
            assert read_lora(path).modules
        except ModisteError as error:
            assert error.exit_code == 2 and "lora.safetensors" in str(error)


@ROUNDS
def test_a_server_may_answer_any_bytes(rounds):
    buffer = BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    picture = base64.b64encode(buffer.getvalue()).decode()
    info = {
        "seed": 1,
        "all_seeds": [1],
        "sampler_name": "Euler",
        "infotexts": ["x\nSteps: 2"],
        "index_of_first_image": 0,
    }
    good = json.dumps({"images": [picture], "parameters": {}, "info": json.dumps(info)}).encode()
    wrong = json.dumps({"detail": [{"loc": ["body", "steps"], "msg": "no"}], "error": "OutOfMemoryError"}).encode()
    dice = random.Random(1)
    for data in mutations([good, wrong, b"<html>502</html>", *ODD], rounds):
        status = dice.choice([200, 200, 200, 400, 404, 422, 429, 500, 502, 503, 504, 999])
        header = dice.choice(["application/json", "text/html", ""])
        answer = Answer(
            "http://x", status, {"Content-Type": header, "Retry-After": dice.choice(["nan", "-1", "soon"])}, data
        )
        try:
            result = Txt2ImgResult.read(read_json(answer), answer.url)
            assert result.image.mode == "RGB"
        except ModisteError as error:
            assert "http://x" in str(error)
