"""Whether the products of a particle agree with its recipe, and with each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ....generator import hdf5_files
from ....generator.errors import CathodegrainError
from ....generator.particle import Particle
from ....generator.shell.shell import Shell
from ....generator.voxels.labelling import label_slab
from ...particles import recipe
from ...products import grain_table, voxels
from ...products.registry import PRODUCTS
from ..config import GRAINS

VOXEL_PART = 0.1  # error of a voxel volume, as a part of surface times voxel edge, at most
MESH_PART = 0.02  # error of the volume of a mesh, at most


def geometry_problems(folder: Path, name: str, fields: Mapping[str, Any]) -> Iterator[str]:
    """Volumes, grains and labels in the folder of a particle that contradict its recipe.

    ``name`` is what the dataset calls the folder, ``fields`` its document. Products that are
    not there are not compared; without the recipe nothing is.
    """
    if not (folder / recipe.NAME).is_file():
        return
    try:
        particle = recipe.read(folder / recipe.NAME)
        yield from (f"{name}: {problem}" for problem in _against_recipe(fields, particle))
        for product in fields["products"]:
            check, path = CHECKS.get(product["format"]), folder / product["path"]
            if check is not None and path.is_file():
                found = check(path, particle)
                yield from (f"{name}/{product['path']}: {problem}" for problem in found)
        yield from (f"{name}: {problem}" for problem in _voxels_and_grains(folder))
    except (CathodegrainError, *hdf5_files.FAILURES) as error:
        yield f"{name}: {error}"


def _against_recipe(fields: Mapping[str, Any], particle: Particle) -> Iterator[str]:
    if fields["n_grains"] != particle.n_grains:
        yield f"n_grains {fields['n_grains']}, the recipe has {particle.n_grains}"
    found = {key: fields["shell"][key]["value"] for key in ("volume", "area", "diameter")}
    shell = particle.shell
    expected = {"volume": shell.volume_um3, "area": shell.area_um2, "diameter": shell.diameter_um}
    for key, value in expected.items():
        if not np.isclose(found[key], value, rtol=1e-6):
            yield f"shell.{key} {found[key]}, the recipe has {value:.9g}"
    given = [*shell.radius_bounds, shell.gradient_bound]
    proven = Shell(shell.coefficients)
    if not np.allclose(given, again := [*proven.radius_bounds, proven.gradient_bound], rtol=1e-9):
        yield f"the recipe has the bounds {given} um of the radius and its gradient, proven {again}"


def _volume_problem(volume: float, particle: Particle, spacing: float) -> Iterator[str]:
    """Whether a volume of voxels is not that of the shell."""
    shell = particle.shell
    allowed = VOXEL_PART * shell.area_um2 * spacing
    if abs(volume - shell.volume_um3) > allowed:
        yield (
            f"its grains fill {volume:.6g} um^3, the shell {shell.volume_um3:.6g} um^3; expected "
            f"a difference of at most {allowed:.2g}"
        )


def _voxel_problems(path: Path, particle: Particle) -> Iterator[str]:
    found = voxels.read(path)
    labels, grid = found.labels, found.grid
    counts = voxels.count_voxels(labels, max(int(labels.max()), particle.n_grains))[1:]
    if len(counts) > particle.n_grains:
        yield f"grain ids up to {len(counts)}, the recipe has {particle.n_grains} grains"
        return
    yield from _volume_problem(float(counts.sum()) * grid.voxel_um3, particle, grid.spacing)
    with hdf5_files.self_contained(path) as file:
        if not np.array_equal(file["grain_voxels"][:], counts):
            yield "grain_voxels are not the numbers of voxels of the grains"
    middle = grid.shape[0] // 2
    expected = label_slab(particle, grid, middle, middle + 1)[0]
    if wrong := int((labels[middle] != expected).sum()):
        yield f"{wrong} voxels of the middle layer have another grain than in the recipe"


def _grain_problems(path: Path, particle: Particle) -> Iterator[str]:
    table = grain_table.read(path)
    if len(table.morphology) != particle.n_grains:
        yield f"{len(table.morphology)} grains, the recipe has {particle.n_grains}"
    volume = float(table.morphology.volume_um3.sum())
    yield from _volume_problem(volume, particle, table.pitch_um)


def _mesh_problems(path: Path, particle: Particle) -> Iterator[str]:
    from ...mesh.hex_mesh import HexMesh
    from ...mesh.reading import read_msh
    from ...mesh.tetrahedra import signed_volumes

    mesh = read_msh(path)
    if len(mesh.cells) and int(mesh.grain_ids.max()) > particle.n_grains:
        yield f"grain ids up to {mesh.grain_ids.max()}, the recipe has {particle.n_grains} grains"
    if isinstance(mesh, HexMesh):
        size = float(mesh.facts["size_um"])
        yield from _volume_problem(float(mesh.volumes.sum()), particle, size)
        return
    volume = float(signed_volumes(mesh.points, mesh.tets).sum())
    expected = particle.shell.volume_um3
    if abs(volume / expected - 1) > MESH_PART:
        yield f"its tetrahedra fill {volume:.6g} um^3, the shell {expected:.6g} um^3"


CHECKS = {"voxels": _voxel_problems, GRAINS: _grain_problems, "mesh": _mesh_problems}


def _voxels_and_grains(folder: Path) -> Iterator[str]:
    """Whether table of grains and voxels of one spacing count alike."""
    grid, table = folder / PRODUCTS["voxels"].file, folder / PRODUCTS[GRAINS].file
    if not (grid.is_file() and table.is_file()):
        return
    with hdf5_files.self_contained(grid) as file:
        spacing = float(file["VTKHDF"].attrs["Spacing"][0])
        counts = file["grain_voxels"][:]
    grains = grain_table.read(table)
    if spacing == grains.pitch_um and not np.array_equal(counts, grains.morphology.voxel_count):
        yield f"{grid.name} and {table.name} count other voxels of the grains"
