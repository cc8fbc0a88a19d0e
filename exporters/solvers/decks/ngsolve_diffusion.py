"""Mean time of a lithium atom to the outer surface: -div(D grad u) = 1, u = 0 on outer."""

import material
import ngsolve as ng
from netgen.read_gmsh import ReadGmsh

mesh = ng.Mesh(ReadGmsh(str(material.FOLDER / "mesh.msh")))
names = sorted(set(mesh.GetMaterials()))
tensors = material.diffusivities([int(name.removeprefix("grain_")) for name in names])
by_name = {n: ng.CF(tuple(d.ravel()), dims=(3, 3)) for n, d in zip(names, tensors, strict=True)}
D = mesh.MaterialCF(by_name)

V = ng.H1(mesh, order=material.ORDER, dirichlet="outer")
u, v = V.TnT()
matrix = ng.BilinearForm(D * ng.grad(u) * ng.grad(v) * ng.dx).Assemble().mat
load = ng.LinearForm(v * ng.dx).Assemble().vec
time = ng.GridFunction(V)
time.vec.data = matrix.Inverse(V.FreeDofs(), "sparsecholesky") * load
material.print_diffusion(ng.Integrate(ng.CF(1), mesh), ng.Integrate(time, mesh))
ng.VTKOutput(mesh, [time], ["time"], str(material.FOLDER / "diffusion")).Do()
