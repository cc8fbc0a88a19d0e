"""Meshers that `meshing.py` compares: ours, and what one would install instead.

All give a `VolumeMesh` of the same particle, so that the same functions judge them. What they
are given are boundaries (triangles, and the labels on both sides of each) or labelled voxels.
Labels are connected pieces of grains, since gmsh and TetGen fill one volume at a time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cathodegrain.exporters.labels.label_volume import LabelVolume
from cathodegrain.exporters.labels.mesh_labels import mesh_volume
from cathodegrain.exporters.mesh.tetrahedra import compacted, signed_volumes
from cathodegrain.exporters.mesh.volume_mesh import VolumeMesh
from cathodegrain.exporters.meshing import mesher
from cathodegrain.generator.particle import OUTSIDE, Particle
from nets import connected_voxels, poly_data, surface_nets, voxel_tets, voxels

EDGE_FACTOR = 0.06  # fTetWild's edge and
EPSILON = 2e-3  # how far it may leave the triangles, as parts of the bounding box's diagonal
SWITCHES = "pq1.4/10AYQ"  # of TetGen: radius over edge, least angle; facets stay as they are
DELAUNAY = 1  # gmsh's number of the algorithm
TRIANGLE, TETRAHEDRON = 2, 4  # gmsh's numbers of the elements
CGAL_FACET, CGAL_OFF, CGAL_CELL = 1.5, 0.25, 2.0  # voxels: radii of facets and cells, distance
MMG_EDGE, MMG_OFF = 1.5, 0.3  # voxels: edge, distance from the staircase

Filled = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]  # points, tets, labels


class Boundaries(NamedTuple):
    """Triangles between labels, and the grain of each label."""

    points: NDArray[np.float64]
    triangles: NDArray[np.int64]
    pairs: NDArray[np.int64]  # (k, 2) labels on both sides, 0 outside
    grain_of: NDArray[np.int32]

    @classmethod
    def of_mesh(cls, mesh: VolumeMesh) -> Boundaries:
        """Those of a mesh of ours."""
        triangles, pairs = mesh.facets
        ids = np.arange(mesh.n_grains + 1, dtype=np.int32)
        return cls(mesh.points, triangles, pairs.astype(np.int64), ids)

    @classmethod
    def of_voxels(cls, particle: Particle, pitch_um: float, smoothed: bool) -> Boundaries:
        """Surface nets of voxels."""
        pieces, grain_of, grid = connected_voxels(particle, pitch_um)
        return cls(*surface_nets(pieces, grid, smoothed), grain_of)


Fill = Callable[[Particle, Boundaries], VolumeMesh]


@dataclass(frozen=True)
class Rival:
    """A mesher, the module that it needs, and the voxels that it is given, none for the recipe."""

    name: str
    task: Callable[[Particle], VolumeMesh]
    module: str | None = None
    pitch_um: float | None = None

    @property
    def is_installed(self) -> bool:
        """Whether its module can be imported."""
        return self.module is None or find_spec(self.module) is not None


def of_recipe(size_um: float, mesh: VolumeMesh) -> list[Rival]:
    """Ours, and others in the boundaries of our mesh, for which they are not charged."""
    inside = Boundaries.of_mesh(mesh)
    others = [
        Rival(f"{name}, our boundaries", partial(_given, fill, inside), module)
        for name, module, fill in (GMSH, TETGEN, FTETWILD)
    ]
    return [Rival("ours", partial(ours, size_um=size_um)), *others]


def of_voxels(pitch_um: float) -> list[Rival]:
    """Ours by labelled voxels; others in surface nets, plain and smoothed, or by themselves."""
    found = [Rival("ours, labels", partial(our_labels, pitch_um=pitch_um), None, pitch_um)]
    kinds = [(*GMSH, False), (*TETGEN, False), (*GMSH, True), (*TETGEN, True), (*FTETWILD, True)]
    for name, module, fill, smoothed in kinds:  # fTetWild takes what the others refuse
        task = partial(_in_nets, fill, pitch_um=pitch_um, smoothed=smoothed)
        kind = "smoothed nets" if smoothed else "nets"
        found.append(Rival(f"{name}, {kind}", task, module, pitch_um))
    for name, module, task in (("CGAL", "pygalmesh", cgal), ("MMG", "mmgpy", mmg)):
        found.append(Rival(name, partial(task, pitch_um=pitch_um), module, pitch_um))
    return found


def ours(particle: Particle, size_um: float) -> VolumeMesh:
    """Our mesh, certified or not."""
    return mesher.volume_mesh(particle, size_um, force=True)


def our_labels(particle: Particle, pitch_um: float) -> VolumeMesh:
    """Our mesh of labelled voxels, at the default size, accepted or not."""
    labels, grid = voxels(particle, pitch_um)
    mesh = mesh_volume(LabelVolume(labels, pitch_um, grid.origin), force=True)
    return VolumeMesh(mesh.points, mesh.tets, mesh.grain_ids, particle.n_grains)


def _given(fill: Fill, boundaries: Boundaries, particle: Particle) -> VolumeMesh:
    return fill(particle, boundaries)


def _in_nets(fill: Fill, particle: Particle, pitch_um: float, smoothed: bool) -> VolumeMesh:
    return fill(particle, Boundaries.of_voxels(particle, pitch_um, smoothed))


def ftetwild(particle: Particle, boundaries: Boundaries) -> VolumeMesh:
    """Tetrahedra of pytetwild in one thread; without its filtering, which drops inner grains.

    It knows of no grains: each tetrahedron gets the one whose boundaries enclose its centroid.
    """
    import pytetwild

    points, tets = pytetwild.tetrahedralize(
        boundaries.points.copy(),  # it refuses arrays that must not be written to
        boundaries.triangles.astype(np.int32),
        edge_length_fac=EDGE_FACTOR,
        epsilon=EPSILON,
        disable_filtering=True,
        num_threads=1,
    )
    labels = enclosing_labels(points[tets].mean(axis=1), boundaries)
    return _volume_mesh(particle, points, tets.astype(np.int64), boundaries.grain_of[labels])


def enclosing_labels(points: NDArray[np.float64], boundaries: Boundaries) -> NDArray[np.int64]:
    """Label whose boundaries enclose each point, by VTK; 0 for none."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkFiltersModeling import vtkSelectEnclosedPoints

    labels = np.zeros(len(points), np.int64)
    for label in range(1, len(boundaries.grain_of)):
        triangles = boundaries.triangles[(boundaries.pairs == label).any(axis=1)]
        if len(triangles) == 0:
            continue
        corners = boundaries.points[triangles.ravel()]
        low, high = corners.min(axis=0), corners.max(axis=0)
        near = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
        enclosed = vtkSelectEnclosedPoints()
        enclosed.SetInputData(poly_data(points[near], np.empty((0, 3), np.int64)))
        enclosed.SetSurfaceData(poly_data(boundaries.points, triangles))
        enclosed.Update()
        inside = vtk_to_numpy(enclosed.GetOutput().GetPointData().GetArray("SelectedPoints"))
        labels[near[inside > 0]] = label
    return labels


