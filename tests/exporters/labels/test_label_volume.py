import os

import h5py
import numba
import numpy as np
import pytest
import tifffile

from cathodegrain.exporters.certificate.certificate import certificate_lines
from cathodegrain.exporters.labels.files import read_labels
from cathodegrain.exporters.labels.label_volume import MAX_ID, LabelVolume
from cathodegrain.exporters.labels.mesh_labels import mesh_labels, mesh_volume
from cathodegrain.exporters.labels.pieces import numbered_pieces, one_body
from cathodegrain.exporters.mesh.material_field import NONE, nearest_on_interface, particle_field
from cathodegrain.exporters.mesh.reading import read_msh, read_vtkhdf
from cathodegrain.exporters.meshing.mesher import volume_mesh
from cathodegrain.exporters.products import voxels
from cathodegrain.generator.errors import ExportError
from meshes import edge_counts, umbrellas

PITCH = 0.05


def centres(n):
    """Coordinates x, y, z of the centres of n^3 voxels about the origin, in voxels."""
    axis = np.arange(n) - (n - 1) / 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return x, y, z


def ball_labels(n, radius):
    x, y, z = centres(n)
    return (x**2 + y**2 + z**2 < radius**2).astype(np.int32)


def centred_volume(labels, pitch=PITCH):
    nz, ny, nx = (-0.5 * pitch * n for n in labels.shape)
    return LabelVolume(labels, pitch, (nx, ny, nz))


def areas(mesh, triangles):
    a, b, c = (mesh.points[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a) / 2


def assert_certified(mesh):
    assert mesh.facts["certificate"]["certified"], mesh.facts["certificate"]["failures"]
    assert mesh.volumes.min() > 0
    assert set(edge_counts(mesh.outer).values()) == {2}
    assert set(umbrellas(mesh.outer).values()) == {1}


@pytest.fixture(scope="module")
def halves():
    """Ball of radius 1 um, cut in two by the plane x = 0; ids 3 and 7."""
    x, _, _ = centres(44)
    return mesh_volume(centred_volume(np.where(x < 0, 3, 7) * ball_labels(44, 20)))


@pytest.fixture(scope="module")
def random_labels():
    return np.random.default_rng(5).integers(0, 4, (7, 8, 9)).astype(np.int32)


def indicators(labels, point):
    """Slow reference: the product of cubic B-splines at a point, in voxels, by label."""
    totals = {}
    for (k, j, i), label in np.ndenumerate(np.pad(labels, 3)):
        t = np.abs(np.array([i, j, k]) - 2.5 - point)
        weight = np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.maximum(2 - t, 0) ** 3 / 6).prod()
        totals[int(label)] = totals.get(int(label), 0.0) + weight
    return totals


def test_grain_at_a_point_is_the_strongest_indicator(random_labels, rng):
    volume = LabelVolume(random_labels, 1.0)
    points = rng.uniform(-1, 10, (60, 3))
    for point, found in zip(points, volume.grain_at(points).tolist(), strict=True):
        totals = indicators(random_labels, point)
        outside = 1 - sum(w for label, w in totals.items() if label)
        grains = {label: w for label, w in totals.items() if label}
        assert found == (0 if outside >= 0.5 else max(grains, key=grains.get))


def test_axes_can_be_exchanged(random_labels, rng):
    points = rng.uniform(0, 9, (2000, 3))
    found = LabelVolume(random_labels, 1.0).grain_at(points)
    turned = LabelVolume(random_labels.transpose(2, 1, 0), 1.0).grain_at(points[:, ::-1])
    np.testing.assert_array_equal(found, turned)


def test_ids_are_names_only(random_labels, rng):
    points = rng.uniform(0, 9, (2000, 3))
    names = np.array([0, 30, 10, 20], np.int32)
    found = LabelVolume(random_labels, 1.0).grain_at(points)
    renamed = LabelVolume(names[random_labels], 1.0).grain_at(points)
    np.testing.assert_array_equal(names[found], renamed)


def test_grains_do_not_depend_on_unit_and_origin(random_labels, rng):
    points = rng.uniform(0, 9, (500, 3))
    found = LabelVolume(random_labels, 1.0).grain_at(points)
    moved = LabelVolume(random_labels, 0.25, (1.0, -2.0, 3.0)).grain_at([1, -2, 3] + 0.25 * points)
    np.testing.assert_array_equal(found, moved)


