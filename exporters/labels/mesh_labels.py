"""Certified tetrahedra of labelled voxels: what is repaired, refused and remarked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...generator.errors import ExportError
from ...generator.machine import available_memory
from ...generator.particle import OUTSIDE
from ...generator.progress import Progress
from ..certificate.certificate import SMALL_PIXELS, moved_places
from ..mesh import msh_file
from ..mesh.any_mesh import AXES, CUT
from ..mesh.volume_mesh import VolumeMesh
from ..meshing.cut_body import cut_body
from ..meshing.mesher import mesh_of
from .hex_labels import hex_volume
from .label_volume import MEMORY_SHARE, LabelVolume, require_memory
from .pieces import Repair, in_one_piece

SIZE_PITCHES = 3.0  # default size of a mesh
LEAST_SMOOTH = 5  # voxels that must stay of a grain when its surface is made smooth
BYTES_PER_LATTICE_POINT = 60
LISTED = 50  # rows of a list in the facts; the totals count all
BLOCK = 1_000_000  # voxels looked at together: 24 MB of places


def mesh_volume(
    volume: LabelVolume,
    size_um: float | None = None,
    boundary_size_um: float | None = None,
    progress: Progress | None = None,
    *,
    cut: str = "",
    force: bool = False,
) -> VolumeMesh:
    """Certified tetrahedra of labelled voxels, in the coordinates of the voxels.

    Parameters
    ----------
    size_um
        Longest edge inside grains, um; `SIZE_PITCHES` voxels by default.
    cut
        Only the part beyond planes through the middle of the grains' box: "x", "x,y" and so on.
    boundary_size_um, progress, force
        As in `mesher.volume_mesh`.

    Returns
    -------
    VolumeMesh
        Its ``facts`` hold what those of `mesher.volume_mesh` do, and ``label_volume``.

    Raises
    ------
    ExportError
        If nothing is thick enough to be meshed, memory does not suffice, a size is none,
        or the mesh fails its certificate.
    """
    require_memory(volume.labels.shape)
    size = SIZE_PITCHES * volume.pitch_um if size_um is None else size_um
    sound, repair, thin = _meshable(volume)
    body = sound.centred()
    _require_lattice(body, size)
    mesh = mesh_of(cut_body(body, cut), size, boundary_size_um, progress, force=True)
    facts = {**mesh.facts, "label_volume": _facts(volume, repair, thin)}
    moved = replace(mesh, points=mesh.points + sound.centre_um, facts=_moved(facts, sound))
    certificate = moved.facts["certificate"]
    if not (certificate["certified"] or force):
        raise ExportError(_refusal(certificate))
    return moved


def _meshable(volume: LabelVolume) -> tuple[LabelVolume, Repair, dict[int, int]]:
    """The volume in one piece, without grains too thin to be meshed; what changed."""
    labels, repair = in_one_piece(volume.labels)
    thin: dict[int, int] = {}
    while True:
        body = replace(volume, labels=labels)
        counts, lost, smooth = _thin_grains(body)
        if not lost.any():
            return body, repair, thin
        thin |= {int(g): int(counts[g]) for g in np.flatnonzero(lost)}
        labels = np.where(lost[labels], smooth, labels)
        if not labels.any():
            msg = (
                "the grains are thinner than two voxels everywhere, which smooth surfaces do "
                "not resolve; make the voxels smaller: labels.repeat(2, 0).repeat(2, 1)"
                ".repeat(2, 2) at half the pitch"
            )
            raise ExportError(msg)
        labels, more = in_one_piece(labels)
        repair = repair.joined(more)


def _thin_grains(
    body: LabelVolume,
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int32]]:
    """Voxels of each grain, whether the smooth boundaries leave too little, labels by these.

    Grains of fewer than `SMALL_PIXELS` voxels may be lost; they go only if all is lost.
    """
    smooth = body.labels.copy()
    flat, kept = smooth.ravel(), np.zeros(body.n_grains + 1, np.int64)
    rows = np.flatnonzero(body.labels)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        zyx = np.unravel_index(block, body.labels.shape)
        places = np.stack([body._axis(a)[zyx[a]] for a in (2, 1, 0)], axis=1)
        before, after = flat[block], body.grain_at(places)
        kept += np.bincount(before[after == before], minlength=len(kept))
        flat[block] = after
    counts = np.bincount(body.labels.ravel(), minlength=len(kept))
    lost = (counts >= SMALL_PIXELS) & (kept < LEAST_SMOOTH)
    if not kept[1:].any():
        lost = counts > 0
    lost[OUTSIDE] = False
    return counts, lost, smooth


def _facts(volume: LabelVolume, repair: Repair, thin: dict[int, int]) -> dict[str, Any]:
    """What was given and what was changed, JSON values."""
    voxel = volume.pitch_um**3
    cut = volume.cut_sides
    pieces = sorted({piece for _, piece, _ in repair.dropped})
    return {
        "pitch_um": volume.pitch_um,
        "shape_zyx": list(volume.labels.shape),
        "volume_um3": _digits(volume.volume_um3),
        "cut_at_sides": cut,
        "n_dropped_pieces": len(pieces),
        "dropped_um3": _digits(repair.n_dropped * voxel),
        "dropped_grain_piece_um3": [
            [grain, piece, _digits(n * voxel)] for grain, piece, n in repair.dropped[:LISTED]
        ],
        "filled_um3": _digits(repair.n_filled * voxel),
        "moved_from_to_um3": [[a, b, _digits(n * voxel)] for a, b, n in _largest(repair.moved)],
        "thin_grain_um3": [[g, _digits(n * voxel)] for g, n in sorted(thin.items())[:LISTED]],
        "remarks": _remarks(repair, thin, cut, voxel),
    }


def _remarks(repair: Repair, thin: dict[int, int], cut: list[str], voxel: float) -> list[str]:
    """What a user should know, a sentence each."""
    found = []
    if cut:
        found.append(
            f"the body reaches the border of the window at {', '.join(cut)}: it is meshed as if "
            "it ended there"
        )
    if repair.dropped:
        n = len({piece for _, piece, _ in repair.dropped})
        found.append(
            f"{n} pieces apart from the largest body were dropped, {repair.n_dropped * voxel:.3g} "
            "um^3: mesh them by themselves"
        )
    if repair.n_filled:
        found.append(
            f"cavities of {repair.n_filled * voxel:.3g} um^3 were filled: to keep them give them "
            "an id of their own"
        )
    fragments = sum(n for source, _, n in repair.moved if source != OUTSIDE)
    if fragments:
        found.append(f"fragments of grains, {fragments * voxel:.3g} um^3, went to a neighbour")
    if thin:
        found.append(f"{len(thin)} grains are too thin for their voxels and went to a neighbour")
    return found


def _largest(rows: tuple[tuple[int, int, int], ...]) -> list[tuple[int, int, int]]:
    return sorted(rows, key=lambda row: (-row[2], row))[:LISTED]


def _digits(value: float) -> float:
    return float(f"{value:.6g}")


def _moved(facts: dict[str, Any], volume: LabelVolume) -> dict[str, Any]:
    """Facts with all places in the coordinates of the volume."""
    moved = {**facts, "certificate": moved_places(facts["certificate"], volume.centre_um)}
    if CUT in facts:
        moved[CUT] = {axis: float(volume.centre_um[AXES.index(axis)]) for axis in facts[CUT]}
    return moved


def _refusal(certificate: dict[str, Any]) -> str:
    worst = certificate["shape"]["worst"][0]
    return (
        f"the mesh fails its certificate: {'; '.join(certificate['failures'])}; the worst "
        f"element lies in grain {worst['grain_id']} at {worst['centroid_um']} um. Ask for a "
        "smaller size, or take the mesh as it is with --force (force=True)"
    )


def _require_lattice(body: LabelVolume, size_um: float) -> None:
    """Refuse a background lattice of a long body that would not fit, as far as there is a size."""
    if not size_um > 0:
        return
    edge = min(2 * body.radius_um / size_um + 7, 1e9)  # its cube is finite
    points = 2 * edge**3
    needed, available = points * BYTES_PER_LATTICE_POINT, available_memory()
    if needed > MEMORY_SHARE * available:
        msg = (
            f"a lattice of {size_um} um around a body of radius {body.radius_um:.3g} um takes "
            f"about {needed / 1e9:.3g} GB of memory; expected at most {MEMORY_SHARE:.0%} of the "
            f"{available / 1e9:.3g} GB that are free here: ask for longer edges"
        )
        raise ExportError(msg)


def mesh_labels(
    path: str | Path,
    out: str | Path,
    *,
    size_um: float | None = None,
    boundary_size_um: float | None = None,
    elements: str = "tets",
    cut: str = "",
    pitch_um: float | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Mesh the labels of a file (`label_files.read_labels`) and write them as MSH 4.1.

    Returns
    -------
    Path
        ``out``; `msh_sections.read_facts` has the facts with the certificate.

    Raises
    ------
    ExportError
        For a file that holds no labels, and what `mesh_volume` or `hex_volume` raises.
    """
    from .files import read_labels

    volume = read_labels(path, pitch_um)
    if elements == "hex":
        return msh_file.write(hex_volume(volume, size_um, cut=cut, force=force), out)
    mesh = mesh_volume(volume, size_um, boundary_size_um, progress, cut=cut, force=force)
    return msh_file.write(mesh, out)
