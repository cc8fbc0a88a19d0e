import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import xarray

from cathodegrain.exporters.commands.particles import info
from cathodegrain.exporters.files import provenance as software
from cathodegrain.exporters.particles import recipe
from cathodegrain.exporters.products import particle_folder
from cathodegrain.generator.errors import GenerationError, RecipeError
from cathodegrain.generator.generate import generate_particle, regenerate
from cathodegrain.generator.grains.tessellation import Tessellation
from cathodegrain.generator.shell import shell as shell_module
from cathodegrain.generator.streams import DRAWS
from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import label_grid


@pytest.fixture(scope="module")
def oriented(small_particle):
    return regenerate(small_particle, {"orientations.model": "radial"})


@pytest.fixture
def path(oriented, tmp_path):
    return recipe.write(oriented, tmp_path / "recipe.h5")


def test_recipe_gives_back_the_particle(oriented, path):
    again = recipe.read(path)
    for name in ("seeds", "matrices", "offsets"):
        np.testing.assert_array_equal(
            getattr(again.tessellation, name), getattr(oriented.tessellation, name)
        )
    for name in ("diagonals", "angles", "origin", "orientations"):
        np.testing.assert_array_equal(getattr(again, name), getattr(oriented, name))
    np.testing.assert_array_equal(again.shell.coefficients, oriented.shell.coefficients)
    np.testing.assert_array_equal(again.shell.table, oriented.shell.table)
    assert again.tessellation.metric == oriented.tessellation.metric
    assert recipe.provenance_fields(again.provenance) == recipe.provenance_fields(
        oriented.provenance
    )


def test_recipe_gives_the_same_labels(oriented, path):
    grid = Grid.around(oriented.shell.radius_bounds[1], 0.1)
    np.testing.assert_array_equal(label_grid(recipe.read(path), grid), label_grid(oriented, grid))


def test_equal_particles_are_equal_files(oriented, path, tmp_path):
    other = recipe.write(oriented, tmp_path / "other.h5")
    assert other.read_bytes() == path.read_bytes()
    assert recipe.write(recipe.read(path), tmp_path / "again.h5").read_bytes() == path.read_bytes()


def test_files_of_a_particle_do_not_depend_on_the_version(tiny_particle, tmp_path, monkeypatch):
    def written(folder):
        particle_folder.create(tiny_particle, folder)
        for name in ("voxels", "grain-table", "voxels-vti"):
            particle_folder.add(folder / "p000000", name, pitch_um=0.1)
        for name in ("mesh", "mesh-vtkhdf", "surfaces", "interfaces", "calculix"):
            particle_folder.add(folder / "p000000", name, size_um=0.3)
        return {
            path.relative_to(folder): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and path.name != "particle.json"
        }

    before = written(tmp_path / "before")
    monkeypatch.setattr(software, "version", lambda package: "99.0")
    assert written(tmp_path / "after") == before
    after = tmp_path / "after/p000000/particle.json"
    assert json.loads(after.read_text())["provenance"]["generator"] == "cathodegrain 99.0"
    assert json.loads(after.read_text())["provenance"]["draws"] == DRAWS


def test_a_recipe_of_version_0_1_0_has_no_number_of_draws(oriented, path):
    with h5py.File(path, "a") as file:
        fields = json.loads(file["provenance/json"][()])
        assert fields.pop("draws") == DRAWS
        del file["provenance/json"]
        file["provenance/json"] = np.bytes_(json.dumps(fields).encode())
    old = recipe.read(path)
    assert old.provenance.draws is None
    np.testing.assert_array_equal(old.tessellation.seeds, oriented.tessellation.seeds)


@pytest.fixture
def of_version_0_2_0(tiny_particle, monkeypatch):
    """`tiny_particle` with the rows that 0.2.0 kept: some own no point."""
    source = tiny_particle.provenance
    with monkeypatch.context() as patch:
        patch.setattr(Tessellation, "owning", lambda self, *_, **__: np.arange(len(self)))
        whole = generate_particle(source.card, source.seed)
    return replace(whole, provenance=replace(whole.provenance, draws=5))


def test_a_recipe_of_version_0_2_0_with_rows_without_volume_is_read(
    of_version_0_2_0, tiny_particle, tmp_path, capsys
):
    old = of_version_0_2_0
    folder = particle_folder.create(old, tmp_path)
    again = recipe.read(folder / "recipe.h5")
    assert again.n_grains == old.n_grains > tiny_particle.n_grains
    np.testing.assert_array_equal(again.origin, old.origin)
    grid = Grid.around(old.shell.radius_bounds[1], 0.05)
    found, expected = label_grid(again, grid), label_grid(tiny_particle, grid)
    np.testing.assert_array_equal(found > 0, expected > 0)
    inside = found > 0
    np.testing.assert_array_equal(
        again.origin[found[inside] - 1], tiny_particle.origin[expected[inside] - 1]
    )
    info(folder)
    said = f"{old.n_grains}, some of them without volume (made before version 0.3)"
    assert said in capsys.readouterr().out
    with pytest.raises(GenerationError, match=rf"is of draws 5, this program has draws {DRAWS}"):
        regenerate(again, {"grains.elongation": 1.5})


