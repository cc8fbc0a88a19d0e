"""Where the background mesh is too coarse for the grains, and what a mesh will cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from ...generator.errors import ExportError
from ...generator.machine import available_memory, usable_cores
from ...generator.particle import OUTSIDE
from ..certificate.certificate import SMALL_PIXELS
from ..mesh.body import Body
from ..mesh.tetrahedra import EDGES, edge_middles, edge_table
from ..optimisation.blocks import PART, centroids, in_parts
from .cut_body import n_kept
from .detail import DETAILS

DEFAULT_SIZE_UM = 0.15
ACROSS = 3.0  # edges per mean radius of a body that its grains alone give their edges
LEAN = 0.6  # detail below which edges are not bisected for every grain that is absent
OWNED = 10  # but only while the grain has fewer lattice points than this
FEW = 4  # points of a grain that is looked for by itself in such a mesh
GROWTH = 0.5  # edges may be longer by this part of the depth below a surface with its own size
FLOOR_PIXELS = 1.5  # edges are not made shorter than this only because a grain is thin
# fitted: tetrahedra of a grain, and for each square of an edge in the square of the cube root of
# its volume, where its thickness sets its edges and where the size does
TETS_FULL = (119.0, 68.3, 119.0, 68.3)
TETS_LEAN = (42.0, 84.5, 26.3, 50.6)
GRADED = 1.25  # times as many where edges inside grains are longer than at boundaries
LAYERED = 42.0  # tetrahedra in the cube of the limit, where that rules
# fitted to the peaks of processes that make and write a mesh; less than in proportion, since a
# process keeps its small arrays and gives large ones back
PROCESS_BYTES, THREAD_BYTES = 2.2e8, 3e7
FACTOR_BYTES, POWER = 7900.0, 0.82  # of the number of tetrahedra
LATTICE_LEAN = 110  # further tetrahedra for each grain: most of the lattice is collapsed
BYTES_PER_VOXEL = 4  # of a pixel: labels
BYTES_PER_DISTANCE = 60  # voxels in whose box distances are found, a grain at a time
SMALLEST = 1e-5  # edge length that is thinkable at all, as a part of the radius
MEMORY_SHARE = 0.8  # of the available memory for all meshes at a time: expected within a quarter
ROUNDING = 1.01  # an edge this much longer than asked for is left alone
NEAR = 0.6  # of its longest edge: distance of a point inside a tetrahedron from its centre

SAMPLES = np.array(
    [[0.25] * 4] + [[0.7 if i == k else 0.1 for i in range(4)] for k in range(4)]
)  # (5, 4) barycentric: the centre, and near each vertex; those on edges are shared


class _Measures(NamedTuple):
    """What voxels of a pixel tell of the grains; row 0, the outside, is 0."""

    radii_um: NDArray[np.float64]  # (n_grains + 1,) of the largest ball in each
    volumes_um3: NDArray[np.float64]  # (n_grains + 1,)
    middles_um: NDArray[np.float64]  # (n_grains + 1, 3) of these balls
    n_bytes: float  # that finding them took


@dataclass(frozen=True, eq=False)
class MeshSizes:
    """Edge lengths that a mesh of ``body`` should have.

    Parameters
    ----------
    body
        What is meshed.
    size_um
        Step of the background lattice and longest edge inside a grain, um.
    boundary_size_um
        Longest edge where grains meet, and at the shell, um; down to half of it at grains
        that are too thin for it.
    detail
        Edges per radius of the largest ball that a grain holds; larger grains have longer ones,
        up to the sizes.
    surface_size_um
        Longest edge at the shell, um; longer below it by `GROWTH` times the depth, up to what
        the grains and the other sizes ask for. That alone, if None.
    """

    body: Body
    size_um: float
    boundary_size_um: float
    detail: float = DETAILS["fine"]
    surface_size_um: float | None = None

    @classmethod
    def of(
        cls,
        body: Body,
        size_um: float | None,
        boundary_size_um: float | None,
        detail: float = DETAILS["fine"],
        surface_size_um: float | None = None,
    ) -> MeshSizes:
        """Sizes of which some may be left out.

        Fine meshes are of `DEFAULT_SIZE_UM` at most, coarser ones as coarse as their grains allow;
        boundaries are as fine as the inside.
        """
        if size_um is None:
            size_um = _mean_radius(body) / ACROSS
            if detail >= DETAILS["fine"]:
                size_um = min(size_um, DEFAULT_SIZE_UM)
        boundary = size_um if boundary_size_um is None else boundary_size_um
        return cls(body, size_um, boundary, detail, surface_size_um)

    def __post_init__(self) -> None:
        radius = _mean_radius(self.body)
        limits = {"size_um": radius / 2, "boundary_size_um": self.size_um}
        if self.surface_size_um is not None:
            limits["surface_size_um"] = self.boundary_size_um
        for name, limit in limits.items():
            value = getattr(self, name)
            if not SMALLEST * radius <= value <= limit:  # true for NaN
                msg = (
                    f"{name} is {value}, expected a length in um from {SMALLEST * radius:.1g} to "
                    f"{limit:.4g} for a body of mean radius {radius:.4g} um"
                )
                raise ExportError(msg)

    @property
    def floor_um(self) -> float:
        """Length below which no edge is bisected for a grain being thin, um."""
        return min(self.boundary_size_um / 2, FLOOR_PIXELS * self.body.pixel_um)

    @property
    def is_lean(self) -> bool:
        """Whether the mesh is so coarse that grains are pursued only until they are there."""
        return self.detail < LEAN

    @cached_property
    def floors_um(self) -> NDArray[np.float64]:
        """The same for each grain, (n_grains + 1,), um."""
        floors: NDArray[np.float64] = self.floor_um * self.body.edge_factors
        return floors

    @cached_property
    def _measures(self) -> _Measures:
        """Balls and volumes of the grains, one by one.

        Distances in all voxels at once would take many times the memory of the labels.
        """
        labels = self.body.voxel_labels(self.body.pixel_um)
        (radii, volumes), largest = np.zeros((2, self.body.n_grains + 1)), 0
        middles = np.zeros((self.body.n_grains + 1, 3))
        for grain, box in enumerate(ndimage.find_objects(labels), start=1):
            if box is not None:
                around = tuple(slice(max(0, axis.start - 1), axis.stop + 1) for axis in box)
                own = labels[around] == grain
                inner = ndimage.binary_erosion(own, border_value=1)
                depths = ndimage.distance_transform_edt(inner) + 0.5 * own
                place = np.unravel_index(depths.argmax(), own.shape)
                radii[grain], volumes[grain] = depths[place], own.sum()
                middles[grain] = [axis.start + k for axis, k in zip(around, place, strict=True)]
                largest = max(largest, own.size)
        pixel = self.body.pixel_um
        taken = BYTES_PER_VOXEL * labels.size + BYTES_PER_DISTANCE * largest
        middles += 0.5 * (1 - np.array(labels.shape))  # the origin is in the middle of all
        return _Measures(pixel * radii, pixel**3 * volumes, pixel * middles[:, ::-1], taken)

    @cached_property
    def grain_sizes(self) -> NDArray[np.float64]:
        """Length of edges that each grain should have at its boundary, (n_grains + 1,), um.

        The radius of the largest ball that a grain holds over ``detail``, but from `floors_um`
        to ``boundary_size_um``. Row 0, the outside, has the size of the surface.
        """
        radii = self._measures.radii_um
        sizes = np.clip(radii / self.detail, self.floors_um, self.boundary_size_um)
        sizes[OUTSIDE] = self.surface_size_um or self.boundary_size_um
        return sizes

    def limits(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Longest edge at points (n, 3) by their depth below the surface: (n,), um."""
        if self.surface_size_um is None:
            return np.full(len(points), np.inf)
        deeper = GROWTH * np.maximum(self.body.depths(points), 0.0)
        allowed: NDArray[np.float64] = self.surface_size_um + deeper
        return allowed

    def too_coarse(
        self,
        points: NDArray[np.float64],
        tets: NDArray[np.int64],
        sizes: NDArray[np.float64],
        threads: int | None = None,
    ) -> NDArray[np.bool_]:
        """Whether each tetrahedron has to be bisected: (m,) bool.

        It has to be if its longest edge is longer than

        * the size of a grain at one of eleven samples in it, unless all samples and its
          vertices lie in the same grain;
        * the floor of a grain and one sample lies in it, which owns no vertex; below a detail
          of `LEAN`, only if the grain owns fewer than `OWNED` of all
        * the size of a thin grain that is nearby
        * the limit at one of its vertices, unless it lies outside.

        Parameters
        ----------
        points : (n, 3) float
            um.
        sizes
            Of `grain_sizes`.
        """
        coarse = np.zeros(len(tets), bool)
        lengths = longest_edges(points, tets)
        candidates = np.flatnonzero(lengths > ROUNDING * min(self.floors_um.min(), sizes[OUTSIDE]))
        found = in_parts(lambda rows: self.body.grain_at(points[rows]), len(points), threads)
        owners = np.concatenate(found)
        owned = np.bincount(owners, minlength=len(sizes))
        scarce = owned < (OWNED if self.is_lean else np.inf)

        def judged(block: slice) -> NDArray[np.bool_]:
            rows = candidates[block]
            chosen = tets[rows]
            inside = self.body.grain_at(_samples(points, chosen))
            edges, tet_edges = edge_table(chosen, len(points))
            in_middle = self.body.grain_at(edge_middles(points, edges))
            poor: NDArray[np.bool_] = _judged(
                owners[chosen], inside, in_middle, tet_edges, lengths[rows] / ROUNDING,
                sizes, self.floors_um, scarce,
            )  # fmt: skip
            return poor

        coarse[candidates] = np.concatenate(in_parts(judged, len(candidates), threads))
        coarse[candidates] |= self._miss_thin(points, tets, candidates, lengths, sizes)
        coarse |= self._beyond_limits(points, tets, lengths, owners, threads)
        return coarse

    def _beyond_limits(
        self,
        points: NDArray[np.float64],
        tets: NDArray[np.int64],
        lengths: NDArray[np.float64],
        owners: NDArray[np.int32],
        threads: int | None,
    ) -> NDArray[np.bool_]:
        """Whether tetrahedra with a vertex inside are too long for the depth of one of them."""
        if self.surface_size_um is None:
            return np.zeros(len(tets), bool)
        found = in_parts(lambda rows: self.limits(points[rows]), len(points), threads)
        limit = np.concatenate(found)[tets].min(axis=1)
        inside = (owners[tets] != OUTSIDE).any(axis=1)
        beyond: NDArray[np.bool_] = inside & (lengths > ROUNDING * limit)
        return beyond

    def _miss_thin(
        self,
        points: NDArray[np.float64],
        tets: NDArray[np.int64],
        chosen: NDArray[np.int64],
        lengths: NDArray[np.float64],
        sizes: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        """Whether ``chosen`` tetrahedra are too long for a thin grain that samples may miss."""
        places, grains = self.body.thin_places
        if len(places) == 0:
            return np.zeros(len(chosen), bool)
        lengths = lengths[chosen]
        distance, row = cKDTree(places).query(
            points[tets[chosen]].mean(axis=1), distance_upper_bound=NEAR * lengths.max(initial=0.0)
        )
        limit = ROUNDING * np.append(sizes[grains], np.inf)[row]  # the last row: none so near
        missed: NDArray[np.bool_] = (distance < NEAR * lengths) & (lengths > limit)
        return missed

    def hides_a_grain(
        self, points: NDArray[np.float64], tets: NDArray[np.int64], threads: int | None = None
    ) -> NDArray[np.bool_]:
        """Whether tetrahedra lie about the middle of a grain that owns too few points: (m,) bool.

        Samples miss some grains that the mesh has to have, or see them where one vertex is theirs,
        which the cut may take from them. They get up to `FEW`, if the floor allows.

        Parameters
        ----------
        points : (n, 3) float
            um.
        """
        found = in_parts(lambda rows: self.body.grain_at(points[rows]), len(points), threads)
        owned = np.bincount(np.concatenate(found), minlength=self.body.n_grains + 1)
        scarce = self._needed[owned[self._needed] < FEW]
        hidden = np.zeros(len(tets), bool)
        if len(scarce):
            lengths = longest_edges(points, tets)
            tree = cKDTree(self._measures.middles_um[scarce])
            distance, _ = tree.query(centroids(points, tets))
            hidden = (distance < NEAR * lengths) & (lengths > ROUNDING * self.floor_um)
        return hidden

    @cached_property
    def _needed(self) -> NDArray[np.int64]:
        """Grains without which the mesh is refused."""
        volumes = self.body.grain_volumes[: n_kept(self.body) + 1]
        return np.flatnonzero(volumes >= SMALL_PIXELS * self.body.pixel_um**3)

    @cached_property
    def _sizeable(self) -> NDArray[np.int64]:
        """Grains that the mesh has to have."""
        large = self._measures.volumes_um3 >= SMALL_PIXELS * self.body.pixel_um**3
        rows = np.flatnonzero(large)
        return rows[(rows != OUTSIDE) & (rows <= n_kept(self.body))]

    @cached_property
    def expected_tets(self) -> float:
        """Number of tetrahedra of the mesh, within a quarter or so.

        Each grain has a few, and others by its surface in squares of an edge; coefficients were
        fitted to 88 meshes of two cards, 1.2 to 9.2 um. A size of the surface adds layers of
        `LAYERED` in the cube of the limit: 15 meshes.
        """
        return self._tets_of_grains + self._tets_of_layers

    @cached_property
    def _tets_of_layers(self) -> float:
        """How many more there are because of the surface's size, by the depth of voxels."""
        if self.surface_size_um is None:
            return 0.0
        labels, pixel = self.body.voxel_labels(self.body.pixel_um), self.body.pixel_um
        layers = ndimage.distance_transform_edt(labels != OUTSIDE)  # of voxels: 1, 1.4, 1.7, 2 ...
        inner = layers[(labels != OUTSIDE) & (labels <= n_kept(self.body))]
        above, below = (
            1 / (self.surface_size_um + GROWTH * pixel * (inner - whole)) ** 2 for whole in (1, 0)
        )
        layered = LAYERED * pixel**2 * (above - below) / (2 * GROWTH)  # mean of 1 / limit^3
        without = self._tets_of_grains / len(inner)
        return float(np.maximum(layered - without, 0.0).sum())

    @cached_property
    def _tets_of_grains(self) -> float:
        sizeable, volumes = self._sizeable, self._measures.volumes_um3
        edges = self.grain_sizes[sizeable]
        squares = np.cbrt(volumes[sizeable]) ** 2 / edges**2
        free = edges < 0.99 * self.boundary_size_um
        per_free, free_squares, per_held, held_squares = TETS_LEAN if self.is_lean else TETS_FULL
        each = np.where(free, per_free + free_squares * squares, per_held + held_squares * squares)
        return float(each.sum()) * (GRADED if self.boundary_size_um < self.size_um else 1.0)

    @cached_property
    def expected_bytes(self) -> float:
        """Most memory that a process which makes and writes the mesh has, within a quarter or so.

        Voxels have gone before there are tetrahedra.
        """
        n = self.expected_tets + (LATTICE_LEAN * len(self._sizeable) if self.is_lean else 0)
        threads = min(usable_cores(), math.ceil(n / PART))
        meshing = THREAD_BYTES * threads + FACTOR_BYTES * n**POWER
        return PROCESS_BYTES + max(meshing, self._measures.n_bytes)

    def check_memory(self) -> None:
        """Refuse a mesh that would not fit, before it is made."""
        needed, available = self.expected_bytes, available_memory()
        if needed > MEMORY_SHARE * available:
            msg = (
                f"a mesh of about {self.expected_tets:.2g} tetrahedra would take about "
                f"{needed / 1e9:.3g} GB of memory; expected at most {MEMORY_SHARE:.0%} of the "
                f"{available / 1e9:.3g} GB that are free here: take a coarser detail, fewer "
                "tetrahedra or longer edges"
            )
            raise ExportError(msg)


def _mean_radius(body: Body) -> float:
    """Radius of the ball of the same volume, um."""
    return (0.75 * body.volume_um3 / math.pi) ** (1 / 3)


def at_a_time(meshes: Sequence[MeshSizes], threads: int | None = None) -> int:
    """How many of some meshes can be made at the same time: as many as there are cores.

    Fewer if the memory does not hold so many together, whichever these are; 1 at least.
    ``threads`` is the number of cores to use, by default all that the process may.
    """
    fitting = int((bytes_together(meshes) <= MEMORY_SHARE * available_memory()).sum())
    return max(1, min(threads or usable_cores(), fitting))


def bytes_together(meshes: Sequence[MeshSizes]) -> NDArray[np.float64]:
    """Most memory of a process that makes the largest, the two largest, ... at a time."""
    each = np.array([mesh.expected_bytes - PROCESS_BYTES for mesh in meshes])
    return PROCESS_BYTES + np.cumsum(np.sort(each)[::-1])


@njit(cache=True, nogil=True)
def _samples(points, tets):  # type: ignore[no-untyped-def]
    """Places (m, 5, 3) in each tetrahedron."""
    samples = np.zeros((tets.shape[0], SAMPLES.shape[0], 3))
    for t in range(tets.shape[0]):
        for s in range(SAMPLES.shape[0]):
            for k in range(4):
                for i in range(3):
                    samples[t, s, i] += SAMPLES[s, k] * points[tets[t, k], i]
    return samples


@njit(cache=True, nogil=True)
def _judged(at_corner, inside, in_middle, tet_edges, lengths, sizes, floors, scarce):  # type: ignore[no-untyped-def]
    """Whether tetrahedra are too long for a grain that is seen in them, or absent; (m,)."""
    poor = np.zeros(lengths.size, np.bool_)
    for t in range(lengths.size):
        first, mixed, shortest = inside[t, 0], False, np.inf
        for label in inside[t]:
            mixed = mixed or label != first
            shortest = min(shortest, sizes[label])
            owned = label == OUTSIDE
            for corner in at_corner[t]:
                owned = owned or corner == label
            poor[t] |= not owned and scarce[label] and lengths[t] > floors[label]
        for edge in tet_edges[t]:
            mixed = mixed or in_middle[edge] != first
            shortest = min(shortest, sizes[in_middle[edge]])
        for corner in at_corner[t]:
            mixed = mixed or corner != first
        poor[t] |= mixed and lengths[t] > shortest
    return poor


@njit(cache=True, nogil=True)
def longest_edges(points, tets):  # type: ignore[no-untyped-def]
    """Length of the longest edge of each tetrahedron, (m,)."""
    lengths = np.empty(tets.shape[0])
    for t in range(tets.shape[0]):
        longest = 0.0
        for e in range(6):
            a, b = tets[t, EDGES[e, 0]], tets[t, EDGES[e, 1]]
            squared = 0.0
            for i in range(3):
                squared += (points[a, i] - points[b, i]) ** 2
            longest = max(longest, squared)
        lengths[t] = math.sqrt(longest)
    return lengths
