import h5py
import numpy as np
import pytest
import xarray

from cathodegrain.exporters.products import grain_table, particle_folder, voxels
from cathodegrain.generator.errors import ExportError
from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import label_slab
from cathodegrain.generator.voxels.morphology import grain_morphology


@pytest.fixture(scope="module")
def table(tiny_particle, tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "grain_table.h5"
    return grain_table.write(tiny_particle, path, pitch_um=0.05)


def test_what_is_read_is_the_morphology_of_the_voxels(tiny_particle, table):
    grid = Grid.around(tiny_particle.shell.radius_bounds[1], 0.05)
    z, y, x = np.meshgrid(grid.axis("z"), grid.axis("y"), grid.axis("x"), indexing="ij")
    labels = tiny_particle.grain_at(np.stack([x, y, z], axis=-1))
    expected = grain_morphology(labels, grid, tiny_particle.n_grains)
    found = grain_table.read(table)
    assert (found.particle_id, found.pitch_um) == (tiny_particle.id, 0.05)
    for name in vars(expected):
        np.testing.assert_array_equal(getattr(found.morphology, name), getattr(expected, name))


def test_volumes_agree_with_those_of_the_voxel_file(tiny_particle, table, tmp_path):
    path = voxels.write(tiny_particle, tmp_path / "voxels.vtkhdf", pitch_um=0.05)
    with xarray.open_dataset(path) as grid, xarray.open_dataset(table) as grains:
        np.testing.assert_array_equal(grid.grain_volume, grains.grain_volume)
        assert grains.grain_volume.units == "um^3"
        assert grains.grain_centroid.dims == ("grain", "component")


def test_equal_particles_give_equal_bytes(tiny_particle, table, tmp_path):
    again = grain_table.write(tiny_particle, tmp_path / "grain_table.h5", pitch_um=0.05)
    assert again.read_bytes() == table.read_bytes()


def test_a_command_labels_once_for_voxels_and_table_of_one_pitch(
    tiny_particle, table, tmp_path, monkeypatch
):
    labelled = []

    def counting(particle, grid, *layers, **given):
        labelled.append(grid.spacing)
        return label_slab(particle, grid, *layers, **given)

    monkeypatch.setattr(voxels, "read", lambda _: pytest.fail("read back"))
    folder = particle_folder.create(tiny_particle, tmp_path)
    with particle_folder.opened(folder, label=counting) as opened:
        opened.write("voxels", {"pitch_um": 0.05})
        opened.write("grain-table", {"pitch_um": 0.05})
    assert labelled == [0.05]
    assert (folder / "grain_table.h5").read_bytes() == table.read_bytes()
    with particle_folder.opened(folder, label=counting) as opened:
        opened.write("voxels", {"pitch_um": 0.1}, overwrite=True)
        opened.write("grain-table", {"pitch_um": 0.05}, overwrite=True)
    assert labelled == [0.05, 0.1, 0.05]
    assert (folder / "grain_table.h5").read_bytes() == table.read_bytes()


@pytest.mark.parametrize("product", [grain_table, voxels])
def test_the_bytes_do_not_depend_on_when_python_closes_the_datasets(
    product, tiny_particle, tmp_path, monkeypatch
):
    product.write(tiny_particle, tmp_path / "a.h5", pitch_um=0.1)
    kept = []  # as a profiler does that keeps frames

    def keeping(own):
        return lambda *args, **options: kept.append(own(*args, **options)) or kept[-1]

    for name in ("create_dataset", "__getitem__"):
        monkeypatch.setattr(h5py.Group, name, keeping(getattr(h5py.Group, name)))
    product.write(tiny_particle, tmp_path / "b.h5", pitch_um=0.1)
    assert len(kept) > 5
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_files_that_are_no_table_are_said(tmp_path, table):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["schema"] = np.bytes_(b"cathodegrain/recipe")
    (tmp_path / "cut.h5").write_bytes(table.read_bytes()[:-500])
    for name in ("other.h5", "cut.h5", "none.h5"):
        with pytest.raises(ExportError, match="not a readable table of grains"):
            grain_table.read(tmp_path / name)


@pytest.mark.parametrize("spacing", [-1.0, 0.0, float("nan"), 50.0])
def test_a_spacing_without_voxels_is_refused(tiny_particle, tmp_path, spacing):
    with pytest.raises(ExportError, match="spacing"):
        grain_table.write(tiny_particle, tmp_path / "grain_table.h5", pitch_um=spacing)
    assert not list(tmp_path.iterdir())
