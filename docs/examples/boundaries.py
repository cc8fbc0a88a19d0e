"""A network that learns where grain boundaries are, from volumes that no file ever held.

What it sees is a grey image as a scanning electron microscope would make of slices: the brightness
of a grain follows from the angle between its c-axis and the beam (along z), boundaries are
somewhat darker, the outside is dark; blurred, and with noise. So some boundaries can hardly be
seen: between grains whose c-axes stand alike. What it learns is the probability that a
voxel lies at a boundary.

    grey = blur of g + noise,    g = DARK + (1 - DARK) (c . e_z)^2 in grains, less GROOVE at
                                     boundaries, OUTSIDE outside

* Volumes: `cg.VolumeStream`, cubes of 0.025 um voxels from particles with drawn diameter and
  elongation; items 0 to VALIDATION - 1 for validation, from VALIDATION on for training: other
  particles, and the same on every computer.
* Network: four 3D convolutions, 12,000 weights. Loss: cross entropy, boundaries weighted by WEIGHT.
* Judged by F1, 2 / (1 / precision + 1 / recall), at the threshold that is best on the validation
  volumes, beside the length of the image's gradient, blurred, as a rule without learning.

Needs `pip install "cathodegrain[view,torch]"`.
Contrast, blur and noise are placeholders, not those of a microscope.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

import cathodegrain as cg

OUTSIDE, DARK, GROOVE = 0.05, 0.35, 0.15  # grey, placeholders
BLUR, NOISE = 0.8, 0.1  # standard deviations: voxels, grey
WEIGHT = 2.0
PITCH_UM = 0.025
CROPS, BATCH, RATE = 16, 4, 5e-3
VALIDATION = 2 * CROPS  # items of two particles
CHANGES = {
    "orientations.model": "uniform",
    "shell.diameter_um": (3.0, 6.0),
    "grains.elongation": (0.8, 2.0),
}
N_POINTS = 12  # of the curve
SHOWN = {"shape": 144, "changes": CHANGES | {"shell.diameter_um": 2.6}, "seed": 3, "stop": 1}


def stream(edge: int, **settings: Any) -> cg.VolumeStream:
    """Cubes of the example."""
    given = {"edge": edge, "pitch_um": PITCH_UM, "crops": CROPS, "c_axis": True, "changes": CHANGES}
    return cg.VolumeStream("nmc811-radial", **(given | settings))


def image(batch: dict[str, Any], noise: torch.Generator) -> Tensor:
    """Grey images (B, 1, z, y, x) of a batch."""
    grey = DARK + (1 - DARK) * batch["c_axis"][:, 2] ** 2 - GROOVE * batch["boundary"]
    grey = torch.where(batch["labels"] > 0, grey, OUTSIDE)
    return blurred(grey[:, None]) + NOISE * torch.randn(grey[:, None].shape, generator=noise)


def blurred(volumes: Tensor) -> Tensor:
    """Volumes (B, 1, z, y, x) filtered with a Gaussian of BLUR voxels."""
    weights = torch.exp(-(torch.arange(-2.0, 3.0) ** 2) / (2 * BLUR**2))
    weights = weights / weights.sum()
    for shape in ((5, 1, 1), (1, 5, 1), (1, 1, 5)):
        padding = [n // 2 for n in reversed(shape) for _ in (0, 1)]
        padded = functional.pad(volumes, padding, mode="replicate")
        volumes = functional.conv3d(padded, weights.reshape(1, 1, *shape))
    return volumes


def network() -> nn.Module:
    """Logits (B, 1, z, y, x) of images (B, 1, z, y, x) of any size; a voxel sees 11^3."""
    layers: list[nn.Module] = []
    for channels, dilation in ((1, 1), (12, 1), (12, 2), (12, 1)):
        layers += [
            nn.Conv3d(channels, 12, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm3d(12),
            nn.ReLU(),
        ]
    net = nn.Sequential(*layers, nn.Conv3d(12, 1, 1))
    return net.to(memory_format=torch.channels_last_3d)  # twice as fast on a processor


def loss_of(logits: Tensor, batch: dict[str, Any]) -> Tensor:
    """Mean cross entropy with the boundaries of a batch."""
    truth = batch["boundary"][:, None].float()
    weight = torch.tensor(WEIGHT)
    return functional.binary_cross_entropy_with_logits(logits, truth, pos_weight=weight)


def f1(scores: Tensor, truth: Tensor) -> float:
    """Largest F1 of the boundaries that any threshold on the scores gives."""
    order = scores.ravel().argsort(descending=True)
    hits = truth.ravel()[order].cumsum(0)
    found = torch.arange(1, len(order) + 1)
    return float((2 * hits / (found + hits[-1])).max())


def gradient(images: Tensor) -> Tensor:
    """Length of the gradient of images, blurred before."""
    return sum(d**2 for d in torch.gradient(blurred(images), dim=(2, 3, 4))) ** 0.5


class Judge:
    """Validation volumes, the same at every call."""

    def __init__(self, edge: int) -> None:
        volumes = stream(edge, stop=VALIDATION, mix=2)
        noise = torch.Generator().manual_seed(1)
        (self.batch,) = DataLoader(volumes, batch_size=VALIDATION)
        self.images = image(self.batch, noise)

    @torch.no_grad()
    def __call__(self, net: nn.Module) -> tuple[float, float]:
        """Loss and F1 of a network."""
        net.eval()
        logits = torch.cat([net(part) for part in self.images.split(BATCH)])
        truth = self.batch["boundary"][:, None]
        return float(loss_of(logits, self.batch)), f1(logits, truth)

    def without_learning(self) -> float:
        """F1 of the gradient."""
        return f1(gradient(self.images), self.batch["boundary"][:, None])


def trained(net: nn.Module, edge: int, steps: int, processes: int) -> Iterator[tuple[int, float]]:
    """Train a network; number of the step and its loss, step by step."""
    noise = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(net.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    volumes = stream(edge, start=VALIDATION, processes=processes)
    for step, batch in zip(range(1, steps + 1), DataLoader(volumes, BATCH), strict=False):
        net.train()
        optimiser.zero_grad()
        loss = loss_of(net(image(batch, noise)), batch)
        loss.backward()
        optimiser.step()
        schedule.step()
        yield step, loss.item()


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Train, draw and print; returns the numbers."""
    options = arguments(argv)
    torch.manual_seed(options.seed)
    net, judge = network(), Judge(options.edge)
    curve = [(0, *judge(net))]
    print(f"{'step':>6}{'training loss':>16}{'validation loss':>17}{'F1':>7}")
    every = max(1, options.steps // N_POINTS)
    for step, loss in trained(net, options.edge, options.steps, options.processes):
        if step % every == 0 or step == options.steps:
            curve.append((step, *judge(net)))
            print(f"{step:6}{loss:16.3f}{curve[-1][1]:17.3f}{curve[-1][2]:7.3f}")
    found = {"curve": curve, "f1": curve[-1][2], "gradient_f1": judge.without_learning()}
    print(f"gradient, without learning: F1 {found['gradient_f1']:.3f}")
    options.out.mkdir(parents=True, exist_ok=True)
    draw(net, found, options.out / "boundaries.png")
    return found


@torch.no_grad()
def draw(net: nn.Module, found: dict[str, Any], path: Path) -> None:
    """Learning curve, and a slice of a particle that the network has not seen."""
    (batch,) = DataLoader(stream(1, **SHOWN))
    seen = image(batch, torch.Generator().manual_seed(2))
    middle = seen.shape[2] // 2
    slab = seen[:, :, middle - 6 : middle + 7]
    panels = {
        "image": (slab[0, 0, 6], "gray"),
        "boundaries": (batch["boundary"][0, middle], "gray_r"),
        "probability": (net(slab)[0, 0, 6].sigmoid(), "gray_r"),
    }
    figure = Figure(figsize=(9.0, 2.6), layout="constrained", dpi=150)
    axes = figure.subplots(1, 4, width_ratios=(1.25, 1, 1, 1))
    draw_curve(axes[0], found)
    for ax, (title, (values, colours)) in zip(axes[1:], panels.items(), strict=True):
        ax.imshow(values.numpy(), cmap=colours, vmin=0, vmax=1, origin="lower")
        ax.set_title(title, fontsize=9)
        ax.axis("off")
    axes[1].plot([8, 28], [6, 6], "w", lw=3, solid_capstyle="butt")
    axes[1].text(18, 9, "0.5 µm", ha="center", color="w", fontsize=8)
    figure.savefig(path)


def draw_curve(ax: Any, found: dict[str, Any]) -> None:
    """F1 on the validation volumes over the cubes seen."""
    steps, losses, scores = zip(*found["curve"], strict=True)
    cubes = [BATCH * step for step in steps]
    ax.plot(cubes, scores, "o-", ms=3, label="F1, network")
    ax.axhline(found["gradient_f1"], color="C0", ls=":", label="F1, gradient")
    ax.plot(cubes, losses, "s-", ms=3, color="C1", label="loss")
    ax.set_ylim(0, None)
    ax.set_xlabel("cubes seen", fontsize=8)
    ax.set_title("validation", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.legend(fontsize=7)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("."), help="folder of the picture")
    parser.add_argument("--steps", type=int, default=200, help="of four cubes each")
    parser.add_argument("--edge", type=int, default=32, help="of a cube, voxels")
    parser.add_argument("--processes", type=int, default=1, help="that draw particles")
    parser.add_argument("--seed", type=int, default=0, help="of the network's first weights")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
