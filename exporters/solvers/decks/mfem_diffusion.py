"""Mean time of a lithium atom to the outer surface: -div(D grad u) = 1, u = 0 on outer."""

import material
import mfem.ser as mfem
import numpy as np

mesh = mfem.Mesh(str(material.FOLDER / "mesh.msh"), 1, 1)
grains = np.unique(mesh.GetAttributeArray())
collection = mfem.H1_FECollection(material.ORDER, 3)
space = mfem.FiniteElementSpace(mesh, collection)

D = mfem.PWMatrixCoefficient(3)
kept = []  # the coefficient does not keep its parts alive
for grain, tensor in zip(grains.tolist(), material.diffusivities(grains), strict=True):
    kept.append(mfem.MatrixConstantCoefficient(mfem.DenseMatrix(tensor)))
    D.UpdateCoefficient(grain, kept[-1])

outer, held = mfem.intArray(mesh.bdr_attributes.Max()), mfem.intArray()
outer.Assign(0)
outer[material.N_GRAINS] = 1  # attribute N_GRAINS + 1
space.GetEssentialTrueDofs(outer, held)

conduction = mfem.BilinearForm(space)
conduction.AddDomainIntegrator(mfem.DiffusionIntegrator(D))
conduction.Assemble()
one = mfem.ConstantCoefficient(1.0)
source = mfem.LinearForm(space)
source.AddDomainIntegrator(mfem.DomainLFIntegrator(one))
source.Assemble()
load = source.GetDataArray().copy()

u = mfem.GridFunction(space)
u.Assign(0.0)
system, right, unknown = mfem.OperatorPtr(), mfem.Vector(), mfem.Vector()
conduction.FormLinearSystem(held, u, source, system, unknown, right)
matrix = mfem.OperatorHandle2SparseMatrix(system)
mfem.PCG(matrix, mfem.GSSmoother(matrix), right, unknown, 0, 5000, 1e-28, 0.0)
conduction.RecoverFEMSolution(unknown, source, u)

# the basis functions add up to one
material.print_diffusion(float(load.sum()), float(load @ u.GetDataArray()))
u.Save(str(material.FOLDER / "diffusion.gf"))  # glvis -m mesh.msh -g diffusion.gf