@pytest.mark.parametrize("distance", [0.3, 1.5, 6.0, 12.0])
@pytest.mark.parametrize("pair", [(0, 1), (1, 2)])
def test_the_boundary_is_found_from_far_away(pair, distance):
    labels = np.full((40, 40, 80), pair[0], np.int32)
    labels[:, :, 20:] = pair[1]
    field = LabelVolume(labels, 0.1).field
    start, out = np.array([2.0 + 0.1 * distance, 2.03, 1.98]), np.empty(3)
    nearest_on_interface(start, np.array([*pair, NONE], np.int32), 0.3, field, out)
    np.testing.assert_allclose(out, [2.0, 2.03, 1.98], atol=0.1 if distance > 9 else 1e-6)


def test_voxels_and_recipes_are_of_one_type_for_the_compiler(tiny_particle, random_labels):
    ours, theirs = LabelVolume(random_labels, 1.0).field, particle_field(tiny_particle)
    assert [numba.typeof(a) for a in ours] == [numba.typeof(a) for a in theirs]


def test_a_ball_of_voxels_is_round():
    errors = []
    for radius in (20, 40):
        mesh = mesh_volume(centred_volume(ball_labels(2 * radius + 4, radius), 1 / radius))
        assert_certified(mesh)
        height = np.linalg.norm(mesh.points[np.unique(mesh.outer)], axis=1) - 1
        assert np.abs(height).max() < 0.5 / radius  # half a voxel
        assert height.std() < 0.2 / radius
        errors.append(1 - mesh.volumes.sum() / (4 / 3 * np.pi))
        area = np.linalg.norm(areas(mesh, mesh.outer), axis=1).sum()
        assert area == pytest.approx(4 * np.pi, rel=0.02)
    assert errors[0] < 0.012
    assert errors[1] < errors[0] / 2


def test_halves_of_a_ball_are_equal_and_keep_their_ids(halves):
    assert_certified(halves)
    assert np.unique(halves.grain_ids).tolist() == [3, 7]
    assert halves.n_grains == 7
    assert halves.grain_volumes[2] == pytest.approx(halves.grain_volumes[6], rel=4e-3)
    normals = areas(halves, halves.grain_boundary)
    np.testing.assert_allclose(normals.sum(axis=0), [-np.pi, 0, 0], atol=0.04)
    assert np.quantile(np.abs(halves.points[np.unique(halves.grain_boundary), 0]), 0.95) < 1e-6
    rows = halves.facts["certificate"]["grain_volumes_um3"]
    counted = np.count_nonzero(ball_labels(44, 20)) / 2 * PITCH**3
    assert [row[0] for row in rows] == [3, 7]
    np.testing.assert_allclose([row[1] for row in rows], counted, rtol=1e-5)


def test_faces_of_a_cube_are_flat():
    mesh = mesh_volume(LabelVolume(np.ones((20, 20, 20), int), PITCH))
    assert_certified(mesh)
    outer = mesh.points[np.unique(mesh.outer)]
    assert outer.min() > -2e-5
    assert outer.max() < 1 + 2e-5
    low = np.sort(np.minimum(outer, 1 - outer), axis=1)
    inner = low[:, 1] > 3 * PITCH  # far from the edges
    assert inner.sum() > 200
    assert np.quantile(low[inner, 0], 0.95) < 1e-5
    assert mesh.volumes.sum() == pytest.approx(1.0, rel=0.03)
    assert mesh.facts["label_volume"]["cut_at_sides"] == ["-z", "+z", "-y", "+y", "-x", "+x"]
    assert "as if it ended there" in mesh.facts["label_volume"]["remarks"][0]


def test_a_mesh_lies_where_its_voxels_are(halves):
    x, _, _ = centres(44)
    labels = np.where(x < 0, 3, 7) * ball_labels(44, 20)
    away = mesh_volume(LabelVolume(labels, PITCH, (10.0, 20.0, 30.0)))
    np.testing.assert_allclose(away.points, halves.points + np.array([11.1, 21.1, 31.1]), atol=1e-9)
    shape = away.facts["certificate"]["shape"]
    for place in (shape["worst"][0]["centroid_um"], shape["flattest"]["centroid_um"]):
        assert np.linalg.norm(np.array(place) - [11.1, 21.1, 31.1]) < 1.01


def test_voxels_have_no_shell_that_facets_could_lean_off(halves):
    assert halves.facts["certificate"]["fidelity"]["shell_facets"] is None
    assert not any(
        "shell facets" in line for line in certificate_lines(halves.facts["certificate"])
    )


