import numpy as np
import pytest

from cathodegrain.generator.grains.candidate_kernels import (
    BLOCK,
    LANES,
    candidate_cells,
    cull_packed,
    pack,
)
from tessellations import (
    FAMILIES,
    STRESS,
    left_by_cull,
    lists_of_boxes,
    lobed_shell,
    random_tessellation,
    stressed,
)  # fmt: skip

NO_SHELL = np.empty(0), 0


@pytest.mark.parametrize("metric", ["norm", "squared"])
@pytest.mark.parametrize("family", [*FAMILIES, *STRESS])
def test_packed_grains_are_culled_as_others_are(family, metric, rng):
    gbpd = (
        stressed(family, metric) if family in STRESS else random_tessellation(100, family, metric)
    )
    slack = gbpd.slack(40.0)
    for n in (1, 2, LANES - 1, LANES, LANES + 1, 100):
        for edge in (20.0, 2.0, 0.2):
            source = np.sort(rng.choice(100, n, replace=False)).astype(np.int32)
            centre, half = rng.uniform(-16, 16, 3), np.full(3, edge / 2)
            packed = np.full((n + LANES - 1) // LANES * BLOCK, np.nan)
            target = np.empty(n, np.int32)
            pack(source, gbpd.table, packed)
            kept = cull_packed(
                packed, source, target, centre, half, gbpd.table, gbpd.squared, slack
            )
            expected = left_by_cull(gbpd, source, centre, half, slack)
            np.testing.assert_array_equal(target[:kept], expected)


@pytest.mark.parametrize("shell", [None, lobed_shell()], ids=["no shell", "shell"])
@pytest.mark.parametrize(("family", "metric"), [("long", "norm"), ("wild", "squared")])
def test_the_list_of_a_cell_is_what_its_ancestors_leave(family, metric, shell):
    gbpd = random_tessellation(400, family, metric)
    lower, cell, levels, slack = -10.5, 2.75, 3, gbpd.slack(60.0)
    own = NO_SHELL if shell is None else (shell.table, shell.max_degree)
    start, members = candidate_cells(lower, cell, levels, gbpd.table, gbpd.squared, slack, *own)
    expected = lists_of_boxes(gbpd, lower, cell, levels, slack, shell)
    assert len(start) == 8**levels + 1
    assert (shell is None) == (len(expected) == 8**levels)
    for c, place in enumerate(np.ndindex(8, 8, 8)):
        np.testing.assert_array_equal(members[start[c] : start[c + 1]], expected.get(place, []))


def test_one_cell_is_a_grid():
    gbpd = random_tessellation(50, "mild")
    start, members = candidate_cells(-1.0, 2.0, 0, gbpd.table, False, gbpd.slack(40.0), *NO_SHELL)
    source = np.arange(50).astype(np.int32)
    expected = left_by_cull(gbpd, source, np.zeros(3), np.ones(3), gbpd.slack(40.0))
    assert start.tolist() == [0, len(expected)]
    np.testing.assert_array_equal(members, expected)
