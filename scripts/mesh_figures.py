"""Draws the pictures of docs/meshing.md again; ``scripts/figures`` runs it."""

import numpy as np
import vtk
from PIL import Image
from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy

import cathodegrain as cg
from cathodegrain.exporters.mesh.body import ParticleBody
from cathodegrain.exporters.mesh.tetrahedra import FACES
from cathodegrain.exporters.meshing.cut import cut
from cathodegrain.exporters.meshing.lattice import body_centred_lattice, refined
from cathodegrain.exporters.meshing.mesher import SHORTEST, planned
from cathodegrain.generator.particle import OUTSIDE
from cathodegrain.generator.pictures.colours import grain_colours, srgb

WIDTH, HEIGHT, MARGIN = 480, 420, 100  # pixels
FROM = (0.55, -1.0, 0.55)
SIDES = np.array(
    [[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]
)
PARTICLE = cg.generate("nmc811-radial", seed=3, parameters={"shell.diameter_um": 1.6})


def opened(points, cells):
    """Which cells are left when the quarter in front is taken out, as a whole or not at all."""
    x, y, _ = points[cells].mean(axis=1).T
    return (x < 0) | (y > 0)


def bare_faces(cells, sides):
    """Faces (k, n) of cells that no other one has, and the row of the cell of each."""
    faces = cells[:, sides].reshape(-1, sides.shape[1])
    rows = np.repeat(np.arange(len(cells)), len(sides))
    _, first, count = np.unique(
        np.sort(faces, axis=1), axis=0, return_index=True, return_counts=True
    )
    return faces[first[count == 1]], rows[first[count == 1]]


def drawn(points, cells, labels, view=FROM):
    """Picture (HEIGHT, WIDTH, 3) of cells in the colours of their grains, shaded flat."""
    faces, rows = bare_faces(cells, FACES if cells.shape[1] == 4 else SIDES)
    n = faces.shape[1]
    polygons = vtk.vtkCellArray()
    offsets = numpy_to_vtkIdTypeArray(np.arange(0, faces.size + 1, n), deep=True)
    polygons.SetData(offsets, numpy_to_vtkIdTypeArray(faces.ravel().astype(np.int64), deep=True))
    surface = vtk.vtkPolyData()
    places = vtk.vtkPoints()
    places.SetData(numpy_to_vtk(points, deep=True))
    surface.SetPoints(places)
    surface.SetPolys(polygons)
    surface.GetCellData().SetScalars(numpy_to_vtk(srgb(grain_colours(labels[rows])), deep=True))
    return rendered(surface, view)


def rendered(surface, view):
    """Picture (HEIGHT, WIDTH, 3) of polygons with their edges, from a direction."""
    mapper, actor = vtk.vtkPolyDataMapper(), vtk.vtkActor()
    mapper.SetInputData(surface)
    actor.SetMapper(mapper)
    look = actor.GetProperty()
    look.SetInterpolationToFlat()
    look.SetAmbient(0.35)
    look.SetDiffuse(0.7)
    look.EdgeVisibilityOn()
    look.SetEdgeColor(0.25, 0.25, 0.25)
    look.SetLineWidth(1.0)
    renderer, window = vtk.vtkRenderer(), vtk.vtkRenderWindow()
    renderer.SetBackground(1, 1, 1)
    renderer.AddActor(actor)
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(8)
    size = (WIDTH + 2 * MARGIN, HEIGHT + 2 * MARGIN)
    window.SetSize(*size)
    window.AddRenderer(renderer)
    camera = renderer.GetActiveCamera()
    camera.ParallelProjectionOn()
    middle = np.array(surface.GetCenter())
    camera.SetPosition(*(middle + view))
    camera.SetFocalPoint(*middle)
    camera.SetViewUp(0, 0, 1)
    camera.SetParallelScale(PARTICLE.shell.radius_bounds[1] * size[1] / HEIGHT)
    renderer.ResetCameraClippingRange()
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    pixels = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars())
    return centred(pixels.reshape(*size[::-1], -1)[::-1, :, :3])


def centred(pixels):
    """The part (HEIGHT, WIDTH, 3) of a picture around what is not white."""
    y, x = np.nonzero((pixels < 255).any(axis=2))
    top = (y.min() + y.max() - HEIGHT) // 2
    left = (x.min() + x.max() - WIDTH) // 2
    return pixels[top : top + HEIGHT, left : left + WIDTH]


def drawn_mesh(mesh, view=FROM, whole=False):
    """Picture of a mesh, with a quarter taken out unless whole."""
    cells = mesh.hexes if hasattr(mesh, "hexes") else mesh.tets
    kept = np.ones(len(cells), bool) if whole else opened(mesh.points, cells)
    return drawn(mesh.points, cells[kept], mesh.grain_ids[kept], view)


def save(name, *pictures):
    """Write pictures side by side, in few colours."""
    picture = Image.fromarray(np.ascontiguousarray(np.hstack(pictures)))
    picture.quantize(128).save(f"docs/images/{name}.png", optimize=True)


def steps(size):
    """Pictures of a mesh before step 2 of docs/meshing.md, after it, and in the end."""
    body = ParticleBody(PARTICLE)
    sizes = planned(body, size, None)
    edges = sizes.grain_sizes
    points, tets = body_centred_lattice(
        lambda x: body.reaches(size * x, size), body.radius_um / size + 2
    )
    points, tets = refined(points, tets, lambda x, t: sizes.too_coarse(size * x, t, edges))
    points *= size
    grains = body.grain_at(points[tets].mean(axis=1))
    for places, cells, labels in (
        (points, tets, grains),
        cut(points, tets, body.grain_at, SHORTEST * edges.min()),
    ):
        kept = (labels != OUTSIDE) & opened(places, cells)
        yield drawn(places, cells[kept], labels[kept])
    yield drawn_mesh(cg.mesh(PARTICLE, size_um=size))


save("mesh-steps", *steps(0.15))
save(
    "mesh-detail", *(drawn_mesh(cg.mesh(PARTICLE, detail=d)) for d in ("fine", "medium", "coarse"))
)
save(
    "mesh-surface",
    *(drawn_mesh(cg.mesh(PARTICLE, detail="medium", surface_size_um=s)) for s in (0.1, 0.05)),
)
save("mesh-quarter", drawn_mesh(cg.mesh(PARTICLE, cut="x,y"), (-1.0, -0.7, 0.6), whole=True))
save("mesh-hex", drawn_mesh(cg.mesh(PARTICLE, elements="hex", size_um=0.05)))
