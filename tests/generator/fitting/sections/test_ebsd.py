"""EBSD maps and images of labels as sections; what needs orix is skipped without it."""

import re
import sys
import tracemalloc

import h5py
import numpy as np
import pytest
import tifffile
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from cathodegrain.generator.errors import FitError, VolumeFileError
from cathodegrain.generator.fitting.sections import ebsd
from cathodegrain.generator.fitting.sections.ebsd import read_map
from cathodegrain.generator.fitting.sections.files import read_section
from cathodegrain.generator.fitting.sections.reconstruction import (
    ReconstructionSettings,
    grains_of_orientations,
    mean_orientations,
    pieces,
)
from cathodegrain.generator.fitting.sections.section import MISSING
from cathodegrain.generator.grains.misorientation import PROPER_ROTATIONS, disorientation_deg
from cathodegrain.generator.markers.orientations import multiply
from places import SHARED
from sections import disc, flooded

MAGNESIUM = SHARED / "data/twins-magnesium.ctf"
SHAPE, CENTRE, RADIUS, STEP = (64, 70), (30, 36), 24, 0.05
WHOLE = ReconstructionSettings(min_pixels=1)


def random_rotations(rng, n):
    q = rng.normal(size=(n, 4))
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def six_fold():
    """Rotations 622 of a hexagonal crystal, quaternions (w, x, y, z)."""
    about_c = Rotation.from_euler("z", np.arange(6)[:, None] * 60, degrees=True)
    both = [about_c, about_c * Rotation.from_euler("x", 180, degrees=True)]
    return np.concatenate([r.as_quat(scalar_first=True) for r in both])


@pytest.fixture(scope="module")
def grains():
    """Labels of a disc of Voronoi cells, each connected, 0 outside."""
    rng = np.random.default_rng(4)
    seeds = rng.uniform((0, 0), SHAPE, (70, 2))
    y, x = np.indices(SHAPE)
    nearest = cKDTree(seeds).query(np.stack([y, x], axis=-1).reshape(-1, 2))[1].reshape(SHAPE)
    return pieces(np.where(disc(SHAPE, CENTRE, RADIUS), nearest + 1, 0))


def orientations(labels, rng, symmetries=PROPER_ROTATIONS, spread_deg=0.3, of_grains=None):
    """Quaternions (ny, nx, 4), crystal to sample: each pixel by any of the equal ones."""
    if of_grains is None:
        of_grains = random_rotations(rng, labels.max() + 1)
    q = multiply(
        of_grains[labels.ravel()], symmetries[rng.integers(len(symmetries), size=labels.size)]
    )
    noise = Rotation.from_rotvec(np.radians(spread_deg) * rng.normal(size=(labels.size, 3)) / 3)
    return multiply(noise.as_quat(scalar_first=True), q).reshape(*labels.shape, 4)


def assert_same_grains(section, labels):
    """The partition is the same; what differs is a few missing pixels at the rim."""
    known = section.labels > 0
    np.testing.assert_array_equal(known, labels > 0)
    np.testing.assert_array_equal(section.labels[known], labels[known])
    assert (section.labels == MISSING).sum() < 0.01 * known.sum()


def test_grains_of_orientations_are_those_of_a_slow_search(rng):
    labels = rng.integers(1, 5, (14, 17))
    symmetries = six_fold()
    q = orientations(labels, rng, symmetries, spread_deg=4)
    indexed = rng.random(labels.shape) > 0.1
    found = grains_of_orientations(q, indexed, symmetries, 5.0)
    matrix = Rotation.from_quat(q.reshape(-1, 4), scalar_first=True).as_matrix()
    matrix = matrix.reshape(*labels.shape, 3, 3)
    group = Rotation.from_quat(symmetries, scalar_first=True).as_matrix()

    def same(a, b):
        traces = [np.trace(matrix[a].T @ matrix[b] @ g) for g in group]
        return np.degrees(np.arccos(np.clip((max(traces) - 1) / 2, -1, 1))) < 5

    np.testing.assert_array_equal(found, flooded(indexed, same))


def test_a_gradual_turn_is_one_grain_and_a_step_is_a_boundary():
    for angle, n in ((4.9, 1), (5.1, 12)):
        half = np.radians(angle) * np.arange(12) / 2
        q = np.stack([np.cos(half), 0 * half, 0 * half, np.sin(half)], axis=-1)[None]
        found = grains_of_orientations(q, np.ones((1, 12), bool), PROPER_ROTATIONS, 5.0)
        assert found.max() == n


