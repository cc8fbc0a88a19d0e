"""Meshing takes little memory; how much is known before, and what does not fit is refused."""

import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from cathodegrain.exporters.certificate import element_shape as shapes
from cathodegrain.exporters.mesh import body as bodies
from cathodegrain.exporters.mesh.body import ParticleBody
from cathodegrain.exporters.mesh.tetrahedra import edge_lengths
from cathodegrain.exporters.meshing import mesher, sizes as mesh_sizes
from cathodegrain.exporters.meshing.cut_body import cut_body
from cathodegrain.exporters.meshing.sizes import MeshSizes, longest_edges
from cathodegrain.generator.errors import ExportError
from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import label_grid

WHOLE_PROCESS = """
import json
from pathlib import Path
from cathodegrain.exporters.mesh import msh_file
from cathodegrain.exporters.mesh.body import ParticleBody
from cathodegrain.exporters.meshing.mesher import planned, volume_mesh
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.model_card import ModelCard

card = ModelCard.load("nmc811-radial").with_parameters({"shell.diameter_um": 1.2})
particle = generate_particle(card, seed=7)
expected = planned(ParticleBody(particle), None, None).expected_bytes
msh_file.write(volume_mesh(particle), "mesh.msh")
status = Path("/proc/self/status").read_text()
print(json.dumps([expected, 1024 * int(status.split("VmHWM:")[1].split()[0])]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_the_memory_expected_is_that_of_the_process_and_not_of_its_elements_alone(tmp_path):
    """The second of two processes counts: the first may have to compile, which takes 0.8 GB."""
    command = [sys.executable, "-c", WHOLE_PROCESS]
    for _ in range(2):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    expected, peak = json.loads(done.stdout)
    assert 0.5 < expected / peak < 2.0


def labels_of(particle, pixels):
    body = ParticleBody(particle)
    return label_grid(particle, Grid.around(body.radius_um, pixels * body.pixel_um))


def test_volumes_of_grains_are_those_of_all_voxels_of_half_a_pixel(tiny_particle, monkeypatch):
    monkeypatch.setattr(bodies, "SLAB", 7)
    body = ParticleBody(tiny_particle)
    counts = np.bincount(labels_of(tiny_particle, 0.5).ravel(), minlength=body.n_grains + 1)
    np.testing.assert_array_equal(body.grain_volumes[1:], counts[1:] * (body.pixel_um / 2) ** 3)
    assert body.grain_volumes[0] == 0


def test_volumes_of_a_part_and_of_what_is_cut_off_are_those_of_its_voxels(tiny_particle):
    labels, pitch = labels_of(tiny_particle, 0.5), ParticleBody(tiny_particle).pixel_um / 2
    half = labels.shape[0] // 2
    found, n = cut_body(ParticleBody(tiny_particle), "x,y").grain_volumes, tiny_particle.n_grains
    kept = np.bincount(labels[:, half:, half:].ravel(), minlength=n + 1)
    np.testing.assert_allclose(found[1 : n + 1], pitch**3 * kept[1:], rtol=1e-12)
    beyond_x, beyond_y = labels[:, :, :half], labels[:, :half, half:]
    expected = [np.count_nonzero(part) * pitch**3 for part in (beyond_x, beyond_y)]
    np.testing.assert_allclose(found[n + 1 :], expected, rtol=1e-12)


def test_the_size_of_a_grain_follows_from_distances_in_all_voxels(tiny_particle):
    body = ParticleBody(tiny_particle)
    sizes = MeshSizes(body, 0.3, 0.3)
    labels = labels_of(tiny_particle, 1)
    border = np.zeros(labels.shape, bool)
    for axis in range(3):
        differ = np.diff(labels, axis=axis) != 0
        for ends in ((0, 1), (1, 0)):
            border |= np.pad(differ, [ends if k == axis else (0, 0) for k in range(3)])
    depth = ndimage.distance_transform_edt(~border) + 0.5
    for grain in range(1, body.n_grains + 1):
        radius = body.pixel_um * depth[labels == grain].max(initial=0.0)
        assert sizes.grain_sizes[grain] == np.clip(radius / sizes.detail, sizes.floor_um, 0.3)


def test_lengths_of_edges_are_those_of_copies_of_their_ends(rng):
    points, tets = rng.normal(size=(50, 3)), rng.integers(0, 50, (200, 4))
    pairs = [tets[:, list(pair)] for pair in combinations(range(4), 2)]
    lengths = [np.linalg.norm(points[p[:, 0]] - points[p[:, 1]], axis=1) for p in pairs]
    for pair, length in zip(pairs, lengths, strict=True):
        np.testing.assert_allclose(edge_lengths(points, pair), length, rtol=1e-14)
    np.testing.assert_allclose(longest_edges(points, tets), np.max(lengths, axis=0), rtol=1e-14)


def test_shapes_of_elements_do_not_depend_on_how_many_are_looked_at_together(rng, monkeypatch):
    points, tets = rng.normal(size=(50, 3)), rng.integers(0, 50, (200, 4))
    grains = rng.integers(1, 5, 200)
    whole = shapes.element_shape(points, tets, grains)
    monkeypatch.setattr(shapes, "PART", 7)
    assert shapes.element_shape(points, tets, grains) == whole


def test_a_mesh_beyond_the_memory_is_refused_before_half_pixels_are_labelled(
    tiny_particle, monkeypatch
):
    monkeypatch.setattr(mesh_sizes, "available_memory", lambda: 3e8)
    monkeypatch.setattr(bodies, "label_slab", lambda *_: pytest.fail("half pixels are labelled"))
    message = (
        r"a mesh of about 1\.\de\+04 tetrahedra would take about 0\.\d+ GB of memory; expected at "
        r"most 80% of the 0\.3 GB that are free here: take a coarser detail, fewer tetrahedra"
    )
    with pytest.raises(ExportError, match=message):
        mesher.volume_mesh(tiny_particle)


def test_a_body_whose_voxels_do_not_fit_is_refused_before_they_are_labelled(
    tiny_particle, monkeypatch
):
    monkeypatch.setattr(bodies, "available_memory", lambda: 1e4)
    monkeypatch.setattr(bodies, "label_grid", lambda *_: pytest.fail("voxels are labelled"))
    with pytest.raises(ExportError, match=r"of 0\.05 um, which take .* GB of memory; .* are free"):
        mesher.planned(ParticleBody(tiny_particle), None, None).check_memory()
