"""Files → photos: found, checked, fully decoded, upright, RGB; a file that can't be used is named with a code."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import InputError
from ..core.read_files import UnreadableFile
from .containers import bytes_of, files_in, is_container
from .remote import RemotePath, as_path, files_below, is_remote
from .tables import is_table

if TYPE_CHECKING:
    from PIL import Image


CODES = (
    *("EMPTY", "NOT_IMAGE", "FORMAT", "TRUNCATED", "CORRUPT", "BOMB", "MODE", "TOO_SMALL", "ASPECT", "PERM", "GONE"),
    *("OUTSIDE_ROOT", "NOT_FILE", "CHANGED", "NAME", "NO_GARMENT"),
)
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF", "HEIF")  # HEIF where pillow-heif is installed
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif")
# Other kinds of pictures: listed as FORMAT instead of ignored.
OTHER_SUFFIXES = (".gif", ".bmp", ".svg", ".jxl", ".psd")
MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"RIFF": "WEBP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
OTHER_MAGIC = (b"GIF8", b"BM", b"8BPS", b"SIMPLE  =", b"<svg", b"<?xml", b"%PDF")
MOST_PIXELS = 50_000_000  # refused before decoding: an 11-KiB file can hold a picture of gigabytes
MOST_BYTES = 256_000_000
LEAST_SIDE = 32  # pixels; too little of a garment is visible below
MOST_ASPECT = 10.0
WORKING_SIDE = 1024  # pixels; enough for encoders and reports
WHITE = (255, 255, 255)
ORIENTATION = 0x0112  # EXIF tag

_opening = threading.Lock()  # warning filters belong to the process


class BadPhoto(InputError):
    """A photo can't be used; `code` is one of CODES."""

    def __init__(self, path: Path, code: str, reason: str):
        self.path, self.code, self.reason = path, code, reason
        super().__init__(reason, where=str(path))


@dataclass(frozen=True)
class Photo:
    """A photo ready for use: RGB, upright, at most WORKING_SIDE pixels long. `sha256` is the file's."""

    path: Path
    image: Image.Image
    sha256: str
    notes: tuple[str, ...] = ()  # conversions made on reading, for reports
    size: tuple[int, int] | None = None  # width, height of the photo in the file, upright; None: nobody knows


@dataclass(frozen=True)
class Skip:
    """A file that is left out, with a code and the reason."""

    path: Path
    code: str
    reason: str


@dataclass
class Gathered:
    """The photos of a run, each content once; `duplicates` maps a photo's sha256 to its further paths."""

    photos: list[Photo] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    duplicates: dict[str, list[Path]] = field(default_factory=dict)


def find_photos(paths: Iterable[str | Path], containers: bool = False) -> tuple[list[Path], list[Skip]]:
    """Every photo file of the given files and folders (with their sub-folders), in order, each path once.

    Hidden files and files without a picture's suffix are ignored; a link that leads out of its folder is skipped.
    `containers`: a .tar or a .parquet that is given stands for the photos in it. Raises InputError for a path that does
    not exist.
    """
    files: dict[Path, None] = {}
    skipped: list[Skip] = []
    for given in map(as_path, paths):
        if not _exists(given):
            raise InputError("there is no such photo or folder", where=str(given), to_try="check the path")
        if containers and is_container(given):
            inside = files_in(given)
            files |= dict.fromkeys(inside if is_table(given) else filter(_is_picture, inside))
        elif isinstance(given, RemotePath) and given.is_dir():
            files |= dict.fromkeys(filter(_is_picture, files_below(given)))
        elif given.is_dir():
            root = os.path.realpath(given)
            for file in _walk(given):
                if not _is_text(file):
                    skipped.append(Skip(_as_text(file), "NAME", "the name is not valid UTF-8; rename the file"))
                elif file.is_symlink() and not Path(os.path.realpath(file)).is_relative_to(root):
                    skipped.append(Skip(file, "OUTSIDE_ROOT", "the link leads out of the folder"))
                else:
                    files[file] = None
        elif not _is_text(given):
            skipped.append(Skip(_as_text(given), "NAME", "the name is not valid UTF-8; rename the file"))
        else:
            files[given] = None
    return list(files), skipped


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        for name in sorted(files):
            if _is_picture(Path(name)):
                yield Path(root, name)


def _is_picture(path: Path) -> bool:
    return not path.name.startswith(".") and path.suffix.lower() in (*SUFFIXES, *OTHER_SUFFIXES)


def _exists(path: Path) -> bool:
    """Whether something has that path, if only a link that leads nowhere; a name that can't be one has not."""
    try:
        return path.exists() or (not is_remote(path) and path.is_symlink())
    except OSError:
        return False


