import json
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest

from cathodegrain import schemas
from cathodegrain.exporters.fits.shells import (
    figures as shell_fit_figures,
    report as shell_fit_report,
)
from cathodegrain.exporters.fits.shells.page import FAMILIES, page
from cathodegrain.exporters.fits.shells.report import document, judge, write_report
from cathodegrain.generator.errors import ExportError
from cathodegrain.generator.fitting.shells import comparison as shell_comparison, fit as shell_fit
from cathodegrain.generator.fitting.shells.comparison import DESCRIPTORS
from cathodegrain.generator.fitting.shells.fit import FitSettings
from cathodegrain.generator.pictures.colours import srgb
from cathodegrain.generator.pictures.rendering import BACKDROP, render_shell
from cathodegrain.generator.shell.shell import Shell
from shell_scenes import VOXEL_UM, quiet, scene

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

SETTINGS = FitSettings(voxel_um=VOXEL_UM, input="segmented", max_degree=2, n_bootstrap=100)
NAME = "<script>x</script>.tif"
SPITEFUL = '"><img src=x onerror=y>&amp;$\\frac$\udcff.tif'


@pytest.fixture(scope="module")
def fit():
    volume = shell_fit.measured(scene(0)[0], NAME, SETTINGS, 0, quiet)
    return shell_fit.fit_shells([volume, replace(volume, name=SPITEFUL)], SETTINGS, quiet)


@pytest.fixture(scope="module")
def judged(fit):
    return judge(fit, quiet)


@pytest.fixture(scope="module")
def numbers(fit, judged):
    return document(fit, judged)