def test_pixels_that_are_not_indexed_are_not_bridged():
    q = np.tile([1.0, 0, 0, 0], (1, 3, 1))
    indexed = np.array([[True, False, True]])
    found = grains_of_orientations(q, indexed, PROPER_ROTATIONS, 5.0)
    np.testing.assert_array_equal(found, [[1, 0, 2]])


def test_the_mean_of_orientations_that_look_alike_is_theirs(rng):
    """Any of the equal quaternions in any pixel, with either sign, and none lost for any."""
    labels = rng.integers(0, 30, (40, 40)).astype(np.int32)
    for symmetries in (PROPER_ROTATIONS, six_fold()):
        of_grains = random_rotations(rng, 30)
        q = orientations(labels, rng, symmetries, spread_deg=0.0, of_grains=of_grains)
        q *= rng.choice([-1, 1], (*labels.shape, 1))
        found = mean_orientations(labels, q, symmetries)
        assert disorientation_deg(found, of_grains[1:], symmetries).max() < 1e-5
        np.testing.assert_array_equal(found[:, 0] >= 0, True)


def test_the_mean_of_two_turns_about_an_axis_lies_half_way():
    half = np.radians([10.0, 16.0]) / 2
    q = np.stack([np.cos(half), 0 * half, np.sin(half), 0 * half], axis=-1)[None]
    found = mean_orientations(np.ones((1, 2), np.int32), q, PROPER_ROTATIONS)
    middle = np.radians(13.0) / 2
    np.testing.assert_allclose(found, [[np.cos(middle), 0, np.sin(middle), 0]], atol=1e-12)


def test_the_mean_moves_with_the_frame(rng):
    labels = rng.integers(1, 9, (12, 12)).astype(np.int32)
    q = orientations(labels, rng, spread_deg=4.0)
    turn = random_rotations(rng, 1)
    turned = multiply(np.tile(turn, (labels.size, 1)), q.reshape(-1, 4)).reshape(q.shape)
    first, second = (mean_orientations(labels, a, PROPER_ROTATIONS) for a in (q, turned))
    assert disorientation_deg(multiply(np.tile(turn, (8, 1)), first), second).max() < 1e-5


