import pytest

torch = pytest.importorskip("torch")

import grain_training
from device_names import DEVICES


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(grain_training, "WARMING_UP", 1)
    monkeypatch.setattr(grain_training, "EQUAL_STEPS", 2)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("short", "two_threads")
@pytest.mark.parametrize("device", DEVICES)
def test_steps_are_counted_and_the_process_is_left_as_it_was(device):
    assert grain_training.steps_per_second("default", device, 0.0) > 0
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("device", DEVICES)
def test_the_same_steps_give_the_same_weights_twice(device):
    one, other = (grain_training.weights_sha256("default", device, 2) for _ in range(2))
    assert one == other
    assert grain_training.weights_sha256("default", device, 1) != one


def test_a_device_that_is_not_there_is_one_line(capsys):
    with pytest.raises(SystemExit, match="2"):
        grain_training.main(["--device", "gpu"])
    assert "device is 'gpu', expected cpu, cuda, cuda:N or auto" in capsys.readouterr().err
