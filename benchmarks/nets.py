"""Labelled voxels of a particle and the surfaces between them that other meshers are given."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cathodegrain.exporters.mesh.tetrahedra import signed_volumes
from cathodegrain.generator.particle import OUTSIDE, Particle
from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import label_grid

WELD_UM = 1e-6  # points nearer than about this are one


def voxels(particle: Particle, pitch_um: float) -> tuple[NDArray[np.int32], Grid]:
    """Grain of each voxel (nz, ny, nx), and the grid, a layer wider than the particle."""
    grid = Grid.around(particle.shell.radius_bounds[1] + pitch_um, pitch_um)
    return label_grid(particle, grid, threads=1), grid


def connected_voxels(
    particle: Particle, pitch_um: float
) -> tuple[NDArray[np.int32], NDArray[np.int32], Grid]:
    """Voxels (nz, ny, nx) numbered by connected piece from 1, grain of each, and the grid."""
    labels, grid = voxels(particle, pitch_um)
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


def voxel_tets(
    labels: NDArray[np.int32], grid: Grid
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int32]]:
    """Points, six tetrahedra for each labelled voxel, conforming, and their labels."""
    corner = np.argwhere(labels != OUTSIDE)
    shape = tuple(n + 1 for n in labels.shape)
    paths = []
    for axes in permutations(range(3)):  # from one corner of a voxel to that opposite to it
        path = [corner]
        for axis in axes:
            path.append(path[-1] + np.eye(3, dtype=np.int64)[axis])
        paths.append(np.stack([np.ravel_multi_index(tuple(p.T), shape) for p in path], axis=1))
    used, tets = np.unique(np.concatenate(paths), return_inverse=True)
    zyx = np.stack(np.unravel_index(used, shape), axis=1)
    points = np.array(grid.origin) + grid.spacing * zyx[:, ::-1]
    tets = tets.reshape(-1, 4)
    wrong = signed_volumes(points, tets) < 0
    tets[wrong] = tets[wrong][:, [0, 2, 1, 3]]
    return points, tets, np.tile(labels[labels != OUTSIDE], 6)


def poly_data(points: NDArray[np.float64], triangles: NDArray[np.int64]) -> Any:
    """A vtkPolyData."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

    places, cells, found = vtkPoints(), vtkCellArray(), vtkPolyData()
    places.SetData(numpy_to_vtk(np.ascontiguousarray(points), deep=True))
    ends = np.arange(0, triangles.size + 1, 3, dtype=np.int64)
    cells.SetData(
        numpy_to_vtkIdTypeArray(ends, deep=True),
        numpy_to_vtkIdTypeArray(triangles.ravel(), deep=True),
    )
    found.SetPoints(places)
    found.SetPolys(cells)
    return found
