"""Free swelling of the particle by the whole change of composition: stresses between grains.

MFEM's elasticity is isotropic. The form of an anisotropic one is a sum of diffusion forms,
v_i,j C_ijkl u_k,l with the matrix C_i.k. for each pair i, k, which MFEM has.
"""

import material
import mfem.ser as mfem
import numpy as np
from scipy.sparse import bmat, csr_matrix, diags
from scipy.sparse.linalg import cg

mesh = mfem.Mesh(str(material.FOLDER / "mesh.msh"), 1, 1)
grains = np.unique(mesh.GetAttributeArray())
collection = mfem.H1_FECollection(material.ORDER, 3)
space = mfem.FiniteElementSpace(mesh, collection)
C = material.stiffnesses(grains)
swelling = material.swellings(grains)
free_stress = np.einsum("gijkl,gkl->gij", C, swelling)
kept = []  # coefficients do not keep their parts alive


def gradient_form(tensors):
    """Matrix of the integral of v_,j T_jl u_,l with T (3, 3) of each grain."""
    coefficient = mfem.PWMatrixCoefficient(3)
    for grain, tensor in zip(grains.tolist(), tensors, strict=True):
        kept.append(mfem.MatrixConstantCoefficient(mfem.DenseMatrix(np.ascontiguousarray(tensor))))
        coefficient.UpdateCoefficient(grain, kept[-1])
    form = mfem.BilinearForm(space)
    form.AddDomainIntegrator(mfem.DiffusionIntegrator(coefficient))
    form.Assemble()
    form.Finalize()
    matrix = form.SpMat()
    shape = (matrix.Height(), matrix.Width())
    arrays = (matrix.GetDataArray(), matrix.GetJArray(), matrix.GetIArray())
    return csr_matrix(tuple(array.copy() for array in arrays), shape)


def gradient_load(vectors):
    """Vector of the integral of v_,j s_j with s (3,) of each grain."""
    coefficient = mfem.PWVectorCoefficient(3)
    for grain, vector in zip(grains.tolist(), vectors, strict=True):
        kept.append(mfem.VectorConstantCoefficient(mfem.Vector(np.ascontiguousarray(vector))))
        coefficient.UpdateCoefficient(grain, kept[-1])
    form = mfem.LinearForm(space)
    form.AddDomainIntegrator(mfem.DomainLFGradIntegrator(coefficient))
    form.Assemble()
    return form.GetDataArray().copy()


blocks = [[gradient_form(C[:, i, :, k, :]) for k in range(3)] for i in range(3)]
matrix = bmat(blocks, format="csr")
load = np.concatenate([gradient_load(free_stress[:, i]) for i in range(3)])

vertices = np.array(mesh.GetVertexArray())
unknown = np.ones((3, space.GetNDofs()), bool)
for point, directions in material.SUPPORTS:
    vertex = int(np.linalg.norm(vertices - point, axis=1).argmin())  # also its degree of freedom
    unknown[directions, vertex] = False
for direction in material.SYMMETRY:
    unknown[direction, np.flatnonzero(material.on_symmetric_face(vertices, direction))] = False
unknown = unknown.ravel()
u = np.zeros(len(load))
stiffness = matrix[unknown][:, unknown]
jacobi = diags(1 / stiffness.diagonal())
u[unknown], failed = cg(stiffness, load[unknown], rtol=1e-13, atol=0, M=jacobi)
assert not failed, "conjugate gradients did not converge"

constant = mfem.L2_FECollection(0, 3)
cells = mfem.FiniteElementSpace(mesh, constant)
one = mfem.ConstantCoefficient(1.0)
form = mfem.LinearForm(cells)
form.AddDomainIntegrator(mfem.DomainLFIntegrator(one, 2, 4))
form.Assemble()
volumes = form.GetDataArray().copy()
attributes = np.asarray(mesh.GetAttributeArray())
by_grain = np.array([volumes[attributes == g].sum() for g in grains])
stored = 0.5 * np.einsum("gij,gij,g->", swelling, free_stress, by_grain)
energy = 0.5 * u @ (matrix @ u) - load @ u + stored
identity = np.broadcast_to(np.eye(3), (len(grains), 3, 3))
change = sum(gradient_load(identity[:, i]) @ u.reshape(3, -1)[i] for i in range(3))
material.print_expansion(volumes.sum(), float(energy), float(change))
np.save(material.FOLDER / "expansion.npy", u.reshape(3, -1).T)  # by degree of freedom, (n, 3)
