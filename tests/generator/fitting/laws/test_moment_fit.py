"""Fits by simulated moments: weights, information, steps, several starts."""

from itertools import pairwise

import numpy as np
import pytest

from cathodegrain.generator.fitting.laws.law_parameters import GUESS, NAMES, SPREAD
from cathodegrain.generator.fitting.laws.moment_fit import (
    EFFORT,
    EVERY,
    STARTS,
    Descent,
    Slopes,
    Target,
    Weights,
    chord_fit,
    descended,
    penalty,
    shrunk_covariance,
    start,
    unbiased_information,
)
from law_sections import TRUTH, law_section


@pytest.fixture
def target(short_law_fits):
    return Target.of([law_section(k) for k in range(3)], [0.0] * 3, seed=4)


def test_covariances_keep_their_variances_and_shrink_towards_independence():
    rng = np.random.default_rng(1)
    sample = rng.normal(size=(40, 30)) * np.linspace(1, 3, 30)
    found = shrunk_covariance(sample)
    assert np.diag(found) == pytest.approx(sample.var(axis=0, ddof=1))
    off = ~np.eye(30, dtype=bool)
    given = np.cov(sample.T)
    assert np.abs(found[off]).mean() < 0.3 * np.abs(given[off]).mean()  # they are independent
    assert np.linalg.eigvalsh(found).min() > 0


def test_many_replicates_leave_correlations_as_they_are():
    rng = np.random.default_rng(2)
    mixing = rng.normal(size=(8, 8))
    sample = rng.normal(size=(20_000, 8)) @ mixing
    assert shrunk_covariance(sample) == pytest.approx(np.cov(sample.T), rel=0.05, abs=0.05)


def test_information_of_noisy_derivatives_has_no_bias():
    """J^T C^-1 J of one noisy J is too large; products of different groups are not."""
    rng = np.random.default_rng(3)
    true, noise = rng.normal(size=(60, 4)), 2.0
    weights = Weights(np.eye(60))
    jacobians = true + noise * rng.normal(size=(400, 60, 4))
    found = unbiased_information(jacobians, weights)
    assert found == pytest.approx(true.T @ true, abs=6)
    naive = jacobians[0].T @ jacobians[0]
    assert np.trace(naive) > np.trace(true.T @ true) + 0.5 * 60 * 4 * noise**2


def test_distance_is_that_of_mahalanobis():
    covariance = np.array([[2.0, 0.6], [0.6, 1.0]])
    difference = np.array([0.3, -1.2])
    expected = difference @ np.linalg.solve(covariance, difference)
    assert Weights(covariance).distance(difference) == pytest.approx(expected)
    assert Weights(covariance).times(2.0).distance(difference) == pytest.approx(expected / 2)


def test_a_fit_comes_nearer_to_the_sections_and_to_their_law(target):
    """Three steps from the guess."""
    variances = np.array([target.simulated(TRUTH, 1, k) for k in range(12)]).var(axis=0)
    descent = Descent(target, Weights(np.diag(variances + 1e-4)), 2, EVERY)
    found = descended(descent, GUESS, 3, "x", lambda name, make: make())
    assert found.distance < 0.5 * descent.first(GUESS).distance
    rho, gradient = NAMES.index("rho_1"), [NAMES.index(n) for n in ("lambda_0", "lambda_1")]
    assert abs(found.theta[rho] - TRUTH[rho]) < abs(GUESS[rho] - TRUTH[rho])
    assert found.theta[gradient[0]] > found.theta[gradient[1]]


def test_chords_find_a_law_near_by_without_new_derivatives():
    """A stand-in whose statistics are linear: one step is enough, and guesses pull."""
    rng = np.random.default_rng(5)
    jacobian = rng.normal(size=(40, len(NAMES)))
    true = GUESS + 0.3 * rng.normal(size=len(NAMES))

    class Linear:
        effort = EFFORT

        def expected(self, theta):
            return jacobian @ theta

    weights = Weights(np.eye(40) / 1e4)
    at = Slopes(jacobian, jacobian.T @ jacobian * 1e4)
    found = chord_fit(Linear(), jacobian @ true, weights, at, GUESS)
    assert found.theta == pytest.approx(true, abs=0.01)
    vague = Weights(np.eye(40) * 1e6)
    held = chord_fit(
        Linear(), jacobian @ true, vague, Slopes(jacobian, jacobian.T @ jacobian / 1e6), GUESS
    )
    assert held.theta == pytest.approx(GUESS, abs=0.01)


def test_starts_differ_and_are_laws_of_the_family():
    starts = [start(name) for name in STARTS]
    assert penalty(starts[0]) == 0
    assert all(np.abs((a - b) / SPREAD).max() > 0.5 for a, b in pairwise(starts))


def test_sections_of_a_target_keep_their_random_numbers(target):
    last = target.select([2])
    assert len(last) == 1
    assert last.numbers == (2,)
    assert last.edges == target.edges
    assert last.areas == pytest.approx(target.areas / 3, rel=0.01)