def test_a_ring_keeps_its_hole():
    x, y, z = (c[10:30] for c in centres(40))
    mesh = mesh_volume(centred_volume((np.hypot(np.hypot(x, y) - 12, z) < 5).astype(int)))
    assert_certified(mesh)
    ring = {"grain_id": 1, "n_surfaces": 1, "genus": 1}
    assert mesh.facts["certificate"]["topology"]["no_spheres"] == [ring]
    n_nodes, n_triangles = len(np.unique(mesh.outer)), len(mesh.outer)
    assert n_nodes - n_triangles // 2 == 0  # Euler characteristic of a torus
    assert mesh.volumes.sum() == pytest.approx(2 * np.pi**2 * 12 * 5**2 * PITCH**3, rel=0.06)


def checkerboard(n, edge):
    return (np.indices((n, n, n)) // edge).sum(axis=0) % 2


@pytest.mark.parametrize(
    "labels",
    [
        np.random.default_rng(1).integers(1, 6, (8, 8, 8)),
        np.random.default_rng(2).integers(0, 4, (9, 9, 9)),
        np.random.default_rng(3).integers(0, 30, (4, 4, 4)).repeat(3, 0).repeat(3, 1).repeat(3, 2),
        1 + checkerboard(12, 1),
        1 + checkerboard(12, 4),
        np.pad(1 + checkerboard(8, 4), ((0, 8), (0, 8), (0, 8))),
        np.arange(1, 9).reshape(2, 2, 2).repeat(5, 0).repeat(5, 1).repeat(5, 2),
    ],
    ids=["random", "porous", "blocks", "checks of a voxel", "checks", "corner", "eight"],
)
def test_volumes_that_touch_themselves_are_meshed(labels):
    mesh = mesh_volume(LabelVolume(labels, 0.1), 0.2)
    assert_certified(mesh)
    given = np.bincount(labels.ravel(), minlength=mesh.n_grains + 1)[1:] * 0.1**3
    np.testing.assert_allclose(mesh.grain_volumes, given, rtol=0.1)  # none is lost or swells


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_random_volumes_of_blocks_are_meshed(seed):
    rng = np.random.default_rng(seed)
    shape, edge = rng.integers(3, 9, 3), max(2, rng.integers(1, 4))
    labels = rng.integers(rng.integers(0, 2), rng.integers(2, 40), shape)
    for axis in range(3):
        labels = labels.repeat(edge, axis)
    mesh = mesh_volume(LabelVolume(labels, 0.1), 0.2, force=True)
    failures = mesh.facts["certificate"]["failures"]
    assert all("of the given volume is lost" in text for text in failures)  # pieces apart
    lost = [g for g, _ in mesh.facts["label_volume"]["lost_grain_um3"]]
    dropped = [g for g, *_ in mesh.facts["label_volume"]["dropped_grain_piece_um3"]]
    assert set(lost) <= set(dropped)


def boxes_with_faults():
    """Two grains with a cavity, a piece of one in the other, and two pieces apart."""
    labels = np.zeros((12, 12, 34), np.int32)
    labels[1:11, 1:11, 1:21] = 1
    labels[1:11, 1:11, 12:21] = 2
    labels[5:8, 5:8, 4:7] = 0  # a cavity of 27 voxels in grain 1
    labels[1:3, 1:3, 19:21] = 1  # a piece of grain 1 in a corner of grain 2
    labels[2:6, 2:6, 24:28] = 5  # a piece apart
    labels[2:6, 2:6, 30:32] = 9
    return LabelVolume(labels, 0.1)


def test_pieces_apart_cavities_and_further_pieces_are_listed_with_their_volume():
    mesh = mesh_volume(boxes_with_faults(), 0.25, force=True)
    facts = mesh.facts["label_volume"]
    assert facts["dropped_grain_piece_um3"] == [[5, 1, 0.064], [9, 2, 0.032]]
    assert (facts["n_dropped_pieces"], facts["dropped_um3"]) == (2, 0.096)
    assert (facts["filled_um3"], facts["filled_grain_um3"]) == (0.027, [[1, 0.027]])
    assert facts["further_piece_grain_um3"] == [[3, 1, 0.008]]
    assert facts["lost_grain_um3"] == [[5, 0.064], [9, 0.032]]
    assert facts["lost_share"] == pytest.approx(0.096 / 2.069)
    assert len(facts["remarks"]) == 3
    assert np.unique(mesh.grain_ids).tolist() == [1, 2]
    rows = mesh.facts["certificate"]["grain_volumes_um3"]
    assert [row[0] for row in rows] == [1, 2, 5, 9]
    np.testing.assert_allclose([row[1] for row in rows], [1.081, 0.892, 0.064, 0.032], rtol=1e-6)
    certificate = mesh.facts["certificate"]
    assert not certificate["certified"]
    assert any("4.64 % of the given volume is lost" in text for text in certificate["failures"])


def test_a_body_of_which_too_much_lies_apart_is_refused_before_it_is_meshed():
    message = r"4.64 % of the given volume is lost, expected at most 0.5 %: 2 pieces .* by itself"
    with pytest.raises(ExportError, match=message):
        mesh_volume(boxes_with_faults(), 0.25)


def test_repair_leaves_sound_volumes_as_they_are():
    labels = np.arange(1, 9, dtype=np.int32).reshape(2, 2, 2)
    repaired, repair = one_body(labels)
    np.testing.assert_array_equal(repaired, labels)
    assert (repair.dropped, repair.filled) == ((), ())


def test_repair_of_random_labels_leaves_one_body_and_changes_nothing_else(rng):
    from scipy import ndimage

    for n_labels in (2, 4, 50):
        labels = rng.integers(0, n_labels, (9, 10, 11)).astype(np.int32)
        repaired, repair = one_body(labels)
        assert ndimage.label(repaired)[1] == 1
        assert ndimage.label(np.pad(repaired, 1) == 0)[1] == 1
        changed = repaired != labels
        assert ((labels == 0) | (repaired == 0))[changed].all()
        assert np.count_nonzero(changed & (labels > 0)) == repair.n_dropped
        assert np.count_nonzero(changed & (labels == 0)) == repair.n_filled


def test_pieces_are_what_touches_in_faces_edges_and_corners(rng):
    from scipy import ndimage

    labels = rng.integers(0, 30, (9, 10, 11)).astype(np.int32)
    pieces, grain_of = numbered_pieces(labels)
    np.testing.assert_array_equal(grain_of[pieces], labels)
    for grain in range(1, 30):
        reference, n = ndimage.label(labels == grain, np.ones((3, 3, 3)))
        own = np.unique(pieces[labels == grain])
        assert len(own) == n
        assert all(len(np.unique(pieces[reference == k])) == 1 for k in range(1, n + 1))
        sizes = np.bincount(pieces.ravel())[own]
        assert own[0] == grain
        assert sizes[0] == sizes.max()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.ones((3, 3), int), r"shape \(3, 3\), expected three axes z, y, x"),
        (np.ones((2, 3, 3, 3), int), "take one channel or time"),
        (np.zeros((3, 3, 3), int), "no voxel of .* has a label other than 0"),
        (np.ones((0, 3, 3), int), "no voxel of"),
        (-np.ones((2, 2, 2), int), "8 labels are negative, down to -1"),
        (np.ones((2, 2, 2)), r"type float64, expected integers; .* labels.astype\('int32'\)"),
        (np.full((2, 2, 2), 0.5), "fractions .* grey image"),
        (np.array([[[1, np.nan]]]), "1 labels are no numbers"),
        (np.full((2, 2, 2), MAX_ID + 1), "the largest label is 1000001, expected at most 1000000"),
        (np.full((2, 2, 2), 1j), "type complex128, expected whole numbers"),
    ],
)
def test_labels_that_are_no_grain_ids_are_refused(labels, message, tmp_path):
    with pytest.raises(ExportError, match=message):
        LabelVolume(labels, 0.1)
    np.save(tmp_path / "labels.npy", labels)
    with pytest.raises(ExportError, match=rf"labels.npy: .*{message}"):
        mesh_labels(tmp_path / "labels.npy", tmp_path / "mesh.msh", pitch_um=0.1)
    assert os.listdir(tmp_path) == ["labels.npy"]


