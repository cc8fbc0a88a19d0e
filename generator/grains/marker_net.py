r"""The marker net: Algorithm 1 and Fig. 5a of the paper, as a forward pass in NumPy.

For seed i with its kappa nearest neighbours i_1 .. i_kappa the input is
(v_i1, n_i1, ..., v_ikappa, n_ikappa) with v_ij = Q_i (s_ij - s_i), nearest first; fully
connected layers with ReLU follow; the four outputs pass scaled sigmoids
sigma_{a,b}(t) = a + (b - a) / (1 + e^-t) onto r_i in [1, 10] and the three entries of
D_i in [0, 50]. The evaluation is float64; `Markers.rounded` removes what is left of the
differences between processors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..errors import ModelCardError
from .marker_law import Markers
from .point_process import MarkedPoints
from .radial_frame import radial_rotations

NEIGHBOURS = 12  # kappa
BLOCK = 2048  # seeds that pass at a time: their layers stay in the cache
OUTPUT_LOW = np.array([1.0, 0.0, 0.0, 0.0])  # r, d_1, d_2, d_3
OUTPUT_HIGH = np.array([10.0, 50.0, 50.0, 50.0])


@dataclass(frozen=True, eq=False, kw_only=True)
class MarkerNet:
    """Fully connected network from the neighbourhood of a seed to its markers.

    Parameters
    ----------
    weights : tuple of (n_out, n_in) float
        One matrix per layer, the first with 60 columns, the last with 4 rows.
    biases : tuple of (n_out,) float
        One vector per layer.
    displacement_scale
        Pixels by which the displacements v_ij are divided.
    noise_centre
        Subtracted from the noise before it enters.
    smallest_diagonal
        Lower bound put on the entries of D: an exact zero would make M_i singular.
    source
        File that the weights came from, as the model card names it.
    """

    weights: tuple[NDArray[np.float64], ...] = field(repr=False)
    biases: tuple[NDArray[np.float64], ...] = field(repr=False)
    displacement_scale: float = 10.0
    noise_centre: float = 0.5
    smallest_diagonal: float = 2.0**-10
    source: str = ""

    def __post_init__(self) -> None:
        widths = [5 * NEIGHBOURS, *(len(b) for b in self.biases)]
        expected = list(zip(widths[1:], widths[:-1], strict=True))
        found = [w.shape for w in self.weights]
        if found != expected or widths[-1] != len(OUTPUT_LOW):
            msg = (
                f"weight matrices have shapes {found}, expected {expected} "
                f"from {widths[0]} inputs to {len(OUTPUT_LOW)} outputs"
            )
            raise ValueError(msg)
        if not all(np.isfinite(array).all() for array in (*self.weights, *self.biases)):
            msg = "weights or biases hold a value that is not finite, expected numbers"
            raise ValueError(msg)

    def markers(self, points: MarkedPoints, rows: NDArray[np.intp] | None = None) -> Markers:
        """One row per point, or per one of ``rows``; needs more than kappa points."""
        rows = np.arange(len(points)) if rows is None else rows
        inputs = partial(neighbourhoods, points, self.displacement_scale, self.noise_centre)
        tree = _tree(points)
        blocks = [rows[i : i + BLOCK] for i in range(0, len(rows), BLOCK)]
        output = np.concatenate([self.forward(inputs(block, tree)) for block in blocks])
        return Markers(np.maximum(output[:, 1:], self.smallest_diagonal), output[:, 0])

    def forward(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Network output (n, 4) = (r, d_1, d_2, d_3) for inputs (n, 60)."""
        with np.errstate(over="ignore"):  # exp overflows to inf, and the sigmoid is 0
            part = 1.0 + np.exp(-self.outputs(inputs))
        return OUTPUT_LOW + (OUTPUT_HIGH - OUTPUT_LOW) / part

    def outputs(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Outputs (n, 4) of the last layer before the sigmoids."""
        hidden = inputs
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = np.maximum(hidden @ weight.T + bias, 0.0)
        return hidden @ self.weights[-1].T + self.biases[-1]

    def to_bytes(self) -> bytes:
        """Weights as safetensors (float64, layer k as ``weight.k``, ``bias.k``)."""
        from safetensors.numpy import save

        tensors = {f"weight.{k}": np.ascontiguousarray(w) for k, w in enumerate(self.weights)}
        tensors |= {f"bias.{k}": np.ascontiguousarray(b) for k, b in enumerate(self.biases)}
        return save(tensors)

    @classmethod
    def from_bytes(cls, content: bytes, source: str, **scaling: float) -> MarkerNet:
        """Network with the weights of a safetensors file; ``source`` is its name.

        Raises
        ------
        ModelCardError
            If it is damaged, or does not hold a chain of layers.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            tensors = load(content)
            n = sum(name.startswith("weight.") for name in tensors)
            layers = [(tensors[f"weight.{k}"], tensors[f"bias.{k}"]) for k in range(n)]
            weights, biases = zip(*layers, strict=True)
            return cls(
                weights=tuple(w.astype(np.float64) for w in weights),
                biases=tuple(b.astype(np.float64) for b in biases),
                source=source,
                **scaling,
            )
        except (SafetensorError, KeyError, ValueError) as error:
            msg = f"marker net {source} cannot be used ({error}); expected a safetensors file"
            raise ModelCardError(msg) from error

    @classmethod
    def load(cls, path: str | Path, **scaling: float) -> MarkerNet:
        """Network with the weights of a safetensors file.

        Raises
        ------
        ModelCardError
            If the file is missing, damaged, or does not hold a chain of layers.
        """
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            msg = f"marker net {path} cannot be used ({error}); expected a safetensors file"
            raise ModelCardError(msg) from error
        return cls.from_bytes(content, Path(path).name, **scaling)

    def fields(self) -> dict[str, Any]:
        """Its object in the model card."""
        names = ("displacement_scale", "noise_centre", "smallest_diagonal")
        return {"law": "net", "weights": self.source} | {n: getattr(self, n) for n in names}


def neighbourhoods(
    points: MarkedPoints,
    scale: float,
    centre: float,
    rows: NDArray[np.intp] | None = None,
    tree: cKDTree | None = None,
) -> NDArray[np.float64]:
    """Inputs of the net, (n, 60): kappa times (v_x, v_y, v_z, n_1, n_2), nearest first.

    Parameters
    ----------
    scale, centre
        ``displacement_scale`` and ``noise_centre`` of the net.
    rows : (n,) int
        Points whose neighbourhoods are wanted, by default all.
    tree
        Of all seeds, if it is at hand.
    """
    rows = np.arange(len(points)) if rows is None else rows
    seeds, angles = points.seeds[rows], points.angles[rows]
    nearest = (tree or _tree(points)).query(seeds, k=NEIGHBOURS + 1)[1]
    index = np.asarray(nearest)[:, 1:]  # (n, kappa), the seed itself left out
    displacement = points.seeds[index] - seeds[:, None]  # (n, kappa, 3)
    rotated = displacement @ radial_rotations(seeds, angles).transpose(0, 2, 1) / scale
    both = np.concatenate([rotated, points.noise[index] - centre], axis=2)  # (n, kappa, 5)
    return both.reshape(len(seeds), -1)


def _tree(points: MarkedPoints) -> cKDTree:
    if len(points) <= NEIGHBOURS:
        msg = f"{len(points)} seed points, expected more than {NEIGHBOURS} for the marker net"
        raise ValueError(msg)
    return cKDTree(points.seeds)
