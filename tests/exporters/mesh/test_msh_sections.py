"""Files are read without gmsh, and damage is told in a sentence."""

import struct
import subprocess
import sys

import numpy as np
import pytest

from cathodegrain.exporters.mesh import msh_file
from cathodegrain.exporters.mesh.cohesive import split
from cathodegrain.exporters.mesh.msh_sections import read_content, read_facts
from cathodegrain.exporters.mesh.reading import read_msh
from cathodegrain.exporters.mesh.second_order import second_order
from cathodegrain.generator.errors import ExportError
from gmsh_writer import write_by_gmsh
from meshes import kuhn_lattice

LABELS = np.array([[[1, 2], [3, 1]]])


@pytest.fixture
def path(tmp_path):
    return msh_file.write(kuhn_lattice((1, 2, 2), LABELS), tmp_path / "mesh.msh")


@pytest.mark.parametrize("form", ["bonded", "cohesive", "discontinuous"])
def test_files_that_gmsh_wrote_are_read_as_ours(form, crystals, tmp_path):
    _, bonded = crystals
    mesh = {
        "bonded": lambda: bonded,
        "cohesive": lambda: split(bonded),
        "discontinuous": lambda: split(bonded).without_wedges(),
    }[form]()
    read = read_msh(write_by_gmsh(mesh, tmp_path / "gmsh.msh"))
    assert type(read) is type(mesh)
    for name in ("points", "tets", "grain_ids", "wedges", "wedge_pairs", "parent"):
        if hasattr(mesh, name):
            np.testing.assert_array_equal(getattr(read, name), getattr(mesh, name))
    assert dict(read.facts) == dict(mesh.facts)
    assert read.n_grains == mesh.n_grains


def test_neither_writing_nor_reading_imports_gmsh_or_meshio(path):
    program = f"""
import sys
from cathodegrain.exporters.mesh import msh_file, reading
mesh = reading.read_msh({str(path)!r})
msh_file.write(mesh, {str(path)!r})
assert not {{"gmsh", "meshio"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_file_cut_off_anywhere_is_refused(path):
    content = path.read_bytes()
    comments = content[content.index(b"$Comments") :]
    for end in range(0, content.index(b"$Comments") - 1, 17):
        path.write_bytes(content[:end] + b"\n" + comments)
        with pytest.raises(ExportError, match=r"mesh\.msh"):
            read_msh(path)
        path.write_bytes(content[:end])
        with pytest.raises(ExportError, match=r"mesh\.msh"):
            read_facts(path)


def outcome(path):
    """The mesh that is read, or the message."""
    try:
        return read_msh(path)
    except ExportError as error:
        return str(error)


def test_a_wrong_byte_is_refused_or_harmless(path):
    """Never another exception, and never a node that is not there."""
    content, mesh = path.read_bytes(), read_msh(path)
    refused = 0
    for place in range(0, len(content), 5):
        wrong = bytearray(content)
        wrong[place] ^= 0x81
        path.write_bytes(wrong)
        found = outcome(path)
        if isinstance(found, str):
            assert "\n" not in found
            refused += 1
            continue
        assert found.tets.shape == mesh.tets.shape
        assert 0 <= found.tets.min() <= found.tets.max() < len(mesh.points)
    assert refused > 300


@pytest.mark.parametrize(
    ("section", "offset", "form", "value", "expected"),
    [
        ("Entities", 16, "<Q", 2**60, r"\d+ bytes follow byte \d+, expected \d+"),
        ("Nodes", 0, "<Q", 2**40, "nodes have parameters"),
        ("Nodes", 8, "<Q", 17, "the numbers of its 17 nodes are not 1 to 17"),
        ("Nodes", 40, "<i", 1, "nodes have parameters"),
        ("Nodes", 44, "<Q", 2**61, r"\d+ bytes follow byte"),
        ("Nodes", 52, "<Q", 2, "the numbers of its 18 nodes are not 1 to 18"),
        ("Elements", 8, "<Q", 5, "it has .* elements, expected 5"),
        ("Elements", 40, "<i", 5, r"elements of type 5, expected \[2, 4, 6, 9, 11\]"),
        ("Elements", 44, "<Q", 2**62, r"\d+ bytes follow byte"),
        ("Elements", 52, "<Q", 2, "two elements have one number"),
        ("Elements", 60, "<Q", 0, "a node that is not one of 18"),
        ("Elements", 60, "<Q", 19, "a node that is not one of 18"),
    ],
)
def test_damage_is_named(path, section, offset, form, value, expected):
    content = bytearray(path.read_bytes())
    place = content.index(f"${section}\n".encode()) + len(section) + 2 + offset
    struct.pack_into(form, content, place, value)
    path.write_bytes(content)
    with pytest.raises(ExportError, match=rf"mesh\.msh is damaged: .*{expected}") as caught:
        read_msh(path)
    assert str(caught.value).endswith("; write the mesh again")


def test_coordinates_that_are_not_finite_are_refused(path):
    content = bytearray(path.read_bytes())
    place = content.index(b"\n$EndNodes") - 8
    struct.pack_into("<d", content, place, np.nan)
    path.write_bytes(content)
    with pytest.raises(ExportError, match="a coordinate is not finite"):
        read_msh(path)


@pytest.mark.parametrize(
    ("there", "instead", "expected"),
    [
        (b'"n_grains": 3', b'"n_grains": 2', "groups 1 to 3, expected 1 to 2"),
        (b'"n_grains": 3', b'"n_grains": 0', "says that there are 0 grains"),
        (b'"n_grains": 3', b'"n_grains": 1e999', "says that there are inf grains"),
        (b'"n_grains": 3', b'"n_grainz": 3', "does not say how many grains"),
        (b"4.1 1 8", b"4.1 1 4", "expected .* a binary MSH"),
        (b"Nodes\n", b"Notes\n", "no nodes or no elements"),
    ],
)
def test_what_does_not_fit_together_is_refused(path, there, instead, expected):
    path.write_bytes(path.read_bytes().replace(there, instead))
    with pytest.raises(ExportError, match=expected):
        read_msh(path)


def test_a_mesh_of_second_order_is_not_taken_for_one_of_first(crystals, tmp_path):
    particle, bonded = crystals
    mesh = second_order(bonded, particle)
    path = msh_file.write(mesh, tmp_path / "mesh.msh")
    with pytest.raises(ExportError, match="no four-node tetrahedra, expected a mesh of first"):
        read_msh(path)
    rows = read_content(path).elements[11].nodes
    np.testing.assert_array_equal(rows[:, msh_file.LAST_TWO_SWAPPED], mesh.tets)


def test_further_sections_are_passed_over(path):
    content = path.read_bytes()
    extra = b"$NodeData\n1\n$EndNodeData\n$Elements"
    path.write_bytes(content.replace(b"$Elements", extra, 1))
    read, mesh = read_msh(path), kuhn_lattice((1, 2, 2), LABELS)
    np.testing.assert_array_equal(read.tets, mesh.tets)
