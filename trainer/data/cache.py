"""What frozen models make of the data, kept on disk: the VAE's posteriors of pictures, text states of captions.

    picture ─▶ crop ─▶ (mirror) ─▶ VAE ─▶ mean, logvar ─▶ file          once
    file ─▶ mean + exp(logvar / 2) · ε ─▶ × scaling factor ─▶ latents   at each visit, with another ε

One frozen sample of the posterior would be another training than that without a cache. Mirroring comes before the VAE,
because its latents of a mirrored picture are not the mirrored latents. A file's name is the hash of all it depends on,
so that whatever changes is encoded anew; what is broken too.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...core.errors import InputError, Stopped
from ...core.files import make_folder, write_whole
from ...core.home import modiste_home
from ...core.progress import Pace, ProgressCallback, silent
from .sample import Read, Sample

if TYPE_CHECKING:
    import torch
    from PIL import Image

VERSION = 1  # of what is in the files: changes with anything here that changes their numbers
SUFFIX = ".safetensors"
MOST_HELD = 2**30  # bytes in memory
TENSORS_DIGEST = "modiste_tensors"  # in a file's metadata: a zeroed tail opens without complaint

Encode = Callable[[Sequence[str]], "Sequence[Mapping[str, torch.Tensor]]"]


class TensorFiles:
    """Named tensors under the hash of what they depend on; written whole, and None where broken. Safe among processes.

    Files of inputs that have changed stay; the folder may be deleted at any time between runs.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._held: dict[Path, dict[str, torch.Tensor]] = {}
        self._held_bytes = 0

    def path_of(self, key: Mapping[str, Any]) -> Path:
        """Where the tensors of `key` (JSON) lie."""
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return self.folder / name[:2] / f"{name}{SUFFIX}"

    def find(self, key: Mapping[str, Any]) -> dict[str, torch.Tensor] | None:
        """The tensors, or None: absent, cut, or not as they were written."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            # Not mapped into memory: a map of a file that is cut later kills the process (SIGBUS).
            data = self.path_of(key).read_bytes()
            tensors = load(data)
        except (OSError, SafetensorError):
            return None
        return tensors if _metadata(data).get(TENSORS_DIGEST) == _digest(tensors) else None

    def recall(self, key: Mapping[str, Any]) -> dict[str, torch.Tensor] | None:
        """`find`, from memory the second time: the latents of a collection fit there, and a step is short."""
        path = self.path_of(key)
        if path not in self._held:
            tensors = self.find(key)
            size = sum(tensor.nbytes for tensor in tensors.values()) if tensors is not None else 0
            if tensors is None or self._held_bytes + size > MOST_HELD:
                return tensors
            self._held[path], self._held_bytes = tensors, self._held_bytes + size
        return self._held[path]

    def write(self, key: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
        """Keeps them; Stopped where the disk is full, InputError where the folder can't be made."""
        from safetensors.torch import save

        copies = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
        path = self.path_of(key)
        try:
            make_folder(path.parent)
        except OSError as error:
            raise InputError(
                f"the cache's folder can't be made: {error.strerror or error}",
                where=str(path.parent),
                to_try="name another folder in MODISTE_HOME",
            ) from error
        try:
            write_whole(path, save(copies, {TENSORS_DIGEST: _digest(copies)}))
        except OSError as error:
            raise Stopped(
                f"the cache can't be written: {error.strerror or error}",
                where=str(path),
                to_try="make room there or name another folder in MODISTE_HOME; the same command goes on",
            ) from error


def _metadata(data: bytes) -> dict[str, str]:
    """Of a safetensors file whose header has been read before."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]).get("__metadata__") or {}


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {list(tensors[name].shape)}".encode())
        digest.update(_bytes(tensors[name]))
    return digest.hexdigest()


def _bytes(tensor: torch.Tensor) -> memoryview:
    import torch

    flat = tensor.detach().to("cpu").contiguous().reshape(-1)
    array: Any = flat.view(torch.uint8).numpy()  # bfloat16 has no numpy of its own
    return memoryview(array)


# ── latents ──


@dataclass(frozen=True)
class Moments:
    """The VAE's posterior of one picture, before the scaling factor: `mean` and `logvar` float32 [4, h, w]."""

    mean: torch.Tensor
    logvar: torch.Tensor


@dataclass(frozen=True)
class CacheReport:
    """What a build found and what it had to encode; `rebuilt` of them had a broken file."""

    found: int
    encoded: int
    rebuilt: int = 0


