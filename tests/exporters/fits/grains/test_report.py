import io
import json
import re
from dataclasses import fields, replace
from functools import partial
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

from cathodegrain import schemas
from cathodegrain.exporters.fits.grains import report as grain_fit_report
from cathodegrain.exporters.fits.grains.figures import draw_training
from cathodegrain.exporters.fits.grains.page import page
from cathodegrain.exporters.fits.grains.report import document, twins, write_report
from cathodegrain.exporters.fits.grains.words import (
    PLANAR_SETTINGS,
    SETTINGS,
    bins_sentence,
    count_sentence,
    course_sentence,
    far_by_radius_sentence,
)
from cathodegrain.generator.errors import ExportError
from cathodegrain.generator.fitting.grains import (
    evaluation as grain_evaluation,
    run as grain_fit,
    training,
)
from cathodegrain.generator.fitting.grains.comparison import comparisons
from cathodegrain.generator.fitting.grains.fit import GrainFit, fit_document, fitted_card
from cathodegrain.generator.fitting.grains.last_layer import Tuning
from cathodegrain.generator.fitting.grains.planar_fit import PlanarFitSettings, fit_section
from cathodegrain.generator.fitting.grains.score import twin
from cathodegrain.generator.fitting.sections.crystal_axes import crystal_axes
from cathodegrain.generator.fitting.sections.descriptors import alignment, section_descriptors
from cathodegrain.generator.fitting.sections.grain_model import block
from cathodegrain.generator.fitting.sections.phantom import PHANTOMS, phantom_section
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.markers.orientations import sample_orientations
from cathodegrain.generator.model_card import ModelCard
from cathodegrain.generator.streams import stream
from sections import voronoi

CONFIG = replace(training.DEFAULT, batch=4, epochs=2, steps=6, score_every=3, score_from=3)
PLANAR = PlanarFitSettings(steps=20)
TRUTH = PHANTOMS["elongated"]
NAME = "<script>x</script>.tif"
SPITEFUL = '"><img src=x onerror=y>&amp;$\\frac$\udcff.tif'
FIGURES = {
    "sections.png", "training.png", "real-and-generated.png", "descriptors-2d.png", "radius-2d.png"
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The nets are tiny: threads that wait for each other take several times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def quiet(message, part):
    pass


def small_section(law, rng):
    return phantom_section(law, rng, half_width=60)


def finished_run(seed, kept, planar):
    return list(grain_fit.runs(grain_fit.first_run(CONFIG, seed), kept, planar))[-1]


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(1)
    kept = [replace(small_section(TRUTH, rng), source=name) for name in (NAME, SPITEFUL)]
    sections = [kept[0], replace(voronoi(rng, 40), source="lost.tif"), kept[1]]
    planar = [fit_section(section, PLANAR) for section in kept]
    runs = [finished_run(seed, kept, planar) for seed in (3, 4)]
    scores = [grain_fit.final_score(run.best, kept, run.seed) for run in runs]
    return GrainFit(
        sections=tuple(sections),
        alignments=tuple(alignment(section_descriptors(section)) for section in sections),
        planar_settings=PLANAR,
        planar=tuple(planar),
        runs=tuple(runs),
        final_scores=tuple(scores),
    )


@pytest.fixture(scope="module", autouse=True)
def few_bootstrap_samples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grain_evaluation, "comparisons", partial(comparisons, n_bootstrap=20))
        yield


