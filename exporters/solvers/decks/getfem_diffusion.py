"""Mean time of a lithium atom to the outer surface: -div(D grad u) = 1, u = 0 on outer."""

import getfem as gf
import material
import numpy as np

gf.util_trace_level(1)
mesh = gf.Mesh("import", "gmsh", str(material.FOLDER / "mesh.msh"))
outer = material.N_GRAINS + 1

by_cell = gf.MeshFem(mesh, 1)  # one value for each tetrahedron
by_cell.set_classical_discontinuous_fem(0)
grain = np.zeros(by_cell.nbdof(), int)
for region in mesh.regions():
    if region <= material.N_GRAINS:
        grain[by_cell.basic_dof_from_cv(mesh.region(region)[0])] = region

space = gf.MeshFem(mesh, 1)
space.set_classical_fem(material.ORDER)
rule = gf.MeshIm(mesh, 2 * material.ORDER)
model = gf.Model("real")
model.add_fem_variable("u", space)
model.add_initialized_fem_data("D", by_cell, material.diffusivities(grain).reshape(-1, 9).T)
model.add_linear_term(rule, "(Reshape(D, 3, 3) * Grad_u) . Grad_Test_u")
model.add_source_term(rule, "Test_u")
model.add_Dirichlet_condition_with_simplification("u", outer)
model.solve()

u = model.variable("u")
volume = gf.asm("generic", rule, 0, "1", -1)
integral = gf.asm("generic", rule, 0, "u", -1, model)
material.print_diffusion(float(volume), float(integral))
space.export_to_vtk(str(material.FOLDER / "diffusion.vtk"), "ascii", space, u, "time")
