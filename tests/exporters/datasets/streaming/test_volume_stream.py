import copy
import gc
import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader, IterableDataset

import cathodegrain as cg
from cathodegrain.exporters.datasets.streaming import volume_stream
from cathodegrain.exporters.products.voxels import boundary
from cathodegrain.generator.devices import Device
from cathodegrain.generator.voxels.labelling import label_brute_force
from device_names import DEVICES
from kernel_device import KERNEL_DEVICE, KernelDevice
from processes import started

SMALL = {
    "shell.diameter_um": (1.2, 1.8),
    "orientations.model": "radial",
    "grains.elongation": (0.8, 2.0),
}
# Python 3.12 warns of the forks that DataLoader makes
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def stream():
    """Three particles and a part of two more, with all that items can have."""
    return cg.VolumeStream(
        "nmc811-radial", seed=7, edge=14, crops=4, changes=SMALL, gap=2.0, c_axis=True,
        grains=True, start=3, stop=18, mix=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def expected(stream):
    return {item["index"]: item for item in stream}


@pytest.fixture(scope="module")
def particles(stream, expected):
    return {n: stream.particle(n) for n in {item["particle"] for item in expected.values()}}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if torch.is_tensor(value):
            assert found[name].dtype == value.dtype
            assert torch.equal(found[name].cpu(), value.cpu()), name
        else:
            assert found[name] == value, name


def assert_all(found, expected):
    found = list(found)
    assert sorted(item["index"] for item in found) == sorted(expected)
    for item in found:
        assert_same(item, expected[item["index"]])


# what item k is


def test_item_k_is_a_crop_of_a_particle(stream, expected):
    assert isinstance(stream, IterableDataset)
    assert [(i["particle"], i["crop"]) for _, i in sorted(expected.items())] == [
        divmod(k, 4) for k in range(3, 18)
    ]


@pytest.mark.parametrize("device", DEVICES)
def test_an_item_alone_is_that_of_the_stream(stream, expected, device):
    for k in (3, 8, 17):
        item = replace(stream, device=device).item(k)
        assert item["labels"].device.type == device
        assert_same(item, expected[k])


@pytest.mark.parametrize("mix", [1, 3])
def test_mixing_changes_the_order_only(stream, expected, mix):
    assert_all(replace(stream, mix=mix), expected)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers_give_every_item_once_and_unchanged(stream, expected, workers):
    assert_all(DataLoader(stream, batch_size=None, num_workers=workers), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_two_ranks_give_every_item_once_and_unchanged(stream, expected, workers):
    ranks = [replace(stream, rank=rank, world=2) for rank in (0, 1)]
    loaders = [DataLoader(one, batch_size=None, num_workers=workers) for one in ranks]
    assert_all((item for loader in loaders for item in loader), expected)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("processes", [1, 2])
def test_processes_give_the_same_items_in_the_same_order(stream, expected, processes, device):
    found = list(replace(stream, processes=processes, device=device))
    assert [item["index"] for item in found] == list(expected)
    assert_all(found, expected)


def test_ranks_are_those_of_torch_distributed(stream, expected, tmp_path):
    distributed = torch.distributed
    if not distributed.is_available():
        pytest.skip("this torch is built without torch.distributed")
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    try:
        one = replace(stream)
    finally:
        distributed.destroy_process_group()
    assert_all(one, expected)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("is_initialized", True), ("get_rank", 1), ("get_world_size", 3)):
            patch.setattr(distributed, name, lambda value=value: value)
        of_three = replace(stream)
    assert {item["particle"] for item in of_three} == {1, 4}


def test_a_stream_resumes_where_it_is_started(stream, expected):
    """After a multiple of crops * mix items of one part nothing is left out or comes twice."""
    endless = replace(stream, start=0, stop=None)
    first = [item for item, _ in zip(endless, range(8), strict=False)]
    rest = replace(endless, start=8, stop=18)
    assert sorted(item["index"] for item in [*first, *rest]) == list(range(18))
    assert_same(next(iter(rest)), expected[8])


def test_other_seeds_and_other_cards_are_other_items(stream, expected):
    for other in (replace(stream, seed=8), replace(stream, card="nmc811")):
        assert not torch.equal(other.item(3)["labels"], expected[3]["labels"])


def test_a_stream_can_be_copied_to_spawned_workers(stream, expected):
    loader = DataLoader(
        replace(stream, stop=6), batch_size=None, num_workers=1, multiprocessing_context="spawn"
    )
    for item in loader:
        assert_same(item, expected[item["index"]])


def test_an_item_is_the_same_on_every_computer(expected):
    """What it was when this was written; recipes of other draws have other labels."""
    item = expected[9]
    assert item["centre_um"].tolist() == [
        -0.08500003814697266, -0.6295967102050781, 0.31565189361572266,
    ]  # fmt: skip
    assert item["parameters"]["shell.diameter_um"] == 1.7447022881789738
    found = hashlib.sha256(item["labels"].numpy().tobytes()).hexdigest()
    assert found == "14586e0b5c49b3d7bf252224c6bbbc85b2c7f9b8844c795f3f1d15811519b66f"


# what an item holds


def axes_of(item, edge, rim=0):
    offsets = (np.arange(-rim, edge + rim) - (edge - 1) / 2) * item["pitch_um"]
    return [centre + offsets for centre in item["centre_um"].numpy()]


def ids_of(item, particle, rim=0):
    """Grain ids by brute force at the voxels of an item, and around it."""
    x, y, z = axes_of(item, len(item["labels"]), rim)
    ids = label_brute_force(particle.tessellation, x, y, z)
    points = np.stack(np.meshgrid(z, y, x, indexing="ij")[::-1], axis=-1)
    return np.where(particle.shell.contains(points), ids, 0)


def test_labels_are_those_of_brute_force_numbered_without_gaps(expected, particles):
    for item in expected.values():
        ids = ids_of(item, particles[item["particle"]])
        present = np.unique(ids[ids > 0])
        np.testing.assert_array_equal(item["grain"], present)
        found = np.concatenate([[0], present])[item["labels"]]
        np.testing.assert_array_equal(found, ids)
        assert item["labels"].dtype == torch.int32
        assert item["n_grains"] == len(present) == item["labels"].max()


def test_some_crops_stick_out_and_all_hold_grains(expected):
    assert any((item["labels"] == 0).any() for item in expected.values())
    assert all(item["n_grains"] > 0 for item in expected.values())


def test_boundaries_are_those_of_voxels_beyond_the_crop(expected, particles):
    """The rule of the product, on a grid that reaches farther: there is no rim."""
    for item in expected.values():
        ids = ids_of(item, particles[item["particle"]], rim=3).astype(np.int32)
        whole = boundary(ids, slice(3, len(ids) - 3))[:, 3:-3, 3:-3]
        np.testing.assert_array_equal(item["boundary"].numpy(), whole.astype(bool))


def test_the_gap_is_that_of_the_two_best_of_all_grains(expected, particles):
    for item in expected.values():
        x, y, z = axes_of(item, len(item["labels"]))
        points = np.stack(np.meshgrid(z, y, x, indexing="ij")[::-1], axis=-1)
        scores = np.sort(particles[item["particle"]].tessellation.scores(points), axis=-1)
        gap = np.minimum(scores[..., 1] - scores[..., 0], 2.0)
        gap[item["labels"].numpy() == 0] = 0
        assert item["gap"].dtype == torch.float32
        np.testing.assert_allclose(item["gap"], gap, rtol=1e-5, atol=1e-6)


def test_c_axes_are_the_turned_third_axes_of_the_crystals(expected, particles):
    for item in expected.values():
        particle = particles[item["particle"]]
        ids = ids_of(item, particle)
        turned = Rotation.from_quat(particle.orientations, scalar_first=True).apply([0, 0, 1])
        axes = np.concatenate([np.zeros((1, 3)), turned])[ids]
        assert item["c_axis"].dtype == torch.float32
        np.testing.assert_allclose(item["c_axis"], np.moveaxis(axes, -1, 0), atol=1e-6)


def test_tables_are_the_rows_of_the_recipe(expected, particles):
    for item in expected.values():
        particle, rows = particles[item["particle"]], item["grain"].numpy() - 1
        grains = particle.tessellation
        for name, table in (
            ("seeds", grains.seeds), ("matrices", grains.matrices), ("offsets", grains.offsets),
            ("orientations", particle.orientations),
        ):  # fmt: skip
            np.testing.assert_array_equal(item[name], table[rows])


def test_parameters_are_those_that_the_particle_was_made_with(expected, particles):
    for item in expected.values():
        card = particles[item["particle"]].provenance.card
        assert item["parameters"].keys() == SMALL.keys()
        assert item["parameters"] == {name: card.parameter(name) for name in SMALL}


def test_the_particle_is_that_of_generate(stream):
    particle = stream.particle(2)
    parameters = stream.item(8)["parameters"]
    again = cg.generate("nmc811-radial", seed=7, index=2, parameters=parameters)
    np.testing.assert_array_equal(particle.tessellation.seeds, again.tessellation.seeds)


def test_whole_particles_have_one_shape(stream):
    whole = replace(stream, shape=24, pitch_um=None, start=1, stop=4)
    for k, item in zip((1, 2, 3), whole, strict=True):
        assert item["particle"] == item["index"] == k
        assert item["labels"].shape == (24, 24, 24)
        volume = float((item["labels"] > 0).sum()) * item["pitch_um"] ** 3
        assert volume == pytest.approx(whole.particle(k).shell.volume_um3, rel=0.02)
        rim = item["labels"].clone()
        rim[1:-1, 1:-1, 1:-1] = 0
        assert not rim.any()
        np.testing.assert_array_equal(ids_of(item, whole.particle(k)) > 0, item["labels"] > 0)


def test_a_whole_particle_that_does_not_fit_is_refused(stream):
    with pytest.raises(cg.CathodegrainError, match=r"particle 0 needs shape=\d+ at pitch_um=0.05"):
        next(iter(replace(stream, shape=10, start=0, stop=1)))


# batches


def test_batches_of_labels_and_boundaries_need_nothing_else():
    stream = cg.VolumeStream("nmc811-radial", edge=16, crops=8, changes=SMALL, mix=2, stop=32)
    batches = list(DataLoader(stream, batch_size=8, num_workers=2))
    assert [tuple(batch["labels"].shape) for batch in batches] == [(8, 16, 16, 16)] * 4
    assert batches[0]["boundary"].dtype == torch.bool
    assert batches[0]["parameters"]["grains.elongation"].shape == (8,)
    assert len(set(batches[0]["particle"].tolist())) == 2  # several particles in each


def test_tables_of_a_batch_are_padded(stream, expected):
    (batch,) = DataLoader(replace(stream, stop=9), batch_size=8, collate_fn=stream.collate)
    assert batch["seeds"].shape == (6, batch["n_grains"].max(), 3)
    for row, (k, n) in enumerate(zip(batch["index"].tolist(), batch["n_grains"], strict=True)):
        assert torch.equal(batch["seeds"][row, :n], expected[k]["seeds"])
        assert not batch["grain"][row, n:].any()
        assert torch.equal(batch["labels"][row], expected[k]["labels"])


# what is not possible


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"edge": 0}, "edge is 0, expected an integer of 1 or more"),
        ({"edge": 1.5}, "edge is 1.5"),
        ({"pitch_um": 0.0}, r"pitch_um is 0.0, expected a positive length in um$"),
        ({"pitch_um": float("nan")}, "pitch_um is nan"),
        ({"pitch_um": None}, "pitch_um is None, expected a positive length in um$"),
        ({"pitch_um": -1, "shape": 9}, "or None: particles fill their cubes"),
        ({"shape": 2}, "shape is 2, expected an integer of 3 or more"),
        ({"crops": 0}, "crops is 0"),
        ({"mix": 0}, "mix is 0"),
        ({"processes": -1}, "processes is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"start": -1}, "start is -1"),
        ({"start": 5, "stop": 5}, "stop is 5, expected an integer above start, 5"),
        ({"gap": 0}, "gap is 0, expected the largest value"),
        ({"rank": 2, "world": 2}, "rank is 2 of world 2, expected both, 0 <= rank < world"),
        ({"rank": 1}, "rank is 1 of world None"),
        ({"card": "nmc81"}, "did you mean 'nmc811'"),
        ({"changes": {"grains.elongatio": 2}}, "did you mean 'grains.elongation'"),
        ({"changes": lambda rng: {"grains.elongatio": 2}}, "did you mean 'grains.elongation'"),
        ({"changes": {"shell.max_degree": (3, 9)}}, "shell.max_degree"),
        ({"c_axis": True}, "c_axis is asked for, but the model nmc811 has orientations.model none"),
        ({"edge": 40_000}, r"items of 40000\^3 voxels need 1.3 PB of memory"),
        ({"device": "cud"}, "device is 'cud', expected cpu, cuda, cuda:N or auto"),
        ({"device": "cuda:99"}, "device cuda:99: "),
    ],
)
def test_settings_that_are_not_possible_are_refused_before_anything_is_drawn(
    settings, message, monkeypatch
):
    monkeypatch.setattr(volume_stream, "particles", None)
    with pytest.raises(cg.CathodegrainError, match=message):
        cg.VolumeStream(**settings)


