"""Colours of grains, and of light on a screen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .ray_casting import (
    Floats,
)


def grain_colours(grains: NDArray[np.int32]) -> Floats:
    """Linear RGB of grains, (..., 3) float: hue, lightness and chroma are hashed from the id.

    Colours are chosen in the perceptual space OKLab (Ottosson 2020), so that no hue is
    glaring and neighbours differ in lightness where they happen not to differ in hue.
    """
    hue, lightness, chroma = np.moveaxis(hash01(grains, (4, 5, 6)), -1, 0)
    lightness, chroma, angle = 0.58 + 0.26 * lightness, 0.060 + 0.055 * chroma, 2 * np.pi * hue
    lab = np.stack([lightness, chroma * np.cos(angle), chroma * np.sin(angle)], axis=-1)
    rgb: Floats = np.clip((lab @ _LAB_TO_LMS.T) ** 3 @ _LMS_TO_RGB.T, 0.0, 1.0)
    return rgb


_LAB_TO_LMS = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_LMS_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def hash01(grains: NDArray[np.int32], salts: tuple[int, ...]) -> Floats:
    """Numbers in [0, 1) that depend on grain id and salt alone, (..., len(salts)) float.

    The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
    """
    golden = np.uint64(0x9E3779B97F4A7C15)
    salted = np.asarray(grains)[..., None].astype(np.uint64) * np.uint64(64)
    z = (salted + np.array(salts, dtype=np.uint64)) * golden
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def srgb(light: Floats) -> NDArray[np.uint8]:
    """Bytes of linear light in the sRGB encoding (IEC 61966-2-1)."""
    light = np.clip(light, 0.0, 1.0)
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * value).astype(np.uint8)