@pytest.mark.parametrize("pitch", [0.0, -1.0, float("nan"), float("inf")])
def test_pitches_that_are_no_lengths_are_refused(pitch):
    with pytest.raises(ExportError, match=f"the pitch is {pitch}, expected the edge of a voxel"):
        LabelVolume(np.ones((2, 2, 2), int), pitch)


@pytest.fixture
def stack():
    return np.random.default_rng(0).integers(0, 300, (4, 5, 6)).astype(np.uint16)


def write_image(path, labels, spacing=(0.1, 0.1, 0.1), name="labels", **changes):
    with h5py.File(path, "w") as file:
        image = file.create_group("VTKHDF")
        nz, ny, nx = labels.shape
        image.attrs["Type"] = np.bytes_(changes.get("kind", "ImageData"))
        image.attrs["WholeExtent"] = [2, 2 + nx, 0, ny, 0, nz]
        image.attrs["Origin"] = [1.0, 2.0, 3.0]
        image.attrs["Spacing"] = np.array(spacing)
        image.attrs["Direction"] = changes.get("direction", np.eye(3).ravel())
        image.create_group("CellData")[name] = labels
        if "second" in changes:
            image["CellData"][changes["second"]] = labels
    return path


def test_reading_our_own_voxels_gives_back_the_labels(tiny_particle, tmp_path):
    path = voxels.write(tiny_particle, tmp_path / "voxels.vtkhdf", pitch_um=0.1)
    written = voxels.read(path)
    read = read_labels(path)
    np.testing.assert_array_equal(read.labels, written.labels)
    assert (read.pitch_um, read.corner_um) == (0.1, written.grid.origin)
    assert read_labels(path, 0.1).pitch_um == 0.1


