"""Free swelling of the particle by the whole change of composition: stresses between grains.

Runs with dolfinx 0.5 and later, also in parallel (mpirun -n 4 python3 expansion.py). For a
million nodes "gamg" with a near null space is faster (dolfinx's elasticity demo).
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

if hasattr(fem, "functionspace"):  # dolfinx >= 0.7
    V = fem.functionspace(mesh, ("Lagrange", material.ORDER, (3,)))
    stiffness_space = fem.functionspace(mesh, ("DG", 0, (6, 6)))
    strain_space = fem.functionspace(mesh, ("DG", 0, (3, 3)))
else:
    V = fem.VectorFunctionSpace(mesh, ("Lagrange", material.ORDER))
    stiffness_space = fem.TensorFunctionSpace(mesh, ("DG", 0), shape=(6, 6))
    strain_space = fem.TensorFunctionSpace(mesh, ("DG", 0))

C, free = fem.Function(stiffness_space), fem.Function(strain_space)
stiffnesses = material.voigt(material.stiffnesses(cells.values))
C.x.array.reshape(-1, 36)[cells.indices] = stiffnesses.reshape(-1, 36)
free.x.array.reshape(-1, 9)[cells.indices] = material.swellings(cells.values).reshape(-1, 9)
C.x.scatter_forward()
free.x.scatter_forward()


def voigt(e):
    """Strain as a vector 11, 22, 33, 2*23, 2*13, 2*12."""
    shear = [2 * e[1, 2], 2 * e[0, 2], 2 * e[0, 1]]
    return ufl.as_vector([e[0, 0], e[1, 1], e[2, 2], *shear])


def strain(u):
    """Symmetric gradient."""
    return voigt(ufl.sym(ufl.grad(u)))


def held(direction, where):
    """Condition that holds the nodes that ``where`` finds in one direction."""
    subspace = V.sub(direction)
    collapsed = subspace.collapse()[0]
    dofs = fem.locate_dofs_geometrical((subspace, collapsed), where)
    return fem.dirichletbc(fem.Function(collapsed), dofs, subspace)


def support(point, direction):
    """Condition that holds one vertex in one direction."""
    size = np.ptp(mesh.geometry.x, axis=0).max()
    return held(direction, lambda x: np.linalg.norm(x - point[:, None], axis=0) < 1e-9 * size)


def symmetry(direction):
    """Condition that holds a symmetric face in the direction across it."""
    return held(direction, lambda x: material.on_symmetric_face(x.T, direction))


u, v = ufl.TrialFunction(V), ufl.TestFunction(V)
dx = ufl.Measure("dx", mesh, metadata={"quadrature_degree": 2 * material.ORDER})
version = tuple(int(part) for part in dolfinx.__version__.split(".")[:2])
options = {"petsc_options_prefix": "expansion_"} if version >= (0, 10) else {}
problem = LinearProblem(
    ufl.inner(C * strain(u), strain(v)) * dx,
    ufl.inner(C * voigt(free), strain(v)) * dx,
    bcs=[support(point, d) for point, directions in material.SUPPORTS for d in directions]
    + [symmetry(d) for d in material.SYMMETRY],
    petsc_options={"ksp_type": "cg", "pc_type": "jacobi", "ksp_rtol": 1e-13, "ksp_max_it": 100000},
    **options,
)
u = problem.solve()
u.name = "displacement"


def integral(density):
    """Integral over the particle."""
    return MPI.COMM_WORLD.allreduce(fem.assemble_scalar(fem.form(density * dx)), MPI.SUM)


elastic = strain(u) - voigt(free)
one = fem.Constant(mesh, np.array(1.0, C.x.array.dtype))
volume, energy = integral(one), integral(0.5 * ufl.inner(C * elastic, elastic))
change = integral(ufl.div(u))
if MPI.COMM_WORLD.rank == 0:
    material.print_expansion(volume, energy, change)
if material.ORDER == 1:  # XDMF cannot hold functions of another degree than the mesh
    with XDMFFile(MPI.COMM_WORLD, str(material.FOLDER / "expansion.xdmf"), "w") as file:
        file.write_mesh(mesh)
        file.write_function(u)
