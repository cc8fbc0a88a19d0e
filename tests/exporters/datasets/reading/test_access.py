import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cathodegrain import open_dataset
from cathodegrain.exporters.datasets.reading.selection import selected
from cathodegrain.exporters.datasets.sharing.pack import pack, plan
from cathodegrain.exporters.products.particle_folder import load
from cathodegrain.exporters.products.voxels import read
from cathodegrain.generator.errors import CathodegrainError, DatasetError, RecipeError
from places import HELPERS
from small_datasets import make_dataset
from web_server import serving

INDEX = pd.DataFrame({
    "id": ["p000000", "p000001", "p000002"],
    "diameter_um": [7.5, 8.5, np.nan],
    "n_grains": [10, 20, 30],
    "parent": [None, "p000000", "p000001"],
    "complete": [True, False, True],
})  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("a dataset ä") / "tiny")


@pytest.fixture(scope="module")
def shards(folder, tmp_path_factory):
    """The same in two shards of particles and one of the rest."""
    return pack(folder, tmp_path_factory.mktemp("shards"), plan(folder, 300_000))


@pytest.fixture(params=["folder", "shards", "web", "web shards"])
def place(request):
    """A dataset in four kinds of places."""
    web, packed = "web" in request.param, "shards" in request.param
    local = request.getfixturevalue("shards" if packed else "folder")
    if not web:
        yield local
        return
    with serving(local) as site:
        yield site.address


def same_arrays(item, other):
    assert item.keys() == other.keys()
    for key in item:
        np.testing.assert_array_equal(item[key], other[key])


def test_a_dataset_gives_its_particles_in_the_order_of_the_index(place):
    dataset = open_dataset(place)
    assert len(dataset) == 4
    assert [particle.id for particle in dataset] == list(dataset.index.particle_id)
    assert dataset["p000002"].row == dataset[2].row
    assert dataset.description["config"]["name"] == "tiny"


def test_a_particle_is_the_one_of_its_folder(folder, place):
    for particle in open_dataset(place):
        own = load(folder / particle.folder)
        found = particle.particle()
        np.testing.assert_array_equal(found.tessellation.seeds, own.tessellation.seeds)
        np.testing.assert_array_equal(found.shell.coefficients, own.shell.coefficients)
        assert particle.metadata["n_grains"] == own.n_grains == particle.row["n_grains"]


def test_voxels_are_those_of_the_file(folder, place):
    particle = open_dataset(place)[1]
    expected = read(folder / particle.folder / "voxels.vtkhdf").labels
    with particle.voxels() as voxels:
        np.testing.assert_array_equal(voxels.grain_id, expected)
        assert voxels.grain_volume.units == "um^3"


def test_nothing_is_read_before_it_is_asked_for(folder, tmp_path):
    copy = make_dataset(tmp_path / "copy", count=2)
    (copy / "particles/00/p000000/recipe.h5").write_bytes(b"damaged")
    dataset = open_dataset(copy)
    assert [particle.id for particle in dataset] == ["p000000", "p000001"]
    dataset[1].particle()
    with pytest.raises(RecipeError, match=r"p000000/recipe.h5 of .* is not a readable recipe"):
        dataset[0].particle()


def test_a_selection_is_a_dataset(place):
    dataset = open_dataset(place)
    n = int(dataset.index.n_grains.median())
    chosen = dataset.select(f"n_grains > {n}")
    assert [p.id for p in chosen] == [p.id for p in dataset if p.row["n_grains"] > n]
    assert 0 < len(chosen) < 4


def test_the_view_for_torch_holds_what_xarray_and_the_recipe_hold(place):
    dataset = open_dataset(place)
    view = dataset.as_torch("voxels")
    assert len(view) == 4
    item = view[0]
    with dataset[0].voxels() as voxels:
        np.testing.assert_array_equal(item["grain_id"], voxels.grain_id)
        assert item["pitch_um"] == pytest.approx(float(voxels.x[1] - voxels.x[0]))
    recipe, grains = dataset.as_torch("recipes")[3], dataset[3].particle().tessellation
    np.testing.assert_array_equal(recipe["matrices"], grains.matrices)
    np.testing.assert_array_equal(recipe["offsets"], grains.offsets)


def test_the_view_goes_to_other_processes_and_reads_the_same_there(place):
    view = open_dataset(place).as_torch("recipes")
    view[0]
    same_arrays(pickle.loads(pickle.dumps(view))[1], view[1])


