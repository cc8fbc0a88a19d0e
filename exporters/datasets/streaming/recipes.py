"""Particles in a given order, drawn in this process or ahead of their use in others."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from ....generator.errors import DatasetError
from ....generator.generate import generate_particle, particles_in_turn
from ....generator.particle import Particle
from ..making.engines import end_with_parent, one_thread, spawned
from .changes import DrawnCards
from .order import in_groups


class Drawn(NamedTuple):
    """A particle, and the parameters of its model that it drew."""

    particle: Particle
    parameters: dict[str, Any]


def particles(
    cards: DrawnCards, numbers: Iterator[int], processes: int, ahead: int, device: str = "cpu"
) -> Generator[Drawn, None, None]:
    """Particles of these numbers, in their order.

    Parameters
    ----------
    processes
        Processes that draw them; 0 for this one. They end when the iterator is closed or
        forgotten, and with this process, however it ends.
    ahead
        Particles that are drawn before they are asked for, at most.
    device
        Where this process computes their grains. Those of one card share launches on a GPU.

    Raises
    ------
    GenerationError
        If one cannot be drawn.
    DatasetError
        If a process is killed.
    """
    if processes == 0:
        for group in in_groups(numbers, ahead):
            yield from _drawn(cards, group, device)
        return
    waiting: deque[tuple[Future[Particle], dict[str, Any]]] = deque()
    with spawned(processes, _start) as pool:
        try:
            with one_thread():  # processes take the environment that they start in
                for _ in range(processes):
                    pool.submit(_ready)
            for number in numbers:
                values = cards.values(number)
                card = cards.changed(values)
                waiting.append((pool.submit(generate_particle, card, cards.seed, number), values))
                if len(waiting) >= ahead:
                    yield _first(waiting)
            while waiting:
                yield _first(waiting)
        except BrokenProcessPool as error:
            msg = (
                f"one of {processes} processes that draw particles has ended: memory does not "
                "suffice, or the program lacks if __name__ == '__main__': around what it does"
            )
            raise DatasetError(msg) from error


def _drawn(cards: DrawnCards, numbers: list[int], device: str) -> Iterator[Drawn]:
    drawn = [(number, cards.values(number)) for number in numbers]
    for values, alike in groupby(drawn, itemgetter(1)):
        card = cards.changed(values)
        indices = [number for number, _ in alike]
        for particle in particles_in_turn(card, cards.seed, indices, device=device):
            yield Drawn(particle, values)


def _first(waiting: deque[tuple[Future[Particle], dict[str, Any]]]) -> Drawn:
    future, values = waiting.popleft()
    return Drawn(future.result(), values)


def _start() -> None:
    """Leave an interrupt to the process that iterates, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def _ready() -> None:
    """Nothing: the pool starts a process for each of its first tasks."""
