"""Trains the embedded models: `python -m modiste.mini.build`. About two hours on two CPU cores.

The stages are data → vae → clip → judge → unet → styles → calibration → familiarity → card → examples; `--stage NAME`
runs one of them. A stage reads the results of those before it from `--cache` (renders) and `--out` (weights).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.files import size_bytes
from ..core.home import modiste_home
from ..core.progress import Progress
from ..core.torchvision_ops import patch_torchvision_ops
from .catalogue import RenderedCatalogue, cached_catalogue
from .style import DRAWN
from .weights import LIMIT_BYTES, WEIGHTS, load_autoencoder, load_clip, save_half

if TYPE_CHECKING:
    from torch import nn

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Recipe:
    """Numbers of pictures and of training steps."""

    renders: int = 48_000
    pairs: int = 12_000
    twins: int = 24_000
    reconstructions: int = 6_000
    vae: tuple[int, ...] = (6_000, 4_000, 4_000)
    clip: tuple[int, ...] = (2_400, 1_600, 1_600)
    judge: int = 3_000
    unet: int = 4_000
    examiner: int = 900
    card: int = 1_200
    drawn: int = 400
    anchors: int = 400
    familiar: int = 2_100
    styled: int = 24_000
    styles: tuple[int, int] = (8_000, 2_000)  # steps of the tagger and of the judge


FAST = Recipe(
    renders=600,
    pairs=160,
    twins=160,
    reconstructions=100,
    vae=(2, 2),
    clip=(3, 3, 3),
    judge=3,
    unet=3,
    examiner=3,
    card=60,
    drawn=12,
    anchors=40,
    familiar=120,
    styled=160,
    styles=(3, 3),
)


def default_cache() -> Path:
    """The folder that keeps renders between stages."""
    return modiste_home() / "mini-build"


@dataclass
class Build:
    """The stages of a build, with the folders that they read and write."""

    recipe: Recipe
    cache: Path
    out: Path
    seed: int
    picture: Path | None
    workers: int = 2

    def renders(self) -> RenderedCatalogue:
        """The training catalogue."""
        return cached_catalogue(
            self.cache / "train.npz",
            self.recipe.renders,
            f"mini-train-{self.seed}",
            trait_share=0.25,
            degraded_share=0.06,
            workers=self.workers,
        )

    def pairs(self) -> RenderedCatalogue:
        """Two photos each of garments and their siblings."""
        return cached_catalogue(
            self.cache / "pairs.npz",
            self.recipe.pairs,
            f"mini-pairs-{self.seed}",
            views=2,
            siblings=True,
            trait_share=0.5,
            workers=self.workers,
        )

    def twins(self) -> RenderedCatalogue:
        """Two photos each of garments and their siblings, half of which differ in nothing but the traits."""
        return cached_catalogue(
            self.cache / "twins.npz",
            self.recipe.twins,
            f"mini-twins-{self.seed}",
            views=2,
            siblings=True,
            twin_share=0.5,
            trait_share=0.6,
            workers=self.workers,
        )

    def styled(self) -> RenderedCatalogue:
        """Two photos each of garments and their siblings, in the styles that are trained on."""
        return cached_catalogue(
            self.cache / "styled.npz",
            self.recipe.styled,
            f"mini-styled-{self.seed}",
            views=2,
            siblings=True,
            twin_share=0.25,
            trait_share=0.5,
            degraded_share=0.03,
            styles=DRAWN,
            workers=self.workers,
        )

    def through_autoencoder(self, pictures: np.ndarray) -> np.ndarray:
        """The autoencoder's reconstruction of pictures, uint8 [N, 64, 64, 3]."""
        from .autoencoder import reconstruct

        return reconstruct(load_autoencoder(self.out), pictures)

    def data(self) -> None:
        """Renders all catalogues."""
        self.renders(), self.pairs(), self.twins()

    def vae(self) -> None:
        """Trains the autoencoder."""
        from .autoencoder import train_autoencoder

        save_half(train_autoencoder(self.renders(), self.recipe.vae, self.seed, show), self.out / "sd" / "vae")

    def clip(self) -> None:
        """Trains the tagger's encoder."""
        from .clip import Shots, image_processor, train_clip
        from .tokenizer import save_tokenizer

        data, pairs, count = self.renders(), self.pairs(), self.recipe.reconstructions
        through = [self.through_autoencoder(p[:count]) for p in (data.pictures[:, 0], pairs.pictures[:, 1])]
        tokenizer = save_tokenizer(self.out / "clip")
        model = train_clip(Shots(data, pairs, *through), tokenizer, self.recipe.clip, self.seed, show)
        save_half(model, self.out / "clip")
        image_processor().save_pretrained(self.out / "clip")

    def judge(self) -> None:
        """Trains the judge."""
        from .judge import image_processor, train_judge

        model = train_judge(self.twins(), self.through_autoencoder, self.recipe.judge, self.seed, show)
        save_half(model, self.out / "judge")
        image_processor().save_pretrained(self.out / "judge")

    def styles(self) -> None:
        """Teaches tagger and judge other styles than the renderer's own."""
        from .judge import image_processor as judge_processor
        from .style_training import StyledShots, judge_styles, see_styles
        from .weights import load_judge

        own, count = self.pairs(), self.recipe.reconstructions
        own.pictures[:count, 1] = self.through_autoencoder(own.pictures[:count, 1])  # as drawn pictures will be
        shots = StyledShots(self.styled(), own)
        clip, tokenizer = load_clip(self.out)
        save_half(see_styles(clip.float(), shots, tokenizer, self.recipe.styles[0], self.seed, show), self.out / "clip")
        judge = load_judge(self.out).float()
        save_half(judge_styles(judge, shots, self.recipe.styles[1], self.seed, show), self.out / "judge")
        judge_processor().save_pretrained(self.out / "judge")

    def unet(self) -> None:
        """Trains the image model and its text encoder."""
        from .autoencoder import encode
        from .diffusion import pictures_to_draw, pipeline, train_diffusion
        from .weights import declare_float32

        data, vae = self.renders(), load_autoencoder(self.out)
        data = data[pictures_to_draw(data)]
        latents = encode(vae, data.pictures[:, 0], bf16=True) * vae.config.scaling_factor
        clip, tokenizer = load_clip(self.out)
        unet, text_encoder = train_diffusion(latents, data.table, clip, tokenizer, self.recipe.unet, self.seed, show)
        pipeline(vae.half(), unet.half(), text_encoder.half(), tokenizer).save_pretrained(self.out / "sd")
        declare_float32(self.out / "sd")

    def calibration(self) -> None:
        """Measures anchors and temperatures."""
        from .calibration import calibrate

        calibrate(self.out, self.recipe.anchors, self.seed)

    def familiarity(self) -> None:
        """Measures which photos the encoder knows."""
        from .familiarity import measure_familiarity

        measure_familiarity(self.out, self.recipe.familiar, self.seed)

    def examiner(self) -> nn.Module:
        """The card's classifier, from the cache or trained."""
        import torch

        from .classifier import new_examiner, train_examiner

        path = self.cache / f"examiner-{self.seed}-{self.recipe.examiner}.pt"
        if path.exists():
            model = new_examiner()
            model.load_state_dict(torch.load(path, weights_only=True))
            return model.eval()
        model = train_examiner(self.renders(), self.recipe.examiner, self.seed, show)
        torch.save(model.state_dict(), path)
        return model

    def card(self) -> None:
        """Measures everything and writes the card."""
        from .card import write_card

        card = write_card(
            self.out,
            self.examiner(),
            n=self.recipe.card,
            drawn=self.recipe.drawn,
            seed=self.seed,
            picture=self.picture,
        )
        if card["size_bytes"] > LIMIT_BYTES:
            raise SystemExit(f"the weights hold {card['size_bytes']:,} bytes, over the limit of {LIMIT_BYTES:,}")
        print(json.dumps({k: card[k] for k in ("tagger", "generated", "reconstruction", "siblings")}, indent=1))

    def examples(self) -> None:
        """Renders the sample photos."""
        from .examples import write_examples

        write_examples(ROOT / "examples" if self.out == WEIGHTS else self.out.parent / "examples")


