from functools import partial

import numpy as np
import pytest

from cathodegrain.generator.fitting.grains import (
    comparison as grain_comparison,
    evaluation as grain_evaluation,
)
from cathodegrain.generator.fitting.grains.comparison import Samples, Unit
from cathodegrain.generator.fitting.sections.grain_model import block
from cathodegrain.generator.fitting.sections.phantom import PHANTOMS, phantom_section


def units(rng, n, factor=1.0, n_grains=50, size=1000.0):
    return [Unit({"x": factor * rng.normal(5, 1, n_grains)}, n_grains, size) for _ in range(n)]


def samples(generated, reference):
    return Samples(
        generated=generated,
        reference=reference,
        floor=(reference, reference),
        untrained=generated,
    )


def test_equal_samples_have_no_distance(rng):
    one = units(rng, 4)
    (found,) = grain_comparison.comparisons(samples(one, one), rng)
    assert (found.generated.ks, found.generated.wasserstein) == (0, 0)
    assert (found.generated.mean, found.generated.spread) == (1, 1)
    assert (found.floor.ks, found.untrained.ks) == (0, 0)


def test_a_shifted_sample_has_the_distance_of_the_shift():
    """N(5 + d, 1) against N(5, 1): KS = 2 Phi(d / 2) - 1, W1 = d standard deviations."""
    rng = np.random.default_rng(1)
    n, shift = 20_000, 0.5
    reference = [Unit({"x": rng.normal(5, 1, n)}, n, 1.0) for _ in range(4)]
    shifted = [Unit({"x": rng.normal(5 + shift, 1, n)}, n, 1.0) for _ in range(4)]
    (found,) = grain_comparison.comparisons(samples(shifted, reference), rng, n_bootstrap=20)
    assert found.generated.ks == pytest.approx(0.1974, abs=0.01)  # 4 sqrt(2 / (4 n)) / 2
    assert found.generated.wasserstein == pytest.approx(shift, abs=0.02)
    low, high = found.intervals["wasserstein"]
    assert low < shift < high


def test_intervals_are_those_of_units_not_of_grains(rng):
    """Units that differ among each other widen the interval of the mean."""
    alike = units(rng, 10)
    different = [Unit({"x": u.values["x"] + rng.normal()}, 50, 1.0) for u in alike]
    width = {}
    for name, generated in (("alike", alike), ("different", different)):
        (found,) = grain_comparison.comparisons(samples(generated, alike), rng)
        low, high = found.intervals["mean"]
        width[name] = high - low
    assert width["different"] > 2 * width["alike"]


def test_grains_per_area_are_those_of_all_units(rng):
    reference = units(rng, 4, n_grains=50, size=1000.0)
    generated = units(rng, 2, n_grains=60, size=1000.0)
    found = grain_comparison.count_comparison(samples(generated, reference), rng)
    assert found.generated == pytest.approx(1.2)
    assert found.interval == pytest.approx((1.2, 1.2))
    assert found.floor == 1


def test_a_unit_has_what_its_section_or_block_has():
    rng = np.random.default_rng(3)
    section = phantom_section(PHANTOMS["elongated"], rng, half_width=50)
    unit = grain_comparison.section_unit(section)
    assert set(unit.values) == set(grain_comparison.PLANAR)
    assert unit.size == section.pixel_counts.sum()
    assert unit.n_grains == section.n_grains  # of four pixels and more
    cube = grain_comparison.block_unit(block(PHANTOMS["elongated"], rng, inner=10, margin=20))
    assert cube.n_grains == len(cube.values["sphericity"]) <= cube.size


def quiet(message, part):
    """No progress."""


def test_the_truth_is_no_farther_from_itself_than_its_floor(monkeypatch):
    for name in ("N_SECTIONS", "N_REFERENCE_SECTIONS", "N_BLOCKS", "N_REFERENCE_BLOCKS"):
        monkeypatch.setattr(grain_evaluation, name, 2)
    monkeypatch.setattr(grain_evaluation, "block", partial(block, inner=14, margin=20))
    truth, other = PHANTOMS["elongated"], PHANTOMS["compact"]
    found = grain_evaluation.against_truth(truth, other, truth, 0, quiet)
    for one in (*found.planar, *found.spatial):
        n, m = (
            sum(len(unit.values[one.descriptor]) for unit in part)
            for part in (
                (found.sections.generated, found.sections.reference)
                if one in found.planar
                else (found.blocks.generated, found.blocks.reference)
            )
        )
        # 99.99 % of the KS statistic of independent samples, 2.2 sqrt((n + m) / nm), and half
        # more, since the grains of a unit depend on each other
        assert one.generated.ks < 3.3 * ((n + m) / (n * m)) ** 0.5
    worst = {one.descriptor: one.untrained.ks for one in found.planar}
    assert worst["aspect_ratio"] > 0.15
    again = grain_evaluation.against_truth(truth, other, truth, 0, quiet)
    assert again.planar == found.planar
    assert again.spatial == found.spatial
    assert (
        found.sections.generated[0].values["area"][0]
        != (found.sections.floor[0][0].values["area"][0])
    )


def test_measured_sections_are_compared_with_twins(monkeypatch):
    monkeypatch.setattr(grain_evaluation, "LEAST_GRAINS", 300)
    rng = np.random.default_rng(4)
    sections = [phantom_section(PHANTOMS["elongated"], rng, half_width=60) for _ in range(2)]
    found = grain_evaluation.against_sections(
        PHANTOMS["elongated"], PHANTOMS["compact"], sections, 1, quiet
    )
    assert found.spatial == ()
    assert found.blocks is None
    assert sum(unit.n_grains for unit in found.sections.generated) >= 250
    sizes = {unit.size for unit in found.sections.reference}
    assert sizes == {float(section.pixel_counts.sum()) for section in sections}
    for one in found.planar:
        if one.descriptor in ("aspect_ratio", "theta"):
            assert one.generated.ks < one.untrained.ks
