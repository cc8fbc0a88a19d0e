import itertools
import re
import sys
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import xarray
from PIL import Image
from scipy.io import netcdf_file

from cathodegrain.generator.errors import VolumeFileError
from cathodegrain.generator.measured import array_volumes, volumes
from cathodegrain.generator.measured.open import (
    FORMATS,
    IMAGES,
    open_volume,
    read_image,
    read_volume,
)
from cathodegrain.generator.requirements import install_command

TYPES = ["uint8", "int16", ">u2", "<u2", "int32", ">i4", "float32", ">f4", "float64"]


@pytest.fixture
def values():
    return np.random.default_rng(0).integers(0, 120, (7, 5, 6)).astype(np.uint16)


def assert_same(read, values):
    np.testing.assert_array_equal(read.values, values)
    assert read.values.dtype == values.dtype.newbyteorder("=")
    assert read.values.dtype.isnative
    assert read.values.flags.c_contiguous
    assert not read.values.flags.writeable


def write_hdf5(path, values, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("exchange/data", data=values, **options)
        file.create_dataset("exchange/theta", data=np.arange(9.0))
        file.create_dataset("flat", data=values[0])
        file["note"] = "one volume"
    return path


def write_folder(path, values, **options):
    path.mkdir()
    for k, image in enumerate(values):
        tifffile.imwrite(path / f"slice_{k + 8}.tif", image, photometric="minisblack", **options)
    return path


def dataset(values, order="zyx", step=(0.25, 0.5, 1.0), first=(2.0, 3.0, 4.0), unit="um"):
    """The array with axes in another order, and coordinates of the centres of its voxels."""
    coordinates = {
        axis: ((axis,), f + s * np.arange(n), {"units": unit})
        for axis, f, s, n in zip("zyx", first, step, values.shape, strict=True)
    }
    array = xarray.DataArray(values, dims=("z", "y", "x"), coords=coordinates, name="grey")
    return array.transpose(*order).to_dataset()


def write_netcdf(path, values, order="zyx", engine="netcdf4", **options):
    dataset(values, order, **options).to_netcdf(path, engine=engine)
    return path


WRITERS = {
    "tif": lambda p, v: tifffile.imwrite(p / "a.tif", v, photometric="minisblack") or p / "a.tif",
    "big tif": lambda p, v: (
        tifffile.imwrite(p / "a.tiff", v, photometric="minisblack", bigtiff=True, byteorder=">")
        or p / "a.tiff"
    ),
    "pages": lambda p, v: (
        tifffile.imwrite(p / "a.tif", v, photometric=1, metadata=None, compression="zlib")
        or p / "a.tif"
    ),
    "folder": lambda p, v: write_folder(p / "a", v),
    "hdf5": lambda p, v: write_hdf5(p / "a.h5", v),
    "chunked": lambda p, v: write_hdf5(
        p / "a.nxs", v, chunks=tuple(max(2, n // 8) for n in v.shape), compression="gzip"
    ),
    "npy": lambda p, v: np.save(p / "a.npy", v) or p / "a.npy",
    "fortran npy": lambda p, v: np.save(p / "a.npy", np.asfortranarray(v)) or p / "a.npy",
    "npz": lambda p, v: np.savez_compressed(p / "a.npz", v, flat=v[0]) or p / "a.npz",
    "fortran npz": lambda p, v: np.savez(p / "a.npz", np.asfortranarray(v)) or p / "a.npz",
}  # fmt: skip


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("writer", WRITERS)
def test_what_others_write_is_read(writer, dtype, values, tmp_path):
    values = values.astype(dtype)
    read = read_volume(WRITERS[writer](tmp_path, values))
    assert_same(read, values)
    assert (read.voxel_um, read.origin_um) == (None, (0.0, 0.0, 0.0))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("suffix", [".raw", ".bin", ".vol", ".dat"])
def test_plain_numbers_are_read_with_their_shape_and_type(suffix, dtype, values, tmp_path):
    values.astype(dtype).tofile(tmp_path / f"a{suffix}")
    read = read_volume(tmp_path / f"a{suffix}", shape=(7, 5, 6), dtype=dtype)
    assert_same(read, values.astype(dtype))
    assert read.source == str(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf", "scipy"])
@pytest.mark.parametrize("order", ["".join(axes) for axes in itertools.permutations("zyx")])
def test_axes_of_netcdf_are_known_by_their_names(order, engine, values, tmp_path):
    values = values.astype(np.int16)  # netCDF-3 has no other of two bytes
    read = read_volume(write_netcdf(tmp_path / "a.nc", values, order, engine))
    assert_same(read, values)
    np.testing.assert_allclose(read.voxel_um, (0.25, 0.5, 1.0))
    np.testing.assert_allclose(read.origin_um, (3.5, 2.75, 1.875))


@pytest.mark.parametrize("engine", ["netcdf4", "scipy"])
def test_lengths_are_read_in_nm_um_and_mm(engine, values, tmp_path):
    values = values.astype(np.int16)
    for unit, length in (("nm", 1e-3), ("um", 1.0), ("µm", 1.0), ("mm", 1e3), ("micrometers", 1.0)):
        read = read_volume(write_netcdf(tmp_path / "a.nc", values, engine=engine, unit=unit))
        np.testing.assert_allclose(read.voxel_um, np.array([0.25, 0.5, 1.0]) * length)
        np.testing.assert_allclose(read.origin_um, np.array([3.5, 2.75, 1.875]) * length)
    for unit in ("", "pixel", "K"):
        read = read_volume(write_netcdf(tmp_path / "a.nc", values, engine=engine, unit=unit))
        assert (read.voxel_um, read.origin_um) == (None, (0.0, 0.0, 0.0))


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf", "scipy"])
def test_dimensions_without_coordinates_have_no_length(engine, values, tmp_path):
    bare = dataset(values.astype(np.int16), "yxz").drop_vars(["x", "y", "z"])
    bare.to_netcdf(tmp_path / "a.nc", engine=engine)
    read = read_volume(tmp_path / "a.nc")
    assert_same(read, values.astype(np.int16))
    assert read.voxel_um is None


def test_records_of_netcdf_3_are_read(values, tmp_path):
    with netcdf_file(tmp_path / "a.nc", "w") as file:
        for name, n in (("z", None), ("y", 5), ("x", 6)):
            file.createDimension(name, n)
        for name in ("a", "b"):  # records of two variables take turns
            file.createVariable(name, ">i4", ("z", "y", "x"))[:7] = values + (name == "b")
    assert_same(read_volume(tmp_path / "a.nc", dataset="b"), (values + 1).astype(">i4"))


def test_edges_written_by_imagej_and_ome_are_read(values, tmp_path):
    stacks = {
        "imagej.tif": {"imagej": True, "resolution": (4.0, 5.0),
                       "metadata": {"axes": "ZYX", "spacing": 0.5, "unit": "um"}},
        "nm.tif": {"imagej": True, "resolution": (0.004, 0.005),
                   "metadata": {"axes": "ZYX", "spacing": 500, "unit": "nm"}},
        "ome.ome.tif": {"metadata": {"axes": "ZYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.2,
                                     "PhysicalSizeZ": 0.5}},
        "nm.ome.tif": {"metadata": {"axes": "ZYX", **{
            f"PhysicalSize{axis}": size for axis, size in zip("XYZ", (250, 200, 500), strict=True)
        }, **{f"PhysicalSize{axis}Unit": "nm" for axis in "XYZ"}}},
    }  # fmt: skip
    for name, options in stacks.items():
        tifffile.imwrite(tmp_path / name, values, photometric="minisblack", **options)
        read = read_volume(tmp_path / name)
        assert_same(read, values)
        np.testing.assert_allclose(read.voxel_um, (0.5, 0.2, 0.25), rtol=1e-6)
    sizes = {f"PhysicalSize{axis}": 0.5 for axis in "XYZ"}
    for name, options in {
        "pixels.tif": {"imagej": True, "metadata": {"axes": "ZYX", "spacing": 2, "unit": "pixel"}},
        "flat.ome.tif": {"metadata": {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}},
        "sky.ome.tif": {"metadata": {"axes": "ZYX", "PhysicalSizeXUnit": "ly", **sizes}},
    }.items():
        tifffile.imwrite(tmp_path / name, values, photometric="minisblack", **options)
        assert read_volume(tmp_path / name).voxel_um is None


def test_the_attribute_of_fijis_plugin_gives_the_edges(values, tmp_path):
    with h5py.File(write_hdf5(tmp_path / "a.h5", values), "a") as file:
        file["exchange/data"].attrs["element_size_um"] = np.array([0.5, 0.2, 0.1], np.float32)
    np.testing.assert_allclose(read_volume(tmp_path / "a.h5").voxel_um, (0.5, 0.2, 0.1), rtol=1e-6)


@pytest.mark.parametrize(("on", "shift"), [("CellData", 0.0), ("PointData", 0.5)])
def test_arrays_of_a_vtk_image_lie_where_it_says(on, shift, values, tmp_path):
    with h5py.File(tmp_path / "a.vtkhdf", "w") as file:
        image = file.create_group("VTKHDF")
        image.attrs["Type"] = np.bytes_("ImageData")
        upper = [n - (on == "PointData") for n in (6, 5, 7)]
        image.attrs["WholeExtent"] = [2, 2 + upper[0], 0, upper[1], 0, upper[2]]
        image.attrs["Origin"], image.attrs["Spacing"] = [1.0, 2.0, 3.0], [0.1, 0.2, 0.4]
        image.create_group(on)["grey"] = values
    read = read_volume(tmp_path / "a.vtkhdf")
    assert_same(read, values)
    np.testing.assert_allclose(read.voxel_um, (0.4, 0.2, 0.1))
    np.testing.assert_allclose(
        read.origin_um, (1.2 - 0.1 * shift, 2 - 0.2 * shift, 3 - 0.4 * shift)
    )


def test_a_volume_with_several_names_is_one_and_answers_to_each(values, tmp_path):
    with h5py.File(write_hdf5(tmp_path / "a.h5", values), "a") as file:
        file["entry/data"] = file["exchange/data"]
        file["soft"] = h5py.SoftLink("/exchange/data")
    assert_same(read_volume(tmp_path / "a.h5"), values)
    for name in ("entry/data", "/exchange/data", "soft"):
        read = read_volume(tmp_path / "a.h5", dataset=name)
        assert_same(read, values)
        assert read.source.startswith(f"{tmp_path / 'a.h5'}:/")


def test_the_named_one_of_several_arrays_is_read(values, tmp_path):
    np.savez(tmp_path / "a.npz", a=values, b=values + 1)
    with h5py.File(write_hdf5(tmp_path / "a.h5", values), "a") as file:
        file["b"] = values + 1
    for name in ("a.npz", "a.h5"):
        assert_same(read_volume(tmp_path / name, dataset="b"), values + 1)


@pytest.mark.parametrize("shape", [(1, 7, 5, 6), (7, 5, 6, 1), (1, 1, 7, 1, 5, 6), (7, 1, 5, 6)])
def test_axes_of_one_voxel_are_dropped_from_more_than_three(shape, values, tmp_path):
    many = values.reshape(shape)
    np.save(tmp_path / "a.npy", many)
    np.savez(tmp_path / "a.npz", many)
    np.savez(tmp_path / "f.npz", np.asfortranarray(many))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", data=many, chunks=tuple(min(2, n) for n in shape))
    for name in ("a.npy", "a.npz", "f.npz", "a.h5"):
        assert_same(read_volume(tmp_path / name), values)
    np.save(tmp_path / "layer.npy", values[:1])
    assert_same(read_volume(tmp_path / "layer.npy"), values[:1])


def test_pages_that_were_written_one_by_one_are_one_stack(values, tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for image in values:
            file.write(image, photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert len(file.series) == 7
    assert_same(read_volume(tmp_path / "a.tif"), values)


def test_files_of_a_folder_are_in_the_order_of_their_numbers(values, tmp_path):
    folder = write_folder(tmp_path / "scan", values)  # 8, 9, 10, ...
    (folder / "log.txt").write_text("180 projections")
    (folder / ".slice_3.tif").write_text("a trace of another system")
    (folder / "previews").mkdir()
    assert sorted(p.name for p in folder.glob("slice_*"))[0] == "slice_10.tif"
    read = read_volume(folder)
    assert_same(read, values)
    assert read.source == f"{folder} (7 TIFF files)"
    for k in (9, 11, 13):
        (folder / f"slice_{k}.tif").unlink()
    assert_same(read_volume(folder), values[::2])


def test_what_would_be_read_is_known_before(values, tmp_path):
    for write in WRITERS.values():
        (folder := tmp_path / f"{len(list(tmp_path.iterdir()))}").mkdir()
        with open_volume(write(folder, values)) as found:
            assert (found.shape, found.dtype) == (values.shape, values.dtype)


def bad_files(folder, values):
    """Files and folders that are no volumes: name, stated, sentence."""
    save, tiff = np.save, tifffile.imwrite
    grey = {"photometric": "minisblack"}
    save(folder / "flat.npy", values[0])
    yield "flat.npy", {}, r"shape \(5, 6\), expected three axes z, y, x; one image is no volume"
    save(folder / "four.npy", np.stack([values] * 2))
    yield "four.npy", {}, r"shape \(2, 7, 5, 6\), expected three axes.*take one channel or time"
    save(folder / "none.npy", values[:0])
    yield "none.npy", {}, r"no voxel of shape \(0, 5, 6\), expected some"
    save(folder / "complex.npy", values * 1j)
    yield "complex.npy", {}, "values are of type complex128, expected whole numbers or fractions"
    save(folder / "records.npy", np.zeros((2, 2, 2), "i4,f4"))
    yield "records.npy", {}, r"values are of type .*expected whole numbers or fractions"
    save(folder / "object.npy", np.array([{}]), allow_pickle=True)
    yield "object.npy", {}, "cannot be read .*expected a file that numpy.save made"
    np.savez(folder / "object.npz", np.array([[[{}]]]), allow_pickle=True)
    yield "object.npz", {}, "holds 0 arrays of numbers with three axes, expected one: none"
    np.savez(folder / "two.npz", a=values, b=values)
    yield "two.npz", {}, r"holds 2 arrays .*name the dataset: a \(7, 5, 6\) uint16, b \(7, 5, 6\)"
    yield "two.npz", {"dataset": "c"}, r"holds no array 'c', expected one with three axes: a \(7"
    yield "two.npz", {"shape": (7, 5, 6)}, "for which no shape can be stated: leave it out"
    tiff(folder / "flat.tif", values[0], **grey)
    yield "flat.tif", {}, r"shape \(5, 6\), expected three axes z, y, x; one image is no volume"
    tiff(folder / "rgb.tif", np.zeros((7, 5, 6, 3), np.uint8), photometric="rgb")
    yield "rgb.tif", {}, r"in colour \(axes QYXS, shape \(7, 5, 6, 3\)\), expected one value"
    tiff(folder / "rgb1.tif", np.zeros((5, 6, 3), np.uint8), photometric="rgb")
    yield "rgb1.tif", {}, r"in colour \(axes YXS, .*convert it to grey"
    tiff(folder / "hyper.tif", np.stack([values] * 2, 1), imagej=True, metadata={"axes": "ZCYX"})
    yield "hyper.tif", {}, r"shape \(7, 2, 5, 6\), expected three axes.*take one channel or time"
    tiff(folder / "mixed.tif", values, **grey)
    tiff(folder / "mixed.tif", values[0, :3], append=True, **grey)
    yield "mixed.tif", {}, r"image of shape \(3, 6\) and type uint16, .*one of \(7, 5, 6\).*alike"
    yield "flat.tif", {"dtype": "u2"}, "is a stack of TIFF images, for which no dtype can be stated"
    (folder / "text.tif").write_text("no image")
    yield "text.tif", {}, "cannot be read .*expected a stack of TIFF images"
    write_hdf5(folder / "two.h5", values)
    with h5py.File(folder / "two.h5", "a") as file:
        file["other"] = values.astype(float)
        file["complex"] = values * 1j
        file["four"] = np.stack([values] * 2)
    listed = r"/exchange/data \(7, 5, 6\) uint16, /other \(7, 5, 6\) float64$"
    yield "two.h5", {}, rf"holds 2 arrays of numbers .*expected one; name the dataset: {listed}"
    yield "two.h5", {"dataset": "/none"}, rf"holds no array '/none', expected one .*: {listed}"
    yield "two.h5", {"dataset": "exchange"}, rf"holds no array 'exchange', expected .*: {listed}"
    yield "two.h5", {"dataset": "flat"}, r"two.h5:/flat: the array has shape \(5, 6\), expected"
    yield "two.h5", {"dataset": "complex"}, "type complex128, expected whole numbers or fractions"
    yield "two.h5", {"dataset": "four"}, "take one channel or time"
    write_hdf5(folder / "zero.h5", values)
    with h5py.File(folder / "zero.h5", "a") as file:
        file["exchange/data"].attrs["element_size_um"] = [0.1, 0.0, 0.1]
    yield "zero.h5", {}, r"says that voxels are \[0.1, 0.0, 0.1\], expected positive lengths"
    for engine in ("netcdf4", "scipy"):
        data, name = dataset(values.astype(np.int16)), f"uneven-{engine}.nc"
        uneven = data.assign_coords(y=("y", np.arange(5.0) ** 2, {"units": "um"}))
        uneven.to_netcdf(folder / name, engine=engine)
        yield (
            name,
            {},
            "coordinates y from 0 to 16 that do not rise in equal steps, expected voxels",
        )
        data.isel(y=slice(None, None, -1)).to_netcdf(folder / f"down-{name}", engine=engine)
        yield f"down-{name}", {}, "y from 5 to 3 that do not rise .*turn the axis round"
    for name in ("text.h5", "text.nc", "text.npy", "text.npz"):
        (folder / name).write_text("neither numbers nor names of numbers")
        yield name, {}, f"cannot be read .*expected {FORMATS[Path(name).suffix].name}"
    for suffix in FORMATS:
        (folder / f"empty{suffix}").write_bytes(b"")
        yield f"empty{suffix}", {}, f"is empty, expected {FORMATS[suffix].name}; copy or export it"
        yield f"missing{suffix}", {}, f"is not a file, expected {FORMATS[suffix].name}"
    yield "missing", {}, "has the suffix '', expected a folder or one of"
    yield "a.png", {}, r"has the suffix '.png', expected a folder or one of \['.tif', '.tiff'"
    yield from bad_raw_files(folder, values)
    yield from bad_folders(folder, values)


def bad_raw_files(folder, values):
    values.tofile(folder / "a.raw")
    stated = {"shape": (7, 5, 6), "dtype": "uint16"}
    yield "a.raw", {}, "does not say its shape and type; state both, the shape as z, y, x"
    yield "a.raw", {"shape": (7, 5, 6)}, "does not say its shape and type; state both"
    yield (
        "a.raw",
        {**stated, "shape": (7, 5)},
        r"shape is \(7, 5\), expected three positive lengths",
    )
    yield "a.raw", {**stated, "shape": (7, 5, -6)}, "expected three positive lengths"
    yield "a.raw", {**stated, "dtype": "gray"}, "type is 'gray', expected one of .*'uint8', 'int8'"
    yield "a.raw", {**stated, "dtype": "complex64"}, "type is 'complex64', expected one of"
    yield (
        "a.raw",
        {**stated, "dtype": "float32"},
        (
            r"has 420 bytes, expected 840 for 7 x 5 x 6 \(z, y, x\) of float32; "
            "it fits uint16 or int16$"
        ),
    )
    yield (
        "a.raw",
        {**stated, "shape": (7, 5, 5)},
        ("has 420 bytes, expected 350 for 7 x 5 x 5 .*; correct the shape, or cut off a header"),
    )
    yield (
        "a.raw",
        {**stated, "dataset": "a"},
        "is a raw file of numbers, for which no dataset can be stated",
    )


def bad_folders(folder, values):
    (folder / "no-images").mkdir()
    (folder / "no-images" / "log.txt").write_text("180 projections")
    yield "no-images", {}, "holds no .tif or .tiff file, expected one for each layer"
    write_folder(folder / "gap", values)
    (folder / "gap/slice_10.tif").unlink()
    yield "gap", {}, "goes from slice_9.tif to slice_11.tif, expected one number .*equal steps"
    write_folder(folder / "preview", values)
    (folder / "preview/slice_9.tif").rename(folder / "preview/overview_9.tif")
    yield "preview", {}, "overview_9.tif.*expected names that differ by a number only"
    write_folder(folder / "two", values[:2])
    (folder / "two/slice_9.tif").rename(folder / "two/slice_8.tiff")
    yield "two", {}, "holds slice_8.tif.* and slice_8.tif.*, expected names that differ by a number"
    tifffile.imwrite(write_folder(folder / "shape", values) / "slice_9.tif", values[0, 1:])
    yield "shape", {}, r"slice_9.tif has an image of shape \(4, 6\).*slice_8.tif one of \(5, 6\)"
    tifffile.imwrite(write_folder(folder / "type", values) / "slice_9.tif", values[0].astype("i4"))
    yield "type", {}, r"slice_9.tif has an image of .*type int32, .* of \(5, 6\) and uint16"
    tifffile.imwrite(
        write_folder(folder / "pages", values) / "slice_9.tif", values, photometric="minisblack"
    )
    yield "pages", {}, "slice_9.tif has 7 pages, expected one in each file of a folder"
    (write_folder(folder / "text", values) / "slice_9.tif").write_text("no image")
    yield "text", {}, "slice_9.tif cannot be read .*expected a stack of TIFF images"
    yield (
        "pages",
        {"shape": (7, 5, 6)},
        "is a folder of TIFF images, for which no shape can be stated",
    )


def test_what_is_no_volume_is_refused_in_one_sentence(values, tmp_path):
    for name, stated, message in bad_files(tmp_path, values):
        with pytest.raises(VolumeFileError, match=message) as raised:
            read_volume(tmp_path / name, **stated)
        assert str(tmp_path / name) in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_damaged_header_of_numpy_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4)))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole.replace(b", }", b", ("))
    with pytest.raises(VolumeFileError, match="expected a file that numpy"):
        read_volume(tmp_path / "a.npy")


@pytest.mark.parametrize("part", [0.99, 0.7, 0.3, 0.02])
@pytest.mark.parametrize("writer", [*WRITERS, "netcdf4", "scipy"])
def test_files_that_were_cut_off_are_refused(writer, part, tmp_path):
    values = np.random.default_rng(0).integers(0, 99, (20, 30, 40)).astype(np.int16)
    if writer in WRITERS:
        path = WRITERS[writer](tmp_path, values)
    else:
        path = write_netcdf(tmp_path / "a.nc", values, engine=writer)
    if path.is_dir():
        path = path / "slice_11.tif"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(VolumeFileError):
        read_volume(path if path.parent == tmp_path else path.parent)


@pytest.mark.parametrize("part", [0.999, 0.7, 0.3])
@pytest.mark.parametrize(
    "options",
    [{}, {"metadata": None}, {"imagej": True}, {"compression": "zlib"}, {"ome": True}],
    ids=str,
)
def test_stacks_whose_last_pages_are_lost_are_refused(options, part, tmp_path):
    values = np.random.default_rng(0).integers(0, 99, (20, 30, 40)).astype(np.int16)
    tifffile.imwrite(tmp_path / "a.tif", values.astype("u2"), photometric="minisblack", **options)
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[: int(part * len(whole))])
    try:
        read = read_volume(tmp_path / "a.tif")
    except VolumeFileError:
        return
    assert_same(read, values.astype("u2"))  # what OME writes after the last page can be lost


def with_tag(path, tag, value):
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags[tag].overwrite(value)
    return path


@pytest.mark.parametrize(
    ("form", "damaged"),
    [
        ("tif", lambda path: with_tag(path, "ImageWidth", 0)),
        ("tif", lambda path: with_tag(path, "BitsPerSample", 0)),
        ("npy", lambda path: path.write_bytes(path.read_bytes().replace(b"5, 6)", b"5, 6("))),
    ],
)
def test_headers_that_libraries_stumble_over_are_refused(form, damaged, values, tmp_path):
    path = WRITERS[form](tmp_path, values)
    damaged(path)
    with pytest.raises(
        VolumeFileError, match=rf"a.{form} cannot be read \(.+\); expected "
    ) as found:
        read_volume(path)
    assert "\n" not in str(found.value)


def test_an_axis_of_negative_length_is_refused(values, tmp_path):
    np.save(tmp_path / "a.npy", values)
    header = (tmp_path / "a.npy").read_bytes().replace(b"(7, 5,", b"(-7,5,")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", header)
    with pytest.raises(VolumeFileError, match=r"there is no voxel of shape \(-7, 5, 6\)"):
        read_volume(tmp_path / "a.npz")


def damage(raw, rng):
    """The bytes cut off, or with a few changed, most often at the beginning, or some taken out."""
    raw, at = bytearray(raw), int(rng.integers(len(raw)))
    match rng.integers(4):
        case 0:
            del raw[at:]
        case 1:
            del raw[at : at + 4]
        case _:
            for k in rng.integers(min(len(raw), 400), size=3):
                raw[k] = rng.choice([0, 255, raw[k] ^ (1 << rng.integers(8))])
    return bytes(raw)


@pytest.mark.filterwarnings("ignore")  # libraries warn of what they then refuse
@pytest.mark.parametrize(
    "writer", [*(name for name in WRITERS if name != "folder"), "netcdf4", "scipy"]
)
def test_whatever_is_damaged_a_file_is_read_or_refused_in_one_sentence(writer, values, tmp_path):
    if writer in WRITERS:
        path = WRITERS[writer](tmp_path, values)
    else:
        path = write_netcdf(tmp_path / "a.nc", values.astype(np.int16), engine=writer)
    whole, rng, told = path.read_bytes(), np.random.default_rng(1), []
    for _ in range(60):
        path.write_bytes(damage(whole, rng))
        try:
            read_volume(path)
        except VolumeFileError as error:
            told.append(str(error))
    assert len(told) > 10
    assert not any("\n" in text for text in told)


def test_tiff_without_tifffile_names_what_to_install(values, tmp_path, monkeypatch):
    for path in (WRITERS["tif"](tmp_path, values), write_folder(tmp_path / "folder", values)):
        monkeypatch.setitem(sys.modules, "tifffile", None)
        with pytest.raises(VolumeFileError, match=re.escape(install_command("fit"))):
            read_volume(path)
        monkeypatch.undo()


def test_volumes_beyond_the_memory_are_refused_before_they_are_read(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "big.h5", "w") as file:
        file.create_dataset("a", (100_000, 100_000, 1000), "i4", chunks=(64, 64, 64))
    with pytest.raises(VolumeFileError, match=r"shape \(100000, .* takes 4e.04 GB of memory"):
        read_volume(tmp_path / "big.h5")
    values = np.zeros((7, 5, 6), np.uint16)
    monkeypatch.setattr(volumes, "available_memory", lambda: 419.0)
    for k, write in enumerate(WRITERS.values()):
        (tmp_path / str(k)).mkdir()
        with pytest.raises(VolumeFileError, match=r"takes 4.2e-07 GB of memory; expected at most"):
            read_volume(write(tmp_path / str(k), values))


@pytest.mark.parametrize("writer", [*WRITERS, "raw", "yxz netcdf4", "xyz scipy"])
def test_memory_holds_the_volume_once_and_a_block(writer, tmp_path, monkeypatch):
    for module in (volumes, array_volumes):
        monkeypatch.setattr(module, "BLOCK_BYTES", 250_000)
    values = np.random.default_rng(0).integers(0, 99, (100, 200, 250)).astype(">i2")
    stated = {}
    if writer == "raw":
        values.tofile(path := tmp_path / "a.raw")
        stated = {"shape": values.shape, "dtype": ">i2"}
    elif writer in WRITERS:
        path = WRITERS[writer](tmp_path, values)
    else:
        path = write_netcdf(tmp_path / "a.nc", values, *writer.split())
    read_volume(path, **stated)  # what is imported on the way
    tracemalloc.start()
    read = read_volume(path, **stated)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert_same(read, values)
    assert values.nbytes < peak < values.nbytes + 5 * volumes.BLOCK_BYTES


def write_image(path, image):
    if path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, image, photometric="minisblack")
    elif path.suffix == ".png":
        Image.fromarray(image).save(path)
    elif path.suffix == ".npy":
        np.save(path, np.asfortranarray(image))
    elif path.suffix == ".npz":
        np.savez_compressed(path, image=np.asfortranarray(image), volume=np.zeros((2, 3, 4)))
    else:
        with h5py.File(path, "w") as file:
            file["labels/image"] = image
            file["volume"] = np.zeros((2, 3, 4))
    return path


