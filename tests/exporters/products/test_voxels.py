import shutil
import time
import tracemalloc
from collections import namedtuple
from dataclasses import replace

import h5py
import netCDF4
import numpy as np
import pytest
import xarray
from scipy import ndimage

from cathodegrain.exporters.particles import recipe
from cathodegrain.exporters.products import voxels
from cathodegrain.generator import machine
from cathodegrain.generator.errors import ExportError
from cathodegrain.generator.shell.shell import Shell
from cathodegrain.generator.voxels import slabs
from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import label_grid

SPACING = 0.03  # um: more than one slab of 64 layers, and no multiple of it

Written = namedtuple("Written", "particle path grid labels")


@pytest.fixture(scope="module")
def written(small_particle, tmp_path_factory):
    path = tmp_path_factory.mktemp("voxels") / "voxels.vtkhdf"
    assert voxels.write(small_particle, path, pitch_um=SPACING) == path
    grid = Grid.around(small_particle.shell.radius_bounds[1], SPACING)
    assert grid.shape[0] > slabs.SLAB
    assert grid.shape[0] % slabs.SLAB
    return Written(small_particle, path, grid, label_grid(small_particle, grid))


@pytest.fixture
def file(written):
    with h5py.File(written.path) as opened:
        yield opened


@pytest.fixture(params=[None, "h5netcdf", "netcdf4"])
def dataset(written, request):
    with xarray.open_dataset(written.path, engine=request.param) as opened:
        yield opened


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


# What was written


def test_reading_gives_back_labels_and_grid(written):
    found = voxels.read(written.path)
    np.testing.assert_array_equal(found.labels, written.labels)
    assert found.labels.dtype == np.int32
    assert found.grid == written.grid


def test_labels_are_the_grains_at_the_voxel_centres(dataset, written, rng):
    z, y, x = rng.integers(0, written.grid.shape[0], (3, 2000))
    points = np.column_stack([dataset.x[x], dataset.y[y], dataset.z[z]])
    expected = written.particle.grain_at(points)
    assert len(np.unique(expected)) > 10
    np.testing.assert_array_equal(dataset.grain_id.values[z, y, x], expected)


def at_boundary(labels):
    """Independent of the writer: least and largest label over a voxel and its neighbours."""
    cross = ndimage.generate_binary_structure(3, 1)
    low, high = (
        f(labels, footprint=cross, mode="constant", cval=0)
        for f in (ndimage.minimum_filter, ndimage.maximum_filter)
    )
    return (low != high) & (labels > 0)


def test_boundary_voxels_are_those_with_another_label_next_to_them(file, written):
    expected = at_boundary(written.labels)
    assert expected.any()
    np.testing.assert_array_equal(file["grain_boundary"][:], expected)


def test_beyond_the_grid_is_outside():
    labels = np.ones((5, 6, 7), np.int32)
    expected = np.pad(np.zeros((3, 4, 5), np.int8), 1, constant_values=1)
    np.testing.assert_array_equal(voxels.boundary(labels, slice(0, 5)), expected)
    np.testing.assert_array_equal(voxels.boundary(labels, slice(2, 4)), expected[2:4])


def test_the_table_counts_every_voxel_of_every_grain(file, written):
    counts = np.bincount(written.labels.ravel(), minlength=written.particle.n_grains + 1)[1:]
    np.testing.assert_array_equal(file["grain_voxels"][:], counts)
    np.testing.assert_allclose(file["grain_volume"][:], counts * SPACING**3, rtol=1e-12)
    np.testing.assert_array_equal(file["grain"][:], np.arange(1, written.particle.n_grains + 1))


def test_the_table_holds_the_markers(dataset, written):
    grains = written.particle.tessellation
    k = written.particle.n_grains // 2
    row = dataset.sel(grain=k + 1)
    np.testing.assert_array_equal(row.grain_seed, grains.seeds[k])
    assert row.grain_offset == grains.offsets[k]
    matrix = grains.matrices[k]
    upper = [matrix[0, 0], matrix[0, 1], matrix[0, 2], matrix[1, 1], matrix[1, 2], matrix[2, 2]]
    np.testing.assert_array_equal(row.grain_metric, upper)


def test_voxels_fill_the_shell(file, written):
    shell = written.particle.shell
    layer = shell.area_um2 * SPACING * np.sqrt(3) / 2  # half a diagonal of a voxel, all round
    assert abs(file["grain_volume"][:].sum() - shell.volume_um3) < layer