def test_memory_of_the_reconstruction_stays_below_its_bound(rng):
    labels = np.kron(np.arange(1, 401).reshape(20, 20), np.ones((25, 25), int))
    q = orientations(labels, rng)
    indexed = np.ones(labels.shape, bool)
    grains_of_orientations(q[:9, :9], indexed[:9, :9], PROPER_ROTATIONS, 5.0)
    tracemalloc.start()
    grains_of_orientations(q, indexed, PROPER_ROTATIONS, 5.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * labels.size + 40e6  # blocks have a size of their own


def crystal_map(labels, q, phases=None, names=("NMC811",), groups=("-3m",)):
    """What orix knows of orientations, not indexed where labels are 0."""
    crystal_map = pytest.importorskip("orix.crystal_map")
    quaternion = pytest.importorskip("orix.quaternion")
    y, x = (a.ravel() * STEP for a in np.indices(labels.shape))
    ids = np.where(labels > 0, 1 if phases is None else phases, -1)
    return crystal_map.CrystalMap(
        rotations=quaternion.Rotation(q.reshape(-1, 4) * [1, -1, -1, -1]),
        phase_id=ids.ravel(),
        x=x,
        y=y,
        phase_list=crystal_map.PhaseList(
            names=list(names), point_groups=list(groups), ids=list(range(1, len(names) + 1))
        ),
        scan_unit="um",
    )


def write_by_orix(path, *arguments, **options):
    from orix.io import save

    save(str(path), crystal_map(*arguments, **options), overwrite=True)
    return path


def euler(q):
    """Bunge angles (n, 3), radians, of quaternions (..., 4), crystal to sample."""
    quaternion = pytest.importorskip("orix.quaternion")
    return quaternion.Rotation(q.reshape(-1, 4) * [1, -1, -1, -1]).to_euler()


def write_ctf(path, labels, q, step=(STEP, STEP), laue=7):
    ny, nx = labels.shape
    y, x = (a.ravel() for a in np.indices(labels.shape))
    angles = np.degrees(euler(q))
    header = [
        "Channel Text File", "Prj\tnmc", "Author\t", "JobMode\tGrid", f"XCells\t{nx}",
        f"YCells\t{ny}", f"XStep\t{step[0]}", f"YStep\t{step[1]}", "AcqE1\t0", "AcqE2\t0",
        "AcqE3\t0", "Euler angles refer to Sample Coordinate system (CS0)!\tMag\t400", "Phases\t1",
        f"2.87;2.87;14.2\t90;90;120\tNMC811\t{laue}\t166\t\t\t",
        "Phase\tX\tY\tBands\tError\tEuler1\tEuler2\tEuler3\tMAD\tBC\tBS",
    ]  # fmt: skip
    rows = [
        f"{int(k > 0)}\t{step[0] * i:.4f}\t{step[1] * j:.4f}\t6\t0"
        f"\t{a:.4f}\t{b:.4f}\t{c:.4f}\t0.5\t90\t90"
        for k, i, j, (a, b, c) in zip(labels.ravel(), x, y, angles, strict=True)
    ]
    path.write_text("\n".join([*header, *rows]) + "\n")
    return path


def write_oina(path, labels, q):
    ny, nx = labels.shape
    with h5py.File(path, "w") as file:
        file["Manufacturer"] = [b"Oxford Instruments"]
        file["Format Version"] = [b"5.0"]
        data = file.create_group("1/EBSD/Data")
        data["Euler"] = euler(q).astype(np.float32)
        data["Phase"] = (labels > 0).astype(np.uint8).ravel()
        header = file.create_group("1/EBSD/Header")
        for name, value in (("X Cells", nx), ("Y Cells", ny), ("X Step", STEP), ("Y Step", STEP)):
            header[name] = [value]
        header["Phases/1/Phase Name"] = [b"NMC811"]
        header["Phases/1/Laue Group"] = [7]
    return path


@pytest.mark.parametrize("suffix", [".ang", ".h5"])
def test_maps_written_by_orix_give_their_grains(tmp_path, grains, rng, suffix):
    pytest.importorskip("orix")
    of_grains = random_rotations(rng, grains.max() + 1)
    q = orientations(grains, rng, spread_deg=0.0, of_grains=of_grains)
    path = write_by_orix(tmp_path / f"map{suffix}", grains, q)
    section = read_section(path, settings=WHOLE)
    assert_same_grains(section, grains)
    assert disorientation_deg(section.orientations, of_grains[1:]).max() < 0.01
    assert section.pixel_um == pytest.approx(STEP)
    assert section.centre == pytest.approx(CENTRE, abs=0.1)
    assert [step.name for step in section.steps] == [
        "pixel", "map", "phase", "frame", "grains", "small grains", "outline", "centre"
    ]  # fmt: skip
    assert "NMC811 kept" in section.steps[2].remark
    assert "proper point group 32" in section.steps[2].remark
    assert "64 x 70 pixels" in section.steps[1].remark
    assert "the axes of the map" in section.steps[3].remark
    assert "below 5 degrees" in section.steps[4].remark


@pytest.mark.parametrize(("suffix", "write"), [(".ctf", write_ctf), (".h5oina", write_oina)])
def test_oxfords_crystals_have_x_along_a_star(tmp_path, grains, rng, suffix, write):
    pytest.importorskip("orix")
    of_grains = random_rotations(rng, grains.max() + 1)
    q = orientations(grains, rng, spread_deg=0.0, of_grains=of_grains)
    to_a_star = np.tile(ebsd.A_STAR, (grains.size, 1))
    turned = multiply(q.reshape(-1, 4), to_a_star).reshape(q.shape)
    path = write(tmp_path / f"map{suffix}", grains, turned)
    section = read_section(path, settings=WHOLE)
    assert_same_grains(section, grains)
    assert disorientation_deg(section.orientations, of_grains[1:]).max() < 0.01
    assert section.pixel_um == pytest.approx(STEP)
    wrong = write(tmp_path / f"wrong{suffix}", grains, orientations(grains, rng))
    assert read_section(wrong, settings=WHOLE).n_grains > 3 * grains.max()


def test_a_stated_pixel_replaces_that_of_the_map_and_is_recorded(tmp_path, grains, rng):
    path = write_ctf(tmp_path / "map.ctf", grains, orientations(grains, rng))
    section = read_section(path, 0.1, (3.0, 4.5))
    assert section.pixel_um == 0.1
    assert section.steps[0].remark == "0.1 um, as stated"
    assert section.steps[-1].remark == "(3, 4.5) pixels (y, x), as given"
    assert read_section(path).steps[0].remark == "0.05 um, as in the file"


def test_angles_are_those_of_orix(rng):
    quaternion = pytest.importorskip("orix.quaternion")
    from orix.quaternion import symmetry

    p, q = random_rotations(rng, 200), random_rotations(rng, 200)
    for group in (symmetry.D3d, symmetry.D6h, symmetry.Oh, symmetry.Ci):
        one, other = (
            quaternion.Orientation(a * [1, -1, -1, -1], symmetry=group.laue_proper_subgroup)
            for a in (p, q)
        )
        expected = np.degrees(one.angle_with(other))
        found = disorientation_deg(p, q, group.laue_proper_subgroup.data)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_most_frequent_phase_is_kept_unless_one_is_named(tmp_path, grains, rng):
    pytest.importorskip("orix")
    phases = np.where(np.indices(SHAPE)[1] < 30, 2, 1)
    path = write_by_orix(
        tmp_path / "map.ang", grains, orientations(grains, rng), phases,
        names=("NMC811", "Aluminium"), groups=("-3m", "m-3m"),
    )  # fmt: skip
    found = read_map(path)
    assert found.crystal.name == "NMC811"
    np.testing.assert_array_equal(found.indexed, (grains > 0) & (phases == 1))
    assert "not kept, their pixels are missing: Aluminium (" in found.steps[1].remark
    assert read_map(path, "Aluminium").crystal.group == "432"
    with pytest.raises(
        FitError, match=r"has the phases \['NMC811', 'Aluminium'\], expected 'Copper'"
    ):
        read_map(path, "Copper")


def test_a_hexagonal_grid_is_resampled(tmp_path, grains, rng):
    """Of the grains of the pixels that are the nearest to its points."""
    pytest.importorskip("orix")
    q = orientations(grains, rng, spread_deg=0)
    rows = np.arange(int(SHAPE[0] / np.sqrt(0.75)) - 1)
    j, i = (a.ravel() for a in np.indices((len(rows), SHAPE[1] - 1)))
    x, y = i + 0.5 * (j % 2), j * np.sqrt(0.75)
    pixel = np.rint(y).astype(int), np.minimum(np.rint(x).astype(int), SHAPE[1] - 1)
    table = np.column_stack([
        euler(q[pixel]), x * STEP, y * STEP, np.ones(len(x)), np.where(grains[pixel] > 0, 0.9, -1),
        np.ones(len(x)), np.ones(len(x)), np.ones(len(x)),
    ])  # fmt: skip
    header = "# Phase 1\n# MaterialName  NMC811\n# Formula  LiNiO2\n# Symmetry  32\n"
    header += "# LatticeConstants  2.87 2.87 14.2 90 90 120\n# GRID: HexGrid\n"
    lines = "\n".join(" ".join(f"{value:.5f}" for value in row) for row in table)
    path = tmp_path / "hexagonal.ang"
    path.write_text(header + lines + "\n")
    section = read_section(path, settings=WHOLE)
    assert section.pixel_um == pytest.approx(STEP * np.sqrt(np.sqrt(0.75)), rel=1e-3)
    assert "resampled from a hexagonal grid of 0.05" in section.steps[1].remark
    area, expected = (section.labels > 0).sum() * section.pixel_um**2, (grains > 0).sum() * STEP**2
    assert area == pytest.approx(expected, rel=0.01)
    y, x = (
        np.rint(a * section.pixel_um / STEP).astype(int) for a in np.nonzero(section.labels > 0)
    )
    assert (pieces(grains)[y, x] > 0).mean() > 0.97
    assert section.n_grains == pytest.approx(grains.max(), abs=3)


def means_of_orix(quaternions):
    """Mean (1, 4), crystal to sample, by orix, of hexagonal crystals."""
    from orix.quaternion import Orientation, Quaternion, symmetry

    conjugate = [1, -1, -1, -1]
    alike = symmetry.D6.outer(Orientation(quaternions * conjugate)).data  # (12, n, 4)
    nearest = np.abs(alike @ alike[0, 0]).argmax(axis=0)  # to the first pixel's
    chosen = Quaternion(alike[nearest, np.arange(len(quaternions))])
    return chosen.mean().data.reshape(1, 4) * conjugate


def test_the_magnesium_map_has_the_grains_of_a_slow_search():
    pytest.importorskip("orix")
    if not MAGNESIUM.is_file():
        pytest.skip(f"{MAGNESIUM} is not there: the repository does not contain it")
    found = read_map(MAGNESIUM)
    grains = grains_of_orientations(found.quaternions, found.indexed, found.crystal.symmetries, 5.0)
    table = np.loadtxt(MAGNESIUM, skiprows=15)
    shape = 137, 167
    indexed = (table[:, 0] == 1).reshape(shape)
    matrix = Rotation.from_euler("ZXZ", table[:, 5:8], degrees=True).as_matrix()
    matrix = matrix.reshape(*shape, 3, 3)
    group = Rotation.from_quat(six_fold(), scalar_first=True).as_matrix()
    limit = 1 + 2 * np.cos(np.radians(5))

    def same(a, b):
        return np.einsum("ij,kij->k", matrix[a].T @ matrix[b], group).max() > limit

    np.testing.assert_array_equal(grains, flooded(indexed, same))
    assert grains.max() == 126
    section = read_section(MAGNESIUM, centre=(68, 83))
    assert section.n_grains == 86  # of four pixels or more
    for k, mean in enumerate(section.orientations):
        chosen = (section.labels == k + 1) & found.indexed
        expected = means_of_orix(found.quaternions[chosen])
        assert disorientation_deg(mean[None], expected, found.crystal.symmetries)[0] < 1.0
    with pytest.raises(FitError, match="nothing outside the particle, so that its centre is not"):
        read_section(MAGNESIUM)


def test_without_orix_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "orix", None)
    path = tmp_path / "map.ang"
    path.write_text("# Phase 1\n")
    with pytest.raises(FitError, match=r"need orix, .*pip install.*\[ebsd\]"):
        read_section(path)