def vae_identity(vae: Any) -> str:
    """16 hex digits of all that encoding depends on: weights with their dtype, and config; about 0.2 s for SD 1.5."""
    digest = hashlib.blake2b(digest_size=8)
    config = {name: value for name, value in vae.config.items() if not name.startswith("_")}
    digest.update(json.dumps(config, sort_keys=True, default=str).encode())
    for name, tensor in sorted(vae.state_dict().items()):
        if name.startswith(("encoder.", "quant_conv.")):
            digest.update(f"{name} {tensor.dtype}".encode())
            digest.update(_bytes(tensor))
    return digest.hexdigest()


def pixels(image: Image.Image) -> torch.Tensor:
    """An RGB picture as the VAE sees it: float32 [1, 3, H, W], −1 … 1."""
    import numpy as np
    import torch

    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1


def sample_latents(moments: Moments, generator: torch.Generator, scaling_factor: float) -> torch.Tensor:
    """One draw of the posterior, scaled: float32 [4, h, w]. Equals diffusers' `latent_dist.sample(generator)`."""
    import torch

    noise = torch.randn(moments.mean.shape, generator=generator, device=generator.device)
    std = torch.exp(0.5 * moments.logvar)
    return (moments.mean + std * noise.to(moments.mean.device)) * scaling_factor


class LatentCache:
    """Posteriors and masks of samples, plain and mirrored, one file each.

    The VAE is asked in its own device and dtype, one picture at a time, so that a picture's numbers do not depend on
    what is beside it; SDXL's needs float32 or bfloat16. Only `build` needs it. `dtype` is that of the files.
    """

    def __init__(
        self,
        identity: str,
        read: Read,
        folder: Path | None = None,
        dtype: Literal["float32", "float16"] = "float32",
    ):
        self.identity, self.read, self.dtype = identity, read, dtype
        self.files = TensorFiles(folder or modiste_home() / "cache" / "latents")

    def build(
        self, vae: Any, samples: Sequence[Sample], flips: bool, progress: ProgressCallback = silent
    ) -> CacheReport:
        """Encodes what is not there yet, or broken; interrupted, it goes on where it was."""
        pace = Pace("latents", len(samples), progress)
        found, encoded, rebuilt = 0, 0, 0
        for done, sample in enumerate(samples, 1):
            sides = (False, True) if flips else (False,)
            missing = [flipped for flipped in sides if self.files.find(self._key(sample, flipped)) is None]
            if missing:
                rebuilt += sum(self.files.path_of(self._key(sample, flipped)).exists() for flipped in missing)
                self._encode(vae, sample, missing)
                pace.found(done, len(samples), sample.path)
            else:
                pace.reach(done)
            encoded, found = encoded + len(missing), found + len(sides) - len(missing)
        return CacheReport(found, encoded, rebuilt)

    def moments(self, sample: Sample, flipped: bool = False) -> Moments:
        """The posterior, float32 [4, h, w] each. InputError where `build` has not been, or the file broke since."""
        tensors = self._tensors(sample, flipped)
        return Moments(tensors["mean"].float(), tensors["logvar"].float())

    def mask(self, sample: Sample, flipped: bool = False) -> torch.Tensor:
        """Where the picture counts: float32 [1, h, w], 0 … 1, the share of each latent's pixels; 1 without a mask."""
        import torch

        tensors = self._tensors(sample, flipped)
        return tensors["mask"].float() if "mask" in tensors else torch.ones_like(tensors["mean"][:1]).float()

    def _tensors(self, sample: Sample, flipped: bool) -> dict[str, torch.Tensor]:
        tensors = self.files.recall(self._key(sample, flipped))
        if tensors is None:
            raise InputError(
                f"the latents of {sample.path.name} are not in the cache, or their file is broken",
                where=str(self.files.path_of(self._key(sample, flipped))),
                to_try="start again: what is missing is encoded anew",
            )
        return tensors

    def _key(self, sample: Sample, flipped: bool) -> dict[str, Any]:
        return {
            "version": VERSION,
            "photo": sample.sha256,
            "mask": sample.mask.sha256 if sample.mask else None,
            "vae": self.identity,
            "crop": asdict(sample.crop),
            "flipped": flipped,
            "dtype": self.dtype,
        }

    def _encode(self, vae: Any, sample: Sample, sides: Sequence[bool]) -> None:
        import torch

        image = sample.crop.apply(self._unchanged(sample.path, sample.sha256))
        mask = self._mask(sample)
        for flipped in sides:
            with torch.inference_mode():
                posterior = vae.encode(pixels(_mirrored(image, flipped)).to(vae.device, vae.dtype)).latent_dist
            tensors = {"mean": posterior.mean[0], "logvar": posterior.logvar[0]}
            if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
                raise InputError(
                    f"the VAE in {vae.dtype} gives no finite latents of {sample.path.name}",
                    to_try="hold the VAE in float32 or bfloat16, as SDXL's needs",
                )
            tensors = {name: tensor.to(getattr(torch, self.dtype)) for name, tensor in tensors.items()}
            if mask is not None:
                height, width = tensors["mean"].shape[-2:]
                tensors["mask"] = shrink_mask(_mirrored(mask, flipped), (height, width))
            self.files.write(self._key(sample, flipped), tensors)

    def _mask(self, sample: Sample) -> Image.Image | None:
        if sample.mask is None:
            return None
        return sample.crop.apply_to_mask(self._unchanged(sample.mask.path, sample.mask.sha256).convert("L"))

    def _unchanged(self, path: Path, sha256: str) -> Image.Image:
        photo = self.read(path)
        if photo.sha256 != sha256:
            raise InputError("the file has changed since the data was read", where=str(path), to_try="start again")
        return photo.image


