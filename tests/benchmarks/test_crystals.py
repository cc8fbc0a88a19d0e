"""The benchmark of crystals runs at toy size and draws what it says."""

import numpy as np

import crystals
from cathodegrain.generator.markers.orientations import c_axes


def test_crystals_follow_the_radius_of_the_seed(rng):
    """c-axes across it without a spread, and equal ones for the pieces of a grain."""
    for one in crystals.cuts("nmc811-radial", 2.0, 0.2):
        section = one.with_crystals("radial", 0.0, rng)
        seeds = one.directions @ one.cut.plane.frame.T
        along = (c_axes(section.orientations) * seeds).sum(axis=1)
        np.testing.assert_allclose(along, 0, atol=1e-5)
        assert crystals.factors(one).shape[1] == 4


def test_tables_are_printed(capsys, monkeypatch):
    monkeypatch.setattr(crystals, "SPREADS", (15.0,))
    crystals.show_spreads("nmc811-radial", 2.0, 0.0, 2)
    assert "random crystals: texture found in" in capsys.readouterr().out
