"""The certificate of a mesh: what was checked, what was found, whether it passes.

A mesh is certified if it is conforming, closed and free of inverted elements, has no
element worse than `LEAST_SICN` and `LEAST_DIHEDRAL_DEG`, and holds every grain of at least
`SMALL_PIXELS` pixels. How true it is to its body is measured and reported; distances and
errors beyond what is usual at that size are remarks, not failures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...generator.machine import in_threads
from .conformity import Conformity, conformity
from .element_shape import ElementShape, element_shape
from .fidelity import Fidelity, fidelity
from .grain_topology import NECK_SHARE, GrainTopology, grain_topology
from .symmetric_faces import SymmetricFace, face_lines, symmetric_faces

if TYPE_CHECKING:
    from ..mesh.body import Body
    from ..mesh.volume_mesh import VolumeMesh

LEAST_SICN = 0.1
LEAST_DIHEDRAL_DEG = 10.0
SMALL_PIXELS = 10  # grains of fewer pixels of the grain frame may be lost
USUAL_DISTANCE = 0.2 / 3  # of vertices from their boundary at 95 %, as a part of the size
USUAL_MISLABELLED = 0.02
USUAL_VOLUME_ERROR = 0.005  # of the whole
USUAL_GRAIN_ERROR = 0.3  # of the worst grain of at least 50 pixels
NAMED = 8  # grains named in a sentence


@dataclass(frozen=True)
class LostGrain:
    """A grain of the body without an element: merged into a neighbour, or too small."""

    grain_id: int
    volume_um3: float


@dataclass(frozen=True, repr=False)
class Certificate:
    """What a mesh is like.

    Parameters
    ----------
    size_um
        Longest edge at boundaries.
    pixel_um
        Pixel of the grain frame, the measure of small grains.
    n_grains, n_with_volume, n_present
        Grains of the body; those with a volume in it; those with an element in the mesh.
    lost
        Grains with a volume but without an element.
    grain_volumes_um3
        Rows of (grain id, volume in the body, the same after pieces changed their grain,
        volume in the mesh). Errors are those of the last against the one before.
    symmetric_faces
        Of a mesh that was cut.
    """

    size_um: float
    pixel_um: float
    n_nodes: int
    n_tets: int
    n_grains: int
    n_with_volume: int
    n_present: int
    conformity: Conformity
    shape: ElementShape
    fidelity: Fidelity
    topology: GrainTopology
    lost: tuple[LostGrain, ...]
    grain_volumes_um3: tuple[tuple[int, float, float, float], ...]
    symmetric_faces: tuple[SymmetricFace, ...] = ()

    def __repr__(self) -> str:
        verdict = "NOT certified" if self.failures else "certified"
        return (
            f"Certificate({verdict}: {self.n_tets:,} tetrahedra, {self.n_present} of "
            f"{self.n_grains} grains, smallest SICN {self.shape.sicn.least:.3f}, smallest "
            f"dihedral angle {self.shape.dihedral_deg.least:.2f} degrees)"
        )

    @property
    def failures(self) -> list[str]:
        """What keeps the mesh from being certified, a sentence each."""
        found = [f"{count} {what}, expected 0" for what, count in self.conformity.defects().items()]
        if self.shape.sicn.least < LEAST_SICN:
            found.append(f"smallest SICN {self.shape.sicn.least:.3f}, expected >= {LEAST_SICN}")
        if self.shape.dihedral_deg.least < LEAST_DIHEDRAL_DEG:
            least = self.shape.dihedral_deg.least
            found.append(f"smallest dihedral angle {least:.2f}, expected >= {LEAST_DIHEDRAL_DEG}")
        if missing := self.missing:
            found.append(_missing_sentence(missing))
        return found

    @property
    def missing(self) -> list[LostGrain]:
        """Lost grains that should be there."""
        return [g for g in self.lost if g.volume_um3 >= SMALL_PIXELS * self.pixel_um**3]

    @property
    def remarks(self) -> list[str]:
        """What is beyond the usual, a sentence each."""
        found, f = [], self.fidelity
        checks = {
            "distance of grain boundary vertices at 95 %, um": (
                f.grain_boundary_um.p95,
                USUAL_DISTANCE * self.size_um,
            ),
            "mislabelled part of the volume": (f.mislabelled, USUAL_MISLABELLED),
            "error of the volume": (
                abs(f.volume_um3 / f.body_volume_um3 - 1),
                USUAL_VOLUME_ERROR,
            ),
            "error of a grain's volume at worst": (f.grain_volume_error.largest, USUAL_GRAIN_ERROR),
        }
        for what, (value, usual) in checks.items():
            if value > usual:
                found.append(f"{what}: {value:.3g}, usual is up to {usual:.3g}")
        return found

    def document(self) -> dict[str, Any]:
        """The certificate as JSON values, with the verdict."""
        return {
            "certified": not self.failures,
            "failures": self.failures,
            "remarks": self.remarks,
            **rounded(asdict(self)),
        }


def certificate_lines(document: dict[str, Any]) -> Iterator[str]:
    """What `Certificate.document` says, for people, a line each."""
    c, s, f = document["conformity"], document["shape"], document["fidelity"]
    angle, error = s["dihedral_deg"], f["grain_volume_error"]
    defects = sum(1 for text in document["failures"] if text.endswith("expected 0"))
    relative = f["volume_um3"] / f["body_volume_um3"] - 1
    yield (
        f"{'certified' if document['certified'] else 'NOT certified'}: {document['n_tets']:,} "
        f"tetrahedra, {document['n_nodes']:,} nodes, {document['n_present']} of "
        f"{document['n_grains']} grains"
    )
    yield (
        f"conformity         {defects} kinds of defects; "
        f"{c['n_touching_edges']} edges where a grain touches itself"
    )
    yield (
        f"dihedral angle     min {angle['least']:.2f}, 5 % {angle['low']:.1f}, "
        f"median {angle['median']:.1f}, max {s['largest_dihedral_deg']:.1f} degrees"
    )
    for name, key in (("SICN", "sicn"), ("scaled Jacobian", "scaled_jacobian")):
        least, low, median = (s[key][k] for k in ("least", "low", "median"))
        yield f"{name:<18} min {least:.3f}, 5 % {low:.3f}, median {median:.3f}"
    yield (
        f"boundary distance  95 % {1e3 * f['grain_boundary_um']['p95']:.1f} nm between grains, "
        f"{1e3 * f['shell_um']['p95']:.1f} nm at the shell"
    )
    yield f"mislabelled        {100 * f['mislabelled']:.2f} % of the volume"
    yield (
        f"volume             {f['volume_um3']:.4f} um^3, {100 * relative:+.3f} %; grains: median "
        f"{100 * error['p50']:.1f} %, 95 % {100 * error['p95']:.1f} %, worst "
        f"{100 * error['largest']:.1f} %"
    )
    yield from face_lines(document["symmetric_faces"])
    if "topology" in document:
        yield from _further_lines(document)
    if document["lost"]:
        yield f"lost grains        {names_of([LostGrain(**g) for g in document['lost']])}"
    yield from (f"failure            {text}" for text in document["failures"])
    yield from (f"remark             {text}" for text in document["remarks"])


def _further_lines(document: dict[str, Any]) -> Iterator[str]:
    """What the certificates of version 0.2 do not say yet."""
    s, t, facets = document["shape"], document["topology"], document["fidelity"]["shell_facets"]
    flattest = s["flattest"]
    yield (
        f"grains             {document['n_with_volume']} with a volume, {document['n_present']} "
        f"in the mesh, {len(document['lost'])} lost"
    )
    yield (
        f"edges              {1e3 * s['shortest_edge_um']:.1f} to "
        f"{1e3 * s['longest_edge_um']:.1f} nm; smallest altitude "
        f"{1e3 * flattest['altitude_um']:.1f} nm, in grain {flattest['grain_id']}"
    )
    if facets is not None:
        yield (
            f"shell facets       up to {facets['worst_deg']:.1f} degrees off the shell; "
            f"{facets['n_beyond_45_deg']} of {facets['n_facets']:,} beyond 45, "
            f"{facets['n_inward']} inward"
        )
    yield (
        f"necks              {t['n_necks']} triangles that alone hold {100 * NECK_SHARE:.0f} % or "
        f"more of a grain, in {t['n_grains_with_necks']} grains; "
        f"at most {100 * t['largest_neck_share']:.1f} %"
    )
    yield (
        f"contacts           {t['n_touching_nodes']} nodes in which a grain touches itself; "
        f"{100 * t['n_tets_on_boundaries'] / document['n_tets']:.1f} % of the tetrahedra have all "
        "nodes on boundaries"
    )
    if t["n_no_spheres"]:
        listed = t["no_spheres"][:NAMED]
        ids = ", ".join(str(grain["grain_id"]) for grain in listed)
        more = t["n_no_spheres"] - len(listed)
        yield f"no spheres         surfaces of grains {ids}" + (f" and {more} more" if more else "")


def certify(
    mesh: VolumeMesh,
    body: Body,
    volumes: NDArray[np.float64],
    targets: NDArray[np.float64],
    threads: int | None = None,
) -> Certificate:
    """Certificate of a mesh of ``body``.

    Parameters
    ----------
    volumes, targets : (n_grains + 1,) float
        Volume of each grain in the body, and after pieces changed their grain, um^3.
    threads
        By default as many as cores that the process may use.
    """
    fitting, shape, truth, joined = _checks(mesh, body, targets, threads)
    own = np.concatenate([[0.0], mesh.grain_volumes])
    present = np.zeros(mesh.n_grains + 1, bool)
    present[mesh.grain_ids] = True
    lost = np.flatnonzero((volumes > 0) & ~present)
    known = np.flatnonzero((volumes > 0) | present)
    return Certificate(
        size_um=float(mesh.facts["boundary_size_um"]),
        pixel_um=body.pixel_um,
        n_nodes=len(mesh.points),
        n_tets=len(mesh.tets),
        n_grains=mesh.n_grains,
        n_with_volume=int((volumes[1:] > 0).sum()),
        n_present=int(present.sum()),
        conformity=fitting,
        shape=shape,
        fidelity=truth,
        topology=joined,
        lost=tuple(LostGrain(int(g), float(volumes[g])) for g in lost if g),
        grain_volumes_um3=tuple(
            (int(g), float(volumes[g]), float(targets[g]), float(own[g])) for g in known if g
        ),
        symmetric_faces=symmetric_faces(mesh, body),
    )


def _checks(
    mesh: VolumeMesh, body: Body, targets: NDArray[np.float64], threads: int | None
) -> tuple[Conformity, ElementShape, Fidelity, GrainTopology]:
    """What is checked, some at a time."""
    _ = mesh.facets, mesh.volumes  # that several of them need
    checks: list[Callable[[], Any]] = [
        lambda: conformity(mesh, body.keeps_pieces),
        lambda: element_shape(mesh.points, mesh.tets, mesh.grain_ids),
        lambda: fidelity(mesh, body, targets),
        lambda: grain_topology(mesh),
    ]
    found = in_threads(lambda check: check(), checks, threads)
    return found[0], found[1], found[2], found[3]


def moved_places(document: Any, by_um: NDArray[np.float64]) -> Any:
    """Copy of a certificate's document with every ``centroid_um`` moved by a vector (3,)."""
    if isinstance(document, dict):
        return {
            key: rounded([float(c) for c in value + by_um])
            if key == "centroid_um"
            else moved_places(value, by_um)
            for key, value in document.items()
        }
    if isinstance(document, list):
        return [moved_places(value, by_um) for value in document]
    return document


def _missing_sentence(missing: list[LostGrain]) -> str:
    smallest = min(g.volume_um3 for g in missing)
    return (
        f"{len(missing)} grains have no element ({names_of(missing)}); "
        f"a size of about {(smallest / 2) ** (1 / 3):.2g} um keeps them"
    )


def names_of(grains: list[LostGrain] | tuple[LostGrain, ...]) -> str:
    """The largest with their volumes, and how many more there are."""
    largest = sorted(grains, key=lambda g: -g.volume_um3)[:NAMED]
    named = ", ".join(f"{g.grain_id}: {g.volume_um3:.2g} um^3" for g in largest)
    return named + (f" and {len(grains) - NAMED} smaller ones" if len(grains) > NAMED else "")


def rounded(value: Any) -> Any:
    """Floats with six digits: what lies beyond is not measured."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    return value