@pytest.fixture(scope="module")
def measured(fit):
    """The evaluation of a measured series."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grain_evaluation, "LEAST_GRAINS", 300)
        return grain_evaluation.against_sections(fit.model, fit.untrained, fit.kept, 3, quiet)


@pytest.fixture(scope="module")
def phantom(fit):
    """The evaluation of a phantom."""

    def small_block(law, rng, centre):
        return block(law, rng, centre, inner=14.0, margin=16.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grain_evaluation, "phantom_section", small_section)
        patch.setattr(grain_evaluation, "block", small_block)
        for name in ("N_SECTIONS", "N_REFERENCE_SECTIONS", "N_BLOCKS", "N_REFERENCE_BLOCKS"):
            patch.setattr(grain_evaluation, name, 2)
        return grain_evaluation.against_truth(fit.model, fit.untrained, TRUTH, 3, quiet)


COST = {"fits of <sections>": 12.4, "training": 100.0}


@pytest.fixture(scope="module")
def folder(fit, phantom, tmp_path_factory):
    return write_report(fit, phantom, tmp_path_factory.mktemp("phantom") / "report", cost=COST)


@pytest.fixture(scope="module")
def measured_folder(fit, measured, tmp_path_factory):
    return write_report(fit, measured, tmp_path_factory.mktemp("measured") / "report")


@pytest.fixture(scope="module")
def numbers(folder):
    return json.loads((folder / "fit.json").read_text("utf-8"))


class Parsed(HTMLParser):
    """Tags, sources of images, captions, cells of tables, paragraphs."""

    def __init__(self, text):
        super().__init__()
        self.names, self.sources, self.cells, self.prose, self.inside = set(), [], [], [], []
        self.feed(text)

    @property
    def text(self):
        return "\n".join([*self.cells, *self.prose])

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.inside.append(tag)
        self.sources += [value for name, value in attrs if name == "src"]
        assert all(not name.startswith("on") for name, _ in attrs)
        if tag in ("td", "th"):
            self.cells.append("")
        if tag in ("p", "figcaption", "caption", "h1", "h2"):
            self.prose.append("")
        if tag in ("meta", "img"):
            self.inside.pop()

    def handle_endtag(self, tag):
        assert self.inside.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.inside):
            self.cells[-1] += data
        elif {"p", "figcaption", "caption", "h1", "h2"} & set(self.inside):
            self.prose[-1] += data


def parsed(folder):
    return Parsed((folder / "index.html").read_text("utf-8"))


def parsed_text(numbers):
    return Parsed(page(numbers)).text


def leaves(value):
    """All numbers and texts of JSON values."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
        yield len(value)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield value


NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
# of what is explained, not of the fit: 95 % intervals, Eq. (13), bounds of distances, heads
PROSE = {"95", "13", "57.3", *(str(k) for k in range(10))}


class Known:
    """Numbers that a text may show, in the digits that it shows them with."""

    def __init__(self, values):
        self.values, self.forms = values, {}

    def holds(self, shown):
        mantissa = shown.lstrip("-").partition("e")[0]
        digits = max(len(mantissa.replace(".", "").lstrip("0")), 1)
        decimals = len(mantissa.partition(".")[2])
        if (digits, decimals) not in self.forms:
            self.forms[digits, decimals] = {
                form
                for v in self.values
                for form in (round(v, decimals), round(100 * v, decimals), float(f"{v:.{digits}g}"))
            }
        return float(shown) in self.forms[digits, decimals]

    def unexplained(self, text):
        return [shown for shown in NUMBER.findall(text) if not self.holds(shown)]


def known_numbers(numbers):
    values = [leaf for leaf in leaves(numbers) if not isinstance(leaf, str)]
    texts = [leaf for leaf in leaves(numbers) if isinstance(leaf, str)]
    return [*values, *(float(v) for text in texts for v in NUMBER.findall(text))]


@pytest.mark.parametrize("kind", ["folder", "measured_folder", "crystal_folder"])
def test_every_number_of_the_page_is_in_the_file(kind, request):
    path = request.getfixturevalue(kind)
    numbers = json.loads((path / "fit.json").read_text("utf-8"))
    known, html = Known(known_numbers(numbers)), parsed(path)
    table_of_sections = [str(k) for k in range(1, 4)]
    for cell in html.cells:
        if cell not in ("95 % interval", *table_of_sections):
            assert known.unexplained(cell) == [], cell
    for text in html.prose:
        assert set(known.unexplained(text)) <= PROSE, text


def test_the_check_of_numbers_sees_a_wrong_one():
    assert Known([0.1234, 18]).unexplained("0.123 of 17 and 12.3 %, 1.2e-1") == ["17"]


def test_the_page_shows_every_distance_and_every_run(numbers, folder):
    text = parsed(folder).text
    for space in ("planar", "spatial"):
        for one in numbers["fit"]["distances"][space]:
            for measure in ("ks", "wasserstein", "mean", "spread"):
                low, high = one["interval_95"][measure]
                assert f"{low:.3f} to {high:.3f}" in text
                for kind in ("generated", "floor", "untrained"):
                    assert f"{one[kind][measure]:.3f}" in text
    for run in numbers["fit"]["runs"]:
        assert f"{run['final_score']:.3f}" in text
        assert f"{run['best_score']:.3f}" in text
    for verdict in numbers["verdicts"]:
        assert verdict in text
    for section in numbers["fit"]["sections"]:
        for step in section["steps"]:
            assert step["remark"] in text
    assert "100 s" in text