@pytest.mark.parametrize("suffix", IMAGES)
def test_an_image_is_a_volume_of_one_layer(tmp_path, values, suffix):
    assert_same(read_image(write_image(tmp_path / f"image{suffix}", values[0])), values[:1])


def test_a_png_with_a_palette_gives_its_indices(tmp_path, values):
    image = Image.fromarray(values[0].astype(np.uint8), "L").convert("P")
    image.putdata(values[0].ravel().tolist())
    image.putpalette(list(np.random.default_rng(1).integers(0, 256, 768)))
    image.save(tmp_path / "labels.png")
    assert_same(read_image(tmp_path / "labels.png"), values[:1].astype(np.uint8))


def test_a_file_without_one_image_is_refused(tmp_path, values):
    path = tmp_path / "image.npy"
    np.save(path, values)
    with pytest.raises(VolumeFileError, match=r"shape \(7, 5, 6\), expected the two axes y, x"):
        read_image(path)
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["a"], file["b"] = values[0], values[1]
    with pytest.raises(VolumeFileError, match=r"2 arrays of numbers with two axes, .*: /a .5, 6."):
        read_image(tmp_path / "two.h5")
    np.testing.assert_array_equal(
        read_image(tmp_path / "two.h5", dataset="/b").values[0], values[1]
    )
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "colour.png")
    with pytest.raises(VolumeFileError, match=r"is in colour \(bands R, G, B\)"):
        read_image(tmp_path / "colour.png")
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((4, 5, 3), np.uint8), photometric="rgb")
    with pytest.raises(VolumeFileError, match="is in colour"):
        read_image(tmp_path / "c.tif")
    (tmp_path / "cut.png").write_bytes((tmp_path / "colour.png").read_bytes()[:30])
    with pytest.raises(VolumeFileError, match=r"cut.png cannot be read .*expected a PNG image"):
        read_image(tmp_path / "cut.png")
    with pytest.raises(VolumeFileError, match=r"suffix '.raw', expected one of"):
        read_image(tmp_path / "image.raw")