def shrink_mask(mask: Image.Image, size: tuple[int, int]) -> torch.Tensor:
    """A grey picture → float32 [1, h, w], 0 … 1: each latent's mean over its pixels. `size` is h, w."""
    import numpy as np
    import torch

    full = torch.from_numpy(np.array(mask)).float()[None, None] / 255
    return torch.nn.functional.adaptive_avg_pool2d(full, size)[0]


def _mirrored(image: Image.Image, flipped: bool) -> Image.Image:
    from PIL import Image

    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flipped else image


# ── texts ──


class TextCache:
    """What a frozen text encoder says of captions, one file each; new captions are encoded when they come.

    `encode` maps captions to named tensors, each caption's without a batch dimension; `identity` changes with
    tokenizer and weights. What is not known when it is built is kept too only where it `keeps_new`: the orders of
    shuffled captions have no end.
    """

    def __init__(
        self,
        encode: Encode,
        identity: str,
        clip_skip: int = 1,
        folder: Path | None = None,
        keeps_new: bool = True,
    ):
        self.encode, self.identity, self.clip_skip, self.keeps_new = encode, identity, clip_skip, keeps_new
        self.files = TensorFiles(folder or modiste_home() / "cache" / "texts")

    def build(self, captions: Sequence[str], progress: ProgressCallback = silent, at_once: int = 16) -> CacheReport:
        """Encodes those that are not there yet, or broken; afterwards the text encoder may go."""
        captions = list(dict.fromkeys(captions))
        pace = Pace("captions", len(captions), progress)
        missing = [caption for caption in captions if self.files.find(self._key(caption)) is None]
        rebuilt = sum(self.files.path_of(self._key(caption)).exists() for caption in missing)
        pace.reach(len(captions) - len(missing))
        for batch in range(math.ceil(len(missing) / at_once)):
            self._encode(missing[batch * at_once : (batch + 1) * at_once])
            pace.reach(len(captions) - max(0, len(missing) - (batch + 1) * at_once))
        return CacheReport(len(captions) - len(missing), len(missing), rebuilt)

    def embeds(self, captions: Sequence[str]) -> list[dict[str, torch.Tensor]]:
        """Each caption's named tensors, without a batch dimension, in the captions' order."""
        cached = {caption: self.files.recall(self._key(caption)) for caption in dict.fromkeys(captions)}
        known = {caption: tensors for caption, tensors in cached.items() if tensors is not None}
        new = [caption for caption in cached if caption not in known]
        if self.keeps_new:
            known |= self._encode(new) if new else {}
        else:  # one by one: a run that goes on meets them in other company, and a batch's size changes last bits
            for caption in new:
                known |= self._encode([caption], keep=False)
        return [known[caption] for caption in captions]

    def _encode(self, captions: Sequence[str], keep: bool = True) -> dict[str, dict[str, torch.Tensor]]:
        import torch

        with torch.inference_mode():
            encoded = self.encode(captions)
        fresh = {}
        for caption, tensors in zip(captions, encoded, strict=True):
            fresh[caption] = {name: tensor.detach().to("cpu").clone() for name, tensor in tensors.items()}
            if keep:
                self.files.write(self._key(caption), fresh[caption])
        return fresh

    def _key(self, caption: str) -> dict[str, Any]:
        return {"version": VERSION, "caption": caption, "encoder": self.identity, "clip_skip": self.clip_skip}