def test_the_numbers_are_those_of_the_fit_and_follow_the_schema(fit, phantom, numbers):
    assert schemas.problems(numbers, "grain_fit_report") == []
    told = fit_document(fit, phantom, numbers["fit"]["software"])
    assert numbers["fit"] == json.loads(json.dumps(told))
    assert numbers["verdicts"] == [verdict.sentence for verdict in fit.alignments]
    assert [verdict.kept for verdict in fit.alignments] == [True, False, True]
    pixel = fit.sections[0].pixel_um
    assert numbers["intensity"]["per_cubic_um"] * pixel**3 == pytest.approx(fit.best.intensity)
    for run, course in zip(fit.runs, numbers["training"], strict=True):
        assert course["curve"] == run.state.curve
        assert [(one["step"], one["score"]) for one in course["scores"]] == list(run.scores)
    assert numbers["samples"]["spatial"]["reference"]["units"] == 2
    assert numbers["cost_s"] == COST


def test_a_score_that_is_infinite_is_null_and_a_run_without_a_best_state_shown(fit, measured):
    spoilt = replace(fit.runs[1], best=None, scores=((3, float("inf")),), stopped="lost <it>")
    worse = replace(fit, runs=(fit.runs[0], spoilt), final_scores=(1.0, float("inf")))
    numbers = document(worse, measured, twins(worse))
    assert schemas.problems(numbers, "grain_fit_report") == []
    assert numbers["training"][1]["scores"] == [{"step": 3, "score": None}]
    assert "lost &lt;it&gt;" in page(numbers)
    picture = io.BytesIO()
    draw_training(worse.runs, worse.chosen).savefig(picture)
    assert picture.tell() > 10_000


def test_changes_of_the_last_layer_are_shown(fit, measured, numbers):
    assert "Changes of the last layer" not in page(numbers)
    tuning = Tuning(
        offset_gain=7.25,
        radial_gain=1.5,
        radial_shift=-0.125,
        intensity_factor=0.97,
        score_before=0.512,
        score=0.123,
    )
    tuned = replace(fit.runs[0], best=replace(fit.runs[0].best, tuning=tuning))
    found = document(replace(fit, runs=(tuned, fit.runs[1])), measured, twins(fit))
    assert schemas.problems(found, "grain_fit_report") == []
    text = page(found)
    assert "Changes of the last layer" in text
    for shown in ("7.25", "1.5", "-0.125", "0.97", "0.512", "0.123"):
        assert f">{shown}<" in text or f">{shown.replace('-', '−')}<" in text


def test_distances_above_twice_their_floor_are_named_with_their_ratio(numbers):
    expected = {
        (space, one["descriptor"], measure): one["generated"][measure] / one["floor"][measure]
        for space in ("planar", "spatial")
        for one in numbers["fit"]["distances"][space]
        for measure in ("ks", "wasserstein")
        if one["generated"][measure] > 2 * one["floor"][measure]
    }
    found = {
        (one["space"], one["descriptor"], one["measure"]): one["ratio"] for one in numbers["far"]
    }
    assert found == pytest.approx(expected)
    assert ("planar", "theta", "ks") in found
    ratio = found["planar", "theta", "ks"]
    text = page(numbers)
    assert f"θ (KS {ratio:.1f} times" in text
    assert "No distance is above 2 times its floor." in page({**numbers, "far": []})


def test_every_distance_by_radius_is_shown_and_far_ones_are_named(numbers):
    text = parsed_text(numbers)
    by_radius = numbers["fit"]["distances"]["by_radius"]
    for space in ("planar", "spatial"):
        for one in by_radius[space]:
            assert one["bin"] in text
            assert str(one["n_reference"]) in text
            for two in one["comparisons"]:
                for measure in ("ks", "mean"):
                    for kind in ("generated", "floor"):
                        assert f"{two[kind][measure]:.3f}" in text
    for one in by_radius["planar"]:
        assert f"{one['scores']['generated']:.3f}" in text
        assert f"{one['grains_per_area']['generated']:.3f}" in text
    expected = {
        (space, one["bin"], two["descriptor"], measure)
        for space in ("planar", "spatial")
        for one in by_radius[space]
        for two in one["comparisons"]
        for measure in ("ks", "wasserstein")
        if two["generated"][measure] > 2 * two["floor"][measure]
    }
    keys = ("space", "bin", "descriptor", "measure")
    assert {tuple(one[key] for key in keys) for one in numbers["far_by_radius"]} == expected
    assert "in the outside: " in text


