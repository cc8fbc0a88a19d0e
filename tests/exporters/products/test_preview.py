"""The preview shows every grain where it is, says what it is, and needs no mesh."""

import json
from pathlib import Path

import numpy as np
import pytest

from cathodegrain.exporters.commands.main import main
from cathodegrain.exporters.particles import metadata
from cathodegrain.exporters.products import preview
from cathodegrain.exporters.products.registry import PRODUCTS
from cathodegrain.generator import requirements
from cathodegrain.generator.errors import ExportError
from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import label_grid
from meshes import ball

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("vtkmodules")

PITCH = 0.05
Z_UP = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])


def grains_of(path):
    """Surfaces by grain id, z up again."""
    scene = trimesh.load(path, process=False)
    surfaces = {}
    for name, surface in scene.geometry.items():
        surface.vertices = surface.vertices @ Z_UP.T
        surface.merge_vertices()
        surfaces[int(name.removeprefix("grain_"))] = surface
    return surfaces


def test_halves_of_a_ball_are_where_they_are_and_face_outwards(card, tmp_path):
    particle = ball(card, [[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0]])
    grains = grains_of(preview.write(particle, tmp_path / "p.glb", pitch_um=0.04))
    assert sorted(grains) == [1, 2]
    for grain_id, sign in ((1, -1), (2, 1)):
        surface = grains[grain_id]
        assert surface.volume == pytest.approx(2 * np.pi / 3, rel=0.03)
        np.testing.assert_allclose(surface.center_mass, [sign * 3 / 8, 0, 0], atol=0.01)
        low, high = sorted([0.0, sign])
        np.testing.assert_allclose(surface.bounds, [[low, -1, -1], [high, 1, 1]], atol=0.04)


def test_every_grain_of_a_voxel_is_there(tiny_particle, tmp_path):
    grains = grains_of(preview.write(tiny_particle, tmp_path / "p.glb", pitch_um=PITCH))
    grid = Grid.around(tiny_particle.shell.radius_bounds[1], PITCH)
    labels = label_grid(tiny_particle, grid)
    assert sorted(grains) == np.unique(labels[labels > 0]).tolist()
    counts = np.bincount(labels.ravel())
    large = [g for g in grains if counts[g] > 100]
    assert len(large) > 10
    for grain_id in large:
        z, y, x = np.nonzero(labels == grain_id)
        centre = [grid.axis(name)[k].mean() for name, k in (("x", x), ("y", y), ("z", z))]
        assert np.linalg.norm(grains[grain_id].center_mass - centre) < 0.5 * PITCH


def test_the_file_says_that_it_is_a_preview_and_in_um(tiny_particle, tmp_path):
    paths = [
        preview.write(tiny_particle, tmp_path / name, pitch_um=0.1) for name in ("a.glb", "b.glb")
    ]
    data = paths[0].read_bytes()
    assert data == paths[1].read_bytes()
    document = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    assert document["asset"]["extras"] == {
        "unit": "um",
        "metres_per_unit": 1e-6,
        "preview": "surface nets, smoothed, of voxels of 0.1 um",
    }


def test_the_command_writes_a_product_with_its_pitch_and_no_mesh(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made = ["generate", "--seed", "7", "--set", "shell.diameter_um=1.2", "--out", "p"]
    assert main([*made, "--export", "preview", "--pitch", "0.08"]) == 0
    (entry,) = (e for e in metadata.read(Path("p/p000000"))["products"] if e["format"] == "preview")
    assert entry["options"] == {"pitch_um": 0.08}
    assert entry["path"] == "preview.glb"
    files = {path.name for path in Path("p/p000000").iterdir()}
    assert files == {"particle.json", "preview.glb", "recipe.h5"}
    assert main(["validate", "p/p000000"]) == 0
    capsys.readouterr()
    assert main(["export", "p/p000000", "--to", "preview", "--dry-run", "--json"]) == 0
    estimate = json.loads(capsys.readouterr().out)["preview_bytes_estimate"]
    assert 1e4 < estimate < 1e6


def test_what_cannot_be_drawn_is_refused(tiny_particle, tmp_path, monkeypatch):
    with pytest.raises(ExportError, match="no voxel centre lies inside"):
        preview.write(tiny_particle, tmp_path / "p.glb", pitch_um=9.0)
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"need trimesh and vtk, not installed here: .*preview"):
        PRODUCTS["preview"].require()
    assert not list(tmp_path.iterdir())