def _is_text(path: Path) -> bool:
    """Whether the path can be written into a report: names of other encodings can't."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _as_text(path: Path) -> Path:
    """The path with the bytes of its name that are no UTF-8 as `\\xff`."""
    return Path(os.fsencode(path).decode("utf-8", "backslashreplace"))


def gather_photos(paths: Sequence[str | Path]) -> Gathered:
    """Reads all photos of a run into memory. Raises InputError where none can be used."""
    files, skipped = find_photos(paths)
    gathered = Gathered(skipped=skipped)
    by_content: dict[str, Photo] = {}
    for file in files:
        try:
            photo = read_photo(file)
        except BadPhoto as bad:
            gathered.skipped.append(Skip(file, bad.code, bad.reason))
            continue
        if photo.sha256 in by_content:
            gathered.duplicates.setdefault(photo.sha256, []).append(file)
        else:
            by_content[photo.sha256] = photo
            gathered.photos.append(photo)
    if not gathered.photos:
        raise nothing_usable(paths, gathered.skipped)
    return gathered


def nothing_usable(paths: Sequence[str | Path], skipped: Sequence[Skip]) -> InputError:
    """The error for a run without a single usable photo."""
    where = ", ".join(map(str, paths))
    if not skipped:
        return InputError("no photos here", where=where, to_try=f"photos or folders of {', '.join(SUFFIXES)} files")
    first = "; ".join(f"{skip.path.name}: {skip.code}, {skip.reason}" for skip in skipped[:3])
    more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    count = "the photo can't" if len(skipped) == 1 else f"none of the {len(skipped)} photos can"
    garments = all(skip.code == "NO_GARMENT" for skip in skipped)
    return InputError(
        f"{count} be used: {first}{more}",
        where=where,
        to_try="photos of garments" if garments else "PNG, JPEG, WebP, TIFF or AVIF photos",
    )


def read_photo(path: str | Path, side: int = WORKING_SIDE) -> Photo:
    """The photo in a file, decoded to its last byte and at most `side` pixels long. Raises BadPhoto with a code.

    A large JPEG is decoded at a half, a quarter or an eighth of its size, where that is still `side`.
    """
    return decode_photo(read_file(path), side)


@dataclass(frozen=True)
class PhotoFile:
    """A file's bytes and their sha256, by which caches know a photo."""

    path: Path
    data: bytes
    sha256: str


def read_file(path: str | Path) -> PhotoFile:
    """Reads the bytes of a photo's file: the first half of `read_photo`. Raises BadPhoto with a code."""
    file = as_path(path)
    data = _bytes_of(file)
    return PhotoFile(file, data, hashlib.sha256(data).hexdigest())


def decode_photo(file: PhotoFile, side: int = WORKING_SIDE) -> Photo:
    """Decodes a photo: the second half of `read_photo`. Raises BadPhoto with a code."""
    from PIL import Image

    kind = _kind(file.path, file.data)
    with _pillow_errors_as_codes(file.path, kind, file.data):
        image = _open(file.data, kind)
        _refuse_by_size(file.path, image)
        size = image.size
        if kind == "JPEG":
            image.draft(image.mode, _within(image.size, side))
        if kind == "PNG":  # decoding alone ignores its checksums
            Image.open(BytesIO(file.data), formats=["PNG"]).verify()
        image.load()
        upright, notes = _upright_rgb(file.path, image)
        size = size if upright.size == image.size else (size[1], size[0])  # turned by a quarter
        upright.thumbnail((side, side), Image.Resampling.LANCZOS)
    return Photo(file.path, upright, file.sha256, tuple(notes), size)


