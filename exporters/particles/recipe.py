"""The recipe file: the particle itself, in HDF5 that opens with xarray.

Dimensions: ``grain`` (1..N, the grain id everywhere), ``component`` (x, y, z), ``axis``
(radial, then two transverse), ``metric_component`` (xx, xy, xz, yy, yz, zz),
``coefficient`` (l^2 + l + m), ``point_key`` (cell i, j, k and rank), ``quaternion``
(w, x, y, z). Variables:

========================= ============================= ======= ==============================
name                      dimensions                    units   meaning
========================= ============================= ======= ==============================
shell_coefficient         coefficient                   um      a_lm of X, real orthonormal Y_lm
grain_seed                grain, component              um      s_i
grain_metric              grain, metric_component       um^-2   M_i
grain_offset              grain                         1       r_i
grain_diagonal            grain, axis                   um^-2   D_i
grain_angle               grain                         rad     gamma_i
grain_axis                grain, component              1       axis of D_i, if it is not radial
grain_point               grain, point_key              1       identity of the seed point
grain_orientation         grain, quaternion             1       crystal to sample, if there is
========================= ============================= ======= ==============================

Attributes of ``shell_coefficient``, since version 1.1.0: ``radius_bounds``, proven lower and
upper bound of X, um, and ``gradient_bound``, proven bound of its surface gradient, um per radian.
They spare a reader the proof; a file without them is read as well, and they are proven then.

``/provenance/json`` holds what the particle was made from: model card, number of the draws,
seed, index, accepted draw, derivation; ``/provenance/weights`` the file of a marker net that
does not come with the package, byte by byte. No time stamps, no version of the program: equal
particles are equal files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from ...generator import hdf5_files
from ...generator.errors import CathodegrainError, RecipeError
from ...generator.grains.tessellation import Tessellation
from ...generator.model_card import ModelCard
from ...generator.particle import Derivation, Particle, Provenance
from ...generator.shell.shell import Shell
from ..files.cf import dimension, new_file, set_text, variable
from ..files.provenance import source_text

KIND = "cathodegrain/recipe"
VERSION = "1.1.0"
NAME = "recipe.h5"
WEIGHTS = "provenance/weights"
UPPER = ([0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2])  # xx, xy, xz, yy, yz, zz
HISTORY = "drawn by cathodegrain; no time stamps, so that equal particles are equal files"
REFERENCE = "https://doi.org/10.1038/s43246-024-00728-5"


def write(particle: Particle, path: str | Path) -> Path:
    """Write the recipe of ``particle``; equal particles give equal bytes."""
    with new_file(path) as file:
        set_text(
            file,
            schema=KIND,
            schema_version=VERSION,
            Conventions="CF-1.11 ACDD-1.3",
            title=f"Recipe of the virtual NMC811 particle {particle.id}",
            source=source_text(particle.provenance.draws),
            references=REFERENCE,
            history=HISTORY,
            id=particle.id,
            metric=particle.tessellation.metric,
        )
        _write_dimensions(file, particle)
        _write_variables(file, particle)
        text = json.dumps(provenance_fields(particle.provenance), sort_keys=True, allow_nan=False)
        provenance = file.create_group("provenance")
        provenance.create_dataset("json", data=np.bytes_(text.encode()), track_times=False)
        if weights := particle.provenance.card.own_weights:
            data = np.frombuffer(weights, np.uint8)
            file.create_dataset(WEIGHTS, data=data, track_times=False)
    return Path(path)


def _write_dimensions(file: h5py.File, particle: Particle) -> None:
    names = {
        "component": (3, "x, y, z"),
        "axis": (3, "radial direction, then two transverse ones"),
        "metric_component": (6, "xx, xy, xz, yy, yz, zz"),
        "coefficient": (len(particle.shell.coefficients), "l^2 + l + m"),
        "point_key": (4, "cell i, j, k of the window and rank in the cell"),
    }
    if particle.orientations is not None:
        names["quaternion"] = (4, "w, x, y, z")
    ids = np.arange(1, particle.n_grains + 1, dtype=np.int32)
    dimension(file, "grain", ids, long_name="grain id; 0 is outside")
    for name, (n, meaning) in names.items():
        dimension(file, name, np.arange(n, dtype=np.int32), long_name=meaning)


def _write_variables(file: h5py.File, particle: Particle) -> None:
    grains = particle.tessellation
    rows: list[tuple[str, NDArray[Any], tuple[str, ...], str, str]] = [
        ("shell_coefficient", particle.shell.coefficients, ("coefficient",), "um",
         "coefficients a_lm of the radius X(u) in real orthonormal spherical harmonics "
         "without Condon-Shortley phase"),
        ("grain_seed", grains.seeds, ("grain", "component"), "um", "seed point s_i"),
        ("grain_metric", grains.matrices[:, *UPPER], ("grain", "metric_component"), "um^-2",
         "marker matrix M_i"),
        ("grain_offset", grains.offsets, ("grain",), "1", "additive marker r_i"),
        ("grain_diagonal", particle.diagonals, ("grain", "axis"), "um^-2",
         "eigenvalues D_i of M_i in the radial frame"),
        ("grain_angle", particle.angles, ("grain",), "rad", "rotation gamma_i about the radius"),
        ("grain_point", particle.origin, ("grain", "point_key"), "1",
         "cell of the window and rank of the seed point: its identity across variants"),
    ]  # fmt: skip
    if particle.axes is not None:
        rows.append(
            ("grain_axis", particle.axes, ("grain", "component"), "1",
             "unit vector that belongs to the first entry of D_i; without it, the radial direction")
        )  # fmt: skip
    if particle.orientations is not None:
        rows.append(
            ("grain_orientation", particle.orientations, ("grain", "quaternion"), "1",
             "unit quaternion q = (w, x, y, z): a vector with crystal components v has the "
             "sample components q v q*; the c-axis is e_3 of the crystal")
        )  # fmt: skip
    for name, data, dimensions, units, long_name in rows:
        variable(file, name, data, dimensions, units=units, long_name=long_name)
    bounds = file["shell_coefficient"].attrs
    bounds["radius_bounds"] = np.array(particle.shell.radius_bounds)
    bounds["gradient_bound"] = particle.shell.gradient_bound


def read(path: str | Path) -> Particle:
    """Particle of a recipe file.

    Raises
    ------
    RecipeError
        If the file is missing, truncated, not a recipe, holds values that make no particle
        or takes data from another file.
    """
    if not Path(path).is_file():
        msg = f"{path} does not exist, expected the folder of a particle or a {NAME}"
        raise RecipeError(msg)
    if not h5py.is_hdf5(path):
        msg = f"{path} is not a readable recipe: it is no HDF5 file; give a {NAME}"
        raise RecipeError(msg)
    return read_stream(path, path)


def read_stream(source: str | Path | BinaryIO, place: str | Path) -> Particle:
    """Particle of a recipe that may lie inside another file; ``place`` is what messages name.

    Raises
    ------
    RecipeError
        As `read` does.
    """
    try:
        with hdf5_files.self_contained(source) as file:
            found = file.attrs.get("schema", b"nothing").decode()
            if found == KIND:
                return _particle(file)
    except (*hdf5_files.FAILURES, CathodegrainError) as error:
        msg = f"{place} is not a readable recipe ({error}); generate the particle again"
        raise RecipeError(msg) from error
    msg = f"{place} holds {found!r}, expected {KIND!r}: give a {NAME}"
    raise RecipeError(msg)


def _particle(file: h5py.File) -> Particle:
    upper = file["grain_metric"][:]
    matrices = np.empty((len(upper), 3, 3))
    matrices[:, *UPPER] = upper
    matrices[:, UPPER[1], UPPER[0]] = upper
    metric = file.attrs["metric"].decode()
    text = bytes(file["provenance/json"][()]).decode()
    return Particle(
        shell=_shell(file["shell_coefficient"]),
        tessellation=Tessellation(file["grain_seed"][:], matrices, file["grain_offset"][:], metric),
        diagonals=file["grain_diagonal"][:],
        angles=file["grain_angle"][:],
        axes=file["grain_axis"][:] if "grain_axis" in file else None,
        origin=file["grain_point"][:],
        orientations=file["grain_orientation"][:] if "grain_orientation" in file else None,
        provenance=provenance_from_fields(json.loads(text), _weights(file)),
    )


def _weights(file: h5py.File) -> bytes | None:
    """File of a marker net of its own."""
    return file[WEIGHTS][:].tobytes() if WEIGHTS in file else None


def _shell(coefficients: h5py.Dataset) -> Shell:
    """Shell of the coefficients, its radius proven positive in every direction.

    Bounds that the file has are compared with some directions and taken as proven
    (`Shell.with_bounds`); the check of a dataset's geometry proves them again.
    """
    shell, found = Shell(coefficients[:]), coefficients.attrs
    weak = shell.weak_direction()
    if weak is not None:
        msg = (
            f"shell_coefficient: the radius in the direction {weak.round(3).tolist()} is "
            f"{float(shell.radius(weak)):.3g} um, expected a proof that it is positive everywhere"
        )
        raise RecipeError(msg)
    if "radius_bounds" not in found:
        return shell
    lower, upper = map(float, found["radius_bounds"])
    return shell.with_bounds((lower, upper), float(found["gradient_bound"]))


def provenance_fields(provenance: Provenance) -> dict[str, Any]:
    """JSON object of a provenance; `provenance_from_fields` is its inverse."""
    derivation = provenance.derivation
    return {
        "model_card": dict(provenance.card.document),
        "draws": provenance.draws,
        "entropy": provenance.seed,
        "index": provenance.index,
        "shell_attempt": provenance.shell_attempt,
        "shells_rejected": dict(provenance.shells_rejected),
        "wasDerivedFrom": None if derivation is None else derivation_fields(derivation),
    }


def derivation_fields(derivation: Derivation) -> dict[str, Any]:
    """JSON object of a derivation."""
    return {
        "id": derivation.parent,
        "model_sha256": derivation.model_sha256,
        "changes": {k: {"from": old, "to": new} for k, (old, new) in derivation.changes.items()},
    }


def provenance_from_fields(fields: dict[str, Any], weights: bytes | None = None) -> Provenance:
    """Provenance of a JSON object, and the file of its model's net if that has one of its own."""
    parent = fields["wasDerivedFrom"]
    derivation = parent and Derivation(
        parent=parent["id"],
        model_sha256=parent["model_sha256"],
        changes={k: (pair["from"], pair["to"]) for k, pair in parent["changes"].items()},
    )
    return Provenance(
        card=ModelCard(fields["model_card"], weights=weights),
        seed=fields["entropy"],
        index=fields["index"],
        shell_attempt=fields["shell_attempt"],
        shells_rejected=fields["shells_rejected"],
        derivation=derivation,
        draws=fields.get("draws"),
    )
