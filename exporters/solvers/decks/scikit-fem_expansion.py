"""Free swelling of the particle by the whole change of composition: stresses between grains."""

import material
import numpy as np
import skfem
from particle_mesh import element, grain, mesh
from skfem.helpers import ddot, sym_grad, trace

space = skfem.Basis(mesh, skfem.ElementVector(element), intorder=2 * material.ORDER)
points = space.X.shape[-1]  # in each tetrahedron, where tensors are the same
C = np.repeat(np.moveaxis(material.stiffnesses(grain), 0, -1)[..., None], points, axis=-1)
free = np.repeat(np.moveaxis(material.swellings(grain), 0, -1)[..., None], points, axis=-1)


def stress(C, strain):
    """Hooke's law, (3, 3, cells, points)."""
    return np.einsum("ijkl...,kl...->ij...", C, strain)


@skfem.BilinearForm
def elasticity(u, v, w):
    """Weak form."""
    return ddot(stress(w["C"], sym_grad(u)), sym_grad(v))


@skfem.LinearForm
def swelling(v, w):
    """Load of the stress-free strain."""
    return ddot(stress(w["C"], w["free"]), sym_grad(v))


@skfem.Functional
def energy(w):
    """Elastic energy."""
    elastic = sym_grad(w["u"]) - w["free"]
    return 0.5 * ddot(stress(w["C"], elastic), elastic)


@skfem.Functional
def change(w):
    """Change of volume."""
    return trace(sym_grad(w["u"]))


fixed = []
for point, directions in material.SUPPORTS:
    vertex = np.linalg.norm(mesh.p[:, : mesh.nvertices] - point[:, None], axis=0).argmin()
    fixed += space.nodal_dofs[directions, vertex].tolist()
for direction in material.SYMMETRY:
    held = material.on_symmetric_face(mesh.p.T, direction)
    fixed += space.nodal_dofs[direction, np.flatnonzero(held)].tolist()
matrix = elasticity.assemble(space, C=C)
load = swelling.assemble(space, C=C, free=free)
solver = skfem.solver_iter_pcg(rtol=1e-13)
u = skfem.solve(*skfem.condense(matrix, load, D=np.array(fixed)), solver=solver)
field = space.interpolate(u)
material.print_expansion(
    float(space.dx.sum()),
    float(energy.assemble(space, u=field, C=C, free=free)),
    float(change.assemble(space, u=field)),
)
np.save(material.FOLDER / "expansion.npy", u[space.nodal_dofs].T)  # at the vertices, (n, 3)
