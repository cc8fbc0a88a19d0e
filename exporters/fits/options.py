"""Options of fits: one name and one default for each, in Python and on the command line.

Nothing heavy is imported: the command line reads the defaults before a command runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...generator.errors import FitError

Spelling = Callable[[str], str]  # how a message calls an option: str, or a flag of the command line


@dataclass(frozen=True, kw_only=True)
class ShellOptions:
    """How CT volumes are read, particles found in them, and shells fitted.

    Parameters
    ----------
    voxel_um
        Edge of a voxel, um, if the files do not say.
    dataset
        Array of an HDF5, netCDF or .npz file that has several.
    shape, type
        Voxels of a raw file along z, y, x, and their type.
    segmented, labelled
        Whether the volumes have two values, or a number for each particle.
    sigma, neck, min_voxels, min_sphericity
        As in `SegmentationSettings`.
    max_degree
        Largest degree of the spherical harmonics.
    seed
        Entropy of rotations and bootstrap.
    bootstrap
        Number of bootstrap samples.
    """

    voxel_um: float | None = None
    dataset: str | None = None
    shape: tuple[int, int, int] | None = None
    type: str | None = None
    segmented: bool = False
    labelled: bool = False
    sigma: float = 1.8
    neck: float = 0.8
    min_voxels: int = 10
    min_sphericity: float = 0.5
    max_degree: int = 9
    seed: int = 0
    bootstrap: int = 400


@dataclass(frozen=True, kw_only=True)
class SectionOptions:
    """How sections are read, and which of them are kept.

    Parameters
    ----------
    pixel_um
        Edge of a pixel, um; needed for images of labels.
    centre
        (y, x) of the particle's centre in each map, pixels.
    mask
        Image for each map that is 0 outside the section.
    threshold, min_pixels, gap
        As in `ReconstructionSettings`.
    phase
        Of a map that has several.
    dataset
        Array of an HDF5 file that has several.
    frame
        What Euler angles refer to, of `ebsd.FRAMES`.
    level, least_alignment
        As in `alignment`.
    relative_alignment
        Least alignment as a part of the best section's.
    all_sections
        Whether all are kept, whatever the test says.
    """

    pixel_um: float | None = None
    centre: Sequence[tuple[float, float]] | None = None
    mask: Sequence[str | Path] | None = None
    threshold: float = 5.0
    min_pixels: int = 4
    gap: float = 2.0
    phase: str | None = None
    dataset: str | None = None
    frame: str = "map"
    level: float = 0.01
    least_alignment: float = 0.0
    relative_alignment: float = 0.75
    all_sections: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How nets are trained.

    Parameters
    ----------
    config
        "default", or "paper": as published.
    steps
        Of training, if not the usual ones.
    planar_steps
        Of the fit of each section.
    seeds
        Nets that are trained.
    seed
        Entropy of the first; the others follow it.
    jobs
        Processes; as many as cores if left out.
    device
        "cpu", "cuda", "cuda:N" or "auto".
    """

    config: str = "default"
    steps: int | None = None
    planar_steps: int = 200
    seeds: int = 3
    seed: int = 0
    jobs: int | None = None
    device: str = "cpu"


FAMILIES = ("auto", "law", "net")
OF_NETS = ("config", "steps", "planar_steps", "seeds")  # a net is meant where one is given
OF_PROCESSES = ("jobs", "device")


def family_of(
    family: str, training: TrainingOptions, truth: object, option: Spelling = str
) -> Literal["law", "net"]:
    """What is fitted: "auto" is the law, or the net where something is given that only it has.

    Raises
    ------
    FitError
        If there is no such family, or a law is asked for with what only nets have.
    """
    if family not in FAMILIES:
        msg = f"{option('family')} is {family!r}, expected one of {', '.join(FAMILIES)}"
        raise FitError(msg)
    given = [name for name in OF_NETS if getattr(training, name) != getattr(TRAINING, name)]
    given += ["truth"] if truth is not None else []
    if family == "net" or (family == "auto" and given):
        return "net"
    given += [name for name in OF_PROCESSES if getattr(training, name) != getattr(TRAINING, name)]
    if given:
        msg = (
            f"{', '.join(map(option, given))}: nothing that the fit of a law has; leave it out, "
            f"or give {option('family')} net"
        )
        raise FitError(msg)
    return "law"


@dataclass(frozen=True, kw_only=True)
class CalibrationOptions:
    """What is printed of grains beside their diameter, and how it was measured.

    Parameters
    ----------
    aspect
        Mean aspect ratio of grains in sections.
    alignment
        Mean of cos 2 theta.
    pixel_um
        Edge of a pixel, um.
    min_pixels
        Least number of pixels of a grain that counts.
    cuts
        "central" or "random" planes.
    radius_um
        Of the particles, um; the median of the shells if left out.
    spread
        What makes sizes vary, "r" or "d".
    source
        Where the numbers are printed.
    seed
        Entropy of the simulated sections.
    """

    aspect: float | None = None
    alignment: float | None = None
    pixel_um: float = 0.05
    min_pixels: int = 4
    cuts: str = "central"
    radius_um: float | None = None
    spread: str = "r"
    source: str | None = None
    seed: int = 0


BASE_MODEL = "nmc811"  # what is not fitted is taken from
SHELL, SECTIONS, TRAINING = ShellOptions(), SectionOptions(), TrainingOptions()
CALIBRATION = CalibrationOptions()