def test_voxels_of_a_ball_lie_between_two_balls(small_particle, tmp_path):
    ball = replace(small_particle, shell=Shell.sphere(1.0))
    path = voxels.write(ball, tmp_path / "ball.vtkhdf", pitch_um=0.1)
    with h5py.File(path) as file:
        volume = file["grain_volume"][:].sum()
    reach = 0.1 * np.sqrt(3) / 2
    assert (1 - reach) ** 3 < volume / (4 / 3 * np.pi) < (1 + reach) ** 3


def test_grains_too_small_for_a_voxel_stay_in_the_table(small_particle, tmp_path):
    path = voxels.write(small_particle, tmp_path / "coarse.vtkhdf", pitch_um=0.4)
    with h5py.File(path) as file:
        counts = file["grain_voxels"][:]
        assert len(counts) == len(file["grain_seed"]) == small_particle.n_grains
        assert set(np.unique(file["grain_id"])) == {0, *(np.flatnonzero(counts) + 1)}
    assert (counts == 0).any()
    assert (counts > 0).any()


def test_the_file_does_not_depend_on_the_slabs(written, tmp_path, monkeypatch):
    monkeypatch.setattr(slabs, "SLAB", 1000)
    path = voxels.write(written.particle, tmp_path / "voxels.vtkhdf", pitch_um=SPACING)
    with h5py.File(path) as one, h5py.File(written.path) as two:
        for name in ("grain_id", "grain_boundary", "grain_voxels"):
            np.testing.assert_array_equal(one[name][:], two[name][:])


@pytest.mark.parametrize("cores", ["1", "2", "5"])
def test_the_bytes_do_not_depend_on_how_many_cores_pack(written, tmp_path, monkeypatch, cores):
    monkeypatch.setenv("NUMBA_NUM_THREADS", cores)
    monkeypatch.setattr(machine, "_cores", lambda: 8)
    path = voxels.write(written.particle, tmp_path / "voxels.vtkhdf", pitch_um=SPACING)
    assert path.read_bytes() == written.path.read_bytes()


