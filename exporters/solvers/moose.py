"""MOOSE: an Exodus mesh with a block for each grain, and two input files.

``diffusion.i`` needs the framework alone, ``expansion.i`` the module solid_mechanics. The
placeholder material is a group of variables at the top; tensors of a grain are written as
expressions in them with the numbers of its orientation.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..mesh.any_mesh import AXES, symmetry_name
from .exodus import write_exodus
from .materials import MARK, stiffness_matrix
from .solver_input import SolverInput

DIFFUSION = """{head}
# u: mean time (s) in which a lithium atom reaches the outer surface
[Mesh]
  [particle]
    type = FileMeshGenerator
    file = mesh.e
  []
[]

[Variables]
  [u]
    order = {order}
  []
[]

[Kernels]
  [source]
    type = BodyForce
    variable = u
    value = 1
  []
{grains}[]

[BCs]
  [outer]
    type = DirichletBC
    variable = u
    boundary = outer
    value = 0
  []
[]

[Executioner]
  type = Steady
  solve_type = NEWTON
  petsc_options_iname = '-pc_type -pc_hypre_type'
  petsc_options_value = 'hypre boomeramg'
  l_tol = 1e-10
[]

[Postprocessors]
  [volume]
    type = VolumePostprocessor
  []
  [integral_of_u]
    type = ElementIntegralVariablePostprocessor
    variable = u
  []
  [mean_time]
    type = ElementAverageValue
    variable = u
  []
[]

[Outputs]
  exodus = true
  csv = true
[]
"""
EXPANSION = """{head}
# free swelling by the whole change of composition
[GlobalParams]
  displacements = 'disp_x disp_y disp_z'
[]

[Mesh]
  [particle]
    type = FileMeshGenerator
    file = mesh.e
  []
[]

[Variables]
  [disp_x]
    order = {order}
  []
  [disp_y]
    order = {order}
  []
  [disp_z]
    order = {order}
  []
[]

[Physics]
  [SolidMechanics]
    [QuasiStatic]
      [particle]
        strain = SMALL
        eigenstrain_names = swelling
        generate_output = 'vonmises_stress max_principal_stress'
      []
    []
  []
[]

[Materials]
  [stress]
    type = ComputeLinearElasticStress
  []
{grains}[]

[BCs]
{held}[]

[Executioner]
  type = Steady
  solve_type = NEWTON
  petsc_options_iname = '-pc_type -pc_hypre_type'
  petsc_options_value = 'hypre boomeramg'
  l_tol = 1e-10
[]

[Postprocessors]
  [largest_principal_stress]
    type = ElementExtremeValue
    variable = max_principal_stress
    value_type = max
  []
[]

[Outputs]
  exodus = true
  csv = true
[]
"""
HELD = """  [{axis}]
    type = DirichletBC
    variable = disp_{axis}
    boundary = '{sets}'
    value = 0
  []
"""
CONDUCTION = """  [diffusion{suffix}]
    type = AnisotropicDiffusion
    variable = u
{block}    tensor_coeff = '{tensor}'
  []
"""
CRYSTAL = """  [elasticity{suffix}]
    type = ComputeElasticityTensor
{block}    C_ijkl = ${{stiffness}}
    fill_method = symmetric9
{rotation}  []
  [swelling{suffix}]
    type = ComputeEigenstrain
{block}    eigenstrain_name = swelling
    eigen_base = '{tensor}'
  []
"""
NINE = [(i, j) for i in range(3) for j in range(3)]
SIX = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]


def write(content: SolverInput, folder: Path, profile: str) -> None:
    """Write ``mesh.e``, ``diffusion.i`` and ``expansion.i``."""
    write_exodus(content, folder / "mesh.e")
    order = "FIRST" if content.order == 1 else "SECOND"
    for name, template, of_grain in (
        ("diffusion", DIFFUSION, _conduction),
        ("expansion", EXPANSION, _crystal),
    ):
        if content.crystal_axes is None:
            grains = of_grain("", "", None)
        else:
            axes = content.crystal_axes
            grains = "".join(
                of_grain(f"_{g:05d}", f"    block = grain_{g:05d}\n", axes[g - 1])
                for g in content.grains
            )
        text = template.format(head=_head(content), order=order, grains=grains, held=_held(content))
        (folder / f"{name}.i").write_text(text, encoding="ascii")


def _held(content: SolverInput) -> str:
    """Conditions on supports and symmetric faces, a block for each direction."""
    found = []
    for axis in AXES:
        sets = [f"support_{k}" for k, (_, held) in enumerate(content.supports, 1) if axis in held]
        sets += [symmetry_name(axis)] if axis in content.symmetry else []
        found.append(HELD.format(axis=axis, sets=" ".join(sets)))
    return "".join(found)


def _head(content: SolverInput) -> str:
    material, units = content.material, content.units
    lines = [f"# {line}" for line in content.heading()]
    lines += [f"# {MARK}", f"# diffusivity along a, b, c; {units.length}^2/s"]
    lines += [f"D_{k} = {value:.12g}" for k, value in enumerate(material.diffusivity, 1)]
    lines.append("# strain along a, b, c for the whole change of composition")
    lines += [f"E_{k} = {value:.12g}" for k, value in enumerate(material.swelling, 1)]
    lines.append(f"# C11 C12 C13 C22 C23 C33 C44 C55 C66 (4 = 23, 5 = 13, 6 = 12); {units.stress}")
    stiffness = stiffness_matrix(material)
    upper = [stiffness[i, j] for i in range(3) for j in range(i, 3)]
    nine = " ".join(f"{value:.12g}" for value in [*upper, *np.diag(stiffness)[3:]])
    return "\n".join([*lines, f"stiffness = '{nine}'", "# end"])


def _conduction(suffix: str, block: str, axes: NDArray[np.float64] | None) -> str:
    return CONDUCTION.format(suffix=suffix, block=block, tensor=_tensor("D", axes, NINE))


def _crystal(suffix: str, block: str, axes: NDArray[np.float64] | None) -> str:
    rotation = ""
    if axes is not None:
        numbers = " ".join(f"{x:.12g}" for x in axes.T.ravel())  # crystal to sample
        rotation = f"    rotation_matrix = '{numbers}'\n"
    tensor = _tensor("E", axes, SIX)
    return CRYSTAL.format(suffix=suffix, block=block, rotation=rotation, tensor=tensor)


def _tensor(name: str, axes: NDArray[np.float64] | None, entries: list[tuple[int, int]]) -> str:
    """Entries of the tensor with the values name_1, name_2, name_3 along the axes."""
    q = np.eye(3) if axes is None else axes
    terms = [
        "+".join(f"{name}_{k + 1}*({q[k, i] * q[k, j]:.12g})" for k in range(3)) for i, j in entries
    ]
    return " ".join(f"${{fparse {term}}}" for term in terms)