def test_maps_that_cannot_be_read_say_why(tmp_path, grains, rng):
    pytest.importorskip("orix")
    q = orientations(grains, rng)
    long = write_ctf(tmp_path / "long.ctf", grains, q, step=(0.05, 0.1))
    with pytest.raises(FitError, match=r"steps of 0\.05 along x and 0\.1 um along y"):
        read_section(long)
    nothing = write_ctf(tmp_path / "nothing.ctf", np.zeros_like(grains), q)
    with pytest.raises(FitError, match="expected 'one with indexed points'"):
        read_section(nothing)
    cut = tmp_path / "cut.ctf"
    cut.write_text(long.read_text()[:-20])
    with pytest.raises(FitError, match=r"cut.ctf cannot be read .*export it again"):
        read_section(cut)
    cut = write_oina(tmp_path / "cut.h5oina", grains, q)
    cut.write_bytes(cut.read_bytes()[:4000])
    with pytest.raises(FitError, match=r"cut.h5oina cannot be read"):
        read_section(cut)
    cut = write_by_orix(tmp_path / "cut.h5", grains, q)
    cut.write_bytes(cut.read_bytes()[:4000])
    with pytest.raises(FitError, match=r"cut.h5 cannot be read"):
        read_section(cut)
    line = tmp_path / "line.ctf"
    line.write_text("\n".join(long.read_text().splitlines()[: 15 + 70]) + "\n")
    with pytest.raises(FitError, match="has one y only, expected a map of pixels"):
        read_section(line)
    nan = tmp_path / "nan.ctf"
    nan.write_text(
        re.sub(r"\n1(.*?)6\t0\t[0-9.]+", r"\n1\g<1>6\t0\tnan", long.read_text(), count=1)
    )
    with pytest.raises(FitError, match="has 1 points whose place or Euler angles are no finite"):
        read_section(nan)
    edax = tmp_path / "edax.h5"
    with h5py.File(edax, "w") as file:
        file["Manufacturer"] = [b"EDAX"]
    with pytest.raises(FitError, match=r"is by EDAX, expected one of .*export it as .ang"):
        read_section(edax)


