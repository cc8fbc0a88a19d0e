"""Mean time of a lithium atom to the outer surface: -div(D grad u) = 1, u = 0 on outer.

Runs with dolfinx 0.5 and later, also in parallel (mpirun -n 4 python3 diffusion.py).
"""

import dolfinx
import material
import numpy as np
import ufl
from dolfinx import fem
from dolfinx.fem.petsc import LinearProblem
from dolfinx.io import XDMFFile
from mpi4py import MPI

with XDMFFile(MPI.COMM_WORLD, str(material.FOLDER / "mesh.xdmf"), "r") as file:
    mesh = file.read_mesh()
    cells = file.read_meshtags(mesh, name="mesh")
mesh.topology.create_connectivity(2, 3)
with XDMFFile(MPI.COMM_WORLD, str(material.FOLDER / "facets.xdmf"), "r") as file:
    facets = file.read_meshtags(mesh, name="mesh")

if hasattr(fem, "functionspace"):  # dolfinx >= 0.7
    V = fem.functionspace(mesh, ("Lagrange", material.ORDER))
    by_cell = fem.functionspace(mesh, ("DG", 0, (3, 3)))
else:
    V = fem.FunctionSpace(mesh, ("Lagrange", material.ORDER))
    by_cell = fem.TensorFunctionSpace(mesh, ("DG", 0))

D = fem.Function(by_cell)
D.x.array.reshape(-1, 9)[cells.indices] = material.diffusivities(cells.values).reshape(-1, 9)
D.x.scatter_forward()
u, v = ufl.TrialFunction(V), ufl.TestFunction(V)
one = fem.Constant(mesh, np.array(1.0, D.x.array.dtype))
outer = fem.locate_dofs_topological(V, 2, facets.find(material.N_GRAINS + 1))
boundary = fem.dirichletbc(np.array(0.0, D.x.array.dtype), outer, V)
dx = ufl.Measure("dx", mesh, metadata={"quadrature_degree": 2 * material.ORDER})
version = tuple(int(part) for part in dolfinx.__version__.split(".")[:2])
options = {"petsc_options_prefix": "diffusion_"} if version >= (0, 10) else {}
problem = LinearProblem(
    ufl.inner(D * ufl.grad(u), ufl.grad(v)) * dx,
    ufl.inner(one, v) * dx,
    bcs=[boundary],
    petsc_options={"ksp_type": "cg", "pc_type": "jacobi", "ksp_rtol": 1e-13, "ksp_max_it": 100000},
    **options,
)
u = problem.solve()
u.name = "time"


def integral(density):
    """Integral over the particle."""
    return MPI.COMM_WORLD.allreduce(fem.assemble_scalar(fem.form(density * dx)), MPI.SUM)


volume, total = integral(one), integral(u)
if MPI.COMM_WORLD.rank == 0:
    material.print_diffusion(volume, total)
if material.ORDER == 1:  # XDMF cannot hold functions of another degree than the mesh
    with XDMFFile(MPI.COMM_WORLD, str(material.FOLDER / "diffusion.xdmf"), "w") as file:
        file.write_mesh(mesh)
        file.write_function(u)