WITHOUT_TORCH = """
import importlib.util
import sys

find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "torch" else find(name)
import cathodegrain as cg

assert cg.VolumeStream.__doc__.startswith("Endless labelled cubes")
try:
    cg.VolumeStream()
except cg.CathodegrainError as error:
    print(error)
assert "torch" not in sys.modules
"""


def test_without_torch_there_is_a_sentence_when_it_is_used():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("streams of volumes need torch, not installed here")


def test_workers_are_refused_with_processes(stream):
    loader = DataLoader(replace(stream, processes=1), num_workers=2)
    with pytest.raises(cg.CathodegrainError, match="num_workers is 2, expected 0; processes=2"):
        next(iter(loader))


def test_workers_are_refused_with_a_gpu(stream):
    on_gpu = copy.copy(stream)
    object.__setattr__(on_gpu, "_device", Device("cuda:0"))
    with pytest.raises(cg.CathodegrainError, match="device is cuda:0, which workers of DataLoader"):
        next(iter(DataLoader(on_gpu, num_workers=1)))


@pytest.mark.parametrize("device", [KERNEL_DEVICE], ids=lambda name: f"device-{name}")
def test_the_kernels_of_a_gpu_give_the_same_items_several_in_a_call(stream, device, monkeypatch):
    pytest.importorskip("triton")
    calls = []

    def counted(requests, *settings):
        calls.append(len(requests))
        with np.errstate(all="ignore"):  # the interpreter divides by 0 in unused lanes
            return labelled(requests, *settings)

    labelled = volume_stream.labelled
    monkeypatch.setattr(volume_stream, "labelled", counted)
    monkeypatch.setattr(volume_stream, "VOXELS_AT_ONCE", 3 * 8**3)
    small = replace(stream, edge=6, stop=11)
    expected = {item["index"]: item for item in small}
    calls.clear()
    on_gpu = copy.copy(small)
    object.__setattr__(on_gpu, "_device", KernelDevice(device))
    found = list(on_gpu)
    assert [item["index"] for item in found] == list(expected)
    assert_all(found, expected)
    assert calls == [3, 2, 3]  # items of the two groups: 5 and 3