@pytest.fixture(scope="module")
def quick(judged):
    """The shells are judged once, and drawn small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shell_fit_report, "judge", lambda fit, progress: judged)
        patch.setattr(shell_fit_figures, "TILE", 60)
        yield


@pytest.fixture(scope="module")
def folder(fit, quick, tmp_path_factory):
    return write_report(fit, tmp_path_factory.mktemp("fit") / "report")


class Tags(HTMLParser):
    """Names of all tags, sources of images, and the text."""

    def __init__(self, text):
        super().__init__()
        self.names, self.sources, self.text = set(), [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.sources += [value for name, value in attrs if name == "src"]
        assert all(not name.startswith("on") for name, _ in attrs)

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def tags(folder):
    return Tags((folder / "index.html").read_text("utf-8"))


def test_the_numbers_are_those_of_the_fit(fit, folder):
    found = json.loads((folder / "fit.json").read_text("utf-8"))
    assert schemas.problems(found, "shell_fit_report") == []
    told = shell_fit.fit_document(fit, found["fit"]["software"])
    assert found["fit"] == json.loads(json.dumps(told))
    assert found["shell"] == fit.shell_fields()
    assert found["warnings"] == fit.warnings
    assert found["n_whole"] == len(fit.shapes.volumes) + fit.n_not_star_shaped


def test_the_comparison_is_with_the_particles_that_the_card_makes(fit, numbers):
    from scipy.stats import energy_distance, ks_2samp

    measured, left_out = shell_comparison.measured_shells(
        fit.expansions.coefficients, VOXEL_UM, 0.5
    )
    generated, _ = shell_comparison.generated_shells(fit.model, len(measured), SETTINGS.seed)
    one, other = map(shell_comparison.descriptors, (measured, generated))
    found = numbers["comparison"]
    assert found["n_measured"] == found["n_generated"] == len(measured)
    assert found["n_left_out"] == left_out
    for row, name in zip(found["descriptors"], DESCRIPTORS, strict=True):
        assert row["descriptor"] == name
        assert row["ks"] == pytest.approx(ks_2samp(one[name], other[name]).statistic)
        assert row["energy"] == pytest.approx(energy_distance(one[name], other[name]))
    for test in numbers["held_out"]:
        assert test["ratio"] == pytest.approx(np.mean(test["generated"]) / np.mean(test["halves"]))


def test_a_fit_is_judged_the_same_twice(fit, numbers):
    assert document(fit, judge(fit, quiet)) == numbers


def test_the_page_shows_the_numbers_of_the_file(numbers, tags):
    for degree in numbers["fit"]["degrees"]:
        for name, (low, high) in degree["interval_99"].items():
            assert f"{degree['families'][0][name]:#.4g}" in tags.text
            assert f"{low:#.4g} to {high:#.4g}" in tags.text
        for family in degree["families"]:
            assert f"{family['log_likelihood']:.2f}" in tags.text
            assert f"{family['aic']:.2f}" in tags.text
    for found in numbers["comparison"]["descriptors"]:
        for key in ("ks", "ks_floor"):
            assert f"{found[key]:.3f}" in tags.text
    for dependence in numbers["fit"]["dependence"]:
        assert f"{dependence['edcc_shuffled']:.3f}" in tags.text
    for test in numbers["held_out"]:
        assert f"{test['ratio']:.2f}" in tags.text
    for step in numbers["fit"]["volumes"][0]["steps"]:
        assert step["remark"] in tags.text


def test_every_figure_is_there_and_shown_and_nothing_else_is(folder, tags):
    figures = {path.name for path in folder.iterdir()} - {"index.html", "fit.json"}
    assert sorted(tags.sources) == sorted(figures)
    assert {"section-1.png", "section-2.png"} < figures


def test_figures_are_as_wide_as_the_page_and_hold_something(folder):
    for path in folder.glob("*.png"):
        grey = np.asarray(Image.open(path).convert("L"))
        assert grey.shape[1] == 1920, path.name
        assert np.count_nonzero(np.bincount(grey.ravel())) > 50, path.name
        assert np.count_nonzero(grey < 100) > 1000, path.name


def test_names_of_files_are_text_and_never_markup(folder, tags):
    text = (folder / "index.html").read_text("utf-8")
    assert "script" not in tags.names
    assert escape(NAME) in text
    assert NAME in tags.text
    assert SPITEFUL.replace("\udcff", "\\udcff") in tags.text
    assert "http" not in text


def test_equal_fits_give_equal_bytes_and_progress_only_grows(fit, folder, tmp_path):
    parts = []
    again = write_report(fit, tmp_path / "again", progress=lambda text, part: parts.append(part))
    assert {p.name for p in again.iterdir()} == {p.name for p in folder.iterdir()}
    for path in folder.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name
    assert parts == sorted(parts)
    assert parts[-1] == 1.0


def test_nothing_is_overwritten_unasked(fit, quick, tmp_path, monkeypatch):
    monkeypatch.setattr(shell_fit_report, "write_figures", lambda *arguments: None)
    kept = tmp_path / "report"
    kept.mkdir()
    (kept / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match="report exists; choose another folder"):
        write_report(fit, kept)
    assert (kept / "mine.txt").read_text() == "mine"
    write_report(fit, kept, overwrite=True)
    assert not (kept / "mine.txt").exists()
    assert (kept / "index.html").is_file()


def test_a_failure_leaves_what_was_there(fit, quick, tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(shell_fit_report, "write_figures", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_report(fit, tmp_path / "report")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "old.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_report(fit, tmp_path / "report", overwrite=True)
    assert [p.name for p in tmp_path.rglob("*")] == ["report", "old.txt"]


def test_numbers_that_json_cannot_hold_are_refused_by_name(fit, quick, tmp_path):
    lost = (replace(fit.dependences[0], pearson=float("nan")), *fit.dependences[1:])
    with pytest.raises(ExportError, match=r"fit\.dependence\.0\.pearson: nan is not a finite"):
        write_report(replace(fit, dependences=lost), tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


def test_too_few_bodies_are_not_compared(fit):
    strict = replace(SETTINGS.segmentation, min_sphericity=0.999)
    with pytest.raises(ExportError, match=r"4 of 54 measured particles are star-shaped bodies"):
        judge(replace(fit, settings=replace(SETTINGS, segmentation=strict)), quiet)


def test_warnings_stand_before_everything_else(numbers):
    text = page({**numbers, "warnings": ["beware of <b>"]})
    assert "beware of &lt;b&gt;" in text
    assert text.index("beware") < text.index("<table>")


def test_the_page_says_where_akaike_would_choose_otherwise(numbers):
    chosen = [degree["families"][0]["family"] for degree in numbers["fit"]["degrees"]]
    assert "chooses the same families" in page({**numbers, "family_of_least_aic": chosen})
    other = "norm" if chosen[2] != "norm" else "t"
    text = page({**numbers, "family_of_least_aic": [*chosen[:2], other, *chosen[3:]]})
    assert "would choose another family" in text
    assert f"{FAMILIES[other]} for degree 2." in text


def test_shown_shells_stand_at_evenly_spaced_ranks_of_volume(judged):
    volumes = np.array([shell.volume_um3 for shell in judged.measured])
    ranks = np.searchsorted(np.sort(volumes), volumes[list(judged.shown_measured)])
    assert len(ranks) == 8
    np.testing.assert_allclose(np.diff(ranks), len(volumes) / 8, atol=2)
    assert len(set(judged.shown_generated)) == 8


def test_shells_are_drawn_at_one_scale():
    background = srgb(np.full(3, BACKDROP))
    areas = [
        np.count_nonzero(render_shell(Shell.sphere(radius, 4), 3.0, 120).rgb > background + 3)
        for radius in (1.0, 2.0)
    ]
    assert areas[0] / 3 == pytest.approx(np.pi * 20**2, rel=0.03)
    assert areas[1] / areas[0] == pytest.approx(4, rel=0.03)


def test_particles_that_touch_are_drawn_apart():
    labels = np.array([[0, 1, 1, 2, 0, 3]], np.int32)
    colours = shell_fit_figures._label_colours(labels)
    assert (colours[0, [0, 4]] == 255).all()
    assert (colours[0, 2] == 40).all()
    assert len(np.unique(colours[0, [1, 3, 5]], axis=0)) == 3
