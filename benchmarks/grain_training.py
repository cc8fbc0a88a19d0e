"""How many steps of training `fit grains` does in a second, by device.

Needs ``pip install 'cathodegrain[torch]'``. Run ``python benchmarks/grain_training.py``:

* ``--device cuda``: that device besides the CPU, and whether the same steps give the same weights.
* ``--quick``: a few steps of the default configuration.

On the CPU a step has one thread for the nets and one for what the next step sees, and both count:
steps per second of CPU time are those of one core. On a GPU it is the time that passes.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from cathodegrain.generator.devices import device_named
from cathodegrain.generator.errors import DeviceError
from cathodegrain.generator.fitting.grains import training
from cathodegrain.generator.fitting.grains.planar_tessellation import SectionTessellation
from cathodegrain.generator.fitting.grains.repeatable import repeatable
from timing import Result, machine, table

WARMING_UP = 3  # steps: kernels are compiled, memory is taken
SECONDS, QUICK_SECONDS = 20.0, 1.0
FASTER = 1.5  # bar of a GPU, times one core
EQUAL_STEPS = 6


def sections(n: int = 6, n_grains: int = 500) -> tuple[SectionTessellation, ...]:
    """Planar tessellations of round sections that training takes."""
    rng, found = np.random.default_rng(0), []
    for _ in range(n):
        angle, radius = 2 * np.pi * rng.random(n_grains), 113 * np.sqrt(rng.random(n_grains))
        seeds = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        diagonals = np.tile([4.0, 16.0], (n_grains, 1))
        offsets = rng.uniform(2, 9, n_grains)
        found.append(SectionTessellation(seeds, diagonals, offsets, 1.0))
    return tuple(found)


def steps(config_name: str, device: str) -> Iterator[training.TrainingState]:
    """States of training with new nets."""
    config = training.CONFIGS[config_name]
    state = training.first_state(config, np.random.default_rng(3), device)
    return training.train(sections(), config, state)


def steps_per_second(config_name: str, device: str, seconds: float = SECONDS) -> float:
    """Steps of a configuration, per second of CPU time on the CPU, of passing time on a GPU.

    Parameters
    ----------
    config_name
        "default" or "paper".
    device
        As torch calls it.
    seconds
        After which no other step begins.
    """
    clock = time.process_time if device == "cpu" else time.perf_counter
    with _one_thread(), repeatable(device):
        states = steps(config_name, device)
        for _ in range(WARMING_UP):
            next(states)
        begun, n = clock(), 0
        while clock() - begun < seconds or n == 0:
            next(states)  # ends with a number that comes back from the device
            n += 1
        speed = n / (clock() - begun)
        states.close()
    return speed


def weights_sha256(config_name: str, device: str, n: int = EQUAL_STEPS) -> str:
    """Hash of the weights after some steps."""
    with _one_thread(), repeatable(device):
        states = steps(config_name, device)
        for _ in range(n):
            state = next(states)
        states.close()
    found = hashlib.sha256()
    for tensor in state.generator.state_dict().values():
        found.update(tensor.cpu().numpy().tobytes())
    return found.hexdigest()


@contextmanager
def _one_thread() -> Iterator[None]:
    """As the processes of `fit grains` are set up."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(False)


def results(device: str, quick: bool) -> Iterator[Result]:
    """Speed of each configuration, and of a GPU in times one core."""
    seconds = QUICK_SECONDS if quick else SECONDS
    for name in ["default"] if quick else list(training.CONFIGS):
        one = steps_per_second(name, "cpu", seconds)
        yield Result(name=f"{name}: one core", value=one, unit=" steps/s")
        equal = len({weights_sha256(name, device) for _ in range(2)}) == 1
        yield Result(
            name=f"{name}: twice the same steps on {device}, different weights",
            value=float(not equal),
            high=0,
        )
        if device != "cpu":
            own = steps_per_second(name, device, seconds)
            yield Result(name=f"{name}: {device}", value=own, unit=" steps/s")
            yield Result(name=f"{name}: {device}, times one core", value=own / one, low=FASTER)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or auto")
    parser.add_argument("--quick", action="store_true", help="one configuration, a second each")
    options = parser.parse_args(argv)
    try:
        device = device_named(options.device, kernels=False)
    except DeviceError as error:
        parser.error(str(error))
    print(f"{machine()}; {device}")
    rows = list(results(device.name, options.quick))
    print(table(rows))
    return int(any(row.verdict == "missed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