# no process is left


def alive():
    gc.collect()
    return multiprocessing.active_children()


def test_processes_end_when_a_loop_is_left(stream):
    for _ in DataLoader(replace(stream, processes=2), batch_size=None):
        assert len(alive()) == 2
        break
    assert alive() == []


def test_processes_end_when_a_loop_raises(stream):
    def loop():
        for _ in replace(stream, processes=1):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        loop()
    assert alive() == []


def test_a_stream_that_ends_leaves_the_processes_of_another(stream):
    first, second = iter(replace(stream, processes=1)), iter(replace(stream, processes=1))
    next(first), next(second)
    first.close()
    assert len(alive()) == 1
    assert len(list(second)) == 14
    assert alive() == []


def test_the_environment_is_as_it_was_while_processes_draw(stream):
    before = dict(os.environ)
    for _ in replace(stream, processes=1, stop=4):
        assert dict(os.environ) == before


def test_a_process_that_is_killed_is_a_sentence(stream):
    loop = iter(replace(stream, processes=1, stop=None))
    next(loop)
    for child in multiprocessing.active_children():
        os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(
        cg.CathodegrainError, match="one of 1 processes that draw particles has ended"
    ):
        list(loop)
    assert alive() == []


PROGRAM = """
import multiprocessing, signal
import cathodegrain as cg

signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs the tests may ignore it
if __name__ == "__main__":
    small = {"shell.diameter_um": 1.2}
    stream = cg.VolumeStream("nmc811-radial", edge=8, changes=small, processes=2)
    for item in stream:
        if item["index"] == 0:
            print(*(child.pid for child in multiprocessing.active_children()), flush=True)
"""


def test_a_program_without_a_guard_is_told_so(tmp_path):
    """Its processes would start processes of their own."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.replace('if __name__ == "__main__":', "if True:"))
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the program lacks if __name__ == '__main__':" in done.stderr.splitlines()[-1]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_processes_end_with_a_program_that_is_stopped(tmp_path, blow):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    with started([sys.executable, path], **pipes) as process:
        children = [int(pid) for pid in process.stdout.readline().split()]
        assert len(children) == 2
        if blow == signal.SIGINT:  # as Ctrl-C: to all of the terminal
            os.killpg(process.pid, blow)
        else:
            process.send_signal(blow)
        errors = process.stderr.read().decode()
        process.wait(60)
    assert errors.count("Traceback") == (blow == signal.SIGINT)
    until = time.monotonic() + 60
    while any(exists(pid) for pid in children) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(exists(pid) for pid in children)


def exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
