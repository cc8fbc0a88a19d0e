"""From a grid of labels to certified hexahedra: a cube for each voxel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...generator.errors import ExportError
from ...generator.machine import available_memory
from ...generator.particle import OUTSIDE, Particle
from ...generator.progress import Progress, quiet
from ...generator.voxels.grid import Grid
from ..certificate.hex_certificate import Reference, certify_hexes
from ..mesh.body import ParticleBody
from ..mesh.hex_mesh import HexMesh, of_voxels
from .cut_body import cut_body, cut_facts, n_kept

BYTES_PER_HEX = 400  # measured: memory in use at most, the writing of a file included
MEMORY_SHARE = 0.5  # of the available memory that a mesh may take


def hex_mesh(
    particle: Particle,
    size_um: float,
    progress: Progress | None = None,
    *,
    cut: str = "",
    force: bool = False,
) -> HexMesh:
    """Cubes of a particle, one for each voxel of the product ``voxels`` at the pitch ``size_um``.

    Parameters
    ----------
    progress
        Called with a message and the part of the work that is done.
    cut
        Only the part where these coordinates are positive: "x", "x,y" and so on (`CutBody`).
    force
        Return the mesh also if it fails its certificate.

    Returns
    -------
    HexMesh
        Its ``facts`` hold the ``certificate`` (`HexCertificate.document`).

    Raises
    ------
    ExportError
        If the size is no length or too large, memory does not suffice, or the mesh fails its
        certificate.
    """
    report, body = progress or quiet, cut_body(ParticleBody(particle), cut)
    require_hex_size(body.volume_um3, size_um)
    report("labelling voxels", 0.0)
    grid = Grid.around(body.radius_um, size_um)
    labels = body.voxel_labels(size_um)
    labels[labels > particle.n_grains] = OUTSIDE
    report("making hexahedra", 0.5)
    return certified_hexes(labels, grid.origin, size_um, body, cut_facts(body), force=force)


def require_hex_size(volume_um3: float, size_um: float) -> None:
    """Raise an ExportError for cubes of no or too large an edge, or too many for the memory."""
    diameter = (6 * volume_um3 / math.pi) ** (1 / 3)
    if not 0 < size_um <= diameter:  # true for NaN
        msg = (
            f"size_um is {size_um}, expected the edge of the hexahedra in um, at most the mean "
            f"diameter {diameter:.4g} um"
        )
        raise ExportError(msg)
    needed, available = expected_bytes(volume_um3, size_um), available_memory()
    if needed > MEMORY_SHARE * available:
        msg = (
            f"hexahedra with edges of {size_um} um would be about {volume_um3 / size_um**3:.2g} "
            f"and take about {needed / 1e9:.3g} GB of memory; expected at most "
            f"{MEMORY_SHARE:.0%} of the {available / 1e9:.3g} GB that are free here: ask for "
            "longer edges"
        )
        raise ExportError(msg)


def expected_bytes(volume_um3: float, size_um: float) -> float:
    """Memory that the making and writing of the mesh takes at most."""
    return BYTES_PER_HEX * volume_um3 / size_um**3


def certified_hexes(
    labels: NDArray[np.int32],
    corner_um: tuple[float, float, float],
    size_um: float,
    body: Reference,
    about: Mapping[str, Any] = MappingProxyType({}),
    *,
    force: bool = False,
) -> HexMesh:
    """A cube for each voxel (nz, ny, nx) of the largest piece that faces join, certified.

    Parameters
    ----------
    about
        Further facts.

    Raises
    ------
    ExportError
        If no voxel has a label, or the mesh fails its certificate.
    """
    if not labels.any():
        msg = f"no voxel of {size_um} um lies inside; ask for shorter edges"
        raise ExportError(msg)
    joined = _largest_piece(labels)
    left_out = int(np.count_nonzero(labels)) - int(np.count_nonzero(joined))
    n_grains = n_kept(body)
    facts = {"length_unit": "um", "n_grains": n_grains, "size_um": size_um, **about}
    mesh = of_voxels(joined, corner_um, size_um, n_grains, facts)
    certificate = certify_hexes(mesh, body, left_out * size_um**3)
    if certificate.failures and not force:
        msg = (
            f"the hexahedra fail their certificate: {'; '.join(certificate.failures)}. Ask for "
            "shorter edges, or take the mesh as it is with --force (force=True)"
        )
        raise ExportError(msg)
    return replace(mesh, facts={**facts, "certificate": certificate.document()})


def _largest_piece(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """The labels without what no face joins to the largest piece: it would be free to move."""
    pieces, n_pieces = ndimage.label(labels != OUTSIDE)
    if n_pieces == 1:
        return labels
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    kept: NDArray[np.int32] = np.where(pieces == sizes.argmax(), labels, np.int32(OUTSIDE))
    return kept