def test_bins_are_all_grains_and_merged_ones_are_said(numbers, folder):
    samples, by_radius = numbers["samples"], numbers["fit"]["distances"]["by_radius"]
    for space in ("planar", "spatial"):
        for kind in ("generated", "reference"):
            total = sum(one[f"n_{kind}"] for one in by_radius[space])
            assert total == samples[space][kind]["described"]
    merged = [one["bin"] for one in by_radius["planar"] if len(one["parts"]) > 1]
    assert merged == ["core and middle"]
    assert "fewer than 30 grains in one of the bins core, middle" in parsed(folder).text
    (whole,) = [one for one in by_radius["planar"] if one["bin"] == "outside"]
    apart = {**numbers["fit"]["distances"], "by_radius": {"planar": [whole], "spatial": []}}
    assert bins_sentence({**numbers, "fit": {"distances": apart}}, "planar") == ""


def test_what_numbers_of_all_grains_hide_is_said(numbers):
    theta = {"descriptor": "theta", "measure": "ks", "ratio": 3.0}
    found = {
        **numbers,
        "far": [],
        "far_by_radius": [{**theta, "space": "planar", "bin": "outside"}],
    }
    said = "in the outside: θ (KS 3.0 times). The numbers of all grains hide this for θ."
    assert said in far_by_radius_sentence(found, "planar")
    found["far"] = [{**theta, "space": "planar"}]
    assert "show it for these descriptors as well" in far_by_radius_sentence(found, "planar")
    found["far_by_radius"] = []
    assert "In no bin" in far_by_radius_sentence(found, "planar")


def test_a_number_of_grains_that_chance_does_not_explain_is_said():
    count = {"generated": 1.2, "interval_95": [1.1, 1.3], "floor": 1.0, "untrained": 1.4}
    assert "show more grains" in count_sentence(count)
    assert "show fewer grains" in count_sentence({**count, "interval_95": [0.7, 0.9]})
    assert "holds 1" in count_sentence({**count, "interval_95": [0.9, 1.1]})


def test_an_intensity_at_its_bound_and_few_grains_are_warned_of(fit, measured):
    low, _ = training.INTENSITIES
    stuck = replace(fit.runs[0], best=replace(fit.runs[0].best, intensity=low))
    numbers = document(replace(fit, runs=(stuck,), final_scores=(1.0,)), measured, [])
    text = page(numbers)
    assert "the intensity ended at a bound" in numbers["warnings"][-1]
    assert text.index("ended at a bound") < text.index("<table>")
    assert "There is one run only" in text


def test_the_page_says_whether_the_last_state_is_the_one_that_is_kept():
    run = {"best_step": 6, "best_score": 0.5}
    scores = [{"step": 6, "score": 0.5}, {"step": 9, "score": 2.0}]
    assert "at the end, of step 9, is 2.000" in course_sentence(run, {"scores": scores})
    assert "the last one, of step 6" in course_sentence(run, {"scores": scores[:1]})
    scores[1] = {"step": 9, "score": None}
    assert "is infinite" in course_sentence(run, {"scores": scores})


def test_every_setting_has_words():
    assert set(SETTINGS) == {field.name for field in fields(training.TrainingConfig)} - {"name"}
    assert set(PLANAR_SETTINGS) == {field.name for field in fields(PlanarFitSettings)}


def test_a_distance_that_is_no_better_than_untrained_is_named(numbers):
    better = json.loads(json.dumps(numbers))
    for space in ("planar", "spatial"):
        for one in better["fit"]["distances"][space]:
            one["generated"] |= {"ks": 0.0, "wasserstein": 0.0}
    assert "No nearer" not in page(better)
    assert page(better).count("All distances are below those of the untrained net.") == 2
    worse = better["fit"]["distances"]["planar"][1]
    worse["generated"]["ks"] = worse["untrained"]["ks"]
    assert "untrained net: aspect ratio (KS)." in page(better)


def test_a_measured_series_says_that_space_is_not_known_and_what_its_floor_is(
    folder, measured_folder
):
    measured, phantom = parsed(measured_folder).text, parsed(folder).text
    assert "Nothing in space can be checked" in measured
    assert "two samples of the fitted model" in measured
    assert "Nothing in space can be checked" not in phantom
    assert "two samples of the truth" in phantom
    numbers = json.loads((measured_folder / "fit.json").read_text("utf-8"))
    assert numbers["fit"]["distances"]["spatial"] == []
    assert numbers["samples"]["spatial"] is None
    assert numbers["cost_s"] is None