def tetgen(particle: Particle, boundaries: Boundaries) -> VolumeMesh:
    """Tetrahedra of TetGen, with a label for each region that facets enclose."""
    from tetgen import TetGen

    with silence(), TemporaryDirectory() as folder, contextlib.chdir(folder):  # it leaves files
        points, tets, regions, _ = TetGen(
            boundaries.points, boundaries.triangles.astype(np.int32)
        ).tetrahedralize(switches=SWITCHES)
    tets, regions = tets.astype(np.int64), regions.ravel().astype(np.int64)
    labels = region_labels(points, tets, regions, boundaries)
    return _volume_mesh(particle, points, tets, boundaries.grain_of[labels])


def region_labels(
    points: NDArray[np.float64],
    tets: NDArray[np.int64],
    regions: NDArray[np.int64],
    boundaries: Boundaries,
) -> NDArray[np.int64]:
    """Label of each tetrahedron: the one that most facets around its region have on a side.

    The points of the boundaries come first among the points.
    """
    faces = np.sort(tets[:, [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]].reshape(-1, 3), axis=1)
    known = np.sort(boundaries.triangles, axis=1)
    n = len(points)
    keys, wanted = ((f[:, 0] * n + f[:, 1]) * n + f[:, 2] for f in (faces, known))
    order = np.argsort(wanted)
    place = np.minimum(np.searchsorted(wanted[order], keys), len(order) - 1)
    row = order[place]
    found = wanted[row] == keys
    votes = np.zeros((regions.max() + 1, len(boundaries.grain_of)), np.int64)
    pairs, owner = boundaries.pairs[row[found]], np.repeat(regions, 4)[found]
    for side in range(2):
        np.add.at(votes, (owner, pairs[:, side]), 1)
    label: NDArray[np.int64] = votes.argmax(axis=1)[regions]
    return label


def gmsh_delaunay(particle: Particle, boundaries: Boundaries) -> VolumeMesh:
    """Tetrahedra of gmsh's Delaunay, a volume for each label."""
    points, tets, labels = _fill_with_gmsh(*boundaries[:3])
    return _volume_mesh(particle, points, tets, boundaries.grain_of[labels])


GMSH = ("gmsh", "gmsh", gmsh_delaunay)  # name, module, how boundaries are filled
TETGEN = ("TetGen", "tetgen", tetgen)
FTETWILD = ("fTetWild", "pytetwild", ftetwild)


