import os

import pytest

torch = pytest.importorskip("torch")

from cathodegrain.generator.fitting.grains.repeatable import repeatable

CUDNN = torch.backends.cudnn


def settings():
    return {
        "debug_mode": torch.get_deterministic_debug_mode(),
        "fill": torch.utils.deterministic.fill_uninitialized_memory,
        "matmul": torch.get_float32_matmul_precision(),
        "cudnn": (CUDNN.enabled, CUDNN.benchmark, CUDNN.deterministic, CUDNN.allow_tf32),
        "workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    }


@pytest.fixture
def own(monkeypatch):
    """Settings of a user that are the opposite of those for training."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    with CUDNN.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=True):
        yield settings()
    torch.set_float32_matmul_precision(precision)


def test_on_a_gpu_algorithms_are_deterministic_and_in_float32(own):
    with repeatable("cuda:0"):
        assert settings() == {
            "debug_mode": 1,  # deterministic where there is a choice, else a warning
            "fill": False,
            "matmul": "highest",
            "cudnn": (True, False, True, False),
            "workspace": ":4096:8",
        }


def test_afterwards_the_process_has_its_own_settings_again(own):
    with repeatable("cuda"):
        pass
    assert settings() == own
    with pytest.raises(KeyboardInterrupt), repeatable("cuda"):
        raise KeyboardInterrupt
    assert settings() == own


def test_a_workspace_that_the_user_has_chosen_stays(own, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with repeatable("cuda"):
        assert settings()["workspace"] == ":16:8"
    assert settings()["workspace"] == ":16:8"


def test_on_the_cpu_nothing_is_set(own):
    with repeatable("cpu"):
        assert settings() == own
