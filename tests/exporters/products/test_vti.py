import base64
import tracemalloc
import zlib
from collections import namedtuple

import numpy as np
import pytest

from cathodegrain.exporters.products import voxels, vti
from cathodegrain.generator.errors import ExportError
from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import label_grid

SPACING = 0.03  # um: more than one slab of 64 layers, and no multiple of it

Written = namedtuple("Written", "particle path grid labels")


@pytest.fixture(scope="module")
def written(small_particle, tmp_path_factory):
    path = tmp_path_factory.mktemp("voxels-vti") / "voxels.vti"
    assert vti.write(small_particle, path, pitch_um=SPACING) == path
    grid = Grid.around(small_particle.shell.radius_bounds[1], SPACING)
    return Written(small_particle, path, grid, label_grid(small_particle, grid))


def image_of(path):
    from vtkmodules.vtkIOXML import vtkXMLImageDataReader

    reader = vtkXMLImageDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    assert reader.GetErrorCode() == 0
    return reader.GetOutput()


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_vtk_reads_the_labels_with_x_fastest(written):
    from vtkmodules.util.numpy_support import vtk_to_numpy

    image = image_of(written.path)
    assert image.GetDimensions() == tuple(n + 1 for n in reversed(written.grid.shape))
    material = image.GetCellData().GetArray("material")
    assert image.GetCellData().GetScalars().GetName() == "material"
    assert material.GetDataTypeAsString() == "int"
    np.testing.assert_array_equal(vtk_to_numpy(material), written.labels.ravel())


@pytest.mark.parametrize(("unit", "um"), [("m", 1e6), ("um", 1.0)])
def test_cells_lie_where_the_grains_are(small_particle, tmp_path, rng, unit, um):
    path = vti.write(small_particle, tmp_path / "voxels.vti", pitch_um=0.1, unit=unit)
    image = image_of(path)
    material = image.GetCellData().GetArray("material")
    cells = rng.integers(0, image.GetNumberOfCells(), 300)
    bounds = np.array([image.GetCell(int(k)).GetBounds() for k in cells]).reshape(-1, 3, 2)
    expected = small_particle.grain_at(um * bounds.mean(axis=2))
    assert len(np.unique(expected)) > 10
    assert [material.GetValue(int(k)) for k in cells] == expected.tolist()


def test_lengths_are_metres_and_the_file_says_so(written):
    image = image_of(written.path)
    assert image.GetSpacing() == pytest.approx((SPACING * 1e-6,) * 3)
    assert image.GetOrigin() == pytest.approx(tuple(x * 1e-6 for x in written.grid.origin))
    comments = image.GetFieldData().GetAbstractArray("comments")
    assert comments.GetValue(0) == "length unit: m"
    assert written.particle.id in comments.GetValue(1)


@pytest.mark.parametrize("unit", ["m", "um"])
def test_reading_gives_back_labels_and_grid_in_micrometres(small_particle, tmp_path, unit):
    path = vti.write(small_particle, tmp_path / "voxels.vti", pitch_um=0.1, unit=unit)
    found = vti.read(path)
    grid = voxels.plan(small_particle, 0.1).grid
    np.testing.assert_array_equal(found.labels, label_grid(small_particle, grid))
    assert found.labels.dtype == np.int32
    assert found.grid.shape == grid.shape
    assert found.grid.spacing == pytest.approx(grid.spacing, rel=1e-12)
    assert found.grid.origin == pytest.approx(grid.origin, rel=1e-12)


