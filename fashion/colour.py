"""Colour: CIE Lab from sRGB, the CIEDE2000 difference, and the named colours of a garment."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from .taxonomy import Group

D65 = (0.95047, 1.0, 1.08883)  # reference white
SRGB_TO_XYZ = (  # IEC 61966-2-1
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)


def srgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* under D65, float64 [..., 3], of sRGB 0 … 255 [..., 3]."""
    import numpy as np

    share = np.asarray(rgb, float) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array(SRGB_TO_XYZ).T / np.array(D65)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def delta_e_2000(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """CIEDE2000 between Lab colours [..., 3] that broadcast; 1 is just noticeable, 10 another colour.

    Sharma, Wu & Dalal, "The CIEDE2000 Color-Difference Formula" (Color Research & Application 30, 2005), eq. 2–22.
    """
    import numpy as np

    first, second = np.broadcast_arrays(np.asarray(first, float), np.asarray(second, float))
    (l1, a1, b1), (l2, a2, b2) = np.moveaxis(first, -1, 0), np.moveaxis(second, -1, 0)
    c_mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(c_mean**7 / (c_mean**7 + 25.0**7)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    gray = c1 * c2 == 0
    dh = np.where(gray, 0, (h2 - h1 + 180) % 360 - 180)
    delta_l, delta_c = l2 - l1, c2 - c1
    delta_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(dh / 2))
    l_mean, c_mean = (l1 + l2) / 2, (c1 + c2) / 2
    far = np.abs(h1 - h2) > 180
    h_mean = np.where(gray, h1 + h2, np.where(far, (h1 + h2 + np.where(h1 + h2 < 360, 360, -360)) / 2, (h1 + h2) / 2))

    def cos(degrees: np.ndarray) -> np.ndarray:
        cosine: np.ndarray = np.cos(np.radians(degrees))
        return cosine

    t = 1 - 0.17 * cos(h_mean - 30) + 0.24 * cos(2 * h_mean) + 0.32 * cos(3 * h_mean + 6) - 0.2 * cos(4 * h_mean - 63)
    s_l = 1 + 0.015 * (l_mean - 50) ** 2 / np.sqrt(20 + (l_mean - 50) ** 2)
    s_c, s_h = 1 + 0.045 * c_mean, 1 + 0.015 * c_mean * t
    rotation = 30 * np.exp(-(((h_mean - 275) / 25) ** 2))
    r_t = -np.sin(np.radians(2 * rotation)) * 2 * np.sqrt(c_mean**7 / (c_mean**7 + 25.0**7))
    light, chroma, hue = delta_l / s_l, delta_c / s_c, delta_h / s_h
    difference: np.ndarray = np.sqrt(np.maximum(light**2 + chroma**2 + hue**2 + r_t * chroma * hue, 0))
    return difference


def colour_shares(pixels: np.ndarray, group: Group) -> np.ndarray:
    """The share [labels] of `pixels` (sRGB uint8 [K, 3]) that are nearest to each label's colours; they sum to 1.

    A print's second colour takes its own share, so that the base colour is usually the largest.
    """
    import numpy as np

    owners = np.array([index for index, label in enumerate(group.labels) for _ in label.rgb])
    references = srgb_to_lab(np.array([rgb for label in group.labels for rgb in label.rgb]))
    nearest = owners[delta_e_2000(srgb_to_lab(pixels)[:, None], references[None]).argmin(1)]
    return np.bincount(nearest, minlength=len(group.labels)) / len(nearest)
