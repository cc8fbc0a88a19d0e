"""What notebooks and terminals show of particles, cards, meshes and datasets."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

import cathodegrain as cg
from cathodegrain.exporters.datasets.config import from_fields
from cathodegrain.exporters.datasets.making.build import Report
from cathodegrain.exporters.datasets.making.particle_task import Outcome
from cathodegrain.exporters.products.interfaces import interfaces
from cathodegrain.generator import requirements
from cathodegrain.generator.html import table
from cathodegrain.generator.model_card import PARAMETERS
from small_datasets import make_dataset

VOID = {"img", "br"}
DARK = 60  # of 255: the background of pictures


class Text(HTMLParser):
    """Texts of the cells of well-formed HTML, and the attributes of its tags."""

    def __init__(self, html):
        super().__init__()
        self.open, self.texts, self.tags = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def image_of(html):
    """The picture inside HTML, (h, w, 4) float."""
    from matplotlib.image import imread

    (tag,) = [attributes for name, attributes in Text(html).tags if name == "img"]
    head, _, data = tag["src"].partition(",")
    assert head == "data:image/png;base64"
    image = imread(io.BytesIO(base64.b64decode(data, validate=True)))
    assert image.shape[:2] == (int(tag["height"]), int(tag["width"]))
    return image


def test_a_particle_shows_itself_cut_open_and_its_measures(tiny_particle):
    pytest.importorskip("matplotlib")
    html = tiny_particle._repr_html_()
    texts = Text(html).texts
    assert f"Particle {tiny_particle.id}" in texts
    for expected in (f"{tiny_particle.n_grains}", "1.2 um", "nmc811-radial", "7, 0"):
        assert expected in texts
    assert f"{tiny_particle.shell.sphericity:.3f}" in texts
    image = image_of(html)
    assert len(np.unique(image.reshape(-1, image.shape[2]), axis=0)) > 1000  # grains in colours
    assert len(html) < 100_000


def test_without_matplotlib_a_particle_shows_its_measures_alone(tiny_particle, monkeypatch):
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    parsed = Text(tiny_particle._repr_html_())
    assert f"Particle {tiny_particle.id}" in parsed.texts
    assert "img" not in [name for name, _ in parsed.tags]


def test_a_card_shows_its_parameters_and_its_limits(card):
    texts = Text(card._repr_html_()).texts
    assert f"{card.name}: {card.document['title']}" in texts
    for name, meaning in PARAMETERS.items():
        at = texts.index(name)
        assert texts[at : at + 3] == [name, str(card.parameter(name)), meaning]
    for limit in card.document["limits"]:
        assert limit in texts


def test_texts_of_a_card_cannot_become_html(card):
    title = "<script>alert('a & b')</script>"
    hostile = replace(card, document={**card.document, "title": title, "limits": [title]})
    parsed = Text(hostile._repr_html_())
    assert {name for name, _ in parsed.tags} <= {"table", "caption", "tr", "th", "td"}
    assert parsed.texts.count(title) == 1
    assert f"{card.name}: {title}" in parsed.texts
    assert Text(table([(title, title)], title)).texts == [title] * 3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    pytest.importorskip("pyarrow")
    root = tmp_path_factory.mktemp("a & b") / "tiny"
    return cg.open_dataset(make_dataset(root))


def test_a_dataset_shows_its_index(dataset):
    parsed = Text(dataset._repr_html_())
    assert repr(dataset) in parsed.texts
    for id in dataset.index.particle_id:
        assert id in parsed.texts
    assert {"n_grains", "diameter_um"} <= set(parsed.texts)
    assert not [text for text in parsed.texts if text.endswith(("sha256", "bytes"))]


def test_a_slice_of_a_dataset_is_a_dataset_and_an_id_gives_a_particle(dataset):
    ids = list(dataset.index.particle_id)
    part = dataset[1:3]
    assert type(part) is type(dataset)
    assert [one.id for one in part] == ids[1:3]
    assert [one.id for one in dataset[::-2]] == ids[::-2]
    assert part[0].id == ids[1]  # numbered anew
    assert len(dataset[7:]) == 0
    one = dataset["p000002"]
    assert one.id == one.particle().id == "p000002"
    assert one.metadata["n_grains"] == one.particle().n_grains
    with one.voxels() as voxels:
        assert int(voxels.grain_id.max()) <= one.particle().n_grains
    with pytest.raises(cg.CathodegrainError, match=r"no particle 'p000000'.*lists them"):
        part["p000000"]


@pytest.fixture
def figure():
    matplotlib = pytest.importorskip("matplotlib")
    from matplotlib import pyplot

    with matplotlib.rc_context({"backend": "agg"}):
        yield matplotlib.figure.Figure()
    pyplot.close("all")


def test_a_plot_is_to_scale_in_the_axes_given(tiny_particle, figure):
    from matplotlib import pyplot

    axes = figure.add_subplot()
    assert tiny_particle.plot(axes, cut="none", pixels=120) is axes
    assert pyplot.get_fignums() == []  # pyplot's state is not touched
    (image,) = axes.images
    left, right, low, high = image.get_extent()
    assert (left, low) == (-right, -high)
    ink = image.get_array().max(axis=2) > DARK
    pixel = (right - left) / ink.shape[1]
    width = pixel * np.ptp(np.flatnonzero(ink.any(axis=0)))
    bounds = tiny_particle.shell.radius_bounds
    assert 2 * bounds[0] < width <= 2 * bounds[1] + 2 * pixel
    assert axes.get_title() == tiny_particle.id
    assert axes.get_xlabel() == axes.get_ylabel() == "µm"


def test_without_axes_a_plot_goes_into_those_of_pyplot(tiny_particle, figure):
    from matplotlib import pyplot

    axes = tiny_particle.plot(pixels=40)
    assert axes is pyplot.gca()
    assert axes.images[0].get_array().shape == (40, 40, 3)


def test_a_particle_of_a_dataset_plots_as_itself(dataset, figure):
    left, right = figure.subplots(1, 2)
    one = dataset["p000001"]
    one.plot(left, cut="half", pixels=60)
    one.particle().plot(right, cut="half", pixels=60)
    np.testing.assert_array_equal(left.images[0].get_array(), right.images[0].get_array())


def test_an_unknown_cut_is_answered_with_those_there_are(tiny_particle, figure):
    with pytest.raises(cg.CathodegrainError, match=r"cut is 'third', expected one of \['half'"):
        tiny_particle.plot(figure.add_subplot(), cut="third")


def test_a_plot_without_matplotlib_names_the_extra(tiny_particle, monkeypatch):
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    with pytest.raises(cg.CathodegrainError) as caught:
        tiny_particle.plot(pixels=10)
    assert requirements.install_command("view") in str(caught.value)


def test_a_cut_for_xarray_measures_from_its_middle(tiny_particle):
    cut = cg.section(tiny_particle, normal=(0, 0, 1), offset_um=0.1, pixel_um=0.1)
    found = cut.to_xarray()
    np.testing.assert_array_equal(found, cut.grain_id)
    across, along, normal = cut.plane.frame
    u, v = np.meshgrid(found.u, found.v)
    points = u[..., None] * across + v[..., None] * along + 0.1 * normal
    np.testing.assert_array_equal(found, tiny_particle.grain_at(points))
    assert found.u.units == found.v.units == "um"


def test_everything_the_face_gives_is_told_in_a_few_short_lines(crystals, dataset):
    particle, mesh = crystals
    surfaces = cg.surfaces(mesh)
    card = particle.provenance.card
    config = from_fields({"name": "d", "model": "nmc811-radial", "count": 3, "seed": 5})
    n, k = particle.n_grains, len(surfaces.triangles)
    rows = interfaces(surfaces, particle)
    for thing, expected in [
        (particle, f"Particle(p000000, {n} grains, diameter 1.2 um)"),
        (card, f"ModelCard({card.name}: {card.document['title']})"),
        (particle.provenance, r"Provenance(card=ModelCard("),
        (particle.shell, "Shell(degree 9, diameter 1.2 um, sphericity 0."),
        (particle.tessellation, f"Tessellation({n} grains, metric 'norm')"),
        (surfaces, f"GrainSurfaces({k:,} triangles, {len(surfaces.points):,} points, "),
        (rows, f"Interfaces({len(rows)} between {len(surfaces.grain_ids)} grains, area "),
        (cg.section(particle, pixel_um=0.1), "PlaneCut(p000000, "),
        (cg.section(particle, pixel_um=0.1).section(), "Section(p000000, "),
        (cg.picture(particle, pixels=20), "SavablePicture(20 x 20 pixels of 0."),
        (dataset, f"Dataset(4 particles of {dataset.files.place})"),
        (dataset[0], f"DatasetParticle(p000000, {dataset[0].row['n_grains']} grains, diameter 1.2"),
        (config, "DatasetConfig(d: 3 particles of nmc811-radial from number 0 on, seed 5; "),
        (Report(2, 1, ()), "Report(2 made, 1 present, 0 failed)"),
        (Report(0, 0, (Outcome(3, "failed", "why"),), True), "Report(0 made, 0 present, 1 failed,"),
    ]:
        assert repr(thing).startswith(expected)
        assert repr(thing).count("\n") < 5
        assert not re.search(r"array\(|\[\.\.\.", repr(thing))
        assert len(repr(thing)) < 300
