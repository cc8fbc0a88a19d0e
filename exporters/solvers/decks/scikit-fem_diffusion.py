"""Mean time of a lithium atom to the outer surface: -div(D grad u) = 1, u = 0 on outer."""

import material
import numpy as np
import skfem
from particle_mesh import element, grain, mesh
from skfem.helpers import dot, grad, mul

space = skfem.Basis(mesh, element, intorder=2 * material.ORDER)
D = material.diffusivities(grain).transpose(1, 2, 0)[..., None]
D = np.repeat(D, space.X.shape[-1], axis=-1)  # the same at all points of a tetrahedron


@skfem.BilinearForm
def conduction(u, v, w):
    """Weak form."""
    return dot(mul(w["D"], grad(u)), grad(v))


@skfem.LinearForm
def source(v, w):
    """One everywhere."""
    return 1.0 * v


load = source.assemble(space)
outer = space.get_dofs("outer")
solver = skfem.solver_iter_pcg(rtol=1e-13)
u = skfem.solve(*skfem.condense(conduction.assemble(space, D=D), load, D=outer), solver=solver)
material.print_diffusion(float(space.dx.sum()), float(load @ u))
np.save(material.FOLDER / "diffusion.npy", u[space.nodal_dofs[0]])  # at the vertices
