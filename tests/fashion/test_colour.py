"""Colour by the numbers: Lab, CIEDE2000 against its published test pairs, and named colours on a plain background."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from modiste.fashion.colour import colour_shares, delta_e_2000, srgb_to_lab
from modiste.fashion.segment import garment_mask, garment_pixels, small
from modiste.fashion.taxonomy import load_taxonomy

# Sharma, Wu & Dalal (2005), table 1: two Lab colours and their difference.
SHARMA = """
50 2.6772 -79.7751 50 0 -82.7485 2.0425
50 3.1571 -77.2803 50 0 -82.7485 2.8615
50 2.8361 -74.0200 50 0 -82.7485 3.4412
50 -1.3802 -84.2814 50 0 -82.7485 1.0000
50 -1.1848 -84.8006 50 0 -82.7485 1.0000
50 -0.9009 -85.5211 50 0 -82.7485 1.0000
50 0 0 50 -1 2 2.3669
50 -1 2 50 0 0 2.3669
50 2.4900 -0.0010 50 -2.4900 0.0009 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0010 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0011 7.2195
50 2.4900 -0.0010 50 -2.4900 0.0012 7.2195
50 -0.0010 2.4900 50 0.0009 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0010 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0011 -2.4900 4.7461
50 2.5 0 50 0 -2.5 4.3065
50 2.5 0 73 25 -18 27.1492
50 2.5 0 61 -5 29 22.8977
50 2.5 0 56 -27 -3 31.9030
50 2.5 0 58 24 15 19.4535
50 2.5 0 50 3.1736 0.5854 1.0000
50 2.5 0 50 3.2972 0 1.0000
50 2.5 0 50 1.8634 0.5757 1.0000
50 2.5 0 50 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""
COLOURS = load_taxonomy("mini").group("colour")


def test_ciede2000_gives_the_published_differences_both_ways():
    table = np.array([line.split() for line in SHARMA.split("\n") if line], float)
    for first, second in ((table[:, :3], table[:, 3:6]), (table[:, 3:6], table[:, :3])):
        assert delta_e_2000(first, second) == pytest.approx(table[:, 6], abs=1e-4)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [  # CIE values of the sRGB primaries under D65
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((128, 128, 128), (53.59, 0, 0)),
    ],
)
def test_lab_of_the_primaries_is_that_of_the_tables(rgb, lab):
    assert srgb_to_lab(np.array(rgb)) == pytest.approx(lab, abs=0.02)


def shirt(colour, background=(224, 224, 228), gradient=24, size=(300, 400)) -> Image.Image:
    """A rounded shape before a background that gets darker to the right."""
    ramp = np.linspace(0, gradient, size[0])[None, :, None] * np.ones((size[1], 1, 3))
    image = Image.fromarray((np.array(background) - ramp).clip(0, 255).astype(np.uint8))
    ImageDraw.Draw(image).rounded_rectangle((70, 90, 230, 330), 30, fill=tuple(colour))
    return image


def test_the_mask_is_the_garment_and_not_the_gradient_behind_it():
    image = shirt((40, 60, 160))
    truth = np.zeros((400, 300), np.uint8)
    truth[90:331, 70:231] = 255
    truth = np.asarray(small(Image.fromarray(truth))) > 127
    mask = garment_mask(image)
    assert not (mask & ~truth).any() and (mask & truth).sum() > 0.85 * truth.sum()


def test_white_on_light_gray_is_still_found():
    mask = garment_mask(shirt((246, 246, 244), (214, 214, 216), 10))
    assert 0.2 < mask.mean() < 0.4


def test_a_picture_without_a_garment_gives_a_mask_in_the_middle():
    mask = garment_mask(Image.new("RGB", (100, 100), (200, 200, 200)))
    assert mask.any() and not mask[0].any()


@pytest.mark.parametrize("label", COLOURS.labels, ids=lambda label: label.id)
def test_each_reference_colour_is_called_by_its_name(label):
    for rgb in label.rgb:
        image = shirt(rgb, (200, 206, 190) if label.id == "white" else (224, 224, 228))
        shares = colour_shares(garment_pixels(image), COLOURS)
        assert COLOURS.labels[int(shares.argmax())].id == label.id and shares.sum() == pytest.approx(1)


def test_the_shares_of_a_striped_garment_are_those_of_its_colours():
    image = shirt((208, 38, 44))
    draw = ImageDraw.Draw(image)
    for y in range(90, 331, 40):
        draw.rectangle((70, y, 230, y + 13), fill=(246, 246, 240))
    shares = {
        label.id: share
        for label, share in zip(COLOURS.labels, colour_shares(garment_pixels(image), COLOURS), strict=True)
    }
    assert shares["red"] == pytest.approx(0.65, abs=0.08) and shares["white"] == pytest.approx(0.35, abs=0.12)


def test_a_little_noise_changes_no_name():
    rng = np.random.default_rng(Random(1).getrandbits(32))
    pixels = np.asarray(shirt((44, 142, 72)), float)
    noisy = Image.fromarray((pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8))
    assert COLOURS.labels[int(colour_shares(garment_pixels(noisy), COLOURS).argmax())].id == "green"


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (1, 400), (400, 3)])
def test_a_picture_of_a_few_pixels_still_has_a_garment(size):
    assert len(garment_pixels(Image.new("RGB", size, "red"))) > 0
