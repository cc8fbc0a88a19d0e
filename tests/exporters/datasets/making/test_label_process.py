"""One process labels voxels on a GPU for all processes of a build."""

import multiprocessing
import os
import queue
import signal

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

from cathodegrain.exporters.datasets.config import from_fields
from cathodegrain.exporters.datasets.making import label_process
from cathodegrain.exporters.datasets.making.build import build
from cathodegrain.exporters.datasets.making.engines import Dask, Processes, in_this_process
from cathodegrain.exporters.datasets.making.label_process import (
    _answer,
    _Request,
    _waiting,
)
from cathodegrain.generator.errors import DatasetError, DeviceError
from cathodegrain.generator.voxels import device_labels
from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import label_slab
from cathodegrain.generator.voxels.window import Window
from kernel_device import KERNEL_DEVICE, KernelDevice
from small_datasets import contents

CONFIG = {
    "name": "coarse",
    "model": "nmc811-radial",
    "seed": 7,
    "count": 3,
    "parameters": {"shell": {"diameter_um": 1.0}, "grains": {"intensity": 0.0001}},
    "products": {"voxels": {"pitch_um": 0.3}, "grain-table": {"pitch_um": 0.3}},
}
GRID = Grid((-0.45,) * 3, 0.3, (3, 3, 3))


@pytest.fixture
def device():
    return KernelDevice(KERNEL_DEVICE)


@pytest.mark.parametrize("kind", ["device-one process", "device-two processes"])
def test_a_dataset_is_the_same_bytes_on_any_device(device, kind, tmp_path):
    config = from_fields(CONFIG)
    build(config, tmp_path / "cpu", in_this_process)
    engine = in_this_process if "one" in kind else Processes(2)
    with np.errstate(all="ignore"):  # the interpreter computes with NumPy
        report = build(config, tmp_path / "gpu", engine, device=device)
    assert (report.made, report.failed) == (3, ())
    assert contents(tmp_path / "gpu") == contents(tmp_path / "cpu")
    assert multiprocessing.active_children() == []


def test_a_process_answers_with_the_labels_of_a_slab(device, tiny_particle):
    wanted = label_slab(tiny_particle, GRID, 1, 3)
    with label_process.label_process(device.name) as label:
        assert (label(tiny_particle, GRID, 1, 3) == wanted).all()
        out = np.full((4, 3, 3), -1, np.int32)
        label(tiny_particle, GRID, 1, 3, out=out[1:3])
        assert (out[1:3] == wanted).all()
        assert (out[[0, 3]] == -1).all()
        (process,) = multiprocessing.active_children()
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with pytest.raises(DatasetError, match=r"labels on .* has ended; the same command resumes"):
            label(tiny_particle, GRID, 0, 1)


def test_a_process_that_cannot_start_is_told(monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('no such thing')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DeviceError, match="device cuda:0: the process that labels on it did not"):
        label_process.label_process("cuda:0").__enter__()


def test_the_gpu_of_this_computer_is_not_for_an_executor(device, tmp_path):
    pytest.importorskip("distributed")
    with pytest.raises(DatasetError, match=r"is this computer's: .* build with --shard"):
        build(from_fields(CONFIG), tmp_path / "d", Dask("tcp://nowhere:1"), device=device)


class Recorded:
    """A connection that keeps what is sent."""

    def __init__(self, gone=False):
        self.sent, self.gone = [], gone

    def send(self, message):
        if self.gone:
            raise BrokenPipeError
        self.sent.append(message)

    def send_bytes(self, data):
        self.sent.append(bytes(data))


@pytest.fixture
def window(tiny_particle):
    return Window.of(tiny_particle.tessellation, tiny_particle.shell, GRID.axes)


def test_all_that_wait_are_one_batch_up_to_its_size(window, monkeypatch):
    monkeypatch.setattr(label_process, "BATCH_VOXELS", 3 * window.n_voxels)
    requests = queue.Queue()
    for number in range(5):
        requests.put(_Request(number, window))
    assert [r.connection for r in _waiting(requests)] == [0, 1, 2]
    assert [r.connection for r in _waiting(requests)] == [3, 4]
    for number in range(70):
        requests.put(_Request(number, window))
    monkeypatch.setattr(label_process, "BATCH_VOXELS", 1 << 28)
    assert len(_waiting(requests)) == label_process.BATCH_WINDOWS


def test_what_is_too_large_is_told_and_the_others_are_labelled(window, monkeypatch, tiny_particle):
    large = window._replace(below=9)
    whole = device_labels.label_windows

    def limited(windows, device):
        if large in windows:
            msg = "its memory is full"
            raise DeviceError(msg)
        return whole(windows, device)

    monkeypatch.setattr(device_labels, "label_windows", limited)
    connections = [Recorded(), Recorded(), Recorded(gone=True), Recorded()]
    windows = [window, large, window, window]
    with np.errstate(all="ignore"):
        requests = [_Request(*pair) for pair in zip(connections, windows, strict=True)]
        _answer(requests, KERNEL_DEVICE)
    labels = label_slab(tiny_particle, GRID, 0, 3).tobytes()
    wanted = [["", labels], ["its memory is full"], [], ["", labels]]
    assert [connection.sent for connection in connections] == wanted