@pytest.mark.parametrize("engine", [None, "h5netcdf", "netcdf4"])
def test_recipe_opens_with_xarray(oriented, path, engine):
    with xarray.open_dataset(path, engine=engine) as data:
        assert data.grain_seed.dims == ("grain", "component")
        np.testing.assert_array_equal(data.grain.values, np.arange(1, oriented.n_grains + 1))
        np.testing.assert_array_equal(data.grain_seed.values, oriented.tessellation.seeds)
        third = oriented.tessellation.offsets[2]
        assert float(data.grain_offset.sel(grain=3)) == third


def test_every_variable_has_units_that_udunits_and_pint_agree_on(path):
    known = {"um", "um^-2", "1", "rad"}
    with h5py.File(path) as file:
        variables = [d for d in file.values() if isinstance(d, h5py.Dataset) and not d.is_scale]
        assert len(variables) == 8
        for dataset in variables:
            assert dataset.attrs["units"].decode() in known
            assert dataset.attrs["long_name"]


def test_a_truncated_recipe_is_one_sentence(path):
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(RecipeError, match=r"recipe\.h5 is not a readable recipe"):
        recipe.read(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89HDF\r\n\x1a\n" + b"\0" * 100])
def test_other_files_are_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(RecipeError, match="is not a readable recipe"):
        recipe.read(path)


def test_another_kind_of_hdf5_file_is_named(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["a"] = 1
    with pytest.raises(RecipeError, match="holds 'nothing', expected 'cathodegrain/recipe'"):
        recipe.read(path)


@pytest.mark.parametrize("value", [np.nan, -1e9])
def test_damaged_numbers_are_refused(path, value):
    with h5py.File(path, "r+") as file:
        file["grain_metric"][3, 0] = value
    with pytest.raises(RecipeError, match="is not a readable recipe"):
        recipe.read(path)


def test_missing_variable_is_refused(path):
    with h5py.File(path, "r+") as file:
        del file["grain_offset"]
    with pytest.raises(RecipeError, match="grain_offset"):
        recipe.read(path)


def test_a_shell_that_is_not_positive_everywhere_is_refused(path):
    with h5py.File(path, "r+") as file:
        file["shell_coefficient"][2] = -2 * file["shell_coefficient"][0]  # a dent along +z
    with pytest.raises(RecipeError, match=r"shell_coefficient: the radius .* is -.* um"):
        recipe.read(path)


def test_reading_proves_no_bounds_that_the_recipe_has(oriented, path, monkeypatch):
    for name in ("radius_bounds", "steepest"):
        monkeypatch.setattr(shell_module, name, lambda *_: pytest.fail("proven again"))
    np.testing.assert_array_equal(recipe.read(path).shell.table, oriented.shell.table)


def test_bounds_that_an_older_recipe_does_not_have_are_proven(oriented, path):
    with h5py.File(path, "r+") as file:
        for name in ("radius_bounds", "gradient_bound"):
            del file["shell_coefficient"].attrs[name]
    np.testing.assert_array_equal(recipe.read(path).shell.table, oriented.shell.table)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("radius_bounds", [1.5, 1.8], "lower bound of the radius is 1.5 um, expected"),
        ("radius_bounds", [-9, 1.8], "lower bound of the radius is -9 um, expected"),
        ("radius_bounds", [0.8, 1.2], "upper bound of the radius is 1.2 um, expected"),
        ("radius_bounds", [0.8, 1e6], r"upper bound of the radius is 1e\+06 um, expected"),
        ("radius_bounds", [0.8, np.nan], "upper bound of the radius is nan um, expected"),
        ("radius_bounds", [1.1], "not enough values"),
        ("gradient_bound", 0.1, "bound of its gradient is 0.1 um, expected"),
        ("gradient_bound", np.inf, "bound of its gradient is inf um, expected"),
        ("gradient_bound", b"steep", "is not a readable recipe"),
    ],
)
def test_bounds_that_the_coefficients_contradict_are_refused(path, name, value, told):
    with h5py.File(path, "r+") as file:
        file["shell_coefficient"].attrs[name] = value
    with pytest.raises(RecipeError, match=told):
        recipe.read(path)