def test_reading_other_images_gives_back_labels_and_place(stack, tmp_path):
    read = read_labels(write_image(tmp_path / "a.vtkhdf", stack))
    np.testing.assert_array_equal(read.labels, stack)
    assert read.labels.dtype == np.int32
    np.testing.assert_allclose(read.corner_um, [1.2, 2.0, 3.0])
    unsaid = read_labels(write_image(tmp_path / "b.vtkhdf", stack, (1.0, 1.0, 1.0)), 0.5)
    assert (unsaid.pitch_um, unsaid.corner_um) == (0.5, (1.5, 1.0, 1.5))


def test_reading_arrays_and_stacks_gives_back_the_labels(stack, tmp_path):
    np.save(tmp_path / "a.npy", stack)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    tifffile.imwrite(
        tmp_path / "b.tiff", stack, imagej=True, resolution=(4.0, 4.0),
        metadata={"axes": "ZYX", "spacing": 0.25, "unit": "um"},
    )  # fmt: skip
    for name, given in (("a.npy", 0.25), ("a.tif", 0.25), ("b.tiff", None), ("b.tiff", 0.25)):
        read = read_labels(tmp_path / name, given)
        np.testing.assert_array_equal(read.labels, stack)
        assert (read.pitch_um, read.corner_um) == (0.25, (0.0, 0.0, 0.0))


