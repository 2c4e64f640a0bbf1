"""Photos as shops send them: odd but good ones are read rightly, bad ones are named with a code."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from fresh_process import python_environment
from PIL import Image, ImageCms

from modiste.core.errors import InputError
from modiste.fashion.photos import CODES, WORKING_SIDE, BadPhoto, find_photos, gather_photos, read_photo


def picture(size=(80, 60)) -> Image.Image:
    """Red on the left, blue on the right, a green band on top."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, : size[0] // 2] = (200, 30, 30)
    pixels[:, size[0] // 2 :] = (30, 30, 200)
    pixels[: size[1] // 4] = (30, 160, 60)
    return Image.fromarray(pixels)


def saved(path: Path, image: Image.Image | None = None, **how) -> Path:
    (image or picture()).save(path, **how)
    return path


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb(path: Path, side: int) -> Path:
    """A PNG of side × side black pixels in a few kilobytes, written by hand."""
    packer, row = zlib.compressobj(9), b"\0" * (side // 8 + 1)
    body = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return path


def code_of(path: Path) -> str:
    with pytest.raises(BadPhoto) as caught:
        read_photo(path)
    assert str(path) in str(caught.value) and caught.value.exit_code == 2
    return caught.value.code


def near(image: Image.Image, at: tuple[int, int], rgb: tuple[int, int, int], by: int = 12) -> bool:
    return max(abs(a - b) for a, b in zip(image.getpixel(at), rgb, strict=True)) <= by


# ── odd but good ──


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "ünï 裙子.png"])
def test_a_plain_photo_is_read_as_it_is(name, tmp_path):
    photo = read_photo(saved(tmp_path / name, quality=95))
    assert photo.image.mode == "RGB" and photo.image.size == (80, 60) and photo.notes == ()
    assert near(photo.image, (10, 50), (200, 30, 30), 25)


@pytest.mark.parametrize(
    ("suffix", "how"), [("tif", {"compression": "tiff_lzw"}), ("tiff", {}), ("avif", {"quality": 95})]
)
def test_a_tiff_and_an_avif_photo_are_read(suffix, how, tmp_path):
    photo = read_photo(saved(tmp_path / f"a.{suffix}", **how))
    assert photo.image.mode == "RGB" and near(photo.image, (10, 50), (200, 30, 30), 25) and photo.notes == ()
    assert find_photos([tmp_path]) == ([tmp_path / f"a.{suffix}"], [])


def test_of_a_tiff_with_pages_the_first_one_is_used_and_a_turned_one_is_turned_once(tmp_path):
    pages = saved(tmp_path / "pages.tif", save_all=True, append_images=[Image.new("RGB", (80, 60))])
    assert read_photo(pages).image.tobytes() == picture().tobytes() and "first" in read_photo(pages).notes[0]
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = saved(tmp_path / "turned.tif", picture().transpose(Image.Transpose.ROTATE_180), exif=exif)
    assert read_photo(turned).image.tobytes() == picture().tobytes()


def test_a_heic_photo_is_read_where_pillow_heif_is_and_else_says_how(tmp_path):
    path = tmp_path / "phone.heic"
    if find_spec("pillow_heif") is None:
        path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
        with pytest.raises(BadPhoto, match="pillow-heif") as caught:
            read_photo(path)
        assert caught.value.code == "FORMAT"
    else:
        import pillow_heif

        pillow_heif.from_pillow(picture()).save(path, quality=95)
        assert near(read_photo(path).image, (10, 50), (200, 30, 30), 25)


def test_cmyk_becomes_rgb_of_the_same_colours(tmp_path):
    photo = read_photo(saved(tmp_path / "a.jpg", picture().convert("CMYK"), quality=95))
    assert near(photo.image, (10, 50), (200, 30, 30), 30) and "CMYK" in photo.notes[0]


def test_a_16_bit_ramp_keeps_its_grays(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(40, 0)
    photo = read_photo(saved(tmp_path / "a.png", Image.fromarray(ramp)))
    grays = np.asarray(photo.image)[0, :, 0]
    assert abs(int(grays.mean()) - 127) <= 1 and grays[0] == 0 and grays[-1] == 255 and (np.diff(grays) >= 0).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_are_white_and_hide_what_was_below(mode, tmp_path):
    image = picture().convert("RGBA")
    image.paste((255, 0, 255, 0), (0, 20, 20, 60))
    image = image.convert(mode) if mode != "P" else image.quantize(16)
    photo = read_photo(saved(tmp_path / "a.png", image))
    assert near(photo.image, (5, 40), (255, 255, 255)) and "white" in photo.notes[0]


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_photo_is_upright_and_turned_once(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    undo = picture().transpose(Image.Transpose(turned))
    photo = read_photo(saved(tmp_path / "a.png", undo, exif=exif))
    assert photo.image.tobytes() == picture().tobytes()
    assert "orientation" in photo.notes[0]


def profile_with_red_and_blue_swapped() -> bytes:
    """sRGB's profile whose red and blue primaries have changed places, under another name."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = data.index(b"rXYZ") + 4, data.index(b"bXYZ") + 4
    data[red : red + 8], data[blue : blue + 8] = data[blue : blue + 8], data[red : red + 8]
    return bytes(data).replace(b"s\0R\0G\0B", b"x\0R\0G\0B").replace(b"sRGB built", b"xRGB built")


def test_colours_are_what_the_profile_means(tmp_path):
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert read_photo(saved(tmp_path / "srgb.png", icc_profile=plain)).notes == ()
    swapped = read_photo(saved(tmp_path / "swapped.png", icc_profile=profile_with_red_and_blue_swapped()))
    assert near(swapped.image, (10, 50), (30, 30, 200), 20) and "to sRGB" in swapped.notes[0]
    broken = read_photo(saved(tmp_path / "broken.png", icc_profile=b"nonsense"))
    assert "profile is broken" in broken.notes[0] and broken.image.tobytes() == picture().tobytes()


def test_of_an_animation_the_first_frame_is_used(tmp_path):
    frames = [picture(), Image.new("RGB", (80, 60), (1, 2, 3))]
    photo = read_photo(saved(tmp_path / "a.webp", frames[0], save_all=True, append_images=frames[1:], lossless=True))
    assert photo.image.tobytes() == picture().tobytes() and "first frame" in photo.notes[0]


def test_a_large_photo_is_held_small(tmp_path):
    photo = read_photo(saved(tmp_path / "a.png", Image.new("RGB", (3000, 2000), (9, 9, 9))))
    assert max(photo.image.size) == WORKING_SIDE


@pytest.mark.parametrize(("size", "decoded"), [((1792, 1000), (448, 250)), ((1000, 1788), (500, 894))])
def test_a_jpeg_is_decoded_as_small_as_its_longer_side_allows(size, decoded, tmp_path, monkeypatch):
    loaded, inner = [], Image.Image.thumbnail
    monkeypatch.setattr(Image.Image, "thumbnail", lambda image, *a: loaded.append(image.size) or inner(image, *a))
    photo = read_photo(saved(tmp_path / "a.jpg", picture(size)), 448)
    assert loaded == [decoded] and max(photo.image.size) == 448 and photo.size == size


# ── bad ──


def test_broken_files_are_named_by_what_is_wrong_with_them(tmp_path):
    whole = {
        kind: saved(tmp_path / f"whole.{kind}", picture((200, 150))).read_bytes() for kind in ("jpg", "png", "webp")
    }
    files = {
        "empty.jpg": (b"", "EMPTY"),
        "page.jpg": (b"<html>502 Bad Gateway</html>", "NOT_IMAGE"),
        "text.png": (b"a dress, red", "NOT_IMAGE"),
        "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "FORMAT"),
        "old.gif": (b"GIF89a" + bytes(50), "FORMAT"),
        "scan.tif": (b"II*\0" + bytes(50), "CORRUPT"),
        "film.mp4": (b"\0\0\0\x18ftypisom" + bytes(50), "FORMAT"),
        "crc.png": (whole["png"][:60] + b"\xff" + whole["png"][61:], "CORRUPT"),
        "noend.jpg": (whole["jpg"][: len(whole["jpg"]) // 2], "TRUNCATED"),
        "head.jpg": (whole["jpg"][:20], "TRUNCATED"),
        "noend.png": (whole["png"][: len(whole["png"]) // 2], "TRUNCATED"),
        "noend.webp": (whole["webp"][: len(whole["webp"]) // 2], "TRUNCATED"),
    }
    for name, (data, code) in files.items():
        (tmp_path / name).write_bytes(data)
        assert code_of(tmp_path / name) == code, name


def test_a_png_whose_pixels_decode_and_whose_checksum_is_wrong_is_refused(tmp_path):
    data = bytearray(saved(tmp_path / "a.png").read_bytes())
    body = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[body - 4 : body])
    data[body + 4 + length] ^= 1
    (tmp_path / "b.png").write_bytes(data)
    with Image.open(tmp_path / "b.png") as decoded:
        assert decoded.convert("RGB").tobytes() == picture().tobytes()
    assert code_of(tmp_path / "b.png") == "CORRUPT"


@pytest.mark.parametrize("side", [9600, 50000])
def test_a_decompression_bomb_is_refused_before_it_takes_memory(side, tmp_path):
    path = bomb(tmp_path / "bomb.png", side)
    assert path.stat().st_size < 400_000
    tracemalloc.start()
    try:
        assert code_of(path) == "BOMB"
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_photos_of_a_pixel_or_a_thread_are_refused(tmp_path):
    assert code_of(saved(tmp_path / "dot.png", Image.new("RGB", (1, 1)))) == "TOO_SMALL"
    assert code_of(saved(tmp_path / "thread.png", Image.new("RGB", (2000, 40)))) == "ASPECT"


def test_any_byte_changed_or_cut_is_a_photo_or_a_named_skip(tmp_path):
    rng = np.random.default_rng(3)
    for kind in ("jpg", "png", "webp", "tif", "avif"):
        data = saved(tmp_path / f"a.{kind}").read_bytes()
        for trial in range(60):
            damaged = bytearray(data)
            for place in rng.integers(len(data), size=3):
                damaged[place] ^= int(rng.integers(1, 256))
            (tmp_path / "b").write_bytes(damaged[: int(rng.integers(1, len(data) + 1))] if trial % 2 else damaged)
            try:
                assert read_photo(tmp_path / "b").image.mode == "RGB"
            except BadPhoto as bad:
                assert bad.code in CODES


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_a_photo_with_garbage_for_exif_is_used_and_says_so(kind, tmp_path):
    path = saved(tmp_path / f"a.{kind}", lossless=True, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    photo = read_photo(path)
    assert photo.image.tobytes() == picture().tobytes()
    exif = chunk(b"eXIf", b"\xff" * 40)  # bytes that are no EXIF at all
    data = saved(tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(data[:33] + exif + data[33:])
    photo = read_photo(tmp_path / "b.png")
    assert photo.image.tobytes() == picture().tobytes() and "EXIF data is broken" in photo.notes[0]


@pytest.mark.parametrize(
    "error", [KeyError("x"), ZeroDivisionError(), RuntimeError("x"), struct.error("x"), TypeError()]
)
def test_whatever_pillow_raises_is_a_code(error, tmp_path, monkeypatch):
    path = saved(tmp_path / "a.png")

    def load(image):
        raise error

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    assert code_of(path) == "CORRUPT"


@pytest.mark.skipif(os.name == "nt", reason="no such files there")
def test_a_pipe_a_device_and_a_link_to_itself_are_named_and_nothing_waits_for_them(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    saved(tmp_path / "a.png")
    assert code_of(tmp_path / "pipe.jpg") == "NOT_FILE" and code_of(Path("/dev/zero")) == "NOT_FILE"
    assert code_of(tmp_path / "loop.jpg") == "PERM" and code_of(tmp_path) == "NOT_FILE"
    skipped = {skip.path.name: skip.code for skip in gather_photos([tmp_path]).skipped}
    assert skipped == {"device.jpg": "OUTSIDE_ROOT", "loop.jpg": "PERM", "pipe.jpg": "NOT_FILE"}


@pytest.mark.skipif(sys.platform != "linux", reason="names there are always text")
def test_a_name_that_is_no_utf_8_is_skipped_under_a_name_that_can_be_written(tmp_path):
    saved(tmp_path / "a.png")
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes((tmp_path / "a.png").read_bytes())
    skips = gather_photos([tmp_path]).skipped
    assert [(skip.path.name, skip.code) for skip in skips] == [("caf\\xe9.png", "NAME")]
    assert str(skips[0].path).encode()
    with pytest.raises(InputError, match="NAME"):
        gather_photos([tmp_path / os.fsdecode(b"caf\xe9.png")])


def test_a_photo_that_grows_while_it_is_read_is_named(tmp_path, monkeypatch):
    path, fstat = saved(tmp_path / "a.png"), os.fstat

    def before_it_grew(descriptor):
        status = list(fstat(descriptor))
        status[6] -= 10
        return os.stat_result(status)

    monkeypatch.setattr(os, "fstat", before_it_grew)
    assert code_of(path) == "CHANGED"


def test_a_path_that_no_file_can_have_is_an_error_and_no_traceback(tmp_path):
    with pytest.raises(InputError, match="no such photo"):
        find_photos([tmp_path / ("n" * 300 + ".jpg")])


# ── folders ──


def test_a_folder_is_walked_in_order_and_hidden_or_other_files_are_passed_over(tmp_path):
    for name in ("b/2.PNG", "a/1.jpeg", "c.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        saved(tmp_path / name)
    for name in ("notes.txt", ".hidden.jpg", "b/.DS_Store"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "__MACOSX").mkdir()
    saved(tmp_path / "__MACOSX" / "d.png")
    found, skipped = find_photos([tmp_path, tmp_path / "c.webp"])
    assert [str(path.relative_to(tmp_path)) for path in found] == ["c.webp", "a/1.jpeg", "b/2.PNG"]
    assert skipped == []


def test_a_run_reads_each_content_once_and_names_what_it_leaves_out(tmp_path):
    one = saved(tmp_path / "one.png")
    (tmp_path / "two.png").write_bytes(one.read_bytes())
    (tmp_path / "bad.png").write_bytes(b"")
    saved(tmp_path / "three.png", picture((90, 90)))
    gathered = gather_photos([tmp_path])
    assert [photo.path.name for photo in gathered.photos] == ["one.png", "three.png"]
    assert [path.name for path in gathered.duplicates[gathered.photos[0].sha256]] == ["two.png"]
    assert [(skip.path.name, skip.code) for skip in gathered.skipped] == [("bad.png", "EMPTY")]


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_link_out_of_the_folder_and_a_link_to_nothing_are_skipped(tmp_path):
    (tmp_path / "in").mkdir()
    secret = saved(tmp_path / "secret.png")
    saved(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "out.png").symlink_to(secret)
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "in" / "nothing.png")
    gathered = gather_photos([tmp_path / "in"])
    assert {skip.path.name: skip.code for skip in gathered.skipped} == {"out.png": "OUTSIDE_ROOT", "gone.png": "GONE"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_the_right_to_read_it_is_named(tmp_path):
    path = saved(tmp_path / "a.png")
    path.chmod(0)
    assert code_of(path) == "PERM"


def test_nothing_to_read_is_an_error_that_says_what_to_give(tmp_path):
    with pytest.raises(InputError, match="no photos here.*photos or folders of"):
        gather_photos([tmp_path])
    with pytest.raises(InputError, match="no such photo.*nowhere"):
        gather_photos([tmp_path / "nowhere"])
    for name in "abcd":
        (tmp_path / f"{name}.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="none of the 4 photos.*a.jpg: EMPTY.*and 1 more"):
        gather_photos([tmp_path])


def test_a_photo_in_memory_is_independent_of_its_file(tmp_path):
    path = saved(tmp_path / "a.png")
    photo = read_photo(path)
    path.unlink()
    assert photo.image.getpixel((0, 0)) == (30, 160, 60)


# ── names and numbers ──


def test_pixels_of_a_kind_that_has_no_colours_are_named(tmp_path):
    """32-bit float gray: Pillow's own conversion would clip it to black and white."""
    path = saved(tmp_path / "float.tif", Image.fromarray(np.linspace(0, 1, 80 * 60, dtype=np.float32).reshape(60, 80)))
    with pytest.raises(BadPhoto, match="pixels of the kind F.*8-bit RGB") as caught:
        read_photo(path)
    assert caught.value.code == "MODE"


@pytest.mark.skipif(os.name == "nt", reason="such names are refused there")
def test_a_name_with_a_line_end_and_one_as_long_as_the_disk_allows_are_names_like_others(tmp_path):
    names = ["a\nb.png", "\r\n.png", "長" * 83 + "ab.png", "n" * 251 + ".png", '<img src=x onerror="1">.png']
    assert max(len(name.encode()) for name in names) == 255
    for number, name in enumerate(names):
        saved(tmp_path / name, Image.new("RGB", (40 + number, 40)))
    gathered = gather_photos([tmp_path])
    assert sorted(photo.path.name for photo in gathered.photos) == sorted(names) and gathered.skipped == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the peak of memory")
def test_a_bomb_takes_no_memory_whoever_allocates_it(tmp_path):
    """The process's own peak: tracemalloc sees nothing that Pillow allocates."""
    path = bomb(tmp_path / "bomb.png", 9600)
    code = """
import sys
from pathlib import Path
from PIL import Image, ImageCms, ImageOps, PngImagePlugin
from modiste.fashion.photos import BadPhoto, read_photo

def peak_mb():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024

before = peak_mb()
try:
    read_photo(Path(sys.argv[1]))
except BadPhoto as bad:
    print(bad.code, peak_mb() - before)
"""
    answer = subprocess.run(
        [sys.executable, "-c", code, str(path)], env=python_environment(), capture_output=True, text=True, check=True
    )
    code, grown_mb = answer.stdout.split()
    assert code == "BOMB" and float(grown_mb) < 50
