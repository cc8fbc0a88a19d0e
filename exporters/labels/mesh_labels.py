"""Certified tetrahedra of labelled voxels: what is repaired, refused and remarked.

A mesh needs one body without cavities. Pieces of the body that lie apart are dropped and
cavities filled; to keep a cavity give it an id of its own. Grains keep all their pieces.
What is thinner than two voxels gets a weight against smoothing and edges of half the length.
The mesh is compared with the labels as given (`comparison`), and refused if it lost more than
`LARGEST_LOSS` of their volume.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...generator.errors import ExportError
from ...generator.machine import available_memory
from ...generator.progress import Progress
from ..certificate.certificate import moved_places
from ..mesh.any_mesh import AXES, CUT
from ..mesh.conversions import require_writable
from ..mesh.hex_mesh import HexMesh
from ..mesh.volume_mesh import VolumeMesh
from ..meshing.cut_body import cut_body
from ..meshing.detail import FINE
from ..meshing.mesher import mesh_of
from .balance import balanced_weights
from .comparison import (
    LARGEST_LOSS,
    LISTED,
    Comparison,
    certify_grains,
    compared,
    loss_sentence,
    of_grains,
)
from .hex_labels import hex_volume
from .label_volume import MAX_ID, MEMORY_SHARE, LabelVolume, require_memory
from .pieces import Repair, numbered_pieces, one_body

SIZE_PITCHES = 3.0  # default size of a mesh
LARGEST_SIZE = 0.5  # of the radius of a ball of the same volume
BYTES_PER_LATTICE_POINT = 60
BYTES_PER_THIN_VOXEL = 100_000  # of a grain thinner than two voxels: its edges are short


def mesh_volume(
    volume: LabelVolume,
    size_um: float | None = None,
    boundary_size_um: float | None = None,
    progress: Progress | None = None,
    *,
    surface_size_um: float | None = None,
    detail: str | float = FINE,
    tets: int | None = None,
    cut: str = "",
    force: bool = False,
) -> VolumeMesh:
    """Certified tetrahedra of labelled voxels, in the coordinates of the voxels.

    Parameters
    ----------
    size_um
        Longest edge inside grains, um; `SIZE_PITCHES` voxels by default, less in a small body.
    cut
        Only the part beyond planes through the middle of the grains' box: "x", "x,y" and so on.
    boundary_size_um, progress, surface_size_um, detail, tets, force
        As in `mesher.volume_mesh`.

    Returns
    -------
    VolumeMesh
        Every grain has all its pieces. Its ``facts`` hold what those of `mesher.volume_mesh`
        do, and ``label_volume``.

    Raises
    ------
    ExportError
        If memory does not suffice, a size is none, more than `LARGEST_LOSS` of the given
        volume is lost, or the mesh fails its certificate.
    """
    require_memory(volume.labels.shape)
    labels, repair = one_body(volume.labels)
    if not force:
        _require_one_body(volume, repair)
    pieces, grain_of = numbered_pieces(labels)
    _require_few(len(grain_of) - 1)
    sound = replace(volume, labels=pieces)
    body = replace(sound.centred(), weights=balanced_weights(pieces))
    usual = detail == FINE and tets is None
    size = _default_size(body) if size_um is None and usual else size_um
    if size is not None:  # coarse meshes have a lattice of a few steps
        _require_lattice(body, size)
    _require_thin(body)
    wanted = _wanted(volume, body, cut)
    judge = partial(certify_grains, wanted, grain_of)
    mesh = mesh_of(
        cut_body(body, cut), size, boundary_size_um, progress, surface_size_um=surface_size_um,
        detail=detail, tets=tets, force=True, judge=judge,
    )  # fmt: skip
    mesh = of_grains(mesh, grain_of, volume.n_grains)
    mesh = replace(mesh, points=mesh.points + sound.centre_um)
    moved = _moved_grains(mesh.facts["moved_pieces"], grain_of)
    found = compared(volume, wanted, mesh, repair, moved)
    given = _label_facts(volume, body, grain_of, found)
    certificate = _with_losses(moved_places(mesh.facts["certificate"], sound.centre_um), found)
    facts = {
        **mesh.facts, **_moved_planes(mesh.facts, sound), "n_grains": volume.n_grains,
        "certificate": certificate, "label_volume": given,
    }  # fmt: skip
    if not (certificate["certified"] or force):
        raise ExportError(_refusal(certificate))
    return replace(mesh, facts=facts)


def _default_size(body: LabelVolume) -> float:
    radius = (0.75 * body.volume_um3 / np.pi) ** (1 / 3)
    return float(min(SIZE_PITCHES * body.pitch_um, LARGEST_SIZE * radius))


def _require_one_body(volume: LabelVolume, repair: Repair) -> None:
    """Refuse labels of which too much lies apart, before anything is meshed."""
    share = repair.n_dropped / np.count_nonzero(volume.labels)
    if share > LARGEST_LOSS:
        n = len({piece for _, piece, _ in repair.dropped})
        what = f"{n} {'pieces lie' if n > 1 else 'piece lies'} apart from the largest body"
        msg = (
            f"{loss_sentence(share, what)}; mesh each body by itself, or the largest alone with "
            "--force (force=True)"
        )
        raise ExportError(msg)


def _require_few(n_pieces: int) -> None:
    """Refuse labels in more pieces than there may be grains."""
    if n_pieces > MAX_ID:
        msg = (
            f"the grains have {n_pieces} pieces, expected at most {MAX_ID}: if they are noise, "
            "filter it, for example by scipy.ndimage.median_filter"
        )
        raise ExportError(msg)


def _moved_grains(
    rows: list[list[float]], grain_of: NDArray[np.int32]
) -> tuple[tuple[int, int, float], ...]:
    """Rows (from, to, um^3) of pieces as such of grains, without what stayed in its grain."""
    sums: dict[tuple[int, int], float] = {}
    for source, target, volume in rows:
        pair = int(grain_of[int(source)]), int(grain_of[int(target)])
        if pair[0] != pair[1]:
            sums[pair] = sums.get(pair, 0.0) + volume
    return tuple((*pair, volume) for pair, volume in sorted(sums.items()))


def _with_losses(certificate: dict[str, Any], found: Comparison) -> dict[str, Any]:
    """Certificate that fails if too much of the given volume is lost."""
    if found.lost_share <= LARGEST_LOSS:
        return certificate
    failures = [*certificate["failures"], loss_sentence(found.lost_share, found.causes)]
    return {**certificate, "certified": False, "failures": failures}


def _label_facts(
    volume: LabelVolume, body: LabelVolume, grain_of: NDArray[np.int32], found: Comparison
) -> dict[str, Any]:
    """What was given and what became of it, JSON values."""
    facts = {
        "pitch_um": volume.pitch_um,
        "shape_zyx": list(volume.labels.shape),
        "cut_at_sides": volume.cut_sides,
        **_pieces(body, grain_of),
        **found.document(),
    }
    return {**facts, "remarks": _remarks(facts)}


def _pieces(body: LabelVolume, grain_of: NDArray[np.int32]) -> dict[str, Any]:
    """Pieces of grains besides the largest, rows of (number, grain, um^3), and thin ones."""
    further = np.flatnonzero(grain_of != np.arange(len(grain_of)))
    volumes = body.grain_volumes
    return {
        "n_further_pieces": len(further),
        "further_pieces_um3": _digits(volumes[further].sum()),
        "further_piece_grain_um3": [
            [p, int(grain_of[p]), _digits(volumes[p])] for p in further[:LISTED].tolist()
        ],
        "n_thin_pieces": int(body.thin_grains.sum()),
    }


def _remarks(labels: dict[str, Any]) -> list[str]:
    """What a user should know, a sentence each."""
    found = []
    if cut := labels["cut_at_sides"]:
        found.append(
            f"the body reaches the border of the window at {', '.join(cut)}: it is meshed as if "
            "it ended there"
        )
    if n := labels["n_dropped_pieces"]:
        found.append(
            f"pieces apart from the largest body were dropped, {n} of "
            f"{labels['dropped_um3']:.3g} um^3: mesh them by themselves"
        )
    if labels["filled_um3"]:
        found.append(
            f"cavities of {labels['filled_um3']:.3g} um^3 were filled: to keep them give them "
            "an id of their own"
        )
    if n := labels["n_further_pieces"]:
        found.append(
            f"grains have pieces besides the largest of each, {n} of "
            f"{labels['further_pieces_um3']:.3g} um^3: they stay, as pieces"
        )
    if n := labels["n_thin_pieces"]:
        found.append(
            f"grains or pieces thinner than two voxels: {n}; edges there are down to half as long "
            "as elsewhere"
        )
    return found


def _digits(value: float) -> float:
    return float(f"{value:.6g}")


def _wanted(volume: LabelVolume, body: LabelVolume, cut: str) -> NDArray[np.float64]:
    """Volume of each grain as given, (n_grains + 1,), um^3, or of its part that a cut leaves."""
    if not cut:
        return volume.grain_volumes
    given = cut_body(replace(body, labels=volume.labels, weights=None), cut)
    return given.grain_volumes[: volume.n_grains + 1]


def _moved_planes(facts: Mapping[str, Any], volume: LabelVolume) -> dict[str, Any]:
    """The fact about planes in the coordinates of the volume; nothing of a whole body."""
    if CUT not in facts:
        return {}
    return {CUT: {axis: float(volume.centre_um[AXES.index(axis)]) for axis in facts[CUT]}}


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


def _require_thin(body: LabelVolume) -> None:
    """Refuse thin grains whose short edges would not fit."""
    n = round(body.grain_volumes[body.thin_grains].sum() / body.pitch_um**3)
    needed, available = n * BYTES_PER_THIN_VOXEL, available_memory()
    if needed > MEMORY_SHARE * available:
        msg = (
            f"{n} voxels lie in grains or pieces thinner than two voxels, whose elements would "
            f"take about {needed / 1e9:.3g} GB of memory; expected at most {MEMORY_SHARE:.0%} of "
            f"the {available / 1e9:.3g} GB that are free here: if they are noise, filter it, for "
            "example by scipy.ndimage.median_filter"
        )
        raise ExportError(msg)


def mesh_labels(
    path: str | Path,
    out: str | Path,
    *,
    size_um: float | None = None,
    boundary_size_um: float | None = None,
    surface_size_um: float | None = None,
    detail: str | float = FINE,
    tets: int | None = None,
    elements: str = "tets",
    cut: str = "",
    pitch_um: float | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> VolumeMesh | HexMesh:
    """Mesh the labels of a file (`label_files.read_labels`) and save them as ``out``.

    Its suffix is one that `VolumeMesh.save` knows, which says so before anything is read.

    Returns
    -------
    VolumeMesh or HexMesh
        As written; its ``facts`` hold the certificate.

    Raises
    ------
    ExportError
        For a file that holds no labels or cannot be written, and what `mesh_volume` or
        `hex_volume` raises.
    """
    from .files import read_labels

    require_writable(Path(out))
    volume = read_labels(path, pitch_um)
    mesh: VolumeMesh | HexMesh
    if elements == "hex":
        mesh = hex_volume(volume, size_um, cut=cut, force=force)
    else:
        mesh = mesh_volume(
            volume, size_um, boundary_size_um, progress, surface_size_um=surface_size_um,
            detail=detail, tets=tets, cut=cut, force=force,
        )  # fmt: skip
    mesh.save(out, overwrite=True)
    return mesh