def test_torch_makes_tensors_of_it(place):
    data = pytest.importorskip("torch.utils.data")
    view = open_dataset(place).select("particle_id != 'p000003'").as_torch("voxels")
    items = list(data.DataLoader(view, batch_size=None))
    assert [item["id"] for item in items] == ["p000000", "p000001", "p000002"]
    for k, item in enumerate(items):
        np.testing.assert_array_equal(item["grain_id"].numpy(), view[k]["grain_id"])


def test_what_is_not_there_is_named(place):
    dataset = open_dataset(place)
    with pytest.raises(DatasetError, match=r"voxels.vtkhdf"):
        dataset["p000003"].voxels()
    with pytest.raises(DatasetError, match="holds no particle 'p000009'"):
        dataset["p000009"]
    with pytest.raises(DatasetError, match=r"choose from \['recipes', 'voxels'\]"):
        dataset.as_torch("meshes")
    with pytest.raises(DatasetError, match=r"is it (part of this|the address of a) dataset"):
        dataset[0].open("../p000001/recipe.h5x")


def test_voxels_that_cannot_be_read_are_left_closed(folder, tmp_path, monkeypatch):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "particles/00/p000000/voxels.vtkhdf").write_bytes(b"damaged")
    particle, opened = open_dataset(copy)[0], []

    def kept(name):
        opened.append(particle.files.open(f"{particle.folder}/{name}"))
        return opened[-1]

    monkeypatch.setattr(type(particle), "open", lambda _, name: kept(name))
    with pytest.raises(DatasetError, match=r"voxels of p000000 of .* cannot be read"):
        particle.voxels()
    assert [file.closed for file in opened] == [True]


@pytest.mark.parametrize("what", ["nowhere", ".", "small_datasets.py", "ftp://host/x"])
def test_what_is_no_dataset_is_refused(what, monkeypatch):
    monkeypatch.chdir(HELPERS)
    with pytest.raises(DatasetError, match=r"expected a dataset|protocol that is not read"):
        open_dataset(what)


@pytest.mark.parametrize("name", ["manifest-sha256.txt", "index/particles.parquet"])
def test_a_damaged_index_or_manifest_is_refused(tmp_path, name):
    copy = make_dataset(tmp_path / "copy", count=1)
    (copy / name).write_bytes((copy / name).read_bytes()[5:])
    with pytest.raises(CathodegrainError, match=name):
        open_dataset(copy)


def test_a_link_out_of_the_dataset_is_not_followed(tmp_path):
    copy = make_dataset(tmp_path / "copy", count=1)
    recipe = copy / "particles/00/p000000/recipe.h5"
    recipe.rename(tmp_path / "elsewhere.h5")
    recipe.symlink_to(tmp_path / "elsewhere.h5")
    with pytest.raises(DatasetError, match="leads out of the dataset's folder"):
        open_dataset(copy)[0].particle()


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("diameter_um > 8", [1]),
        ("not diameter_um > 8", [0, 2]),
        ("7 < diameter_um <= 8.5", [0, 1]),
        ("n_grains >= 20 and id != 'p000001'", [2]),
        ("n_grains == 10 or parent == 'p000000'", [0, 1]),
        ("(n_grains < 15 or n_grains > 25) and complete", [0, 2]),
        ("parent != 'p000000'", [2]),  # what is missing compares with nothing
        ("n_grains > -5", [0, 1, 2]),
        ("1 > 2", []),
    ],
)
def test_a_selection_holds_for_the_rows_that_python_says(expression, rows):
    assert list(selected(INDEX, expression).index) == rows


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("diameter > 8", "did you mean 'diameter_um'"),
        ("diameter_um", "expected a comparison"),
        ("diameter_um > '8'", "compares text with a number"),
        ("n_grains is id", "compares with in or is"),
        ("__import__('os').remove('x') == 1", "expected a column, a number or a text"),
        ("id.upper() == 'P'", "expected a column"),
        ("[x for x in id] == 1", "expected a column"),
        ("(lambda: n_grains)() > 1", "expected a column"),
        ("n_grains > 10**9**9", "expected a column"),
        ("n_grains >", "cannot be read"),
        ("", "cannot be read"),
        ("not " * 900 + "complete", "characters"),
        ("(" * 900 + "complete" + ")" * 900, "cannot be read"),
        ("n_grains > 1; import os", "cannot be read"),
        ("id == b'p000000'", "expected a column"),
    ],
)
def test_a_selection_of_another_form_is_refused_and_not_run(expression, message):
    with pytest.raises(DatasetError, match=message):
        selected(INDEX, expression)
