import numpy as np
import pytest
from scipy.stats import kstest

from cathodegrain.exporters.datasets.streaming.changes import DrawnCards
from cathodegrain.generator.errors import DatasetError, ModelCardError

ELONGATION, ROUGHNESS = {"grains.elongation": (0.8, 2.0)}, {"shell.roughness": (0.5, 1.0)}


def test_a_range_is_drawn_uniformly_and_anew_for_each_particle(card):
    drawn = [DrawnCards(card, 7, ELONGATION).values(n)["grains.elongation"] for n in range(500)]
    assert kstest(drawn, "uniform", (0.8, 1.2)).pvalue > 1e-3


def test_ranges_are_independent_and_another_beside_one_does_not_change_it(card):
    alone, both = DrawnCards(card, 7, ELONGATION), DrawnCards(card, 7, ROUGHNESS | ELONGATION)
    one, two = np.transpose([list(both.values(n).values()) for n in range(500)])
    assert [alone.values(n) for n in range(500)] == [{"grains.elongation": v} for v in two]
    assert abs(np.corrcoef(one, two)[0, 1]) < 4 / np.sqrt(500)


def test_values_depend_on_seed_and_particle_only(card):
    cards = DrawnCards(card, 7, ELONGATION)
    assert cards.values(3) == DrawnCards(card, 7, ELONGATION).values(3) != cards.values(4)
    assert cards.values(3) != DrawnCards(card, 8, ELONGATION).values(3)


def test_a_value_that_is_no_range_is_taken_as_it_is(card):
    changes = {"orientations.model": "radial", "grains.elongation": 1.5, "shell.max_degree": 5}
    assert DrawnCards(card, 7, changes).values(0) == changes


def test_a_function_draws_from_its_own_generator(card):
    def changes(rng):
        return {"grains.elongation": np.exp(rng.normal()), "shell.max_degree": rng.integers(3, 9)}

    cards = DrawnCards(card, 7, changes)
    values = cards.values(2)
    assert values == cards.values(2) != cards.values(3)
    assert {type(value) for value in values.values()} == {float, int}
    changed = cards.changed(values)
    assert changed.parameter("grains.elongation") == values["grains.elongation"]
    assert len(changed.sha256) == 64  # plain JSON


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"grains.elongatio": (1, 2)}, ModelCardError, "did you mean 'grains.elongation'"),
        ({"grains.elongation": (-1, 2)}, ModelCardError, "grains.elongation"),
        ({"grains.elongation": (1, "2")}, ModelCardError, "grains.elongation"),
        ({"grains.elongation": (2, 1)}, DatasetError, r"is drawn from \(2, 1\), expected \(low"),
        (["grains.elongation"], DatasetError, r"changes are \['grains.elongation'\], expected a d"),
    ],
)
def test_changes_that_are_not_possible_are_refused_at_once(card, changes, error, message):
    with pytest.raises(error, match=message):
        DrawnCards(card, 7, changes)


def test_what_a_function_returns_is_looked_at(card):
    with pytest.raises(DatasetError, match=r"changes returned 1\.5, expected a dictionary"):
        DrawnCards(card, 7, lambda rng: 1.5).values(0)
