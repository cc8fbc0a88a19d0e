"""Surfaces of grains for a first look: VTK's surface nets around labelled voxels.

They take no tetrahedra and little time, and are as coarse as the voxels: the staircase is
smoothed, grains thinner than a voxel are missing, areas and volumes are not to be measured.
Where more than two grains meet, or one touches itself, a surface may not be closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...generator.errors import ExportError
from ...generator.requirements import require
from ..mesh.tetrahedra import grouped

if TYPE_CHECKING:
    import trimesh

    from ...generator.voxels.grid import Grid


def preview_surfaces(
    labels: NDArray[np.int32], grid: Grid
) -> Iterator[tuple[int, trimesh.Trimesh]]:
    """Surface of each grain of labelled voxels (nz, ny, nx), by its id, normals outwards, um.

    Raises
    ------
    ExportError
        If trimesh or VTK is not installed.
    """
    require("preview", "trimesh", "vtk", purpose="previews", error=ExportError)
    import trimesh

    points, triangles, sides = _surface_nets(labels, grid)
    n = len(triangles)
    for grain, rows in grouped(sides.T.ravel()):
        if grain:
            own = triangles[rows % n]
            own[rows >= n] = own[rows >= n, ::-1]
            used, local = np.unique(own, return_inverse=True)
            yield grain, trimesh.Trimesh(points[used], local.reshape(-1, 3), process=False)


def _surface_nets(
    labels: NDArray[np.int32], grid: Grid
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int32]]:
    """Points (n, 3), triangles (k, 3), and labels (k, 2): normals point from first to second."""
    from vtkmodules.util import numpy_support
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkFiltersCore import vtkSurfaceNets3D

    arrays: Any = numpy_support  # untyped
    image = vtkImageData()
    image.SetDimensions(labels.shape[::-1])
    image.SetSpacing([grid.spacing] * 3)
    image.SetOrigin([x + grid.spacing / 2 for x in grid.origin])
    image.GetPointData().SetScalars(arrays.numpy_to_vtk(labels.ravel()))
    nets = vtkSurfaceNets3D()
    nets.SetInputData(image)
    largest = int(labels.max())
    nets.GenerateLabels(largest, 1, largest)
    nets.SetOutputMeshTypeToTriangles()
    nets.Update()
    surface = nets.GetOutput()
    points = arrays.vtk_to_numpy(surface.GetPoints().GetData())
    triangles = arrays.vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    sides = arrays.vtk_to_numpy(surface.GetCellData().GetArray("BoundaryLabels"))
    return points.astype(np.float64), triangles.astype(np.int64), sides.astype(np.int32)
