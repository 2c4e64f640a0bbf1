"""The commands as a user runs them: real processes, the embedded preset, real files."""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from modiste.cli.app import app
from modiste.cli.option_groups import TrainOptions
from modiste.routes.finetune.finetune import merged

ROOT = Path(__file__).parents[2]
PHOTOS = sorted((ROOT / "examples" / "photos").glob("*.jpg"))


def modiste(*arguments, cwd=None, timeout=300):
    """One command; returns the finished process."""
    return subprocess.run(
        [sys.executable, str(ROOT / "harness.py"), *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "COLUMNS": "100"},
    )


def bomb_png(side: int) -> bytes:
    """A PNG of side × side white pixels in a few kilobytes, written by hand so that no memory is spent on it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer, rows = zlib.compressobj(9), b"\0" + b"\xff" * (side // 8)
    data = b"".join([*(packer.compress(rows) for _ in range(side)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def messy_folder(tmp_path_factory):
    """A folder as shops really send them: good photos in odd forms beside files that are no photos."""
    folder = tmp_path_factory.mktemp("messy photos")
    photo = Image.open(PHOTOS[0]).convert("RGB")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("<html>502 Bad Gateway</html>")
    (folder / "truncated.jpg").write_bytes(PHOTOS[1].read_bytes()[:2000])
    (folder / "bomb.png").write_bytes(bomb_png(9600))
    photo.convert("CMYK").save(folder / "cmyk.jpg", quality=92)
    gray = photo.convert("L").point(lambda value: value * 256, "I").convert("I;16")
    gray.save(folder / "gray16.png")
    transparent = Image.open(PHOTOS[2]).convert("RGBA")
    transparent.putpixel((0, 0), (255, 0, 0, 0))
    transparent.save(folder / "transparent.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(PHOTOS[3]).rotate(90, expand=True).save(folder / "rotated.jpg", exif=exif, quality=92)
    (folder / "photo.jpg").write_bytes(PHOTOS[4].read_bytes())
    (folder / "photo again.jpg").write_bytes(PHOTOS[4].read_bytes())
    return folder


def test_a_messy_folder_uses_the_good_photos_lists_the_bad_ones_and_exits_3(messy_folder, tmp_path):
    done = modiste("prompt", messy_folder, "--out", tmp_path, "--preset", "mini", "--budget", 8, "--json")
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    codes = {Path(skip["path"]).name: skip["code"] for skip in report["skipped"]}
    assert codes == {
        "empty.jpg": "EMPTY",
        "text.jpg": "NOT_IMAGE",
        "truncated.jpg": "TRUNCATED",
        "bomb.png": "BOMB",
    }
    used = {Path(image["image"]).name for image in report["images"]}
    assert {"cmyk.jpg", "gray16.png", "transparent.png", "rotated.jpg"} < used
    assert len(used & {"photo.jpg", "photo again.jpg"}) == 1
    doubles = [image["duplicates"] for image in report["images"] if image["duplicates"]]
    assert len(doubles) == 1 and len(doubles[0]) == 1


def test_a_cmyk_a_rotated_and_a_transparent_copy_get_the_tags_of_the_photo_they_were_made_of(messy_folder):
    copies = ["cmyk.jpg", "transparent.png", "rotated.jpg"]
    done = modiste(
        "tag",
        *[messy_folder / name for name in copies],
        PHOTOS[0],
        PHOTOS[2],
        PHOTOS[3],
        "--preset",
        "mini",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    captions = [entry["caption"] for entry in json.loads(done.stdout)]
    assert captions[:3] == captions[3:]


def test_an_empty_folder_and_a_wrong_path_exit_2_with_one_line_that_says_what_to_do(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        done = modiste("prompt", path, "--out", tmp_path / "out", "--preset", "mini")
        assert done.returncode == 2
        assert done.stderr.strip().count("\n") == 0 and str(path) in done.stderr
        assert not (tmp_path / "out").exists()


def test_sd15_without_weights_names_the_ids_where_it_looked_and_the_embedded_preset(tmp_path):
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "harness.py"),
            "prompt",
            str(PHOTOS[0]),
            "--out",
            str(tmp_path / "o"),
            "--preset",
            "sd15",
        ],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 2
    for part in (
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "patrickjohncyh/fashion-clip",
        str(tmp_path / "hub"),
        "--preset mini",
    ):
        assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_generate_draws_the_same_picture_twice_and_score_prefers_it_to_another_garment(tmp_path):
    for name in ("a", "b"):
        done = modiste(
            "generate",
            "a photo of a red striped dress",
            "--seed",
            3,
            "--out",
            tmp_path / f"{name}.png",
            "--preset",
            "mini",
        )
        assert done.returncode == 0, done.stderr
    other = modiste("generate", "blue trousers", "--seed", 3, "--out", tmp_path / "c.png", "--preset", "mini")
    assert other.returncode == 0
    a, b = (Image.open(tmp_path / f"{name}.png") for name in "ab")
    assert a.size == (64, 64) and a.tobytes() == b.tobytes()

    def score(first, second):
        return json.loads(modiste("score", first, second, "--preset", "mini", "--json").stdout)

    same, different = (
        score(tmp_path / "a.png", tmp_path / "b.png"),
        score(tmp_path / "c.png", tmp_path / "a.png"),
    )
    assert same["similarity_score"] > 0.99 and different["similarity_score"] < 0.2
    assert {"similarity_score", "raw_cosine", "calibration"} <= same.keys()


@pytest.mark.skipif(os.name == "nt", reason="a console's Ctrl-C can't be sent to one process there")
def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(tmp_path):
    out = tmp_path / "out"
    words = ["prompt", PHOTOS[0], PHOTOS[1], "--out", out, "--preset", "mini", "--budget", 12]
    command = [sys.executable, str(ROOT / "harness.py"), *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and len(list(out.rglob("*.png"))) < 5:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command goes on" in err and "Traceback" not in err
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("images/*/*.png")}
    assert len(kept) >= 5 and not (out / "report.json").exists()
    done = modiste(*words)
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "report.json").read_text())["summary"]["photos"] == 2
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sampler", "Eular"], "did you mean 'Euler'"),
        (["--strategies", "sentense"], "no strategy 'sentense'"),
        (["--host", "invokeai"], "no host 'invokeai'"),
        (["--vocabulary", "minis"], "no vocabulary 'minis'"),
        (["--device", "tpu"], "no device 'tpu'"),
        (["--preset", "sd16"], "no preset 'sd16'"),
        (["--checkpoint", "nowhere"], "nowhere"),
    ],
)
def test_what_can_not_be_done_is_said_in_one_line_before_anything_is_made(words, said, tmp_path):
    preset = [] if "--preset" in words else ["--preset", "mini"]
    done = modiste("prompt", PHOTOS[0], "--out", tmp_path / "out", *preset, *words)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.strip().count("\n") == 0 and done.stdout == "" and not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["tag", "finetune", "compare", "judge", "pipeline"])
def test_a_trigger_of_two_lines_is_refused_because_a_caption_is_one(command, tmp_path):
    done = CliRunner().invoke(app, [command, "--trigger", "ves\nper", "--out", str(tmp_path / "out"), str(PHOTOS[0])])
    assert done.exit_code == 2 and "a caption is one line" in done.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["finetune", "pipeline"])
@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        (None, [], "there is no such config"),
        ("{bad", [], "the config is no JSON"),
        ("[1]", [], "the config is no JSON object"),
        ("{}", ["--bind", "fabrics"], "fabrics"),
    ],
)
def test_a_training_that_can_not_be_is_refused_in_words_before_anything_is_made(
    command, content, words, said, tmp_path
):
    config, out = tmp_path / "config.json", tmp_path / "out"
    if content is not None:
        config.write_text(content)
    folder, given = Path(PHOTOS[0]).parent.parent / "collection", ["--preset", "mini", "--config", str(config)]
    done = CliRunner().invoke(app, [command, str(folder), "--out", str(out), *given, *words])
    assert done.exit_code == 2 and said in done.output, done.output
    assert not out.exists()


def test_an_option_of_a_training_changes_its_own_field_of_the_config_and_no_other():
    asked = TrainOptions("lora", rank=8).as_fields(None, 3, "auto")
    found = merged({"steps": 20, "network": {"rank": 4, "conv_rank": 2}}, asked)
    assert found == {"steps": 20, "network": {"rank": 8, "alpha": 8.0, "conv_rank": 2}, "method": "lora", "seed": 3}


def test_tags_grow_in_a_file_and_captions_lie_beside_the_photos(tmp_path):
    for photo in PHOTOS[:3]:
        shutil.copy(photo, tmp_path)
    (tmp_path / "broken.jpg").write_bytes(b"")
    words = [
        "tag",
        tmp_path,
        "--preset",
        "mini",
        "--out",
        tmp_path / "tags.jsonl",
        "--captions",
        "--trigger",
        "atelierx",
    ]
    first = modiste(*words)
    assert first.returncode == 3 and "broken.jpg: EMPTY" in first.stderr and first.stdout == ""
    lines = [json.loads(line) for line in (tmp_path / "tags.jsonl").read_text().splitlines()]
    assert [Path(line["image"]).name for line in lines] == [photo.name for photo in PHOTOS[:3]]
    for line in lines:
        caption = Path(line["image"]).with_suffix(".txt").read_text().strip()
        assert caption == line["caption"] and "atelierx" in caption
    modiste(*words)
    assert len((tmp_path / "tags.jsonl").read_text().splitlines()) == 3


def test_the_old_spelling_mode_prompt_is_the_command_prompt():
    assert modiste("--mode", "prompt", "--help").stdout == modiste("prompt", "--help").stdout


def test_doctor_says_that_the_embedded_preset_is_ready():
    done = modiste("doctor", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["presets"]["mini"] == {
        "ready": True,
        "missing": {},
        "checkpoint": str(ROOT / "mini" / "weights" / "sd"),
    }