def test_orientations_are_stored_with_their_convention(small_particle, tmp_path, rng):
    quaternions = rng.normal(size=(small_particle.n_grains, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    for orientations in (quaternions, None):
        particle = replace(small_particle, orientations=orientations)
        path = voxels.write(particle, tmp_path / "voxels.vtkhdf", pitch_um=0.4)
        with xarray.open_dataset(path) as dataset:
            assert ("grain_orientation" in dataset) == (orientations is not None)
            if orientations is not None:
                np.testing.assert_array_equal(dataset.grain_orientation, quaternions)
                assert dataset.grain_orientation.dims == ("grain", "quaternion")
                assert "q v q*" in dataset.grain_orientation.long_name


def test_writing_leaves_the_particle_as_it_was(written):
    shell, grains = written.particle.shell, written.particle.tessellation
    arrays = [shell.coefficients, grains.seeds, grains.matrices, grains.offsets]
    before = [array.copy() for array in arrays]
    voxels.write(written.particle, written.path.with_name("again.vtkhdf"), pitch_um=0.4)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


# What readers see


def test_xarray_sees_integers_with_names_and_units(dataset, written):
    assert dataset.grain_id.dtype == np.int32
    assert dataset.grain_id.dims == ("z", "y", "x")
    np.testing.assert_array_equal(dataset.grain_id, written.labels)
    for axis in "xyz":
        centres = written.grid.origin[0] + SPACING * (np.arange(len(dataset[axis])) + 0.5)
        np.testing.assert_allclose(dataset[axis], centres, atol=1e-12)
        assert dataset[axis].units == "um"
    units = {"grain_seed": "um", "grain_metric": "um^-2", "grain_offset": "1"}
    for name, unit in (units | {"grain_volume": "um^3", "grain_voxels": "1"}).items():
        assert dataset[name].units == unit
        assert dataset[name].long_name
    counted = (written.labels == 5).sum() * SPACING**3
    assert dataset.grain_volume.sel(grain=5).item() == pytest.approx(counted, rel=1e-12)


def test_boundary_flags_are_explained(dataset):
    np.testing.assert_array_equal(dataset.grain_boundary.flag_values, [0, 1])
    assert dataset.grain_boundary.flag_meanings.split() == ["not_at_boundary", "at_boundary"]
    assert dataset.grain_boundary.dtype == np.int8


def test_netcdf_sees_shared_dimensions_and_nothing_masked(written):
    with netCDF4.Dataset(written.path) as dataset:
        assert dataset["grain_id"].dimensions == ("z", "y", "x")
        assert dataset["grain_seed"].dimensions == ("grain", "component")
        assert not np.ma.is_masked(dataset["grain_id"][:])
        assert dataset.Conventions.startswith("CF-")
        assert dataset.id == written.particle.id


def test_no_attribute_that_misleads_a_reader(file):
    """_FillValue makes ids floats, axis makes um degrees, a time makes equal files differ."""
    for name, item in file.items():
        assert not {"_FillValue", "axis"} & set(item.attrs), name
    assert not any(character.isdigit() for character in file.attrs["history"].decode())


def test_vtk_reads_the_same_cells(written):
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOHDF import vtkHDFReader

    reader = vtkHDFReader()
    reader.SetFileName(str(written.path))
    reader.Update()
    image = reader.GetOutput()
    assert image.GetClassName() == "vtkImageData"
    assert image.GetOrigin() == pytest.approx(written.grid.origin)
    assert image.GetSpacing() == pytest.approx((SPACING,) * 3)
    assert image.GetDimensions() == tuple(n + 1 for n in reversed(written.grid.shape))
    cells = image.GetCellData()
    assert cells.GetScalars().GetName() == "grain_id"
    labels = vtk_to_numpy(cells.GetArray("grain_id"))
    np.testing.assert_array_equal(labels, written.labels.ravel())  # x fastest
    index = int(np.argmax(labels))
    x0, x1, y0, y1, z0, z1 = image.GetCell(index).GetBounds()
    centre = np.array([[x0 + x1, y0 + y1, z0 + z1]]) / 2
    assert written.particle.grain_at(centre) == labels[index]


def test_the_vtk_header_is_what_old_readers_need(file, written):
    image = file["VTKHDF"]
    assert set(image.attrs) == {
        "Version", "Type", "WholeExtent", "Origin", "Spacing", "Direction"
    }  # fmt: skip
    kind = image.attrs.get_id("Type").get_type()
    assert not kind.is_variable_str()
    assert kind.get_cset() == h5py.h5t.CSET_ASCII
    assert image.attrs["Type"] == b"ImageData"
    assert image.attrs["Version"].tolist() == [2, 2]
    assert image.attrs["Version"].dtype == image.attrs["WholeExtent"].dtype == np.int64
    nz, ny, nx = written.grid.shape
    assert image.attrs["WholeExtent"].tolist() == [0, nx, 0, ny, 0, nz]
    corner = [file[axis][0] - SPACING / 2 for axis in "xyz"]
    np.testing.assert_allclose(image.attrs["Origin"], corner, atol=1e-12)


def test_nexus_plots_the_labels_by_default(file):
    group = file
    while "default" in group.attrs:
        group = group[group.attrs["default"]]
    assert group.attrs["NX_class"] == b"NXdata"
    signal = group[group.attrs["signal"]]
    assert signal == file["grain_id"]
    assert [group[axis] == file[axis] for axis in group.attrs["axes"]] == [True] * 3
    assert [len(group[axis]) for axis in group.attrs["axes"]] == list(signal.shape)


def test_the_labels_are_stored_once(file, written):
    for path in ("VTKHDF/CellData/grain_id", "entry/data/grain_id"):
        assert isinstance(file.get(path, getlink=True), h5py.HardLink)
        assert file[path] == file["grain_id"]
    assert written.path.stat().st_size < written.labels.nbytes / 8


def test_labels_are_compressed_in_cubes_without_shuffle(file):
    labels = file["grain_id"]
    assert labels.chunks == (64, 64, 64)
    assert (labels.compression, labels.compression_opts, labels.shuffle) == ("gzip", 6, False)


def test_the_file_says_what_the_particle_was_made_from(file):
    assert '"entropy": 7' in file["provenance/metadata_json"].asstr()[()]


# How it is written


def test_equal_particles_are_equal_files(small_particle, tmp_path):
    one = voxels.write(small_particle, tmp_path / "one", pitch_um=0.1)
    time.sleep(1.1)  # a time stamp would count on
    two = voxels.write(small_particle, tmp_path / "two", pitch_um=0.1)
    assert one.read_bytes() == two.read_bytes()


def test_memory_is_that_of_a_slab_as_planned(small_particle, tmp_path):
    needed = voxels.plan(small_particle, 0.012)
    assert needed.voxels * 4 > 2.5 * needed.memory_bytes
    voxels.write(small_particle, tmp_path / "voxels.vtkhdf", pitch_um=0.4)  # caches filled
    tracemalloc.start()
    try:
        voxels.write(small_particle, tmp_path / "voxels.vtkhdf", pitch_um=0.012)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.8 * needed.memory_bytes < peak < 1.05 * needed.memory_bytes


@pytest.mark.parametrize("spacing", [SPACING, 0.1])
def test_the_plan_foretells_the_file(small_particle, tmp_path, spacing):
    needed = voxels.plan(small_particle, spacing)
    path = voxels.write(small_particle, tmp_path / "voxels.vtkhdf", pitch_um=spacing)
    assert voxels.read(path).labels.shape == needed.shape
    assert needed.voxels == np.prod(needed.shape)
    assert 2 / 3 < path.stat().st_size / needed.file_bytes < 3 / 2


def test_progress_counts_the_layers(small_particle, tmp_path):
    calls = []
    voxels.write(
        small_particle,
        tmp_path / "voxels.vtkhdf",
        pitch_um=SPACING,
        progress=lambda message, part: calls.append(part),
    )
    layers = voxels.plan(small_particle, SPACING).shape[0]
    assert calls == [64 / layers, 1.0]


def test_an_interrupted_export_leaves_the_old_file(small_particle, tmp_path):
    path = tmp_path / "voxels.vtkhdf"
    path.write_text("old")

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        voxels.write(small_particle, path, pitch_um=0.1, progress=interrupt)
    assert names(tmp_path) == ["voxels.vtkhdf"]
    assert path.read_text() == "old"


# What cannot be written or read


@pytest.mark.parametrize("spacing", [0.0, -0.1, np.nan, np.inf])
def test_a_spacing_that_is_no_length_is_refused(small_particle, tmp_path, spacing):
    with pytest.raises(ExportError, match=f"spacing is {spacing}, expected a positive"):
        voxels.write(small_particle, tmp_path / "voxels.vtkhdf", pitch_um=spacing)
    assert names(tmp_path) == []


def test_a_spacing_coarser_than_the_particle_is_refused(small_particle, tmp_path):
    with pytest.raises(ExportError, match=r"no voxel centre .* 50 um; its diameter is 2\.6 um"):
        voxels.write(small_particle, tmp_path / "voxels.vtkhdf", pitch_um=50.0)
    assert names(tmp_path) == []


def test_a_grid_that_memory_cannot_hold_is_refused_before_work(small_particle, tmp_path):
    with pytest.raises(
        ExportError, match=r"need .* of memory and about .* of disk; .* of memory are free"
    ):
        voxels.write(small_particle, tmp_path / "voxels.vtkhdf", pitch_um=1e-7)
    assert names(tmp_path) == []


def test_a_file_that_the_disk_cannot_hold_is_refused(small_particle, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(2, 1, 1))
    with pytest.raises(ExportError, match=r"kB of disk; .* has 1 B free"):
        voxels.write(small_particle, tmp_path / "voxels.vtkhdf", pitch_um=0.1)
    assert names(tmp_path) == []


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_reported_in_one_sentence(written, tmp_path, fraction):
    data = written.path.read_bytes()
    path = tmp_path / "voxels.vtkhdf"
    path.write_bytes(data[: int(fraction * len(data))])
    with pytest.raises(ExportError, match="is not a readable voxel file") as caught:
        voxels.read(path)
    assert "\n" not in str(caught.value)


def test_a_damaged_chunk_is_reported(written, tmp_path):
    with h5py.File(written.path) as file:
        chunk = file["grain_id"].id.get_chunk_info(0)
    data = bytearray(written.path.read_bytes())
    middle = chunk.byte_offset + chunk.size // 2
    data[middle : middle + 16] = bytes(16)
    path = tmp_path / "voxels.vtkhdf"
    path.write_bytes(data)
    with pytest.raises(ExportError, match="is not a readable voxel file"):
        voxels.read(path)


def test_other_files_are_no_voxel_files(small_particle, tmp_path):
    for path in (recipe.write(small_particle, tmp_path / "recipe.h5"), tmp_path / "missing"):
        with pytest.raises(ExportError, match="is not a readable voxel file"):
            voxels.read(path)