def _within(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The size of a picture that is reduced to `side` pixels at its longer side."""
    share = side / max(size)
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


@contextmanager
def _pillow_errors_as_codes(path: Path, kind: str, data: bytes) -> Iterator[None]:
    """Raises BadPhoto for whatever Pillow raises: damaged files make it raise errors of a dozen types."""
    from PIL import Image

    try:
        yield
    except BadPhoto:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadPhoto(path, "BOMB", f"far more than {MOST_PIXELS / 1e6:.0f} megapixels in a file this small") from None
    except MemoryError:
        raise BadPhoto(path, "BOMB", "there is not enough memory to decode it") from None
    except Exception:
        raise BadPhoto(path, *_why_broken(kind, data)) from None


def _bytes_of(path: Path) -> bytes:
    try:
        data = bytes_of(path, MOST_BYTES)
    except UnreadableFile as error:
        raise BadPhoto(path, "BOMB" if error.code == "TOO_LARGE" else error.code, error.reason) from None
    if not data:
        raise BadPhoto(path, "EMPTY", "the file is empty")
    return data


def _kind(path: Path, data: bytes) -> str:
    """The format, one of FORMATS, according to the first bytes."""
    kind = next((kind for magic, kind in MAGIC.items() if data.startswith(magic)), None)
    if data[4:8] == b"ftyp":  # brands: the main one, then those that the file is compatible with
        brands = data[8 : min(64, int.from_bytes(data[:4], "big"))]
        kind = "AVIF" if b"avif" in brands or b"avis" in brands else "HEIF" if brands[:4] in HEIF_BRANDS else None
    if kind == "HEIF" and find_spec("pillow_heif") is None:
        raise BadPhoto(path, "FORMAT", "a HEIC photo: pip install pillow-heif reads it, or save it as JPEG")
    if kind is None or (kind == "WEBP" and data[8:12] != b"WEBP"):
        if data.lstrip()[:9].startswith(OTHER_MAGIC) or data[4:8] == b"ftyp":
            raise BadPhoto(path, "FORMAT", "a picture, but not PNG, JPEG, WebP, TIFF or AVIF; save it as one of these")
        raise BadPhoto(path, "NOT_IMAGE", "no picture, whatever its name says")
    return kind


def _open(data: bytes, kind: str) -> Image.Image:
    """The picture with its header read and no pixel decoded."""
    from PIL import Image

    if kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(BytesIO(data), formats=[kind])


def _refuse_by_size(path: Path, image: Image.Image) -> None:
    """Raises BadPhoto for a picture of unusable size, before any pixel is decoded."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        most = f"{MOST_PIXELS / 1e6:.0f} megapixels"
        raise BadPhoto(path, "BOMB", f"{width}×{height} is more than {most}; reduce it")
    if min(width, height) < LEAST_SIDE:
        raise BadPhoto(path, "TOO_SMALL", f"{width}×{height} is too small; {LEAST_SIDE} pixels a side are the least")
    if max(width, height) > MOST_ASPECT * min(width, height):
        raise BadPhoto(path, "ASPECT", f"{width}×{height} is too long and narrow; crop it")


def _why_broken(kind: str, data: bytes) -> tuple[str, str]:
    """Code and reason of a file that can't be decoded: TRUNCATED where it lacks its end, else CORRUPT."""
    whole = {
        "PNG": b"IEND" in data[-64:],
        "JPEG": b"\xff\xd9" in data[-1024:],
        "WEBP": len(data) >= 8 + int.from_bytes(data[4:8], "little"),
    }
    if not whole.get(kind, True):
        return "TRUNCATED", "the file ends too early; copy it again"
    return "CORRUPT", "the file's content is damaged; copy it again"


def _upright_rgb(path: Path, image: Image.Image) -> tuple[Image.Image, list[str]]:
    """The picture as 8-bit sRGB on white, turned as EXIF says, with notes on what was converted."""
    from PIL import Image

    notes: list[str] = []
    if getattr(image, "n_frames", 1) > 1:
        notes.append("several pictures in the file: the first frame was used")
    image = _upright(image, notes)
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):  # 16 bits: Pillow's own conversion clips instead of scaling
        notes.append("16-bit gray scaled to 8 bits")
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getchannel("A").histogram()[255] < image.width * image.height:
            notes.append("transparent parts laid on white")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*WHITE, 255)), image).convert("RGB")
    if image.mode not in ("RGB", "L", "1", "P", "CMYK", "YCbCr", "LAB", "HSV"):
        raise BadPhoto(path, "MODE", f"pixels of the kind {image.mode} can't be read; save it as 8-bit RGB")
    if image.mode == "CMYK":
        notes.append("CMYK converted to RGB")
    if profile and image.mode in ("RGB", "CMYK"):
        image = _as_srgb(image, profile, notes)
    return image.convert("RGB"), notes


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    """The picture turned as its EXIF orientation says; broken EXIF data is ignored, with a note."""
    from PIL import ImageOps

    try:
        if image.getexif().get(ORIENTATION, 1) == 1:
            return image
        turned = ImageOps.exif_transpose(image)
    except Exception:  # Pillow's parser of EXIF raises errors of many types; the pixels are whole
        notes.append("its EXIF data is broken and was ignored")
        return image
    notes.append("turned as its EXIF orientation says")
    return turned or image


def _as_srgb(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    """The picture converted from its colour profile to sRGB: a P3 red read as sRGB would be another red."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return image
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        converted = None
    notes.append(
        "its colour profile is broken and was ignored"
        if converted is None
        else "colours converted from its profile to sRGB"
    )
    return converted or image


VIEW = re.compile(r"[-_ ](front|back|side|left|right|detail|close|model|flat|ghost|look)[-_ ]?\d*$", re.IGNORECASE)


def garment_of(path: Path) -> str:
    """The garment of a photo by its name: `SKU-front.jpg` and `SKU_back 2.jpg` of one folder both show `SKU`."""
    return (path.parent / VIEW.sub("", path.stem)).as_posix()
