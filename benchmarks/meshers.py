"""Meshers that `meshing.py` compares: ours, and what one would install instead.

All give a `VolumeMesh` of the same particle, so that the same certificate judges them.

* fTetWild (pytetwild) gets the triangles of our own mesh's boundaries, the best that there
  are, and none of its filtering, which drops inner grains. It knows of no grains: each
  tetrahedron gets the grain at its centroid.
* gmsh's Delaunay gets surface nets of labelled voxels (VTK), points at the same place made
  one, with a volume for each connected piece of a grain.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cathodegrain.exporters.mesh.tetrahedra import compacted, signed_volumes
from cathodegrain.exporters.mesh.volume_mesh import VolumeMesh
from cathodegrain.exporters.meshing import mesher
from cathodegrain.generator.particle import OUTSIDE, Particle
from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import label_grid

EDGE_FACTOR = 0.06  # fTetWild's edge and
EPSILON = 2e-3  # how far it may leave the triangles, as parts of the bounding box's diagonal
WELD_UM = 1e-6  # points nearer than about this are one
DELAUNAY = 1  # gmsh's number of the algorithm
TRIANGLE, TETRAHEDRON = 2, 4  # gmsh's numbers of the elements


def ours(particle: Particle, size_um: float) -> VolumeMesh:
    """Our mesh, certified or not."""
    return mesher.volume_mesh(particle, size_um, force=True)


def ftetwild(
    particle: Particle, points: NDArray[np.float64], triangles: NDArray[np.int64]
) -> VolumeMesh:
    """Tetrahedra of pytetwild in one thread."""
    import pytetwild

    points, tets = pytetwild.tetrahedralize(
        points.copy(),  # it refuses arrays that must not be written to
        triangles.astype(np.int32),
        edge_length_fac=EDGE_FACTOR,
        epsilon=EPSILON,
        disable_filtering=True,
        num_threads=1,
    )
    grains = particle.grain_at(points[tets].mean(axis=1))
    return _volume_mesh(points, tets.astype(np.int64), grains, particle.n_grains)


def gmsh_delaunay(particle: Particle, pitch_um: float, smoothed: bool) -> VolumeMesh:
    """Tetrahedra of gmsh's Delaunay in surface nets of voxels."""
    pieces, grain_of_piece, grid = connected_voxels(particle, pitch_um)
    points, triangles, pairs = surface_nets(pieces, grid, smoothed)
    points, tets, volumes = _fill_with_gmsh(points, triangles, pairs)
    return _volume_mesh(points, tets, grain_of_piece[volumes], particle.n_grains)


def connected_voxels(
    particle: Particle, pitch_um: float
) -> tuple[NDArray[np.int32], NDArray[np.int32], Grid]:
    """Voxels (nz, ny, nx) numbered by connected piece from 1, grain of each, and the grid."""
    grid = Grid.around(particle.shell.radius_bounds[1] + pitch_um, pitch_um)
    labels = label_grid(particle, grid, threads=1)
    pieces, grain_of_piece = np.zeros_like(labels), [OUTSIDE]
    for grain_id, where in enumerate(ndimage.find_objects(labels), 1):
        if where is not None:
            found, n = ndimage.label(labels[where] == grain_id)
            pieces[where][found > 0] = len(grain_of_piece) - 1 + found[found > 0]
            grain_of_piece += [grain_id] * n
    return pieces, np.array(grain_of_piece, np.int32), grid


def surface_nets(
    labels: NDArray[np.int32], grid: Grid, smoothed: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Points, triangles and the labels on both sides of each triangle, by VTK, welded."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkFiltersCore import vtkSurfaceNets3D

    image = vtkImageData()
    image.SetDimensions(labels.shape[::-1])
    image.SetSpacing((grid.spacing,) * 3)
    image.SetOrigin([x + grid.spacing / 2 for x in grid.origin])
    image.GetPointData().SetScalars(numpy_to_vtk(labels.ravel().astype(np.float64), deep=True))
    nets = vtkSurfaceNets3D()
    nets.SetInputData(image)
    nets.SetBackgroundLabel(OUTSIDE)
    nets.GenerateLabels(int(labels.max()), 1, int(labels.max()))
    nets.SetOutputMeshTypeToTriangles()
    nets.SetSmoothing(smoothed)
    nets.Update()
    surface = nets.GetOutput()
    points = vtk_to_numpy(surface.GetPoints().GetData()).astype(np.float64)
    triangles = vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    pairs = vtk_to_numpy(surface.GetCellData().GetArray("BoundaryLabels")).astype(np.int64)
    return _welded(points, triangles.astype(np.int64), np.sort(pairs, axis=1))


def _welded(
    points: NDArray[np.float64], triangles: NDArray[np.int64], pairs: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """The same with points at one place made one, without triangles that vanish by that."""
    cells = np.round(points / WELD_UM).astype(np.int64)
    _, first, number = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    triangles = number.ravel()[triangles]
    ordered = np.sort(triangles, axis=1)
    kept = (np.diff(ordered, axis=1) > 0).all(axis=1)
    return points[first], triangles[kept], pairs[kept]


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
    volumes = np.repeat(list(nodes), [len(n) // 4 for n in nodes.values()])
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
    points: NDArray[np.float64],
    tets: NDArray[np.int64],
    grains: NDArray[np.int32],
    n_grains: int,
) -> VolumeMesh:
    """The tetrahedra inside, in our order of the vertices."""
    tets = tets[grains != OUTSIDE]
    if np.median(signed_volumes(points, tets)) < 0:
        tets = tets[:, [0, 2, 1, 3]]
    points, tets = compacted(points, tets)
    return VolumeMesh(points, tets, grains[grains != OUTSIDE], n_grains)
