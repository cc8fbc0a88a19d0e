from collections import Counter
from itertools import islice

import pytest

from cathodegrain.exporters.datasets.streaming.order import Share, in_groups


def items(share, mix):
    """Items of a part in its order."""
    for group in in_groups(share.particles(), mix):
        yield from (k for _, k in share.items(group))


def shares(start, stop, crops, parts):
    return [Share(start, stop, crops, part, parts) for part in range(parts)]


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
@pytest.mark.parametrize("crops", [1, 4, 5])
@pytest.mark.parametrize(("start", "stop"), [(0, 60), (7, 53), (8, 9), (11, 40)])
@pytest.mark.parametrize("mix", [1, 3])
def test_parts_have_every_item_of_a_range_once(start, stop, crops, parts, mix):
    found = Counter(k for share in shares(start, stop, crops, parts) for k in items(share, mix))
    assert found == Counter(range(start, stop))


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_no_particle_is_in_two_parts_and_their_numbers_differ_by_one_at_most(parts):
    drawn = [list(share.particles()) for share in shares(7, 93, 5, parts)]
    assert sorted(n for numbers in drawn for n in numbers) == list(range(1, 19))
    assert max(map(len, drawn)) - min(map(len, drawn)) <= 1


def test_one_part_without_mixing_is_the_order_of_the_numbers():
    assert list(items(Share(5, 23, 4, 0, 1), 1)) == list(range(5, 23))


def test_crops_of_mixed_particles_take_turns():
    order = [k // 4 for k in items(Share(0, 24, 4, 0, 1), 3)]
    assert order == [0, 1, 2] * 4 + [3, 4, 5] * 4


def test_equal_numbers_of_whole_groups_are_the_beginning_of_the_stream():
    """So a stream that starts there gives what is left, and nothing twice."""
    crops, mix, parts = 4, 2, 3
    n = 2 * crops * mix
    done = [k for share in shares(0, None, crops, parts) for k in islice(items(share, mix), n)]
    assert sorted(done) == list(range(n * parts))


def test_a_stream_without_end_can_start_anywhere():
    share = Share(10**15, None, 64, 1, 2)
    first = list(islice(items(share, 1), 64))
    assert first == list(range(10**15 + 64, 10**15 + 128))