def write_label_image(path, labels):
    if path.suffix == ".tif":
        tifffile.imwrite(path, labels.astype(np.int32), photometric="minisblack")
    elif path.suffix == ".png":
        image = pytest.importorskip("PIL.Image")
        image.fromarray(labels.astype(np.uint16)).save(path)
    elif path.suffix == ".npy":
        np.save(path, labels)
    elif path.suffix == ".npz":
        np.savez(path, grains=labels, depth=np.zeros((2, 3, 4)))
    else:
        with h5py.File(path, "w") as file:
            file["section/grains"] = labels
            file["stack"] = np.zeros((2, 3, 4))
    return path


@pytest.mark.parametrize("suffix", [".tif", ".png", ".npy", ".npz", ".h5"])
def test_images_of_labels_give_their_grains(tmp_path, grains, suffix):
    path = write_label_image(tmp_path / f"labels{suffix}", 3 * grains)
    section = read_section(path, STEP, settings=WHOLE)
    assert_same_grains(section, grains)
    assert [step.name for step in section.steps] == [
        "pixel", "image", "pieces", "small grains", "outline", "centre"
    ]  # fmt: skip


def test_an_image_says_itself_what_is_missing(tmp_path, grains):
    """And is the same section again when its labels are saved."""
    labels = grains.copy()
    labels[20:24, 20:50] = MISSING
    first = read_section(write_label_image(tmp_path / "a.npy", labels), STEP, settings=WHOLE)
    np.testing.assert_array_equal(first.labels == MISSING, labels == MISSING)
    np.testing.assert_array_equal(first.labels == 0, labels == 0)
    again = write_label_image(tmp_path / "b.tif", first.labels)
    second = read_section(again, STEP, first.centre, settings=WHOLE)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.centre == second.centre


