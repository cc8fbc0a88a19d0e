import numpy as np
import pytest

from cathodegrain.generator.grains.cell_lists import cell_lists
from tessellations import random_tessellation

SLACK = 1e-9


def grid(rng, sizes, low, high):
    """Ascending centres along x, y and z, unevenly spaced, and half widths of the cells."""
    edges = [np.sort(rng.uniform(low, high, n + 1)) for n in sizes]
    centres = [(e[1:] + e[:-1]) / 2 for e in edges]
    return edges, centres, np.array([np.diff(e).max() / 2 for e in edges])


@pytest.mark.parametrize("metric", ["norm", "squared"])
@pytest.mark.parametrize("kind", ["wild", "long"])
@pytest.mark.parametrize("place", [(-8, 8), (20, 28)])  # among the seeds; where none lies
def test_the_owner_of_a_point_is_in_the_list_of_its_cell(kind, metric, place, rng):
    gbpd = random_tessellation(80, kind, metric)
    edges, (x, y, z), half = grid(rng, (4, 5, 6), *place)
    active = rng.random((6, 5, 4)) < 0.7
    start, members = cell_lists(
        x, y, z, half, active, gbpd.table, gbpd.extents, gbpd.squared, SLACK
    )
    u = rng.random((4000, 3))
    cell = [rng.integers(0, len(e) - 1, 4000) for e in edges]
    low, high = (
        np.stack([e[c + k] for e, c in zip(edges, cell, strict=True)], axis=1) for k in (0, 1)
    )
    points = low + u * (high - low)
    row = (cell[2] * 5 + cell[1]) * 4 + cell[0]
    for owner, c in zip(gbpd.labels(points), row, strict=True):
        listed = members[start[c] : start[c + 1]]
        assert (owner in listed) if active.ravel()[c] else len(listed) == 0


def test_lists_ascend_and_are_short_where_cells_are_as_large_as_grains():
    gbpd = random_tessellation(2000, "mild")
    low, high = gbpd.seeds.min(), gbpd.seeds.max()
    edge = (high - low) / 13  # 2197 cells
    centres = low + edge * (np.arange(13) + 0.5)
    active = np.ones((13, 13, 13), bool)
    start, members = cell_lists(
        centres, centres, centres, np.full(3, edge / 2), active, gbpd.table, gbpd.extents,
        gbpd.squared, SLACK,
    )  # fmt: skip
    lists = np.split(members, start[1:-1])
    assert all((np.diff(listed) > 0).all() for listed in lists)
    assert 1 < np.mean([len(listed) for listed in lists]) < 100


@pytest.mark.parametrize("kind", ["wild", "long"])
def test_extents_are_those_of_the_unit_balls(kind, rng):
    gbpd = random_tessellation(20, kind)
    sphere = rng.normal(size=(20_000, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    for matrix, extent in zip(gbpd.matrices, gbpd.extents, strict=True):
        surface = np.linalg.solve(np.linalg.cholesky(matrix).T, sphere.T)  # |y|_M = 1
        reached = np.abs(surface).max(axis=1)
        assert (reached <= extent * (1 + 1e-12)).all()
        np.testing.assert_allclose(reached, extent, rtol=0.02)
