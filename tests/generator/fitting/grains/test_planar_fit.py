import numpy as np
import pytest

pytest.importorskip("torch")

from cathodegrain.generator.errors import FitError
from cathodegrain.generator.fitting.grains.planar_fit import PlanarFitSettings, fit_section
from cathodegrain.generator.fitting.grains.planar_tessellation import SectionTessellation
from cathodegrain.generator.fitting.sections.phantom import PHANTOMS, phantom_section
from cathodegrain.generator.fitting.sections.section import Section


def labels_of(fit, section):
    """Index of the grain at each pixel, by Eq. (8) in the plane."""
    ny, nx = section.labels.shape
    y, x = np.mgrid[:ny, :nx]
    place = np.stack([x - section.centre[1], y - section.centre[0]], axis=-1)
    away = place[:, :, None] - fit.seeds
    square = np.einsum("yxni,nij,yxnj->yxn", away, fit.matrices, away)
    return (np.sqrt(square) - fit.offsets).argmin(axis=-1)


@pytest.fixture(scope="module")
def section():
    return phantom_section(PHANTOMS["elongated"], np.random.default_rng(1), half_width=45)


@pytest.fixture(scope="module")
def fit(section):
    return fit_section(section, PlanarFitSettings())


def test_nearly_every_labelled_pixel_is_as_in_the_map(fit, section):
    assert len(fit) == section.n_grains
    known = section.labels > 0
    agreement = (labels_of(fit, section) + 1 == section.labels)[known].mean()
    assert agreement == pytest.approx(fit.agreement, abs=1e-3)
    assert fit.agreement > 0.97


def test_steps_improve_on_the_moments(fit, section):
    start = fit_section(section, PlanarFitSettings(steps=0))
    assert 0.8 < start.agreement < fit.agreement - 0.03


def test_missing_pixels_are_filled_with_a_grain_beside_them(fit, section):
    found = labels_of(fit, section) + 1
    y, x = np.nonzero(section.labels == -1)
    inner = (np.minimum(y, x) > 1) & (np.maximum(y, x) < len(found) - 2)
    near = 0
    for i, j in zip(y[inner], x[inner], strict=True):
        near += found[i, j] in section.labels[i - 2 : i + 3, j - 2 : j + 3]
    assert near / inner.sum() > 0.97


def test_a_tessellation_comes_back_as_it_is():
    """Sections of a planar GBPD itself, the squared metric included."""
    rng = np.random.default_rng(2)
    angle, radius = 2 * np.pi * rng.random(60), 40 * np.sqrt(rng.random(60))
    seeds = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    truth = SectionTessellation(
        seeds, np.stack([rng.uniform(3, 6, 60), rng.uniform(12, 20, 60)], 1),
        rng.uniform(3, 6, 60), 1.0,
    )  # fmt: skip
    frame = Section(np.ones((91, 91), np.int32), 0.05, (45.0, 45.0), "frame")
    labels = labels_of(truth, frame)
    _, labels = np.unique(labels, return_inverse=True)
    map_ = Section(labels.reshape(91, 91).astype(np.int32) + 1, 0.05, (45.0, 45.0), "truth")
    assert fit_section(map_, PlanarFitSettings(steps=300)).agreement > 0.985
    squared = fit_section(map_, PlanarFitSettings(steps=300, squared=True))
    assert squared.agreement > 0.97


def test_one_grain_is_refused():
    map_ = Section(np.ones((20, 20), np.int32), 0.05, (10.0, 10.0), "one.tif")
    with pytest.raises(FitError, match=r"one\.tif has 1 grain, expected two or more"):
        fit_section(map_, PlanarFitSettings())
