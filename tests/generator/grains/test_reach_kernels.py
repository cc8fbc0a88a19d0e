import math

import numpy as np
import pytest

from cathodegrain.generator.grains.tessellation import Tessellation
from cathodegrain.generator.shell.shell import Shell
from tessellations import lists_of_boxes, lobed_shell, random_tessellation


def reachable_by_definition(gbpd, shell, resolution):
    """Grains on the lists of the smallest boxes, each of which is visited."""
    half_width = shell.radius_bounds[1]
    n_cells = math.ceil(2 * half_width / (8 * resolution))
    levels = math.ceil(math.log2(n_cells)) + 3
    smallest = half_width / n_cells / 8
    slack = gbpd.slack(math.sqrt(3) * half_width + np.linalg.norm(gbpd.seeds, axis=1).max())
    boxes = lists_of_boxes(gbpd, -half_width, 2 * smallest, levels, slack, shell)
    return np.unique(np.concatenate(list(boxes.values()))).tolist()


@pytest.mark.parametrize("metric", ["norm", "squared"])
@pytest.mark.parametrize("family", ["mild", "long", "wild"])
def test_reachable_grains_are_on_the_list_of_a_smallest_box(family, metric):
    gbpd = random_tessellation(600, family, metric)
    for shell, resolution in ((lobed_shell(), 0.6), (Shell.sphere(3.0), 0.13)):
        expected = reachable_by_definition(gbpd, shell, resolution)
        assert gbpd.reachable(shell, resolution).tolist() == expected
        assert 0 < len(expected) < 600


@pytest.mark.parametrize("metric", ["norm", "squared"])
def test_reachable_grains_do_not_depend_on_the_order_of_the_grains(metric, rng):
    gbpd = random_tessellation(1500, "long", metric)
    expected = gbpd.reachable(lobed_shell(), 0.25)
    for _ in range(3):
        order = rng.permutation(1500)
        mixed = Tessellation(gbpd.seeds[order], gbpd.matrices[order], gbpd.offsets[order], metric)
        np.testing.assert_array_equal(
            np.sort(order[mixed.reachable(lobed_shell(), 0.25)]), expected
        )
