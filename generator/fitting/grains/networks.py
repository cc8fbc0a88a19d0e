"""The two networks of Fig. 5, trained with torch: the marker net and the discriminator.

The widths of the layers are lost with the figure; those here are choices and stand in the
configuration. Weights are drawn by NumPy, uniform within 1 / sqrt(inputs), so that they do
not depend on the version of torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...markers.marker_law import CONSTANT, Profile
from ...markers.marker_net import NEIGHBOURS, OUTPUT_HIGH, OUTPUT_LOW, MarkerNet
from .cutouts import CHANNELS, SIZE

NOISE_SCALE = math.sqrt(12)  # of numbers uniform in an interval of 1: to standard deviation 1
NORMS: Mapping[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": lambda n: nn.GroupNorm(max(1, n // 8), n),
}
KERNEL = 3  # pixels along an edge of a convolution


class TorchMarkerNet(nn.Module):
    """Algorithm 1 in torch; the same function as `MarkerNet`, with gradients.

    Parameters
    ----------
    widths
        Of the hidden layers.
    rng
        Draws the weights.
    sees_radius
        Whether the relative radius is one more input.
    """

    scale: Tensor

    def __init__(
        self, widths: Sequence[int], rng: np.random.Generator, sees_radius: bool = False
    ) -> None:
        super().__init__()
        sizes = [5 * NEIGHBOURS + sees_radius, *widths, len(OUTPUT_LOW)]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        draw_weights(self, rng)
        scale = torch.ones(NEIGHBOURS, 5)
        scale[:, 3:] = NOISE_SCALE
        radius = torch.full((int(sees_radius),), NOISE_SCALE)
        self.register_buffer("scale", torch.cat([scale.reshape(-1), radius]))

    def _dense(self) -> list[nn.Linear]:
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """D_i (n, 3) and r_i (n,) for inputs (n, 60 or 61) as `cutouts.neighbourhoods` has them."""
        last = self.outputs(inputs)
        low, high = (torch.as_tensor(b, dtype=last.dtype, device=last.device)
                     for b in (OUTPUT_LOW, OUTPUT_HIGH))  # fmt: skip
        output = low + (high - low) * torch.sigmoid(last)
        return output[:, 1:], output[:, 0]

    def outputs(self, inputs: Tensor) -> Tensor:
        """Outputs (n, 4) of the last layer before the sigmoids."""
        hidden = inputs * self.scale
        *hidden_layers, last = self._dense()
        for layer in hidden_layers:
            hidden = torch.relu(layer(hidden))
        return last(hidden)

    def marker_net(
        self, displacement_scale: float, intensity_factor: Profile = CONSTANT
    ) -> MarkerNet:
        """The net that generates particles, with these weights."""
        weights = [layer.weight.detach().cpu().double().numpy() for layer in self._dense()]
        weights[0] = weights[0] * self.scale.cpu().double().numpy()
        biases = [layer.bias.detach().cpu().double().numpy() for layer in self._dense()]
        return MarkerNet(
            weights=tuple(weights),
            biases=tuple(biases),
            displacement_scale=displacement_scale,
            noise_centre=0.5,
            intensity_factor=intensity_factor,
        )

    def stretch_outputs(self, mean: NDArray[np.float64], spread: NDArray[np.float64]) -> None:
        """Multiply the outputs before the sigmoids by ``spread`` (4,) and add ``mean`` (4,)."""
        last = self._dense()[-1]
        factor = torch.from_numpy(spread.astype(np.float32))
        with torch.no_grad():
            last.weight.mul_(factor[:, None])
            last.bias.mul_(factor).add_(torch.from_numpy(mean.astype(np.float32)))

    def take(self, net: MarkerNet) -> None:
        """Take the weights of a net of the same widths that `marker_net` gives."""
        scale = self.scale.cpu().double().numpy()
        weights = [net.weights[0] / scale, *net.weights[1:]]
        with torch.no_grad():
            for layer, weight, bias in zip(self._dense(), weights, net.biases, strict=True):
                layer.weight.copy_(torch.from_numpy(weight))
                layer.bias.copy_(torch.from_numpy(bias))


class Discriminator(nn.Module):
    """Fig. 5b: convolutions with batch norm, ReLU and max-pooling, two dense layers.

    Parameters
    ----------
    channels
        Of the convolutions.
    dense
        Width of the hidden dense layer.
    norm
        After each convolution: "batch", "group" or "none".
    rng
        Draws the weights.
    sees_place
        Whether there is a channel more, of the distance of the cutout from the centre.
    """

    def __init__(
        self,
        channels: Sequence[int],
        dense: int,
        norm: str,
        rng: np.random.Generator,
        sees_place: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in zip([CHANNELS + sees_place, *channels[:-1]], channels, strict=True):
            layers.append(nn.Conv2d(a, b, KERNEL, padding=KERNEL // 2))
            layers += [NORMS[norm](b)] if norm in NORMS else []
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
        flat = channels[-1] * (SIZE // 2 ** len(channels)) ** 2
        layers += [nn.Flatten(), nn.Linear(flat, dense), nn.ReLU(), nn.Linear(dense, 1)]
        self.layers = nn.Sequential(*layers)
        draw_weights(self, rng)

    def forward(self, images: Tensor) -> Tensor:
        """One number for each image of (b, 12, 32, 32): near 1 for measured ones."""
        return self.layers(images)[:, 0]


def draw_weights(module: nn.Module, rng: np.random.Generator) -> None:
    """Draw the weights and biases of all dense and convolutional layers anew."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for parameter in layer.parameters():
                values = rng.uniform(-bound, bound, tuple(parameter.shape)).astype(np.float32)
                with torch.no_grad():
                    parameter.copy_(torch.from_numpy(values))
