"""Free swelling of the particle by the whole change of composition: stresses between grains."""

import getfem as gf
import material
import numpy as np

gf.util_trace_level(1)
mesh = gf.Mesh("import", "gmsh", str(material.FOLDER / "mesh.msh"))

by_cell = gf.MeshFem(mesh, 1)  # one value for each tetrahedron
by_cell.set_classical_discontinuous_fem(0)
grain = np.zeros(by_cell.nbdof(), int)
for region in mesh.regions():
    if region <= material.N_GRAINS:
        grain[by_cell.basic_dof_from_cv(mesh.region(region)[0])] = region

space = gf.MeshFem(mesh, 3)
space.set_classical_fem(material.ORDER)
rule = gf.MeshIm(mesh, 2 * material.ORDER)
model = gf.Model("real")
model.add_fem_variable("u", space)
model.add_initialized_fem_data("C", by_cell, material.stiffnesses(grain).reshape(-1, 81).T)
model.add_initialized_fem_data("E", by_cell, material.swellings(grain).reshape(-1, 9).T)
stiffness, free = "Reshape(C, 3, 3, 3, 3)", "Reshape(E, 3, 3)"  # symmetric: any order of indices
model.add_linear_term(rule, f"({stiffness} : Sym(Grad_u)) : Grad_Test_u")
model.add_source_term(rule, f"({stiffness} : {free}) : Grad_Test_u")

place = space.basic_dof_nodes().T  # of each degree of freedom; the three directions alternate
fixed = []
for point, directions in material.SUPPORTS:
    nearest = np.linalg.norm(place - point, axis=1)
    fixed += [np.flatnonzero(nearest == nearest.min())[direction] for direction in directions]
for direction in material.SYMMETRY:
    dofs = np.flatnonzero(material.on_symmetric_face(place, direction))
    fixed += dofs[dofs % 3 == direction].tolist()
held = gf.Spmat("empty", len(fixed), space.nbdof())
for row, dof in enumerate(fixed):
    held.add(row, int(dof), 1.0)
model.add_variable("support", len(fixed))
model.add_constraint_with_multipliers("u", "support", held, np.zeros(len(fixed)))
model.solve()

u = model.variable("u")
elastic = f"(Sym(Grad_u) - {free})"
volume = gf.asm("generic", rule, 0, "1", -1)
energy = gf.asm("generic", rule, 0, f"0.5 * ({stiffness} : {elastic}) : {elastic}", -1, model)
change = gf.asm("generic", rule, 0, "Trace(Grad_u)", -1, model)
material.print_expansion(float(volume), float(energy), float(change))
space.export_to_vtk(str(material.FOLDER / "expansion.vtk"), "ascii", space, u, "displacement")