def test_a_mask_tells_the_outside(tmp_path, grains):
    path = write_label_image(tmp_path / "labels.tif", grains)
    inside = disc(SHAPE, CENTRE, 10)
    mask = write_label_image(tmp_path / "mask.png", 255 * inside)
    section = read_section(path, STEP, mask=mask)
    np.testing.assert_array_equal(section.inside, inside)
    assert section.centre == pytest.approx(CENTRE)
    assert "the mask" in section.steps[4].remark
    small = write_label_image(tmp_path / "small.png", inside[:9])
    with pytest.raises(FitError, match=r"small.png has .* save the mask of this map"):
        read_section(path, STEP, mask=small)


def test_small_grains_become_missing_and_are_counted(tmp_path, grains):
    labels = grains.copy()
    labels[30, 36] = 900
    path = write_label_image(tmp_path / "labels.tif", labels)
    section = read_section(path, STEP)
    assert section.labels[30, 36] == MISSING
    assert "below 4 pixels: " in section.steps[3].remark
    assert section.steps[3].n_components == section.n_grains


def test_bad_images_are_refused_in_a_sentence(tmp_path, grains):
    path = write_label_image(tmp_path / "labels.npy", grains)
    with pytest.raises(FitError, match="does not say how large a pixel is; state pixel_um"):
        read_section(path)
    message = r"grains of 3\d.* um on average with pixels of 5 um, .* correct pixel_um"
    with pytest.raises(FitError, match=message):
        read_section(path, 5.0)
    with pytest.raises(FitError, match=r"the centre .* expected pixels of the image of 64 x 70"):
        read_section(path, STEP, (3.0, 999.0))
    bad = {
        "one grain, expected many; lower threshold_deg": (grains > 0).astype(int),
        "no grain of at least 4 pixels among 0": np.zeros(SHAPE),
        "NaN in 2 pixels, expected whole numbers; write -1": np.where(
            np.arange(70) < 1, np.where(np.arange(64) < 2, np.nan, 0)[:, None], grains
        ),
        "holds 0.5, expected whole numbers, one for each grain": grains / 2,
        "nothing outside the particle": np.kron(np.arange(1, 17).reshape(4, 4), np.ones((5, 5))),
    }
    for message, labels in bad.items():
        np.save(path, labels)
        with pytest.raises(FitError, match=message):
            read_section(path, STEP)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "map.xlsx").write_text("")
    with pytest.raises(FitError, match=r"the suffix '.xlsx', expected one of \['.ang', '.ctf'"):
        read_section(tmp_path / "map.xlsx", STEP)
    with pytest.raises(FitError, match="is not a file, expected an EBSD map or an image"):
        read_section(tmp_path / "nothing.ang")
    volume = tmp_path / "volume.tif"
    tifffile.imwrite(volume, np.ones((3, 8, 8), np.uint8), photometric="minisblack")
    with pytest.raises(VolumeFileError, match=r"the array has shape \(3, 8, 8\), expected the two"):
        read_section(volume, STEP)
    colour = tmp_path / "colour.png"
    pytest.importorskip("PIL.Image").fromarray(np.zeros((4, 4, 3), np.uint8)).save(colour)
    with pytest.raises(VolumeFileError, match="is in colour"):
        read_section(colour, STEP)