def test_a_reader_of_lines_finds_the_array(written):
    """As DAMASK's grid solver looks for it: inline, on the line below its tag."""
    lines = written.path.read_text("ascii").split("\n")
    extent = " ".join(f"0 {n}" for n in reversed(written.grid.shape))
    assert any("<ImageData" in line and f'WholeExtent="{extent}"' in line for line in lines)
    assert any("<VTKFile" in line and "vtkZLibDataCompressor" in line for line in lines)
    (tag,) = (k for k, line in enumerate(lines) if "<DataArray" in line)
    assert all(text in lines[tag] for text in ('Name="material"', 'format="binary"', '"Int32"'))
    text = lines[tag + 1].strip()
    n_blocks = int.from_bytes(base64.b64decode(text[:12])[:8], "little")
    header = -(-8 * (3 + n_blocks) // 3) * 4
    _, block, rest, *sizes = np.frombuffer(base64.b64decode(text[:header]), "<u8").tolist()
    assert (len(sizes), rest) == (n_blocks, 0)
    data, parts = base64.b64decode(text[header:], validate=True), []
    for size in sizes:
        parts.append(zlib.decompress(data[:size]))
        data = data[size:]
    assert {len(part) for part in parts} == {block}
    assert data == b""
    np.testing.assert_array_equal(np.frombuffer(b"".join(parts), "<i4"), written.labels.ravel())


def test_equal_particles_are_equal_files(written, tmp_path):
    again = vti.write(written.particle, tmp_path / "again.vti", pitch_um=SPACING)
    assert again.read_bytes() == written.path.read_bytes()


def test_writing_leaves_the_particle_as_it_was(small_particle, tmp_path):
    grains = small_particle.tessellation
    before = [array.copy() for array in (grains.seeds, grains.matrices, grains.offsets)]
    vti.write(small_particle, tmp_path / "voxels.vti", pitch_um=0.2)
    for array, copy in zip((grains.seeds, grains.matrices, grains.offsets), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_memory_is_that_of_a_slab(small_particle, tmp_path):
    needed = voxels.plan(small_particle, 0.015)
    assert needed.voxels * 4 > 2 * needed.memory_bytes
    vti.write(small_particle, tmp_path / "voxels.vti", pitch_um=0.4)  # caches filled
    tracemalloc.start()
    try:
        vti.write(small_particle, tmp_path / "voxels.vti", pitch_um=0.015)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < needed.memory_bytes


def test_progress_counts_the_layers(small_particle, tmp_path):
    calls = []
    vti.write(
        small_particle,
        tmp_path / "voxels.vti",
        pitch_um=SPACING,
        progress=lambda message, part: calls.append(part),
    )
    layers = voxels.plan(small_particle, SPACING).shape[0]
    assert calls == [64 / layers, 1.0]


def test_an_interrupted_export_leaves_the_old_file(small_particle, tmp_path):
    path = tmp_path / "voxels.vti"
    path.write_text("old")

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vti.write(small_particle, path, pitch_um=0.1, progress=interrupt)
    assert names(tmp_path) == ["voxels.vti"]
    assert path.read_text() == "old"


def test_an_unknown_unit_is_refused(small_particle, tmp_path):
    with pytest.raises(ExportError, match=r"unit is 'mm', expected one of \['m', 'um'\]"):
        vti.write(small_particle, tmp_path / "voxels.vti", unit="mm")


@pytest.mark.parametrize(("spacing", "message"), [
    (-1.0, "expected a positive"), (50.0, "no voxel centre"), (1e-7, "B of memory and about"),
])  # fmt: skip
def test_a_spacing_that_makes_no_image_is_refused(small_particle, tmp_path, spacing, message):
    with pytest.raises(ExportError, match=message):
        vti.write(small_particle, tmp_path / "voxels.vti", pitch_um=spacing)
    assert names(tmp_path) == []


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.5, 0.99])
def test_a_truncated_file_is_reported_in_one_sentence(written, tmp_path, fraction):
    data = written.path.read_bytes()
    path = tmp_path / "voxels.vti"
    path.write_bytes(data[: int(fraction * len(data))])
    with pytest.raises(ExportError, match="is not a readable voxel file") as caught:
        vti.read(path)
    assert "\n" not in str(caught.value)


def test_a_damaged_block_is_reported(written, tmp_path):
    data = bytearray(written.path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = b"A" * 400
    path = tmp_path / "voxels.vti"
    path.write_bytes(data)
    with pytest.raises(ExportError, match="is not a readable voxel file"):
        vti.read(path)


def test_other_files_are_no_voxel_files(tmp_path):
    path = tmp_path / "voxels.vti"
    path.write_text("<VTKFile><PolyData/></VTKFile>")
    for name in (path, tmp_path / "missing"):
        with pytest.raises(ExportError, match="is not a readable voxel file"):
            vti.read(name)
