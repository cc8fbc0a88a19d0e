"""gmsh meshes the surfaces that it is handed, and finds our grains again."""

import subprocess
import sys
from importlib.metadata import files

import numpy as np
import pytest

from cathodegrain.exporters.mesh.gmsh_session import gmsh_model
from cathodegrain.exporters.surfaces import gmsh_geo
from cathodegrain.generator.errors import ExportError
from gmsh_writer import as_gmsh_reads
from meshes import kuhn_lattice

pytest.importorskip("gmsh")


def box(shape, **grains):
    """Labels of a box of grain 1 with further grains at the indices that are given."""
    labels = np.ones(shape, int)
    for name, places in grains.items():
        labels[tuple(zip(*places, strict=True))] = int(name[1:])
    return kuhn_lattice(shape, labels)


MESHES = {
    "holes in holes": lambda: kuhn_lattice((5, 5, 5), _nested()),
    "pieces of a grain": lambda: box((5, 3, 3), g2=[(0, 1, 1), (4, 1, 1)]),
    "pieces that touch in a vertex": lambda: box((4, 4, 4), g2=[(1, 1, 1), (2, 2, 2)]),
    "a grain that touches itself along an edge": lambda: box(
        (4, 4, 3), g2=[(1, 1, 1), (2, 2, 1), (1, 1, 0), (1, 2, 0), (2, 2, 0)]
    ),
    "one grain": lambda: kuhn_lattice((2, 2, 2)),
}


def _nested():
    labels = np.ones((5, 5, 5), int)
    labels[1:4, 1:4, 1:4] = 2
    labels[2, 2, 2] = 3
    return labels


def meshed_by_gmsh(folder):
    """Names of the groups and volume of each grain after gmsh's own meshing."""
    with gmsh_model() as gmsh:
        gmsh.logger.start()
        gmsh.open(str(folder / gmsh_geo.GEO))
        gmsh.model.mesh.generate(3)
        said = gmsh.logger.get()
        gmsh.logger.stop()
        names = {g: gmsh.model.getPhysicalName(*g) for g in gmsh.model.getPhysicalGroups()}
        volumes = {}
        for _, grain in gmsh.model.getPhysicalGroups(3):
            own = gmsh.model.getEntitiesForPhysicalGroup(3, grain)
            tags = np.concatenate([gmsh.model.mesh.getElementsByType(4, e)[0] for e in own])
            volumes[grain] = sum(gmsh.model.mesh.getElementQualities(tags, "volume"))
    assert [line for line in said if line.startswith(("Warning", "Error"))] == []
    return names, volumes


def expected_names(mesh):
    n = mesh.n_grains
    names = {(3, g): f"grain_{g:05d}" for g in np.unique(mesh.grain_ids).tolist()}
    return names | {(2, n + 1): "outer"} | (
        {(2, n + 2): "grain_boundary"} if len(mesh.grain_boundary) else {}
    )  # fmt: skip


def assert_meshed(folder, mesh):
    names, volumes = meshed_by_gmsh(folder)
    assert names == expected_names(mesh)
    for grain, volume in volumes.items():
        assert volume == pytest.approx(mesh.grain_volumes[grain - 1], rel=1e-9)


@pytest.mark.parametrize("form", MESHES)
def test_gmsh_fills_every_grain_and_its_pieces_but_no_hole(form, tmp_path):
    mesh = MESHES[form]()
    assert_meshed(gmsh_geo.write(mesh, tmp_path / "geo"), mesh)


def test_gmsh_meshes_the_grains_of_a_particle(crystals, tmp_path):
    _, mesh = crystals
    assert_meshed(gmsh_geo.write(mesh, tmp_path / "geo"), mesh)


def test_the_command_in_the_file_makes_a_mesh_with_our_groups(crystals, tmp_path):
    """``gmsh -3 grains.geo``, as the file and the documentation say; smaller with a size."""
    _, mesh = crystals
    folder = gmsh_geo.write(mesh, tmp_path / "geo")
    (program,) = (
        path.locate() for path in files("gmsh") if path.stem == "gmsh" and "bin" in path.parts
    )
    counts = []
    for options in ([], ["-setnumber", "size", "0.1"]):
        command = [sys.executable, program, "-3", gmsh_geo.GEO, *options]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found = as_gmsh_reads(folder / "grains.msh")
        assert found["complaints"] == []
        assert found["names"] == expected_names(mesh)
        counts.append(len(found["quality"]))
    assert counts[0] < counts[1]
    with pytest.raises(ExportError, match=r"holds grains\.msh, which is not of this package"):
        gmsh_geo.write(mesh, folder)


def test_equal_meshes_give_equal_files_and_replace_each_other(tmp_path):
    mesh = MESHES["holes in holes"]()
    folder = gmsh_geo.write(mesh, tmp_path / "geo")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    gmsh_geo.write(mesh, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ExportError, match="which is not of this package; move it away"):
        gmsh_geo.write(mesh, tmp_path / "file")
