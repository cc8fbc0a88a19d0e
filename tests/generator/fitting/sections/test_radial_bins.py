from itertools import pairwise

import numpy as np

from cathodegrain.generator.fitting.sections.radial_bins import (
    EDGES,
    NAMES,
    RadialBin,
    bin_numbers,
    merged_bins,
)


def names(bins):
    return [one.name for one in bins]


def test_bins_follow_each_other_without_a_gap():
    t = np.linspace(0, 1.2, 1201)
    numbers = bin_numbers(t)
    assert (np.diff(numbers) >= 0).all()
    for k, (low, high) in enumerate(pairwise(EDGES)):
        own = t[numbers == k]
        assert low <= own[0] < low + 0.0011
        assert own[-1] < high + 0.0011 or k == len(NAMES) - 1
        assert RadialBin((k,)).bounds == (low, high)


def test_bins_with_grains_enough_in_every_sample_stay_apart():
    assert names(merged_bins([[30, 30, 30], [99, 31, 30]])) == list(NAMES)


def test_a_bin_with_too_few_grains_in_one_sample_is_merged_with_its_neighbour():
    plenty = [99, 99, 99]
    assert names(merged_bins([plenty, [29, 99, 99]])) == ["core and middle", "outside"]
    assert names(merged_bins([plenty, [99, 29, 99]])) == ["core", "middle and outside"]
    assert names(merged_bins([plenty, [99, 99, 0]])) == ["core", "middle and outside"]
    assert names(merged_bins([[0, 0, 99], plenty])) == ["core and middle and outside"]
    (one,) = merged_bins([[5, 5, 5]])
    assert one.bounds == (0.0, 1.0)
    assert one.parts == NAMES


def test_bins_that_fill_each_other_up_are_enough():
    assert names(merged_bins([[20, 15, 40]])) == ["core and middle", "outside"]
