import math

import numpy as np
import pytest
from scipy import stats

from cathodegrain.generator.errors import FitError
from cathodegrain.generator.fitting.shells import coefficient_laws as sd
from cathodegrain.generator.shell.laws import LogNormal, Normal, StudentT


def test_the_t_law_is_at_least_as_likely_as_what_scipy_finds():
    values = StudentT(nu=3.0, sigma=2.0).draw(np.random.default_rng(0), 3000)
    law = sd.fit_student(values, centred=True)
    nu, _, sigma = stats.t.fit(values, floc=0)
    assert (law.nu, law.sigma, law.loc) == pytest.approx((nu, sigma, 0.0), rel=1e-3)
    free = sd.fit_student(values + 5, centred=False)
    assert free.nu == pytest.approx(law.nu, rel=0.02)
    assert free.loc == pytest.approx(5.0, abs=0.1)
    assert (
        free.log_density(values + 5).sum()
        >= stats.t(*stats.t.fit(values + 5)).logpdf(values + 5).sum()
    )


@pytest.mark.parametrize("centred", [True, False])
def test_the_gradient_of_the_likelihood_is_that_of_differences(centred):
    values = np.random.default_rng(1).standard_t(3, 200)
    point = np.array([0.8, 0.2] if centred else [0.8, 0.2, 0.3])
    _, gradient = sd._student_cost(point, values)
    for k in range(len(point)):
        step = np.eye(len(point))[k] * 1e-6
        high, low = (sd._student_cost(point + s * step, values)[0] for s in (1, -1))
        assert gradient[k] == pytest.approx((high - low) / 2e-6, abs=1e-6)


@pytest.mark.parametrize("law", [
    StudentT(nu=2.2, sigma=0.3), StudentT(nu=4.6, sigma=2.8), Normal(sigma=1.5),
])  # fmt: skip
def test_a_law_comes_back_within_its_standard_error(law):
    values = law.draw(np.random.default_rng(3), 20_000)
    found = sd.best_laws(values, centred=True)[0].law
    assert type(found) is type(law)
    assert found.sigma == pytest.approx(law.sigma, rel=4 * 1.2 / math.sqrt(len(values)) * 1.5)
    if isinstance(law, StudentT):
        assert found.nu == pytest.approx(law.nu, rel=0.1)


def test_the_published_size_law_comes_back():
    law = LogNormal(shape=0.4, loc=-29.83, scale=140.0)
    found = sd.fit_lognormal(law.draw(np.random.default_rng(2), 20_000))
    assert found.shape == pytest.approx(0.4, rel=0.05)
    assert found.loc == pytest.approx(-29.83, abs=8)
    assert found.scale == pytest.approx(140.0, rel=0.05)
    assert sd.best_laws(law.draw(np.random.default_rng(2), 5000), centred=False)[0].law.family == (
        "lognorm"
    )


def test_the_lognormal_law_is_a_local_maximum_of_the_likelihood():
    values = LogNormal(shape=0.5, loc=3.0, scale=10.0).draw(np.random.default_rng(5), 500)
    law = sd.fit_lognormal(values)
    best = law.log_density(values).sum()
    for name in ("shape", "loc", "scale"):
        for factor in (0.999, 1.001):
            fields = {"shape": law.shape, "loc": law.loc, "scale": law.scale}
            fields[name] *= factor
            assert LogNormal(**fields).log_density(values).sum() <= best + 1e-6


def test_data_skewed_to_the_left_have_no_lognormal_law():
    values = -LogNormal(shape=0.5, loc=3.0, scale=10.0).draw(np.random.default_rng(5), 500)
    assert sd.fit_lognormal(values) is None


def test_a_t_law_that_is_normal_is_called_normal():
    values = np.random.default_rng(0).uniform(-1, 1, 2000)  # lighter tails than any t law
    families = [candidate.law.family for candidate in sd.best_laws(values, centred=True)]
    assert families[0] == "norm"
    assert "t" not in families


def test_akaikes_criterion_counts_fitted_parameters():
    values = np.random.default_rng(0).standard_t(3, 400)
    for centred, n_t in ((True, 2), (False, 3)):
        by_family = {c.law.family: c for c in sd.best_laws(values, centred=centred)}
        t = by_family["t"]
        assert t.aic == pytest.approx(2 * n_t - 2 * t.log_likelihood)


def coefficients(n, seed=0, max_degree=3):
    rng = np.random.default_rng(seed)
    columns = [LogNormal(shape=0.3, loc=0.0, scale=50.0).draw(rng, n)[:, None]]
    for degree in range(1, max_degree + 1):
        law = StudentT(nu=4.0, sigma=2.0 / degree)
        columns.append(law.draw(rng, n * (2 * degree + 1)).reshape(n, -1))
    return np.hstack(columns)


def test_intervals_hold_the_truth_and_shrink_with_the_sample():
    rng = np.random.default_rng(1)
    small, large = (sd.fit_orders(coefficients(n), rng, 200) for n in (100, 1600))
    for order in large[1:]:
        for name, truth in (("nu", 4.0), ("sigma", 2.0 / order.degree)):
            low, high = order.intervals[name]
            assert low < truth < high
    widths = [np.ptp(fit[2].intervals["sigma"]) for fit in (small, large)]
    assert widths[1] / widths[0] == pytest.approx(0.25, rel=0.35)


def test_the_bootstrap_takes_particles_not_coefficients():
    """2l + 1 equal coefficients in each particle tell as much as one."""
    rng = np.random.default_rng(8)
    one = StudentT(nu=5.0, sigma=1.0).draw(rng, 300)
    size = LogNormal(shape=0.3, loc=0.0, scale=50.0).draw(rng, 300)[:, None]
    alone = np.hstack([size, one[:, None], rng.standard_normal((300, 2))])
    same = np.hstack([size, np.repeat(one[:, None], 3, axis=1)])
    error = sd.fit_orders(same, np.random.default_rng(2), 200)[1].standard_errors["sigma"]
    block = [sd.fit_student(rng.choice(one, 300), centred=True).sigma for _ in range(200)]
    assert error == pytest.approx(np.std(block), rel=0.3)
    assert alone.shape == same.shape


def test_distance_correlation_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    table = np.hstack([rng.random((60, 1)), rng.standard_normal((60, 3))])
    table[:, 1] += 3 * table[:, 0] ** 2
    found = next(iter(sd.dependences(table, rng)))

    def centred(values):
        d = np.abs(values[:, None] - values)
        return d - d.mean(0) - d.mean(1)[:, None] + d.mean()

    def correlation(a, b):
        a, b = centred(a), centred(b)
        return math.sqrt((a * b).mean() / math.sqrt((a * a).mean() * (b * b).mean()))

    expected = np.mean([correlation(table[:, 0], table[:, k]) for k in (1, 2, 3)])
    assert found.edcc == pytest.approx(expected, rel=1e-9)
    assert 0 < found.edcc_shuffled < 0.4


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (coefficients(12), "12 particles are not enough .* expected at least 20"),
        (
            np.ones((30, 4)),
            "degree 0 have the standard deviation 0, expected particles that differ",
        ),
        (np.full((30, 4), np.nan), "degree 0 have the standard deviation nan"),
    ],
)
def test_degenerate_data_are_refused(table, message):
    with pytest.raises(FitError, match=message):
        sd.fit_orders(table, np.random.default_rng(0))
