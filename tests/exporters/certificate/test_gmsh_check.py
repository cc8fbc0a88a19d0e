"""gmsh is believed: where it disagrees or complains, the check says so."""

import json
import re
import struct
from dataclasses import replace

import numpy as np
import pytest

from cathodegrain.exporters.certificate.gmsh_check import check_with_gmsh
from cathodegrain.exporters.mesh import msh_file
from cathodegrain.exporters.mesh.cohesive import split
from cathodegrain.exporters.mesh.second_order import second_order
from cathodegrain.generator.errors import ExportError
from meshes import kuhn_lattice

pytest.importorskip("gmsh")
CUBES = kuhn_lattice((1, 1, 2), [[[1, 2]]])


def changed(path, **facts):
    """The same file whose certificate says something else."""
    content = path.read_bytes()
    text = re.search(rb"\n(\{.*\})\n\$EndComments", content)[1]
    told = json.loads(text)
    told["certificate"] = {**told["certificate"], **facts}
    path.write_bytes(content.replace(text, json.dumps(told).encode()))
    return path


@pytest.mark.parametrize("form", ["bonded", "second order", "cohesive", "discontinuous"])
def test_gmsh_agrees_with_what_we_write(form, crystals, tmp_path):
    particle, bonded = crystals
    mesh = {
        "bonded": lambda: bonded,
        "second order": lambda: second_order(bonded, particle),
        "cohesive": lambda: split(bonded),
        "discontinuous": lambda: split(bonded).without_wedges(),
    }[form]()
    check = check_with_gmsh(msh_file.write(mesh, tmp_path / "mesh.msh"))
    assert check.problems == []
    found = check.measured
    assert found.n_nodes == len(mesh.points)
    assert sum(n for (kind, _), n in found.counts.items() if kind in (4, 11)) == len(mesh.tets)
    assert list(found.volumes) == np.unique(mesh.grain_ids).tolist()
    assert f"{found.n_nodes:,} nodes" in next(check.lines())


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"n_tets": 3}, r"gmsh finds \d+ elements, the certificate 3"),
        ({"shape": {"sicn": {"least": 0.5}}}, r"a least SICN of 0\.\d+, the certificate says 0\.5"),
        ({"grain_volumes_um3": [[1, 0, 0, 9.5]]}, "um.3 in grain 1, the certificate says 9.5"),
    ],
)
def test_a_certificate_of_another_mesh_is_noticed(facts, expected, crystals, tmp_path):
    path = msh_file.write(crystals[1], tmp_path / "mesh.msh")
    (problem,) = check_with_gmsh(changed(path, **facts)).problems
    assert re.search(expected, problem)


def test_an_inverted_element_is_noticed(tmp_path):
    tets = CUBES.tets.copy()
    tets[3, :2] = tets[3, 1::-1]
    path = msh_file.write(replace(CUBES, tets=tets), tmp_path / "mesh.msh")
    assert "gmsh finds 1 inverted or flat elements" in check_with_gmsh(path).problems


def test_what_gmsh_complains_of_is_a_problem(tmp_path):
    path = msh_file.write(CUBES, tmp_path / "mesh.msh")
    content = bytearray(path.read_bytes())
    at = content.rindex(b"\n$EndEntities") - 4  # the last surface that bounds grain 2
    struct.pack_into("<i", content, at, 99)
    path.write_bytes(content)
    (problem,) = check_with_gmsh(path).problems
    assert problem == "gmsh says: Warning: Entity 99 not found in the Brep of entity 2"


def test_a_file_that_is_no_mesh_of_a_particle_is_refused(tmp_path):
    with pytest.raises(ExportError, match="cannot be read"):
        check_with_gmsh(tmp_path / "mesh.msh")
    (tmp_path / "mesh.msh").write_text("$MeshFormat\n2.2 0 8\n$EndMeshFormat\n")
    with pytest.raises(ExportError, match=r"expected .*: a binary MSH 4\.1 file"):
        check_with_gmsh(tmp_path / "mesh.msh")
