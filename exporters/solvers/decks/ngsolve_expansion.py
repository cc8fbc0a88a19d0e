"""Free swelling of the particle by the whole change of composition: stresses between grains."""

import material
import ngsolve as ng
import numpy as np
from netgen.read_gmsh import ReadGmsh

mesh = ng.Mesh(ReadGmsh(str(material.FOLDER / "mesh.msh")))
names = sorted(set(mesh.GetMaterials()))
grains = [int(name.removeprefix("grain_")) for name in names]


def by_grain(tensors, *dims):
    """Coefficient that is constant in each grain."""
    parts = [ng.CF(tuple(tensor.ravel()), dims=dims) for tensor in tensors]
    return mesh.MaterialCF(dict(zip(names, parts, strict=True)))


def voigt(e):
    """Strain as a vector 11, 22, 33, 2*23, 2*13, 2*12."""
    return ng.CF((e[0, 0], e[1, 1], e[2, 2], 2 * e[1, 2], 2 * e[0, 2], 2 * e[0, 1]))


def strain(gradient):
    """Symmetric part of a gradient, as a vector."""
    return voigt(0.5 * (gradient + gradient.trans))


C = by_grain(material.voigt(material.stiffnesses(grains)), 6, 6)
free = voigt(by_grain(material.swellings(grains), 3, 3))
V = ng.VectorH1(mesh, order=material.ORDER)
u, v = V.TnT()
matrix = ng.BilinearForm((C * strain(ng.Grad(u))) * strain(ng.Grad(v)) * ng.dx).Assemble().mat
load = ng.LinearForm((C * free) * strain(ng.Grad(v)) * ng.dx).Assemble().vec

vertices = np.array([vertex.point for vertex in mesh.vertices])
unknowns = V.FreeDofs()
held = [
    (int(np.linalg.norm(vertices - point, axis=1).argmin()), direction)
    for point, directions in material.SUPPORTS
    for direction in directions
]
for direction in material.SYMMETRY:
    on_face = np.flatnonzero(material.on_symmetric_face(vertices, direction))
    held += [(int(vertex), direction) for vertex in on_face]
for vertex, direction in held:
    dof = V.components[direction].GetDofNrs(ng.NodeId(ng.VERTEX, vertex))[0]
    unknowns.Clear(V.Range(direction).start + dof)
displacement = ng.GridFunction(V)
displacement.vec.data = matrix.Inverse(unknowns, "sparsecholesky") * load

gradient = ng.Grad(displacement)
elastic = strain(gradient) - free
energy = ng.Integrate(0.5 * (C * elastic) * elastic, mesh)
change = ng.Integrate(ng.Trace(gradient), mesh)
material.print_expansion(ng.Integrate(ng.CF(1), mesh), energy, change)
output = {"displacement": displacement, "stress": C * elastic}
path = str(material.FOLDER / "expansion")
ng.VTKOutput(mesh, list(output.values()), list(output), path).Do()
