"""A process that labels voxels on a GPU for all processes of a build.

The processes of a build send it windows and wait for their labels. It takes all that wait as one
batch, so that the GPU labels many particles in one set of launches, and one process holds its
memory. Nothing but numbers is exchanged, over a socket that needs a key.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing.connection import Client, Connection, Listener
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....generator.errors import DatasetError, DeviceError
from ....generator.voxels.window import Window
from .engines import end_with_parent

if TYPE_CHECKING:
    from ....generator.particle import Particle
    from ....generator.voxels.grid import Grid

BATCH_VOXELS = 1 << 28  # 1 GB of labels
BATCH_WINDOWS = 64
BROKEN = (EOFError, OSError)  # of a connection whose other end has gone


@dataclass(frozen=True)
class ProcessSlabs:
    """Layers of a grid by the process at ``address``: a `labelling.LabelSlab`."""

    address: str
    key: bytes = field(repr=False)
    device: str

    def __call__(
        self,
        particle: Particle,
        grid: Grid,
        start: int,
        stop: int,
        *,
        out: NDArray[np.int32] | None = None,
    ) -> NDArray[np.int32]:
        """Layers ``start`` to ``stop - 1``, (stop - start, ny, nx) int32, in ``out`` if given.

        Raises
        ------
        DeviceError
            If the device cannot label them.
        DatasetError
            If the process has ended.
        """
        window = Window.of(particle.tessellation, particle.shell, grid.axes).layers(start, stop)
        labels = np.empty(window.shape, np.int32) if out is None else out
        try:
            connection = _connection(self.address, self.key)
            connection.send(window)
            if problem := connection.recv():
                raise DeviceError(problem)
            connection.recv_bytes_into(labels.data.cast("B"))
        except BROKEN as error:
            msg = f"the process that labels on {self.device} has ended; the same command resumes"
            raise DatasetError(msg) from error
        return labels


@lru_cache(maxsize=1)
def _connection(address: str, key: bytes) -> Connection:
    """Connection of this process, made once."""
    return Client(address, authkey=key)


@contextlib.contextmanager
def label_process(device: str) -> Iterator[ProcessSlabs]:
    """Process that labels on a device while the block runs.

    Raises
    ------
    DeviceError
        If it does not start.
    """
    context = multiprocessing.get_context("spawn")
    key, (ours, theirs) = os.urandom(32), context.Pipe()
    process = context.Process(target=_serve, args=(theirs, key, device), daemon=True)
    process.start()
    theirs.close()
    try:
        try:
            address = ours.recv()
        except EOFError as error:
            msg = f"device {device}: the process that labels on it did not start"
            raise DeviceError(msg) from error
        yield ProcessSlabs(address, key, device)
    finally:
        process.terminate()
        process.join()
        ours.close()


class _Request(NamedTuple):
    connection: Connection
    window: Window


def _serve(parent: Connection, key: bytes, device: str) -> None:
    """Label windows until this process is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the build ends this process
    end_with_parent()
    from ....generator.voxels import device_labels  # noqa: F401  imports torch before the first

    requests: queue.Queue[_Request] = queue.Queue()
    with Listener(authkey=key) as listener:
        parent.send(listener.address)
        _in_background(_accept, listener, requests)
        while True:
            _answer(_waiting(requests), device)


def _in_background(function: object, *arguments: object) -> None:
    threading.Thread(target=function, args=arguments, daemon=True).start()  # type: ignore[arg-type]


def _accept(listener: Listener, requests: queue.Queue[_Request]) -> None:
    while True:
        with contextlib.suppress(multiprocessing.AuthenticationError, *BROKEN):
            _in_background(_receive, listener.accept(), requests)


def _receive(connection: Connection, requests: queue.Queue[_Request]) -> None:
    with contextlib.suppress(*BROKEN):
        while True:
            requests.put(_Request(connection, connection.recv()))


def _waiting(requests: queue.Queue[_Request]) -> list[_Request]:
    """All requests that wait, at least one, at most a batch."""
    found = [requests.get()]
    voxels = found[0].window.n_voxels
    while len(found) < BATCH_WINDOWS and voxels < BATCH_VOXELS:
        try:
            found.append(requests.get_nowait())
        except queue.Empty:
            break
        voxels += found[-1].window.n_voxels
    return found


def _answer(requests: list[_Request], device: str) -> None:
    """Send each its labels, or why it has none; what fails in a batch is tried alone."""
    from ....generator.voxels.device_labels import label_windows

    try:
        volumes = label_windows([r.window for r in requests], device).volumes()
    except DeviceError as error:
        if len(requests) > 1:
            for request in requests:
                _answer([request], device)
        else:
            with contextlib.suppress(*BROKEN):
                requests[0].connection.send(str(error))
        return
    for request, labels in zip(requests, volumes, strict=True):
        with contextlib.suppress(*BROKEN):
            request.connection.send("")
            request.connection.send_bytes(labels.cpu().numpy().data.cast("B"))
