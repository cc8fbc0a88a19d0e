"""Speed of endless volumes: run ``python benchmarks/streams.py [--quick]``.

Needs ``pip install 'cathodegrain[torch]'``.

One thread, CPU seconds, of the process that draws the particles and makes the items. Particles of
the shipped card as they come, one after the other from the first on; cubes of 64^3 voxels of
0.05 um. ``labels and boundary`` is what a stream gives by default.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterator
from typing import Any

import cathodegrain as cg
from timing import Result, cpu_seconds, in_one_thread, machine, table

EDGE, PITCH_UM = 64, 0.05
EXTRAS: dict[str, dict[str, Any]] = {
    "labels and boundary": {},
    "with gap": {"gap": 5.0},
    "with c_axis": {"c_axis": True, "changes": {"orientations.model": "radial"}},
}


def cubes_per_second(particles: int, crops: int, **settings: Any) -> float:
    """Items that a stream gives in a CPU second, over all crops of some particles."""
    given = {"edge": EDGE, "pitch_um": PITCH_UM, "crops": crops, **settings}
    stream = cg.VolumeStream("nmc811", stop=particles * crops, **given)
    return particles * crops / cpu_seconds(lambda: deque(stream, maxlen=0))


def results(quick: bool) -> Iterator[Result]:
    """Measure everything, a result at a time."""
    particles = 4 if quick else 24
    for settings in EXTRAS.values():
        cubes_per_second(1, 1, edge=8, **settings)  # compile
    for crops in (8, 64):
        for name, settings in EXTRAS.items():
            yield Result(
                name=f"cubes of {EDGE}^3, {crops} of each particle, {name}",
                value=cubes_per_second(particles, crops, **settings),
                unit=" /CPU s",
                details=f"{particles} particles",
            )
    yield Result(
        name="cubes of 128^3, 64 of each particle, labels and boundary",
        value=cubes_per_second(max(1, particles // 8), 64, edge=128),
        unit=" /CPU s",
        details=f"{max(1, particles // 8)} particles",
    )
    yield Result(
        name="whole particles in 128^3, labels and boundary",
        value=cubes_per_second(particles, 1, shape=128, pitch_um=None),
        unit=" /CPU s",
        details=f"{particles} particles",
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer particles")
    arguments = parser.parse_args()
    print(machine(), end="\n\n", flush=True)
    print(table(results(arguments.quick)))


if __name__ == "__main__":
    in_one_thread()
    main()
