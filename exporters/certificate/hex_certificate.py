"""The certificate of a mesh of hexahedra: what a grid of voxels can be certified for.

Every element is a cube and the mesh is conforming, so what is left to judge is how much of its
body the grid holds: grains, volumes, labels. The same grains must be there as in tetrahedra.
Surfaces are staircases: their area and normals do not come closer to those of the body on finer
grids, and stresses at their corners mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..mesh.hex_mesh import HexMesh, n_touching_nodes, scaled_jacobian
from ..mesh.pieces import connected_pieces
from .certificate import (
    SMALL_PIXELS,
    USUAL_GRAIN_ERROR,
    USUAL_VOLUME_ERROR,
    LostGrain,
    certificate_lines,
    names_of,
    rounded,
)
from .fidelity import LARGE_PIXELS, SAMPLES, Percentiles
from .symmetric_faces import SymmetricFace, face_lines, symmetric_faces

HEX = "hex"
MOST_LEFT_OUT = 0.005  # of the volume, in pieces that no face joins to the body


class Reference(Protocol):
    """What a mesh is compared with. Lengths in um."""

    @property
    def n_grains(self) -> int:
        """Number of grains."""

    @property
    def pixel_um(self) -> float:
        """Finest length that the grains were known to."""

    @property
    def volume_um3(self) -> float:
        """Volume of the body."""

    @property
    def grain_volumes(self) -> NDArray[np.float64]:
        """Volume of each grain, (n_grains + 1,), um^3; 0 in row 0."""

    def grain_at(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        """Grain id at points (n, 3): (n,) int32, 0 outside."""


@dataclass(frozen=True)
class HexCertificate:
    """What a mesh of hexahedra is like.

    Parameters
    ----------
    edge_um, pixel_um
        Edge of an element; the measure of small grains.
    n_inverted, n_crowded_faces, n_duplicate_nodes, n_unused_nodes, n_bodies
        Defects: elements turned inside out, faces of more than two, superfluous nodes, bodies
        joined over faces (1).
    n_fragments
        Pieces of grains, joined over faces, but the largest of each: a grid may part a grain.
    n_touching_nodes
        Nodes at which parts of the body meet without a face: a hinge or a ball joint.
    scaled_jacobian
        The least: 1 for cubes.
    mislabelled, mislabelled_error
        Part of the mesh's volume that the body gives to another grain or the outside, by
        sampling, and its standard error.
    outer_um2, grain_boundary_um2
        Areas of the staircases.
    volume_um3, body_volume_um3, left_out_um3
        Of the mesh, of the body, and of voxels that no face joins to the rest.
    grain_volume_error
        abs(mesh / body - 1) of grains of at least `LARGE_PIXELS` pixels.
    lost
        Grains with a volume but without an element.
    grain_volumes_um3
        Rows of (grain id, volume in the body, volume in the mesh).
    symmetric_faces
        Of a mesh that was cut.
    """

    edge_um: float
    pixel_um: float
    n_nodes: int
    n_hexes: int
    n_grains: int
    n_present: int
    n_inverted: int
    n_crowded_faces: int
    n_duplicate_nodes: int
    n_unused_nodes: int
    n_bodies: int
    n_fragments: int
    n_touching_nodes: int
    scaled_jacobian: float
    mislabelled: float
    mislabelled_error: float
    outer_um2: float
    grain_boundary_um2: float
    volume_um3: float
    body_volume_um3: float
    left_out_um3: float
    grain_volume_error: Percentiles
    lost: tuple[LostGrain, ...]
    grain_volumes_um3: tuple[tuple[int, float, float], ...]
    symmetric_faces: tuple[SymmetricFace, ...] = ()

    @property
    def failures(self) -> list[str]:
        """What keeps the mesh from being certified, a sentence each."""
        defects = {
            "inverted hexahedra": self.n_inverted,
            "faces of more than two hexahedra": self.n_crowded_faces,
            "duplicate nodes": self.n_duplicate_nodes,
            "unused nodes": self.n_unused_nodes,
            "surplus bodies": self.n_bodies - 1,
        }
        found = [f"{count} {what}, expected 0" for what, count in defects.items() if count]
        least = SMALL_PIXELS * self.pixel_um**3
        if missing := [g for g in self.lost if g.volume_um3 >= least]:
            edge = min(g.volume_um3 for g in missing) ** (1 / 3)
            found.append(
                f"{len(missing)} grains have no element ({names_of(missing)}); "
                f"edges of about {edge / 2:.2g} um keep them"
            )
        if self.left_out_um3 > MOST_LEFT_OUT * self.body_volume_um3:
            found.append(
                f"{self.left_out_um3:.3g} um^3 lie in pieces that no face joins to the body, "
                f"expected at most {MOST_LEFT_OUT:.1%} of its volume"
            )
        return found

    @property
    def remarks(self) -> list[str]:
        """What is beyond the usual, a sentence each."""
        checks = {
            "error of the volume": (
                abs(self.volume_um3 / self.body_volume_um3 - 1),
                USUAL_VOLUME_ERROR,
            ),
            "error of a grain's volume at worst": (
                self.grain_volume_error.largest,
                USUAL_GRAIN_ERROR,
            ),
        }
        found = [
            f"{what}: {value:.3g}, usual is up to {usual:.3g}"
            for what, (value, usual) in checks.items()
            if value > usual
        ]
        if self.left_out_um3:
            found.append(
                f"left out, not joined to the body by a face: {self.left_out_um3:.3g} um^3"
            )
        return found

    def document(self) -> dict[str, Any]:
        """The certificate as JSON values, with the verdict."""
        return {
            "elements": HEX,
            "certified": not self.failures,
            "failures": self.failures,
            "remarks": self.remarks,
            **rounded(asdict(self)),
        }


def certify_hexes(mesh: HexMesh, body: Reference, left_out_um3: float) -> HexCertificate:
    """Certificate of a mesh of ``body`` whose edges are ``facts["size_um"]``.

    Parameters
    ----------
    left_out_um3
        Volume of the voxels that are not in the mesh since no face joins them to it.
    """
    edge = float(mesh.facts["size_um"])
    volumes = body.grain_volumes[: mesh.n_grains + 1]
    own = np.concatenate([[0.0], mesh.grain_volumes])
    present = own > 0
    lost = np.flatnonzero((volumes > 0) & ~present)
    large = volumes >= LARGE_PIXELS * body.pixel_um**3
    used = np.zeros(len(mesh.points), bool)
    used[mesh.hexes] = True
    shape = scaled_jacobian(mesh.points, mesh.hexes)
    bodies = connected_pieces(mesh.neighbours, np.ones_like(mesh.grain_ids))
    pieces = connected_pieces(mesh.neighbours, mesh.grain_ids)
    part = _mislabelled(mesh, body)
    return HexCertificate(
        edge_um=edge,
        pixel_um=body.pixel_um,
        n_nodes=len(mesh.points),
        n_hexes=len(mesh.hexes),
        n_grains=mesh.n_grains,
        n_present=int(present.sum()),
        n_inverted=int((shape <= 0).sum()),
        n_crowded_faces=int((mesh.neighbours < -1).sum()),
        n_duplicate_nodes=len(mesh.points) - len(np.unique(mesh.points, axis=0)),
        n_unused_nodes=int((~used).sum()),
        n_bodies=len(np.unique(bodies)),
        n_fragments=len(np.unique(pieces)) - int(present.sum()),
        n_touching_nodes=n_touching_nodes(mesh.hexes, mesh.neighbours, len(mesh.points)),
        scaled_jacobian=float(shape.min()),
        mislabelled=part,
        mislabelled_error=float(np.sqrt(part * (1 - part) / SAMPLES)),
        outer_um2=len(mesh.outer) * edge**2,
        grain_boundary_um2=len(mesh.grain_boundary) * edge**2,
        volume_um3=float(mesh.volumes.sum()),
        body_volume_um3=body.volume_um3,
        left_out_um3=left_out_um3,
        grain_volume_error=Percentiles.of(np.abs(own[large] / volumes[large] - 1)),
        lost=tuple(LostGrain(int(g), float(volumes[g])) for g in lost),
        grain_volumes_um3=tuple(
            (int(g), float(volumes[g]), float(own[g]))
            for g in np.flatnonzero((volumes > 0) | present)
        ),
        symmetric_faces=symmetric_faces(mesh, body),
    )


def _mislabelled(mesh: HexMesh, body: Reference) -> float:
    """Part of `SAMPLES` points, spread evenly over the cubes, that have another grain."""
    k = np.arange(SAMPLES)
    rows = ((k + 0.5) / SAMPLES * len(mesh.hexes)).astype(np.int64)
    irrational = np.array([0.8191725133961645, 0.6710436067037893, 0.5497004779019703])
    corners = mesh.points[mesh.hexes[rows]]
    places = ((k[:, None] + 1) * irrational) % 1.0  # R3 sequence
    points = corners[:, 0] + places * (corners[:, 6] - corners[:, 0])
    return float((body.grain_at(points) != mesh.grain_ids[rows]).mean())


def lines_of(document: dict[str, Any]) -> Iterator[str]:
    """What the certificate of any mesh says, for people, a line each."""
    if document.get("elements") == HEX:
        return _hex_lines(document)
    return certificate_lines(document)


def _hex_lines(c: dict[str, Any]) -> Iterator[str]:
    error, relative = c["grain_volume_error"], c["volume_um3"] / c["body_volume_um3"] - 1
    yield (
        f"{'certified' if c['certified'] else 'NOT certified'}: {c['n_hexes']:,} hexahedra with "
        f"edges of {c['edge_um']:g} um, {c['n_nodes']:,} nodes, {c['n_present']} of "
        f"{c['n_grains']} grains"
    )
    yield (
        f"shape              scaled Jacobian min {c['scaled_jacobian']:.3f}; surfaces are "
        f"staircases, {c['outer_um2']:.4g} um^2 outside and {c['grain_boundary_um2']:.4g} um^2 "
        "between grains"
    )
    yield (
        f"pieces             {c['n_fragments']} fragments of grains beside their largest piece; "
        f"{c['n_touching_nodes']} nodes where parts of the body touch without a face"
    )
    yield f"mislabelled        {100 * c['mislabelled']:.2f} % of the volume"
    yield (
        f"volume             {c['volume_um3']:.4f} um^3, {100 * relative:+.3f} %; grains: median "
        f"{100 * error['p50']:.1f} %, 95 % {100 * error['p95']:.1f} %, worst "
        f"{100 * error['largest']:.1f} %"
    )
    yield from face_lines(c["symmetric_faces"])
    if c["lost"]:
        yield f"lost grains        {names_of([LostGrain(**g) for g in c['lost']])}"
    yield from (f"failure            {text}" for text in c["failures"])
    yield from (f"remark             {text}" for text in c["remarks"])