def cgal(particle: Particle, pitch_um: float) -> VolumeMesh:
    """Tetrahedra of CGAL's Mesh_3 in the labelled image, by pygalmesh, its optimisation included.

    It numbers the grains afresh: each number is that of the grain with most of its centroids.
    """
    import pygalmesh

    labels, grid = voxels(particle, pitch_um)
    image = np.ascontiguousarray(labels.transpose(2, 1, 0))
    with silence():
        mesh = pygalmesh.generate_from_array(
            image.astype(np.uint8 if labels.max() < 256 else np.uint16),
            (pitch_um,) * 3,
            max_radius_surface_delaunay_ball=CGAL_FACET * pitch_um,
            max_facet_distance=CGAL_OFF * pitch_um,
            max_cell_circumradius=CGAL_CELL * pitch_um,
            verbose=False,
            seed=1,
        )
    tets = mesh.cells_dict["tetra"].astype(np.int64)
    numbers = mesh.cell_data_dict["medit:ref"]["tetra"].astype(np.int64)
    points = mesh.points + np.array(grid.origin) + pitch_um / 2
    there = LabelVolume(labels, pitch_um, grid.origin).voxels_at(points[tets].mean(axis=1))
    votes = np.zeros((numbers.max() + 1, labels.max() + 1), np.int64)
    np.add.at(votes, (numbers, there), 1)
    return _volume_mesh(particle, points, tets, votes.argmax(axis=1)[numbers].astype(np.int32))


def mmg(particle: Particle, pitch_um: float) -> VolumeMesh:
    """Tetrahedra of MMG, which remeshes six for each voxel; edges of stairs are no ridges."""
    from mmgpy import MmgMesh3D

    points, tets, grains = voxel_tets(*voxels(particle, pitch_um))
    mesh = MmgMesh3D()
    mesh.set_mesh_size(vertices=len(points), tetrahedra=len(tets))
    mesh.set_vertices(points)
    mesh.set_tetrahedra(tets.astype(np.int32), grains.astype(np.int64))
    with silence():
        mesh.remesh(hsiz=MMG_EDGE * pitch_um, hausd=MMG_OFF * pitch_um, angle=0, verbose=-1)
    tets, grains = mesh.get_tetrahedra_with_refs()
    return _volume_mesh(
        particle, mesh.get_vertices(), tets.astype(np.int64), grains.astype(np.int32)
    )


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Nothing on standard output and error, not from compiled libraries either."""
    kept = [os.dup(n) for n in (1, 2)]
    with open(os.devnull, "w") as nowhere:
        for n in (1, 2):
            os.dup2(nowhere.fileno(), n)
        try:
            yield
        finally:
            for n, old in zip((1, 2), kept, strict=True):
                os.dup2(old, n)
                os.close(old)


def _fill_with_gmsh(
    points: NDArray[np.float64], triangles: NDArray[np.int64], pairs: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Points, tetrahedra, and the label of the volume that each lies in."""
    import gmsh

    gmsh.initialize(interruptible=False)
    gmsh.option.setNumber("General.Terminal", 0)
    gmsh.option.setNumber("General.NumThreads", 1)
    gmsh.option.setNumber("Mesh.Algorithm3D", DELAUNAY)
    surfaces = _discrete_surfaces(points, triangles, pairs)
    for label, tags in surfaces.items():
        loop = gmsh.model.geo.addSurfaceLoop(tags)
        gmsh.model.geo.addVolume([loop], label)
    gmsh.model.geo.synchronize()
    gmsh.model.mesh.generate(3)
    tags, coordinates, _ = gmsh.model.mesh.getNodes()
    row = np.zeros(int(tags.max()) + 1, np.int64)
    row[tags.astype(np.int64)] = np.arange(len(tags))
    nodes = {
        label: gmsh.model.mesh.getElementsByType(TETRAHEDRON, label)[1].astype(np.int64)
        for label in surfaces
    }
    gmsh.finalize()
    volumes = np.repeat(np.array(list(nodes)), [len(n) // 4 for n in nodes.values()])
    tets = row[np.concatenate(list(nodes.values()))].reshape(-1, 4)
    return coordinates.reshape(-1, 3), tets, volumes


def _discrete_surfaces(
    points: NDArray[np.float64], triangles: NDArray[np.int64], pairs: NDArray[np.int64]
) -> Mapping[int, list[int]]:
    """Make a surface of gmsh's for each pair of labels; the surfaces of each label but 0."""
    import gmsh

    surfaces: dict[int, list[int]] = {}
    found, which = np.unique(pairs, axis=0, return_inverse=True)
    for tag, pair in enumerate(found.tolist(), 1):
        gmsh.model.addDiscreteEntity(2, tag)
        if tag == 1:
            gmsh.model.mesh.addNodes(2, tag, np.arange(1, len(points) + 1), points.ravel())
        chosen = triangles[which.ravel() == tag - 1]
        gmsh.model.mesh.addElementsByType(tag, TRIANGLE, [], 1 + chosen.ravel())
        for label in pair:
            if label != OUTSIDE:
                surfaces.setdefault(label, []).append(tag)
    return surfaces


def _volume_mesh(
    particle: Particle,
    points: NDArray[np.float64],
    tets: NDArray[np.int64],
    grains: NDArray[np.int32],
) -> VolumeMesh:
    """The tetrahedra inside, in our order of the vertices."""
    tets = tets[grains != OUTSIDE]
    if np.median(signed_volumes(points, tets)) < 0:
        tets = tets[:, [0, 2, 1, 3]]
    points, tets = compacted(points, tets)
    return VolumeMesh(points, tets, grains[grains != OUTSIDE], particle.n_grains)
