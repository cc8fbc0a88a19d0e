"""--device of commands that write products."""

import pytest

from cathodegrain.exporters.commands.main import main


@pytest.mark.parametrize(
    "argv",
    [
        ["generate", "--model", "no-such-model", "--export", "voxels"],
        ["regenerate", "no-such-folder", "--out", "out", "--set", "grains.elongation=1.2"],
        ["export", "no-such-folder", "--to", "voxels"],
    ],
)
@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("gpu", "--device is 'gpu', expected cpu, cuda, cuda:N or auto"),
        ("mps", "--device mps: it has no float64, in which labels are decided; take cpu"),
        ("cuda:99", "--device cuda:99: "),
    ],
)
def test_a_device_is_refused_before_anything_is_read(argv, device, reason, capsys):
    assert main([*argv, "--device", device]) == 2
    told = capsys.readouterr().err
    assert reason in told
    assert "no-such" not in told