def test_every_figure_is_there_and_shown_and_nothing_else_is(folder, measured_folder):
    for path, figures in (
        (folder, FIGURES | {"descriptors-3d.png", "radius-3d.png"}),
        (measured_folder, FIGURES),
    ):
        assert {file.name for file in path.iterdir()} == {"index.html", "fit.json", *figures}
        assert sorted(parsed(path).sources) == sorted(figures)


def test_figures_have_the_pixels_of_the_page_and_hold_something(folder):
    sizes = {
        "sections.png": (1600, 1960),
        "real-and-generated.png": (1600, 1600),  # two kept sections
        "training.png": (1920, 1680),
        "descriptors-2d.png": (1920, 1120),
        "descriptors-3d.png": (1920, 1120),
        "radius-2d.png": (1920, 1340),  # two bins are left
        "radius-3d.png": (1920, 1760),
    }
    for name, size in sizes.items():
        picture = Image.open(folder / name)
        assert picture.size == size, name
        grey = np.asarray(picture.convert("L"))
        assert np.count_nonzero(np.bincount(grey.ravel())) > 50, name
        assert np.count_nonzero(grey < 100) > 1000, name


def test_twins_are_those_of_the_chosen_run_on_the_pixels_of_kept_sections(fit, numbers):
    pairs = twins(fit)
    assert [pair.number for pair in pairs] == [1, 3]
    seed = fit.runs[fit.chosen].seed
    for k, pair in enumerate(pairs):
        assert pair.measured is fit.kept[k]
        again = twin(fit.model, fit.kept[k], stream(seed, 5, "fit", k))
        np.testing.assert_array_equal(pair.generated.labels, again.labels)
    assert [one["n_generated"] for one in numbers["shown"]] == [
        pair.generated.n_grains for pair in pairs
    ]


def test_shown_sections_are_evenly_spaced_among_many(fit):
    verdict = next(verdict for verdict in fit.alignments if verdict.kept)
    many = replace(fit, sections=(fit.kept[0],) * 9, alignments=(verdict,) * 9)
    assert [pair.number for pair in twins(many)] == [2, 5, 8]


def test_names_of_files_are_text_and_never_markup(folder):
    text, html = (folder / "index.html").read_text("utf-8"), parsed(folder)
    assert "script" not in html.names
    assert escape(NAME) in text
    assert NAME in html.text
    assert SPITEFUL.replace("\udcff", "\\udcff") in html.text
    assert "fits of <sections>" in html.text
    assert "http" not in text


def test_equal_fits_give_equal_bytes_and_progress_only_grows(fit, phantom, folder, tmp_path):
    parts = []
    again = write_report(
        fit, phantom, tmp_path / "again", cost=COST,
        progress=lambda text, part: parts.append(part),
    )  # fmt: skip
    assert {p.name for p in again.iterdir()} == {p.name for p in folder.iterdir()}
    for path in folder.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name
    assert parts == sorted(parts)
    assert parts[-1] == 1.0


def test_nothing_is_overwritten_unasked(fit, measured, tmp_path, monkeypatch):
    monkeypatch.setattr(grain_fit_report, "write_figures", lambda *arguments: None)
    kept = tmp_path / "report"
    kept.mkdir()
    (kept / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match="report exists; choose another folder"):
        write_report(fit, measured, kept)
    assert (kept / "mine.txt").read_text() == "mine"
    write_report(fit, measured, kept, overwrite=True)
    assert not (kept / "mine.txt").exists()
    assert (kept / "index.html").is_file()


