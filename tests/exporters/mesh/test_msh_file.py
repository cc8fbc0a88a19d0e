"""Files that are written without gmsh are to gmsh what its own are, and to others."""

import struct
import subprocess
import sys

import numpy as np
import pytest

from cathodegrain.exporters.mesh import msh_file
from cathodegrain.exporters.mesh.cohesive import split
from cathodegrain.exporters.mesh.gmsh_session import gmsh_model
from cathodegrain.exporters.mesh.second_order import second_order
from cathodegrain.exporters.mesh.volume_mesh import VolumeMesh
from cathodegrain.generator.errors import ExportError
from gmsh_writer import as_gmsh_reads, write_by_gmsh
from meshes import kuhn_lattice

KINDS = ["bonded", "second order", "cohesive", "discontinuous"]


@pytest.fixture(scope="module")
def meshes(crystals):
    particle, bonded = crystals
    parts = split(bonded)
    ten = second_order(bonded, particle)
    return dict(zip(KINDS, [bonded, ten, parts, parts.without_wedges()], strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_gmsh_finds_the_same_in_our_file_and_in_its_own(meshes, kind, tmp_path):
    ours = as_gmsh_reads(msh_file.write(meshes[kind], tmp_path / "ours.msh"))
    expected = as_gmsh_reads(write_by_gmsh(meshes[kind], tmp_path / "gmsh.msh"))
    assert ours.pop("complaints") == []
    expected.pop("complaints")
    assert ours == expected


def test_surfaces_bound_their_grains_with_normals_outwards(meshes, tmp_path):
    """By the divergence theorem, over what gmsh takes for the oriented boundary of a volume."""
    mesh = meshes["bonded"]
    with gmsh_model() as gmsh:
        gmsh.open(str(msh_file.write(mesh, tmp_path / "mesh.msh")))
        for _, grain in gmsh.model.getEntities(3):
            volume = 0.0
            for _, surface in gmsh.model.getBoundary([(3, grain)], oriented=True):
                _, nodes = gmsh.model.mesh.getElementsByType(2, abs(surface))
                corners = mesh.points[nodes.astype(int).reshape(-1, 3) - 1]
                volume += np.sign(surface) * np.linalg.det(corners).sum() / 6
            assert volume == pytest.approx(mesh.grain_volumes[grain - 1], rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", ["vtu", "vtk", "msh"])
def test_meshio_converts_our_files(meshes, kind, suffix, tmp_path):
    pytest.importorskip("meshio")
    source = msh_file.write(meshes[kind], tmp_path / "mesh.msh")
    target = tmp_path / f"converted.{suffix}"
    program = "from meshio._cli import main; import sys; main(sys.argv[1:])"
    options = ["--output-format", "gmsh"] if suffix == "msh" else []
    command = [sys.executable, "-c", program, "convert", *options, source, target]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if suffix != "msh":
        import meshio

        read = meshio.read(target)
        groups = np.concatenate(read.cell_data["gmsh:physical"])
        is_tet = np.repeat(
            [c.type.startswith("tetra") for c in read.cells], list(map(len, read.cells))
        )
        counts = np.bincount(groups[is_tet], minlength=meshes[kind].n_grains + 1)
        expected = np.bincount(meshes[kind].grain_ids, minlength=meshes[kind].n_grains + 1)
        np.testing.assert_array_equal(counts, expected)


def test_scikit_fem_finds_grains_and_surfaces(meshes, tmp_path):
    skfem = pytest.importorskip("skfem")
    mesh = meshes["bonded"]
    read = skfem.Mesh.load(msh_file.write(mesh, tmp_path / "mesh.msh"))
    counts = {name: len(rows) for name, rows in read.subdomains.items()}
    grains, expected = np.unique(mesh.grain_ids, return_counts=True)
    assert counts == {f"grain_{g:05d}": n for g, n in zip(grains, expected, strict=True)}
    assert {name: len(rows) for name, rows in read.boundaries.items()} == {
        "outer": len(mesh.outer),
        "grain_boundary": len(mesh.grain_boundary),
    }


def test_sections_stand_in_the_order_that_petsc_reads(meshes, tmp_path):
    """It expects names, entities, nodes and elements, in this order, and reads no further."""
    content = msh_file.write(meshes["bonded"], tmp_path / "mesh.msh").read_bytes()
    wanted = [b"$MeshFormat", b"$PhysicalNames", b"$Entities", b"$Nodes", b"$Elements"]
    places = [content.index(b"\n" + section + b"\n") for section in wanted[1:]]
    assert content.startswith(wanted[0])
    assert places == sorted(places)


def test_a_file_is_as_long_as_its_counts_say(tmp_path):
    """One cube: the arithmetic of the format, by hand."""
    content = msh_file.write(kuhn_lattice((1, 1, 1)), tmp_path / "mesh.msh").read_bytes()
    nodes = content[content.index(b"$Nodes\n") + 7 : content.index(b"\n$EndNodes")]
    assert struct.unpack("<4Q", nodes[:32]) == (1, 8, 1, 8)
    assert len(nodes) == 32 + 20 + 8 * (8 + 24)
    elements = content[content.index(b"$Elements\n") + 10 : content.index(b"\n$EndElements")]
    assert struct.unpack("<4Q", elements[:32]) == (2, 18, 1, 18)
    assert len(elements) == 32 + 2 * 20 + 12 * 8 * 4 + 6 * 8 * 5


def test_a_mesh_without_tetrahedra_or_with_loose_nodes_is_refused(tmp_path):
    cube = kuhn_lattice((1, 1, 1))
    empty = VolumeMesh(cube.points, cube.tets[:0], cube.grain_ids[:0], 1)
    with pytest.raises(ExportError, match="no tetrahedron; make it with a smaller size_um"):
        msh_file.write(empty, tmp_path / "mesh.msh")
    loose = VolumeMesh(np.concatenate([cube.points, [[9, 9, 9]]]), cube.tets, cube.grain_ids, 1)
    with pytest.raises(ExportError, match="1 nodes belong to no element, expected 0"):
        msh_file.write(loose, tmp_path / "mesh.msh")
    assert not any(tmp_path.iterdir())


def test_a_disk_that_fills_leaves_the_old_file(monkeypatch, tmp_path):
    path = tmp_path / "mesh.msh"
    path.write_text("mine")

    def fill_the_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(msh_file, "_write_elements", fill_the_disk)
    with pytest.raises(ExportError, match="No space left"):
        msh_file.write(kuhn_lattice((1, 1, 1)), path)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"mesh.msh": "mine"}


def test_many_pairs_and_groups_are_read_by_all(monkeypatch, tmp_path):
    """More pairs than have entities of their own: every element is still in its group."""
    mesh = kuhn_lattice((4, 4, 4), 1 + np.arange(64).reshape(4, 4, 4))
    monkeypatch.setattr(msh_file, "MAX_PAIR_ENTITIES", 100)
    found = as_gmsh_reads(msh_file.write(mesh, tmp_path / "mesh.msh"))
    assert found["complaints"] == []
    assert [key for key in found["entities"] if key[0] == 2] == [(2, 1), (2, 2)]
    assert [len(e["elements"][0]) for e in found["entities"].values()][:2] == [
        len(mesh.outer),
        len(mesh.grain_boundary),
    ]
