"""The section in a file: an EBSD map, or an image of labels.

EBSD maps are those of `ebsd`. Images are TIFF, PNG, NumPy and HDF5 files (`volume_files`); an
HDF5 file is an EBSD map if it names its manufacturer, otherwise an image.

In an image, numbers above 0 are grains. If one is negative, the image says itself what is
missing (negative) and what is outside (0). Otherwise 0 is what is not known, and the outside is
found as in maps (`grain_reconstruction.section_outline`), unless a mask is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import FitError
from ...measured.open import IMAGES, read_image
from ...progress import Step
from .ebsd import MAPS, EbsdMap, manufacturer, read_map
from .reconstruction import (
    ReconstructionSettings,
    grains_of_orientations,
    mean_orientations,
    pieces,
    renumbered,
    section_outline,
)
from .section import MISSING, OUTSIDE, Section, centroid

HDF5 = (".h5", ".hdf5")
WINDOW_UM = 12.8  # 256 pixels of 0.05 um, the window that grains are generated in
SMALLEST_UM = WINDOW_UM / 1000

Centre = tuple[float, float]

DEFAULTS = ReconstructionSettings()


def read_section(
    path: str | Path,
    pixel_um: float | None = None,
    centre: Centre | None = None,
    *,
    settings: ReconstructionSettings = DEFAULTS,
    phase: str | None = None,
    mask: str | Path | None = None,
    dataset: str | None = None,
    frame: str = "map",
) -> Section:
    """The section in an EBSD map or an image of labels.

    Parameters
    ----------
    pixel_um
        Edge of a pixel, um; needed for images, and used instead of what a map says.
    centre
        (y, x) of the particle's centre, pixels; by default the centroid of the section.
    settings
        How grains and the outline are found.
    phase
        Name of the phase of a map whose grains are meant; by default the most frequent one.
    mask
        Image that is 0 outside the section, instead of finding its outline.
    dataset
        Name of the array, for an HDF5 or ``.npz`` file that holds several images.
    frame
        What the Euler angles of a map refer to, of `ebsd.FRAMES`: the axes of the map ("map"),
        or these turned by 180 degrees about "x", "y", "x+y" or "x-y".

    Raises
    ------
    FitError
        If the file holds no section that a model could be fitted to, with the reason.
    VolumeFileError
        If an image cannot be read.
    """
    path = Path(path)
    found = read_map(path, phase, frame) if _is_map(path, dataset) else None
    if found is not None:
        declared, (grains, steps) = None, _reconstructed(found, settings)
    else:
        grains, declared, steps = _labelled(path, dataset)
    pixel_um, pixel = _pixel(path, pixel_um, None if found is None else found.pixel_um)
    grains, cleaning = _without_small(path, grains, settings)
    labels, outline = _outlined(grains, _outline(grains, declared, mask, settings))
    _require_grains(path, labels, settings)
    centre, place = _centre(path, labels, centre)
    steps = (pixel, *steps, cleaning, outline, place)
    orientations = None if found is None else _orientations(found, labels)
    section = Section(labels, pixel_um, centre, str(path), steps, orientations)
    _require_grain_size(section)
    return section


def _is_map(path: Path, dataset: str | None) -> bool:
    """Whether a file is an EBSD map; `FitError` if it is neither map nor image."""
    suffix = path.suffix.lower()
    if suffix not in (*MAPS, *IMAGES):
        msg = f"{path} has the suffix {suffix!r}, expected one of {sorted({*MAPS, *IMAGES})}"
        raise FitError(msg)
    if not path.is_file():
        msg = f"{path} is not a file, expected an EBSD map or an image of labels; correct the path"
        raise FitError(msg)
    if suffix in HDF5:
        return dataset is None and h5py.is_hdf5(path) and bool(manufacturer(path))
    return suffix in MAPS


def _reconstructed(
    found: EbsdMap, settings: ReconstructionSettings
) -> tuple[NDArray[np.int32], tuple[Step, ...]]:
    """Grains of a map, and what was done so far."""
    grains = grains_of_orientations(
        found.quaternions, found.indexed, found.crystal.symmetries, settings.threshold_deg
    )
    remark = f"neighbouring pixels with a disorientation below {settings.threshold_deg:g} degrees"
    return grains, (*found.steps, Step("grains", int(grains.max()), remark))


def _orientations(found: EbsdMap, labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """(n, 4) quaternions of the grains that are left, of their pixels that are indexed."""
    known = np.where(found.indexed, labels, MISSING)
    return mean_orientations(known, found.quaternions, found.crystal.symmetries)


def _labelled(
    path: Path, dataset: str | None
) -> tuple[NDArray[np.int32], NDArray[np.bool_] | None, tuple[Step, ...]]:
    """Grains of an image, its section if it says so itself, and what was done so far."""
    image = read_image(path, dataset=dataset)
    values = _whole_numbers(image.source, image.values[0])
    grains = pieces(values)
    n_labels, n = len(np.unique(values[values > 0])), int(grains.max())
    shape = f"{values.shape[0]} x {values.shape[1]} pixels (y, x)"
    steps = (
        Step("image", n_labels, shape),
        Step("pieces", n, f"{n - n_labels} more than labels: disconnected pieces"),
    )
    return grains, values != OUTSIDE if values.min() < 0 else None, steps


def _whole_numbers(source: str, values: NDArray[Any]) -> NDArray[np.int64]:
    """Labels as whole numbers."""
    if n_nan := int(np.count_nonzero(np.isnan(values))):
        msg = (
            f"{source} holds NaN in {n_nan} pixels, expected whole numbers; write {MISSING} for "
            "pixels whose grain is not known"
        )
        raise FitError(msg)
    whole = np.rint(values)
    if not np.array_equal(whole, values) or np.abs(whole).max() > np.iinfo(np.int64).max / 2:
        msg = (
            f"{source} holds {values.ravel()[np.argmax(whole != values)]:g}, expected whole "
            "numbers, one for each grain; grey levels are no labels"
        )
        raise FitError(msg)
    return whole.astype(np.int64)


def _pixel(path: Path, stated: float | None, in_file: float | None) -> tuple[float, Step]:
    """Edge of a pixel, um, and where it is known from."""
    if stated is not None:
        return stated, Step("pixel", 0, f"{stated:g} um, as stated")
    if in_file is None:
        msg = f"{path} does not say how large a pixel is; state pixel_um, its edge in um"
        raise FitError(msg)
    return in_file, Step("pixel", 0, f"{in_file:g} um, as in the file")


def _without_small(
    path: Path, grains: NDArray[np.int32], settings: ReconstructionSettings
) -> tuple[NDArray[np.int32], Step]:
    """Grains that have enough pixels."""
    counts = np.bincount(grains.ravel())[1:]
    kept = counts >= settings.min_pixels
    if not kept.any():
        msg = (
            f"{path} holds no grain of at least {settings.min_pixels} pixels among {len(counts)}, "
            "expected many; look at the map, or lower min_pixels"
        )
        raise FitError(msg)
    remark = (
        f"below {settings.min_pixels} pixels: {np.count_nonzero(~kept)} grains with "
        f"{counts[~kept].sum()} pixels, which are missing now"
    )
    return renumbered(grains, kept), Step("small grains", int(kept.sum()), remark)


def _outline(
    grains: NDArray[np.int32],
    declared: NDArray[np.bool_] | None,
    mask: str | Path | None,
    settings: ReconstructionSettings,
) -> tuple[NDArray[np.bool_], str]:
    """Pixels of the section, and where that is known from."""
    if mask is not None:
        inside = read_image(mask).values[0] != 0
        if inside.shape != grains.shape or not (inside & (grains > 0)).any():
            msg = (
                f"{mask} has {np.count_nonzero(inside)} pixels in an image of {inside.shape}, "
                f"expected some with grains in one of {grains.shape}; save the mask of this map"
            )
            raise FitError(msg)
        return inside, f"the mask {mask}"
    if declared is not None:
        return declared, "0 in the image"
    gap = settings.gap_px
    return section_outline(grains > 0, gap), f"closed with a disc of radius {gap:g} pixels"


def _outlined(
    grains: NDArray[np.int32], outline: tuple[NDArray[np.bool_], str]
) -> tuple[NDArray[np.int32], Step]:
    """Labels of a section: grains, missing pixels, and 0 outside the outline."""
    inside, origin = outline
    kept = np.zeros(int(grains.max()), bool)
    kept[grains[inside & (grains > 0)] - 1] = True
    labels = renumbered(grains, kept)
    labels = np.where(inside, np.where(labels > 0, labels, MISSING), OUTSIDE).astype(np.int32)
    missing = np.count_nonzero(labels == MISSING) / np.count_nonzero(inside)
    remark = (
        f"{origin}: {1 - inside.mean():.1%} of the image is outside, with "
        f"{np.count_nonzero(~kept)} grains; {missing:.1%} of the section is missing"
    )
    return labels, Step("outline", int(kept.sum()), remark)


def _require_grains(
    path: Path, labels: NDArray[np.int32], settings: ReconstructionSettings
) -> None:
    if labels.max() == 1:
        msg = (
            f"{path} shows one grain, expected many; lower threshold_deg, which is "
            f"{settings.threshold_deg:g}, or check that this is the map"
        )
        raise FitError(msg)


def _centre(path: Path, labels: NDArray[np.int32], centre: Centre | None) -> tuple[Centre, Step]:
    """The centre that is given, or the centroid of the section."""
    n, inside = int(labels.max()), labels != OUTSIDE
    if centre is not None:
        return centre, Step("centre", n, f"({centre[0]:g}, {centre[1]:g}) pixels (y, x), as given")
    if inside.all():
        msg = (
            f"{path} shows nothing outside the particle, so that its centre is not known; expected "
            "a whole section: state centre, (y, x) in pixels, or give a mask"
        )
        raise FitError(msg)
    y, x = centroid(inside)
    return (y, x), Step("centre", n, f"({y:.2f}, {x:.2f}) pixels (y, x), the section's centroid")


def _require_grain_size(section: Section) -> None:
    """Refuse a pixel with which grains would not fit the window they are generated in."""
    diameter = section.mean_diameter_um
    if not SMALLEST_UM <= diameter <= WINDOW_UM:
        msg = (
            f"{section.source} has grains of {diameter:.3g} um on average with pixels of "
            f"{section.pixel_um:g} um, expected {SMALLEST_UM:g} to {WINDOW_UM:g} um, the window of "
            f"256 pixels of 0.05 um that grains are generated in; correct pixel_um"
        )
        raise FitError(msg)