def test_a_failure_leaves_what_was_there(fit, measured, tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(grain_fit_report, "write_figures", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_report(fit, measured, tmp_path / "report")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "old.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_report(fit, measured, tmp_path / "report", overwrite=True)
    assert [p.name for p in tmp_path.rglob("*")] == ["report", "old.txt"]


def test_numbers_that_json_cannot_hold_are_refused_by_name(fit, measured, tmp_path):
    count = replace(measured.count, floor=float("nan"))
    with pytest.raises(ExportError, match=r"grains_per_area\.floor: nan is not a finite number"):
        write_report(fit, replace(measured, count=count), tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


def with_crystals(fit, spread):
    """The fit, its sections with c-axes across the radius of the grains, or random ones."""
    rng = np.random.default_rng(8)

    def crystals(section):
        unturned = replace(section, orientations=np.tile([1.0, 0, 0, 0], (section.n_grains, 1)))
        places = crystal_axes(unturned).places_um + 1e-6
        directions = places / np.linalg.norm(places, axis=1, keepdims=True)
        model = "uniform" if spread is None else "radial"
        q = sample_orientations(model, spread or 0.0, directions, rng.random(places.shape))
        return replace(section, orientations=q)

    return replace(fit, sections=tuple(crystals(section) for section in fit.sections))


@pytest.fixture(scope="module")
def crystal_folder(fit, measured, tmp_path_factory):
    folder = tmp_path_factory.mktemp("crystals") / "report"
    return write_report(with_crystals(fit, 12.0), measured, folder)


def own_card(fit, measured, base="nmc811-radial"):
    found = ModelCard.load(base)
    return fitted_card(fit, measured, found, "own", None, "cathodegrain 0", "own.safetensors")


def test_a_card_has_the_crystals_of_its_sections(fit, measured):
    crystals = with_crystals(fit, 12.0)
    card = own_card(crystals, measured)
    found = card.orientations
    assert found["model"] == "radial"
    low, high = found["fit"]["interval_95"]
    assert low <= found["spread_deg"] <= high
    names = [Path(section.source).name for section in fit.kept]
    assert [one["file"] for one in found["fit"]["sections"]] == names
    assert (
        "Crystals of the same grains: radial: c-axes across the radius"
        in card.document["fitted_on"]
    )
    assert "shells as in the model nmc811-radial" in card.document["description"]
    assert any("radius of the grain's seed" in limit for limit in card.document["limits"])
    fields = [one["field"] for one in card.document["assumptions"]]
    assert fields.count("orientations") == 1
    particle = generate_particle(card.with_parameters({"shell.diameter_um": 1.5}), seed=1)
    assert particle.orientations is not None


def test_a_card_of_crystals_without_texture_is_uniform(fit, measured):
    card = own_card(with_crystals(fit, None), measured)
    assert card.orientations["model"] == "uniform"
    assert card.orientations["fit"]["spread_deg"] is None
    assert any("too weak for these sections is not excluded" in t for t in card.document["limits"])


def test_without_crystals_in_all_sections_the_card_has_those_of_its_base(fit, measured):
    base = ModelCard.load("nmc811-radial")
    crystals = with_crystals(fit, 12.0)
    partly = replace(fit, sections=(crystals.sections[0], *fit.sections[1:]))
    for one in (fit, partly):
        card = own_card(one, measured)
        assert card.orientations == base.orientations
        assert "shells and orientations as in the model nmc811" in card.document["description"]
        assert "Crystals" not in card.document["fitted_on"]


def test_the_report_shows_the_crystals(crystal_folder, folder):
    numbers = json.loads((crystal_folder / "fit.json").read_text("utf-8"))
    assert schemas.problems(numbers, "grain_fit_report") == []
    found, text = numbers["crystals"], parsed(crystal_folder).text
    assert found["model"] == "radial"
    for one in found["bins"]:
        assert sum(one["counts"]) == one["n_grains"]
        assert f"{one['to_radius_deg']:.1f}" in text
    for one in found["sections"]:
        assert f"{one['height_um']:.2f}" in text
    with Image.open(crystal_folder / "crystals.png") as picture:
        assert picture.size == (1920, 640)
    assert "crystals.png" in parsed(crystal_folder).sources
    assert "The outer shell is not part of this fit." in text
    assert "orientations of the crystals are not part of this fit" in parsed(folder).text


def test_lengths_are_in_pixels_of_the_kept_sections(fit, measured):
    first = replace(fit.sections[1], pixel_um=0.2)  # rejected
    order = (1, 0, 2)
    mixed = replace(
        fit,
        sections=(first, *(fit.sections[k] for k in order[1:])),
        alignments=tuple(fit.alignments[k] for k in order),
    )
    base = ModelCard.load("nmc811")
    card = fitted_card(
        mixed, measured, base, "own", None, "cathodegrain 0", "own.safetensors"
    ).document
    assert card["grains"]["pixel_um"] == 0.05
    assert "pixels of 0.05 um" in card["fitted_on"]
    assert mixed.reach_um == fit.reach_um
