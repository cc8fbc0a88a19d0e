r"""The marker net: Algorithm 1 and Fig. 5a of the paper, as a forward pass in NumPy.

For seed i with its kappa nearest neighbours i_1 .. i_kappa the input is
(v_i1, n_i1, ..., v_ikappa, n_ikappa) with v_ij = Q_i (s_ij - s_i), nearest first; fully
connected layers with ReLU follow; the four outputs pass scaled sigmoids
sigma_{a,b}(t) = a + (b - a) / (1 + e^-t) onto r_i in [1, 10] and the three entries of
D_i in [0, 50]. The evaluation is float64.

The paper's net can carry a direction, but no law that changes from the centre to the surface.
Not in the paper: a net whose first matrix has one column more also sees the relative radius
t_i of the seed, at most 1: beyond the shell everything stays as on it.

A recipe holds rounded markers, equal on every processor and GPU, although each adds the products
of a layer in an order of its own: `MarkerNet.evaluation_error` bounds what an order can change,
and where a number lies so near to a rounding boundary that this could matter,
`MarkerNet.decided` decides, which adds in one order everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..errors import ModelCardError
from ..nearest_points import nearest
from ..rounding import undecided
from .marker_law import CONSTANT, ZERO, Markers, Profile
from .point_process import MarkedPoints
from .radial_frame import Three, rotated, rotation_rows

NEIGHBOURS = 12  # kappa
BLOCK = 1024  # seeds that pass at a time: their layers stay in the cache
OUTPUT_LOW = np.array([1.0, 0.0, 0.0, 0.0])  # r, d_1, d_2, d_3
OUTPUT_HIGH = np.array([10.0, 50.0, 50.0, 50.0])
UNIT = 2.0**-53  # of rounding


@dataclass(frozen=True, eq=False, kw_only=True)
class MarkerNet:
    """Fully connected network from the neighbourhood of a seed to its markers.

    Parameters
    ----------
    weights : tuple of (n_out, n_in) float
        One matrix per layer, the first with 60 columns, or 61 if the net sees the relative
        radius, the last with 4 rows.
    biases : tuple of (n_out,) float
        One vector per layer.
    displacement_scale
        Pixels by which the displacements v_ij are divided.
    noise_centre
        Subtracted from the noise before it enters.
    smallest_diagonal
        Lower bound put on the entries of D: an exact zero would make M_i singular.
    intensity_factor
        f, of the intensity of the seed points, by the relative radius.
    source
        File that the weights came from, as the model card names it.
    """

    stage: ClassVar[str] = "noise"
    tilt_deg: ClassVar[Profile] = ZERO

    weights: tuple[NDArray[np.float64], ...] = field(repr=False)
    biases: tuple[NDArray[np.float64], ...] = field(repr=False)
    displacement_scale: float = 10.0
    noise_centre: float = 0.5
    smallest_diagonal: float = 2.0**-10
    intensity_factor: Profile = CONSTANT
    source: str = ""

    def __post_init__(self) -> None:
        factor = replace(self.intensity_factor, logarithmic=True)
        object.__setattr__(self, "intensity_factor", factor)
        widths = [5 * NEIGHBOURS + self.sees_radius, *(len(b) for b in self.biases)]
        expected = list(zip(widths[1:], widths[:-1], strict=True))
        found = [w.shape for w in self.weights]
        if found != expected or widths[-1] != len(OUTPUT_LOW):
            msg = (
                f"weight matrices have shapes {found}, expected {expected} "
                f"from {5 * NEIGHBOURS} inputs, or one more, to {len(OUTPUT_LOW)} outputs"
            )
            raise ValueError(msg)
        if not all(np.isfinite(array).all() for array in (*self.weights, *self.biases)):
            msg = "weights or biases hold a value that is not finite, expected numbers"
            raise ValueError(msg)

    @property
    def sees_radius(self) -> bool:
        """Whether the relative radius of a seed is one of the inputs."""
        return self.weights[0].shape[1:] == (5 * NEIGHBOURS + 1,)

    def markers(self, points: MarkedPoints, rows: NDArray[np.intp] | None = None) -> Markers:
        """One row per point, or per one of ``rows``; needs more than kappa points.

        Raises
        ------
        ValueError
            If the net sees relative radii and these are not known.
        """
        rows = np.arange(len(points)) if rows is None else rows
        outputs = [self.forward(inputs) for inputs in self._blocks_of_inputs(points, rows)]
        return self.as_markers(np.concatenate(outputs))

    def rounded_markers(
        self, points: MarkedPoints, rows: NDArray[np.intp], factors: Markers
    ) -> Markers:
        """Markers of ``rows`` times ``factors``, rounded as on every device."""
        outputs = [
            self._agreed_output(inputs, factors) for inputs in self._blocks_of_inputs(points, rows)
        ]
        return self.as_markers(np.concatenate(outputs)).times(factors).rounded()

    def _blocks_of_inputs(
        self, points: MarkedPoints, rows: NDArray[np.intp]
    ) -> Iterator[NDArray[np.float64]]:
        """Inputs (n, 60 or 61) of at most ``BLOCK`` of the rows at a time."""
        index = nearest(points.seeds, rows, NEIGHBOURS)
        for start in range(0, len(rows), BLOCK):
            own = slice(start, start + BLOCK)
            yield self.inputs(points, rows[own], index[own])

    def inputs(
        self,
        points: MarkedPoints,
        rows: NDArray[np.intp],
        index: NDArray[np.intp] | None = None,
    ) -> NDArray[np.float64]:
        """Inputs (n, 60 or 61) of some of the points, as `neighbourhoods` has them.

        Raises
        ------
        ValueError
            If the net sees relative radii and these are not known.
        """
        scale, centre = self.displacement_scale, self.noise_centre
        return neighbourhoods(points, scale, centre, rows, index, self.radii(points, rows))

    def radii(self, points: MarkedPoints, rows: NDArray[np.intp]) -> NDArray[np.float64] | None:
        """What the net sees of relative radii, (n,), at most 1; None if it does not see them.

        Raises
        ------
        ValueError
            If they are not known.
        """
        if not self.sees_radius:
            return None
        t = points.relative_radii[rows]
        if np.isnan(t).any():
            msg = "the relative radii of the points are not known, expected t of each"
            raise ValueError(msg)
        return np.minimum(t, 1.0)

    def _agreed_output(self, inputs: NDArray[np.float64], factors: Markers) -> NDArray[np.float64]:
        """Output (n, 4) whose rounded product with ``factors`` every device agrees on."""
        last, largest = self.evaluated(inputs)
        output = squashed(last)
        doubtful = self.undecided(output, largest, factors)
        output[doubtful] = self.decided(inputs[doubtful])
        return output

    def forward(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Network output (n, 4) = (r, d_1, d_2, d_3) for inputs (n, 60 or 61)."""
        return squashed(self.outputs(inputs))

    def outputs(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Outputs (n, 4) of the last layer before the sigmoids."""
        return self.evaluated(inputs)[0]

    def evaluated(
        self, inputs: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
        """Outputs (n, 4) before the sigmoids, and the largest absolute inputs of each layer."""
        layer, largest = inputs, [np.abs(inputs).max(axis=0, initial=0.0)]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            layer = layer @ weight.T
            largest.append(np.zeros(len(bias)))
            _activate(layer, bias, largest[-1])
        return layer @ self.weights[-1].T + self.biases[-1], largest

    def as_markers(self, output: NDArray[np.float64]) -> Markers:
        """Markers of network outputs (n, 4)."""
        return Markers(np.maximum(output[:, 1:], self.smallest_diagonal), output[:, 0])

    def decided(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Network output (n, 4) for inputs (n, 60), by one order of operations everywhere."""
        hidden, last = inputs, len(self.weights) - 1
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = _layer_in_order(hidden, np.ascontiguousarray(weight.T), bias)
            hidden = hidden if k == last else np.maximum(hidden, 0.0)
        return squashed(hidden)

    def undecided(
        self,
        output: NDArray[np.float64],
        largest: list[NDArray[np.float64]],
        factors: Markers,
    ) -> NDArray[np.bool_]:
        """Rows of outputs (n, 4) that another order of additions may round otherwise, (n,)."""
        scale = np.concatenate([factors.offsets, factors.diagonals[0]])
        difference = 2 * self.evaluation_error(largest) * scale
        numbers = np.maximum(output, [-np.inf, *[self.smallest_diagonal] * 3]) * scale
        found: NDArray[np.bool_] = undecided(numbers, difference).any(axis=1)
        return found

    def evaluation_error(self, largest: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        r"""Bound on the rounding error of the outputs (4,), whatever the order of additions.

        A sum of n products errs by at most (n + 1) u \sum |w| |x|, u = 2^-53, in any order and
        with or without contraction (Higham, Accuracy and Stability, 3.1); errors of the inputs
        of a layer pass through |w|, and ReLU does not enlarge them. The sigmoid is nowhere
        steeper than (b - a) / 4; eight units in the last place of b are for its evaluation.

        Parameters
        ----------
        largest
            Largest absolute values of the inputs of each layer, (n_in,) each.
        """
        error = np.full(len(largest[0]), 8 * UNIT * largest[0].max())  # sines and cosines
        error[5 * NEIGHBOURS :] = 0.0  # relative radii are rounded: every device has the same
        for weight, bias, inputs in zip(self.weights, self.biases, largest, strict=True):
            size = np.abs(weight)
            error = size @ error + (len(inputs) + 2) * UNIT * (size @ inputs + np.abs(bias))
        return (OUTPUT_HIGH - OUTPUT_LOW) / 4 * error + 8 * 2 * UNIT * OUTPUT_HIGH

    def to_bytes(self) -> bytes:
        """Weights as safetensors (float64, layer k as ``weight.k``, ``bias.k``)."""
        from safetensors.numpy import save

        tensors = {f"weight.{k}": np.ascontiguousarray(w) for k, w in enumerate(self.weights)}
        tensors |= {f"bias.{k}": np.ascontiguousarray(b) for k, b in enumerate(self.biases)}
        return save(tensors)

    @classmethod
    def from_bytes(cls, content: bytes, source: str, **settings: Any) -> MarkerNet:
        """Network with the weights of a safetensors file; ``source`` is its name.

        ``settings`` are those of the model card.

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
            if factor := settings.pop("intensity_factor", None):
                settings["intensity_factor"] = Profile.from_fields(factor)
            return cls(
                weights=tuple(w.astype(np.float64) for w in weights),
                biases=tuple(b.astype(np.float64) for b in biases),
                source=source,
                **settings,
            )
        except (SafetensorError, KeyError, ValueError) as error:
            msg = f"marker net {source} cannot be used ({error}); expected a safetensors file"
            raise ModelCardError(msg) from error

    @classmethod
    def load(cls, path: str | Path, **settings: Any) -> MarkerNet:
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
        return cls.from_bytes(content, Path(path).name, **settings)

    def fields(self) -> dict[str, Any]:
        """Its object in the model card."""
        names = ("displacement_scale", "noise_centre", "smallest_diagonal")
        found = {"law": "net", "weights": self.source} | {n: getattr(self, n) for n in names}
        if self.intensity_factor == CONSTANT:
            return found
        return found | {"intensity_factor": self.intensity_factor.fields()}


@njit(cache=True, nogil=True)
def _layer_in_order(inputs, weights, bias):  # type: ignore[no-untyped-def]
    """W x + b for inputs (n, n_in), transposed weights (n_in, n_out): products one by one.

    Libraries of linear algebra add in an order, and with contractions, of their own choice;
    this gives equal bits everywhere.
    """
    out = np.zeros((inputs.shape[0], bias.size))
    for row in range(inputs.shape[0]):
        own = out[row]
        for i in range(inputs.shape[1]):
            x = inputs[row, i]
            for j in range(bias.size):
                own[j] += x * weights[i, j]
        own += bias
    return out


@njit(cache=True, nogil=True)
def _activate(layer, bias, largest):  # type: ignore[no-untyped-def]
    """Add ``bias`` to a layer (n, n_out) and take ReLU, in place; largest values to ``largest``.

    In one pass: several cost a quarter of the time of the matrix products.
    """
    for row in range(layer.shape[0]):
        own = layer[row]
        for j in range(bias.size):
            value = own[j] + bias[j]
            value = 0.0 if value < 0.0 else value
            own[j] = value
            largest[j] = value if value > largest[j] else largest[j]


def squashed(output: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scaled sigmoids of the outputs (n, 4) of the last layer."""
    with np.errstate(over="ignore"):  # exp overflows to inf, and the sigmoid is 0
        part = 1.0 + np.exp(-output)
    return OUTPUT_LOW + (OUTPUT_HIGH - OUTPUT_LOW) / part


def neighbourhoods(
    points: MarkedPoints,
    scale: float,
    centre: float,
    rows: NDArray[np.intp] | None = None,
    index: NDArray[np.intp] | None = None,
    radii: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Inputs of the net, (n, 60 or 61): kappa times (v_x, v_y, v_z, n_1, n_2), nearest first; t.

    Parameters
    ----------
    scale, centre
        ``displacement_scale`` and ``noise_centre`` of the net.
    rows : (n,) int
        Points whose neighbourhoods are wanted, by default all.
    index : (n, kappa) int
        Their neighbours, nearest first, if they are known.
    radii : (n,) float
        t, if the net sees it.
    """
    rows = np.arange(len(points)) if rows is None else rows
    index = nearest(points.seeds, rows, NEIGHBOURS) if index is None else index
    x, y, z = points.seeds[rows].T[:, :, None]
    others = points.seeds.take(index, axis=0)  # (n, kappa, 3); in a quarter of the time of [index]
    displacement = others[..., 0] - x, others[..., 1] - y, others[..., 2] - z
    angles = points.angles[rows, None]
    frame = rotation_rows((x, y, z), np.cos(angles), np.sin(angles))
    noise = points.noise.take(index, axis=0)
    return net_inputs(frame, displacement, noise, scale, centre, radii)


def net_inputs(
    frame: tuple[Three, Three, Three],
    displacement: Three,
    noise: Any,
    scale: float,
    centre: float,
    radii: Any = None,
    xp: Any = np,
) -> Any:
    """Inputs from rotations (n, 1), displacements (n, kappa), noise (n, kappa, 2), and t (n,)."""
    x, y, z = rotated(frame, displacement)
    columns = [x / scale, y / scale, z / scale, noise[..., 0] - centre, noise[..., 1] - centre]
    inputs = xp.stack(columns, -1).reshape(len(noise), 5 * NEIGHBOURS)
    return inputs if radii is None else xp.concatenate([inputs, radii[:, None]], 1)
