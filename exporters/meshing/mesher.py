"""From a body to a certified mesh of conforming tetrahedra.

1. A body-centred lattice, refined where grains are thin (`lattice`, `sizes`).
2. Cut along the exact grain boundaries (`cut`).
3. Grains made whole (`grain_pieces`), the surface a manifold (`outer_manifold`).
4. Elements made good, vertices put onto the boundaries (`optimiser`).
5. Everything checked (`certificate`). If the check fails the grains with poor elements
   are meshed again with shorter edges; if that does not do either, the poor elements
   change their grain where the topology allows it; then the mesh is refused.

Nothing here needs gmsh; ``docs/meshing.md`` says how other meshers do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ...generator.errors import ExportError
from ...generator.particle import OUTSIDE, Particle
from ...generator.progress import Progress, quiet
from ..certificate.certificate import LEAST_DIHEDRAL_DEG, LEAST_SICN, Certificate, certify
from ..mesh.body import Body, ParticleBody
from ..mesh.tetrahedra import compacted, dihedral_angles, face_neighbours, inverse_condition
from ..mesh.volume_mesh import VolumeMesh
from ..optimisation.blocks import along_curve
from ..optimisation.optimiser import FOR_COARSE, FOR_FINE, RESCUE, Schedule, optimised
from .cut import cut
from .cut_body import cut_body, cut_facts, flattened, n_kept
from .detail import (
    FINE,
    FINEST,
    detail_for,
    detail_of,
    n_sizeable,
    require_budget,
    require_detail,
)
from .grain_pieces import Moved, whole_grains
from .lattice import body_centred_lattice, refined
from .outer_manifold import manifold_outside, manifold_part
from .sizes import MeshSizes

Judge = Callable[[VolumeMesh, Body, NDArray[np.float64], NDArray[np.float64]], Certificate]

SHORTEST = 0.1  # edges are not cut below this part of the boundary size
SMALLEST_GRAIN = 0.1  # of the cube of twice the floor: less goes to a neighbour
SMALLEST_PIECE = 0.1  # of the cube of the floor: less goes to a neighbour where pieces are kept
REACH = 2  # lattice steps beyond a body at which its thin parts are looked for, at most
HELD = 0.95  # of the work is done when a mesh is checked
FINER = 0.6  # factor on the edges of grains whose elements are poor, in a further attempt
ATTEMPTS = (FOR_FINE, FOR_FINE, replace(FOR_FINE, phases=(*FOR_FINE.phases, RESCUE)))
COARSE_ATTEMPTS = (
    FOR_COARSE, FOR_COARSE, replace(FOR_COARSE, phases=(*FOR_COARSE.phases, RESCUE)),
)  # fmt: skip
WITHIN = 0.1  # of the number of tetrahedra that was asked for
TRIALS = 5  # of the detail that gives so many


def volume_mesh(
    particle: Particle,
    size_um: float | None = None,
    boundary_size_um: float | None = None,
    progress: Progress | None = None,
    *,
    surface_size_um: float | None = None,
    detail: str | float = FINE,
    tets: int | None = None,
    cut: str = "",
    force: bool = False,
    threads: int | None = None,
) -> VolumeMesh:
    """Tetrahedra of ``particle`` whose faces follow its grain boundaries and its shell.

    Parameters
    ----------
    size_um
        Length of edges inside grains, um: the step of the background lattice. By default
        `DEFAULT_SIZE_UM`, in coarse meshes as long as the grains allow.
    boundary_size_um
        Length of edges at grain boundaries and at the shell, um; ``size_um`` by default.
        Grains too thin for it get shorter edges.
    progress
        Called with a message and the part of the work that is done.
    surface_size_um
        Longest edge at the shell, um; below it longer by half the depth, up to the other sizes.
    detail
        Edges per radius of the largest ball in a grain: a name in `DETAILS` or a number.
    tets
        How many tetrahedra the mesh should have, within a tenth; sets the detail.
    cut
        Only the part where these coordinates are positive: "x", "x,y" and so on (`CutBody`).
    force
        Return the mesh also if it fails its certificate.
    threads
        By default as many as cores that the process may use. The mesh does not depend on it.

    Returns
    -------
    VolumeMesh
        Every grain in it is one connected piece. Its ``facts`` hold the ``certificate``
        (`Certificate.document`); the ``detail``; ``moved_pieces``, rows of (from, to, um^3) of
        fragments and very small grains that went to a neighbour;
        ``n_tets_relabelled_at_the_shell`` to make the outer surface a manifold; ``repairs``, a
        sentence for each further attempt.

    Raises
    ------
    ExportError
        If a size is not a positive number or too large for the particle, sizes, detail and
        number contradict each other, the mesh would not fit the memory, or it fails its
        certificate.
    """
    return mesh_of(
        cut_body(ParticleBody(particle), cut), size_um, boundary_size_um, progress,
        surface_size_um=surface_size_um, detail=detail, tets=tets, force=force, threads=threads,
    )  # fmt: skip


def mesh_of(
    body: Body,
    size_um: float | None = None,
    boundary_size_um: float | None = None,
    progress: Progress | None = None,
    *,
    surface_size_um: float | None = None,
    detail: str | float = FINE,
    tets: int | None = None,
    force: bool = False,
    judge: Judge | None = None,
    threads: int | None = None,
) -> VolumeMesh:
    """Tetrahedra of any body, as ``judge``, else `certify`, certifies them; see `volume_mesh`."""
    report = progress or quiet
    judge = judge or partial(certify, threads=threads)
    if tets is None:
        sizes = planned(body, size_um, boundary_size_um, detail, surface_size_um=surface_size_um)
        mesh, certificate = _best(body, sizes, report, judge, threads)
    else:
        require_detail(detail, tets, surface_size_um)
        mesh, certificate = _within_budget(
            body, size_um, boundary_size_um, tets, report, judge, threads
        )
    if certificate.failures and not force:
        raise ExportError(_refusal(certificate))
    report("done", 1.0)
    return replace(mesh, facts={**mesh.facts, "certificate": certificate.document()})


def planned(
    body: Body,
    size_um: float | None,
    boundary_size_um: float | None,
    detail: str | float = FINE,
    tets: int | None = None,
    surface_size_um: float | None = None,
) -> MeshSizes:
    """Sizes of the first mesh that `mesh_of` would make.

    Raises
    ------
    ExportError
        As `mesh_of` does before it makes a mesh.
    """
    require_detail(detail, tets, surface_size_um)
    if tets is None:
        return MeshSizes.of(body, size_um, boundary_size_um, detail_of(detail), surface_size_um)
    finest = MeshSizes.of(body, size_um, boundary_size_um, FINEST)
    require_budget(tets, n_meant(body), finest.expected_tets)
    return MeshSizes.of(body, size_um, boundary_size_um, detail_for(tets, n_meant(body)))


def n_meant(body: Body) -> int:
    """Number of grains that a mesh has to have."""
    return n_sizeable(body.grain_volumes[: n_kept(body) + 1], body.pixel_um)


def _within_budget(
    body: Body,
    size_um: float | None,
    boundary_size_um: float | None,
    tets: int,
    report: Progress,
    judge: Judge,
    threads: int | None,
) -> tuple[VolumeMesh, Certificate]:
    """A mesh of so many tetrahedra, the detail corrected by what the meshes before had."""
    sizes = planned(body, size_um, boundary_size_um, tets=tets)
    wanted, shown = float(tets), report
    found: dict[float, int] = {}  # tetrahedra at each detail
    while sizes.detail not in found and len(found) < TRIALS:
        mesh, certificate = _best(body, sizes, shown, judge, threads)
        found[sizes.detail] = len(mesh.tets)
        if abs(len(mesh.tets) / tets - 1) <= WITHIN:
            return mesh, certificate
        wanted *= tets / len(mesh.tets)
        detail = detail_for(wanted, n_meant(body))
        sizes, shown = MeshSizes.of(body, size_um, boundary_size_um, detail), _held(report)
    detail, nearest = min(found.items(), key=lambda pair: abs(math.log(pair[1] / tets)))
    msg = (
        f"tets is {tets}, but the nearest found is {nearest}, at a detail of {detail:.2g}: ask for "
        "a number near that, or for other sizes"
    )
    raise ExportError(msg)


def _best(
    body: Body, sizes: MeshSizes, report: Progress, judge: Judge, threads: int | None
) -> tuple[VolumeMesh, Certificate]:
    """The first mesh that is certified, or else the least bad."""
    sizes.check_memory()
    report("finding thin grains", 0.0)
    edges = sizes.grain_sizes
    volumes = body.grain_volumes
    made: list[tuple[VolumeMesh, Certificate]] = []
    repairs: list[str] = []
    for schedule in COARSE_ATTEMPTS if sizes.is_lean else ATTEMPTS:
        if made:
            edges, repair = _finer(edges, *made[-1])
            repairs.append(repair)
        shown = _held(report) if made else report
        mesh, moved = _attempt(body, sizes, edges, volumes, schedule, shown, threads)
        grains = slice(n_kept(body) + 1)
        targets = volumes + moved.net(body.n_grains)
        certificate = judge(mesh, body, volumes[grains], targets[grains])
        made.append((mesh, certificate))
        if not certificate.failures:
            break
    mesh, certificate = min(made, key=lambda pair: _badness(pair[1]))
    return replace(mesh, facts={**mesh.facts, "repairs": repairs}), certificate


def _attempt(
    body: Body,
    sizes: MeshSizes,
    edges: NDArray[np.float64],
    volumes: NDArray[np.float64],
    schedule: Schedule,
    report: Progress,
    threads: int | None,
) -> tuple[VolumeMesh, Moved]:
    """A mesh, not checked, and the pieces that changed their grain."""
    kept = n_kept(body)
    points, tets, labels = _cut_lattice(body, sizes, edges, report, threads)
    report("joining fragments", 0.15)
    pieces = body.keeps_pieces
    least = (
        SMALLEST_PIECE * sizes.floors_um**3
        if pieces
        else SMALLEST_GRAIN * (2 * sizes.floor_um) ** 3
    )
    around = face_neighbours(tets, len(points))
    labels, moved = whole_grains(points, tets, labels, least, kept, pieces, around)
    labels, n_relabelled = manifold_outside(points, tets, labels, around)
    if kept < body.n_grains:
        labels = manifold_part(points, tets, labels, kept)
    del around
    points, tets, labels = _near(points, tets, labels)
    points, tets, labels = along_curve(points, tets, labels)
    targets = volumes + moved.net(body.n_grains)
    points, tets, labels = optimised(
        points, tets, labels, body.field, targets, edges, schedule,
        lambda part: report("making the elements better", 0.2 + 0.75 * part), threads,
        sizes.limits(points),
    )  # fmt: skip
    points, flattened_um = flattened(points, tets, labels, body)
    if flattened_um > 0:
        last = replace(schedule, phases=schedule.phases[-1:])
        points, tets, labels = optimised(
            points, tets, labels, body.field, targets, edges, last, lambda _: None, threads,
            sizes.limits(points),
        )  # fmt: skip
    report("checking", HELD)
    around = face_neighbours(tets, len(points))
    smallest = least if pieces else 0.0
    labels, late = whole_grains(points, tets, labels, smallest, kept, pieces, around)
    moved = Moved.joined(moved, late)
    labels, n_last = manifold_outside(points, tets, labels, around)
    points, flattened_um = flattened(points, tets, labels, body)
    inside = (labels != OUTSIDE) & (labels <= kept)
    points, tets = compacted(points, tets[inside])
    facts = {
        "length_unit": "um",
        "n_grains": kept,
        "size_um": sizes.size_um,
        "boundary_size_um": sizes.boundary_size_um,
        "detail": sizes.detail,
        "n_tets_relabelled_at_the_shell": n_relabelled + n_last,
        "moved_pieces": moved.rows(),
    }
    if sizes.surface_size_um is not None:
        facts["surface_size_um"] = sizes.surface_size_um
    if planes := cut_facts(body):
        facts |= planes | {"flattened_um": flattened_um}
    return VolumeMesh(points, tets, labels[inside], kept, facts), moved


def _cut_lattice(
    body: Body,
    sizes: MeshSizes,
    edges: NDArray[np.float64],
    report: Progress,
    threads: int | None,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int32]]:
    """Lattice refined where grains need it and cut along their boundaries; labels with 0."""
    size = sizes.size_um
    report("refining the lattice", 0.02)
    points, tets = body_centred_lattice(
        lambda x: body.reaches(size * x, size), body.radius_um / size + REACH
    )
    points, tets = refined(points, tets, lambda x, t: sizes.too_coarse(size * x, t, edges, threads))
    if sizes.is_lean:
        points, tets = refined(points, tets, lambda x, t: sizes.hides_a_grain(size * x, t, threads))
    report("cutting along the grain boundaries", 0.1)
    return cut(size * points, tets, body.grain_at, SHORTEST * edges.min(), threads)


def _near(
    points: NDArray[np.float64], tets: NDArray[np.int64], labels: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int32]]:
    """The mesh without the tetrahedra outside that have no vertex in common with a grain."""
    owned = np.zeros(len(points), bool)
    owned[tets[labels != OUTSIDE]] = True
    near = owned[tets].any(axis=1)
    points, tets = compacted(points, tets[near])
    return points, tets, labels[near]


def _held(report: Progress) -> Progress:
    """Progress that has come to an end once already."""
    return lambda message, fraction: report(f"again: {message}", HELD)


def _finer(
    edges: NDArray[np.float64], mesh: VolumeMesh, certificate: Certificate
) -> tuple[NDArray[np.float64], str]:
    """Edges with shorter ones for the grains that failed, and a sentence about it."""
    poor = inverse_condition(mesh.points, mesh.tets) < LEAST_SICN
    poor |= dihedral_angles(mesh.points, mesh.tets).min(axis=1) < LEAST_DIHEDRAL_DEG
    nodes = np.zeros(len(mesh.points), bool)
    nodes[mesh.tets[poor]] = True
    around = nodes[mesh.tets].any(axis=1)
    grains = np.union1d(mesh.grain_ids[around], [g.grain_id for g in certificate.missing])
    grains = grains.astype(np.int64)
    finer = edges.copy()
    finer[grains] = FINER * edges[grains]
    named = ", ".join(map(str, grains[:20].tolist()))
    return finer, f"grains {named} meshed again with edges {FINER} times as long"


def _badness(certificate: Certificate) -> tuple[int, int, float]:
    """How badly a mesh fails, less is better: its defects, missing grains, worst element.

    The first that differs decides: no solver takes a mesh with defects, and without a grain
    it is of another particle. Of the worst element it is the part of the bar for SICN or
    for the dihedral angle that is reached, whichever is less.
    """
    shape = certificate.shape
    sicn = shape.sicn.least / LEAST_SICN
    reached = min(sicn, shape.dihedral_deg.least / LEAST_DIHEDRAL_DEG)
    return sum(certificate.conformity.defects().values()), len(certificate.missing), -reached


def _refusal(certificate: Certificate) -> str:
    worst = certificate.shape.worst[0]
    failures = "; ".join(certificate.failures)
    return (
        f"the mesh fails its certificate after {len(ATTEMPTS)} attempts: {failures}; the worst "
        f"element lies in grain {worst.grain_id} at {worst.centroid_um} um. Ask for a smaller "
        "size, or take the mesh as it is with --force (force=True)"
    )