def test_files_that_hold_no_labels_are_refused(stack, tmp_path):
    np.save(tmp_path / "a.npy", stack)
    np.save(tmp_path / "object.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "text.tif").write_text("no image")
    (tmp_path / "text.vtkhdf").write_text("no HDF5")
    tifffile.imwrite(tmp_path / "flat.tif", stack[0], photometric="minisblack")
    tifffile.imwrite(
        tmp_path / "long.tif", stack, imagej=True, resolution=(4.0, 4.0),
        metadata={"axes": "ZYX", "spacing": 0.5, "unit": "um"},
    )  # fmt: skip
    write_image(tmp_path / "long.vtkhdf", stack, (0.1, 0.1, 0.3))
    write_image(tmp_path / "zero.vtkhdf", stack, (0.0, 0.1, 0.3))
    write_image(tmp_path / "said.vtkhdf", stack)
    write_image(tmp_path / "two.vtkhdf", stack, second="others")
    write_image(tmp_path / "float.vtkhdf", stack.astype(float))
    write_image(tmp_path / "poly.vtkhdf", stack, kind="PolyData")
    write_image(tmp_path / "turned.vtkhdf", stack, direction=-np.eye(3).ravel())
    cases = {
        ("a.npy", None): "does not say how large a voxel is",
        ("a.raw", 0.1): r"suffix '.raw', expected one of \['.npy', '.tif', '.tiff', '.vtkhdf'\]",
        ("none.npy", 0.1): "is not a file",
        ("object.npy", 0.1): "expected a file that numpy.save made",
        ("text.npy", 0.1): "expected a file that numpy.save made",
        ("text.tif", 0.1): "expected a stack of TIFF images",
        ("text.vtkhdf", 0.1): "expected a VTKHDF file with an ImageData",
        ("flat.tif", 0.1): r"shape \(5, 6\), expected three axes z, y, x",
        ("long.tif", None): "voxels of 0.25 x 0.25 x 0.5, expected cubes",
        ("long.vtkhdf", None): "voxels of 0.1 x 0.1 x 0.3, expected cubes",
        ("zero.vtkhdf", None): "expected positive lengths",
        ("said.vtkhdf", 0.2): "says that a voxel is 0.1 um, --pitch says 0.2 um",
        ("two.vtkhdf", None): "of which 2 hold whole numbers",
        ("float.vtkhdf", None): "of which 0 hold whole numbers",
        ("poly.vtkhdf", None): "holds PolyData, expected ImageData",
        ("turned.vtkhdf", None): "turned axes",
    }
    for (name, pitch), message in cases.items():
        with pytest.raises(ExportError, match=message):
            read_labels(tmp_path / name, pitch)


def test_labels_beyond_the_memory_are_refused_before_they_are_read(tmp_path):
    with h5py.File(tmp_path / "big.vtkhdf", "w") as file:
        image = file.create_group("VTKHDF")
        image.attrs["Type"] = np.bytes_("ImageData")
        image.attrs["WholeExtent"] = [0, 1000, 0, 100_000, 0, 100_000]
        image.attrs["Origin"], image.attrs["Spacing"] = [0.0] * 3, [0.1] * 3
        image.create_group("CellData").create_dataset(
            "grain_id", (100_000, 100_000, 1000), "i4", chunks=(64, 64, 64)
        )
    with pytest.raises(ExportError, match=r"take about 4e.05 GB of memory to mesh"):
        read_labels(tmp_path / "big.vtkhdf")


def test_a_file_of_labels_becomes_a_file_with_a_mesh(tmp_path):
    labels = ball_labels(14, 6) * np.where(centres(14)[0] < 0, 1, 2)
    np.save(tmp_path / "labels.npy", labels)
    for name in ("a.msh", "b.msh"):
        mesh_labels(tmp_path / "labels.npy", tmp_path / name, pitch_um=0.1)
    assert (tmp_path / "a.msh").read_bytes() == (tmp_path / "b.msh").read_bytes()
    read = read_msh(tmp_path / "a.msh")
    assert read.facts["size_um"] == pytest.approx(0.3)
    assert read.facts["label_volume"]["pitch_um"] == 0.1
    assert read.facts["certificate"]["certified"]
    np.testing.assert_allclose(read.points.mean(axis=0), 0.7, atol=0.03)
    with pytest.raises(ExportError, match=r"size_um is 0.0, expected a length"):
        mesh_labels(tmp_path / "labels.npy", tmp_path / "c.msh", size_um=0.0, pitch_um=0.1)
    assert sorted(os.listdir(tmp_path)) == ["a.msh", "b.msh", "labels.npy"]


def test_voxels_of_a_particle_give_the_mesh_of_the_particle(tiny_particle, tmp_path):
    path = voxels.write(tiny_particle, tmp_path / "voxels.vtkhdf", pitch_um=0.05)
    mesh = mesh_volume(read_labels(path), 0.15)
    assert_certified(mesh)
    volume = volume_mesh(tiny_particle, 0.15).volumes.sum()
    assert mesh.volumes.sum() == pytest.approx(volume, rel=0.015)
    weights = np.random.default_rng(0).dirichlet(np.ones(4), len(mesh.tets))
    points = np.einsum("ij,ijk->ik", weights, mesh.points[mesh.tets])
    right = tiny_particle.grain_at(points) == mesh.grain_ids
    assert mesh.volumes[right].sum() > 0.93 * volume


@pytest.mark.parametrize("elements", ["tets", "hex"])
@pytest.mark.parametrize("suffix", [".vtu", ".vtkhdf", ".xdmf", ".inp"])
def test_the_suffix_says_the_format(suffix, elements, tmp_path):
    meshio = pytest.importorskip("meshio")
    np.save(tmp_path / "labels.npy", ball_labels(10, 4))
    out = tmp_path / f"mesh{suffix}"
    mesh = mesh_labels(tmp_path / "labels.npy", out, pitch_um=0.1, elements=elements)
    if suffix == ".vtkhdf":
        assert len(read_vtkhdf(out).cells) == len(mesh.cells)
    else:
        assert len(meshio.read(out).cells[0].data) == len(mesh.cells)


def test_a_suffix_of_no_format_is_refused_before_the_labels_are_read(tmp_path):
    with pytest.raises(ExportError, match=r"mesh.stl ends in '.stl'; choose from"):
        mesh_labels(tmp_path / "none.npy", tmp_path / "mesh.stl", pitch_um=0.1)
