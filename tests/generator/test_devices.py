import re
import sys
from types import SimpleNamespace

import pytest

from cathodegrain.generator import devices
from cathodegrain.generator.devices import Device, device_named
from cathodegrain.generator.errors import DeviceError

HOPPER = {"names": ["H100"], "capabilities": [(9, 0)]}


def fake(names=(), capabilities=(), cuda="13.0", driver=True, version="2.13.0"):
    """A torch that sees these GPUs."""
    return SimpleNamespace(
        __version__=version,
        version=SimpleNamespace(cuda=cuda),
        cuda=SimpleNamespace(
            is_available=lambda: driver and bool(names),
            device_count=lambda: len(names),
            get_device_capability=lambda number: capabilities[number],
            get_device_name=lambda number: names[number],
        ),
    )


@pytest.fixture
def computer(monkeypatch):
    """A computer with these GPUs and packages."""

    def has(absent=(), **torch):
        monkeypatch.setattr(devices, "missing", lambda *names: [n for n in names if n in absent])
        monkeypatch.setattr(
            "cathodegrain.generator.requirements.missing",
            lambda *names: [n for n in names if n in absent],
        )
        monkeypatch.setitem(sys.modules, "torch", fake(**torch))

    return has


def refusal(name, **options):
    with pytest.raises(DeviceError) as caught:
        device_named(name, **options)
    return str(caught.value)


def test_a_gpu_is_taken_by_its_number(computer):
    computer(names=["H100", "T4"], capabilities=[(9, 0), (7, 5)])
    assert device_named("cuda") == device_named("cuda:0") == Device("cuda:0")
    assert device_named("cuda:1") == Device("cuda:1")
    assert device_named("cuda:1").is_gpu
    assert not device_named("cpu").is_gpu


@pytest.mark.parametrize(
    ("name", "has", "expected"),
    [
        ("cuda", {"absent": ["torch"]}, "torch is not installed; .* pip install "),
        ("cuda", {"cuda": None, "version": "2.13.0+cpu"},
         r"this torch \(2.13.0\+cpu\) is built without CUDA; choose CUDA .*, or take cpu"),
        ("cuda", {}, r"no NVIDIA driver or GPU is found \(nvidia-smi .*\); take cpu"),
        ("cuda", {**HOPPER, "driver": False}, "no NVIDIA driver or GPU is found"),
        ("cuda:2", HOPPER, "this computer has 1 GPU; take cuda:0"),
        ("cuda:2", {"names": ["A", "B"], "capabilities": [(9, 0)] * 2},
         "this computer has 2 GPUs; take cuda:0 to cuda:1"),
        ("cuda", {"names": ["GTX 1080"], "capabilities": [(6, 1)]},
         "GTX 1080 has compute capability 6.1, expected 7.0 or newer; take cpu"),
        ("cuda", {**HOPPER, "absent": ["triton"]}, "Triton is not installed, .* pip install"),
        ("mps", HOPPER, "it has no float64, in which labels are decided; take cpu"),
    ],
    ids=["no torch", "no CUDA", "no GPU", "no driver", "one GPU", "two GPUs", "old", "no Triton",
         "mps"],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_with_what_to_do(computer, name, has, expected):
    computer(**has)
    text = refusal(name)
    assert text.startswith(f"device {name}: ")
    assert re.search(expected, text)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda 0", "", "CPU"])
def test_another_name_is_refused_with_the_choices(name):
    assert refusal(name) == f"device is {name!r}, expected cpu, cuda, cuda:N or auto"


def test_nets_need_no_triton(computer):
    computer(**HOPPER, absent=["triton"])
    assert device_named("cuda", kernels=False) == Device("cuda:0")


def test_auto_takes_a_gpu_that_is_usable_and_else_says_why_not(computer):
    computer(**HOPPER)
    assert str(device_named("auto")) == "cuda:0 (H100)"
    computer(names=["GTX 1080"], capabilities=[(6, 1)])
    assert device_named("auto") == Device(
        "cpu", "GTX 1080 has compute capability 6.1, expected 7.0 or newer"
    )
    computer(absent=["torch"])
    assert str(device_named("auto")) == "cpu (torch is not installed)"


def test_a_full_memory_is_told_with_what_to_do():
    torch = pytest.importorskip("torch")
    with (
        pytest.raises(DeviceError, match=r"its memory is full \(so many\); be modest, or take cpu"),
        devices.current("cpu", "be modest"),
    ):
        raise torch.cuda.OutOfMemoryError("so many")