# A file that each stage leaves behind; a stage whose file exists is done.
MARKS = {
    "data": None,
    "vae": "sd/vae/config.json",
    "clip": "clip/config.json",
    "judge": "judge/config.json",
    "unet": "sd/model_index.json",
    "styles": None,  # after the image model, whose text encoder is the tagger's from before
    "calibration": "calibration.json",
    "familiarity": "familiarity.safetensors",
    "card": "../card.json",
    "examples": None,
}


def show(progress: Progress) -> None:
    """Prints about twenty lines for each training."""
    every = max(1, progress.total // 20 // 50) * 50
    if progress.done % every == 0 or progress.done == progress.total:
        print(
            f"{progress.stage:>9} {progress.done:>5}/{progress.total}  {progress.message}  "
            f"{(progress.eta_s or 0) / 60:.1f} min left",
            flush=True,
        )


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m modiste.mini.build", description=__doc__.splitlines()[0])
    parser.add_argument("--stage", default="all", choices=["all", *MARKS])
    parser.add_argument("--cache", type=Path, default=default_cache(), help="renders and the card's classifier")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder of the weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads")
    parser.add_argument(
        "--fast", action="store_true", help="a few steps of everything: proves the build, not the models"
    )
    parser.add_argument("--force", action="store_true", help="do stages again whose results are already there")
    options = parser.parse_args(arguments)
    if options.fast and options.out.resolve() == WEIGHTS:
        parser.error("--fast would replace the shipped weights by untrained ones; give it --out FOLDER")
    import torch

    patch_torchvision_ops()
    torch.set_num_threads(options.threads)
    out, shipped = options.out.resolve(), options.out.resolve() == WEIGHTS
    build = Build(
        FAST if options.fast else Recipe(),
        options.cache,
        out,
        options.seed,
        (ROOT / "docs" / "img" if shipped else out.parent) / "mini-card.png",
        workers=1 if options.fast else options.threads,
    )
    free = shutil.disk_usage(options.cache.parent if options.cache.parent.exists() else Path.home()).free
    if not options.fast and free < 3e9:
        parser.error(f"{options.cache} has {free / 1e9:.1f} GB free and needs 3; give another --cache")
    for stage in MARKS if options.stage == "all" else [options.stage]:
        mark = MARKS[stage]
        if mark and (out / mark).exists() and not options.force:
            print(f"{stage}: already in {out} (--force does it again)")
            continue
        start = time.monotonic()
        out.mkdir(parents=True, exist_ok=True)
        getattr(build, stage)()
        print(f"{stage}: done in {(time.monotonic() - start) / 60:.1f} min", flush=True)
    print(f"{out}: {size_bytes(out) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
