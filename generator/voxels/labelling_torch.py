r"""Voxel labels on torch tensors, processor or GPU: `labelling.label_axes` to the bit.

The octree with convex-dominance culling of `label_kernels`, all blocks of a level at once:
their candidates form flat arrays of (block, grain) pairs, one ascending list after the
other. Blocks with one candidate are filled, leaves of 4^3 voxels are evaluated rank by
rank. Each operation is an elementwise kernel of its own, so that nothing is contracted to
a fused multiply-add; with a correctly rounded root (NumPy's on a processor, CUDA's own)
float64 scores have the bits of the compiled ones.

The precision "mixed" evaluates leaves in float32 first, seen from the centre c of the
leaf: with its half width h, s' = s - c, rho the offset less that of the leaf's first
candidate, and m = |U| (h + |s'|) by absolute values of the elements,

* a term of U (x' - s') meets six roundings at most: of x' and s', their difference, U, the
  product, two sums. Each component errs by 6 u m, u = 2^-24;
* squares and sums add 3 u, relative: 15 u |m|^2 for the square. The norm errs by
  6 u |m| + 3 u |m|, the square root included;
* rho and the last difference add u |m| or u |m|^2, and 2 u |rho|.

A score thus errs by less than 18 u (|m| + |rho|), or 18 u (|m|^2 + |rho|); 18 instead of 16
covers the higher orders. Two scores that differ by more than twice that, plus the slack of
float64, are in the right order. A leaf with a voxel whose two best are closer is evaluated
again in float64: the labels are always those of float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..grains.tessellation import Tessellation
from .label_kernels import LEAF, VOXELS
from .labelling import block_edge, extent

if TYPE_CHECKING:
    from ..shell.shell import Shell

Precision = Literal["float64", "mixed"]
PRECISIONS = ("float64", "mixed")
Points = Tensor | Sequence[Tensor]  # x, y, z
CACHED = 1 << 15  # elements of a work array that stay in a processor's cache
FLOAT32_ERROR = 2 * 18 * 2.0**-24  # of the difference of two scores, relative to their size
FLOAT32_TINY = 1e-18  # more than the root of what float32 flushes to zero
FLOAT32_HUGE = 1e18  # squares of anything less are finite in float32


def label_axes(
    tessellation: Tessellation,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    z: NDArray[np.float64],
    *,
    shell: Shell | None = None,
    device: str | torch.device = "cpu",
    precision: Precision = "float64",
    pair_budget: int = 1 << 24,
) -> NDArray[np.int32]:
    """One plus the index of the grain at every (z, y, x), 0 outside the shell if given.

    Parameters
    ----------
    x, y, z : (nx,), (ny,), (nz,) float
        Ascending coordinates; they need not be equidistant.
    device
        Where torch computes.
    precision
        "float64", or "mixed" for devices that are slow in float64; labels are the same.
    pair_budget
        Most (block, grain) pairs that are held at a time, some 300 bytes each; a single
        block may exceed it. The labels do not depend on it.

    Raises
    ------
    ValueError
        For an unknown precision or a budget below one.
    """
    if precision not in PRECISIONS or pair_budget < 1:
        msg = f"precision {precision!r}, pair_budget {pair_budget}: expected {PRECISIONS}, >= 1"
        raise ValueError(msg)
    out = np.empty((len(z), len(y), len(x)), np.int32)
    edge = block_edge(out.shape)
    for k in range(0, len(z), edge):
        axes = (x, y, z[k : k + edge])
        layer = _layer(tessellation, axes, edge, shell, device, precision, pair_budget)
        for roots in _roots(layer, edge):
            _label(layer, roots, edge)
        out[k : k + edge] = _voxels(layer)
    return out


@dataclass(frozen=True, eq=False)
class _Layer:
    """One layer of root blocks: what is to be labelled, by which rules, and the labels."""

    axes: list[Tensor]  # x, y, z, padded to whole root blocks
    sizes: list[int]  # of the axes without the padding
    grains: Tensor  # (10, n), the transposed grain table
    squared: bool
    slack: float
    shell: Shell | None
    mixed: bool
    budget: int  # pairs
    cells: Tensor  # (z, y, x, VOXELS) int32, labels leaf by leaf, filled on the way


class _Blocks(NamedTuple):
    """Blocks of one size and their candidates."""

    corner: Tensor  # (3, B) int64, first voxel along x, y, z
    cut: Tensor  # (B,) bool, whether the shell may cut the block; it lies inside if not
    counts: Tensor  # (B,) int64, number of candidates
    seeds: Tensor  # (P,) int64, candidates of one block after the other

    def starts(self) -> Tensor:
        """First pair of each block, (B,)."""
        return self.counts.cumsum(0) - self.counts

    def owners(self) -> Tensor:
        """Block of each pair, (P,)."""
        return torch.repeat_interleave(self.counts, output_size=len(self.seeds))

    def take(self, rows: Tensor) -> _Blocks:
        """Copy with some blocks in the order of ``rows``, which may repeat."""
        counts = self.counts[rows]
        pairs = (self.starts()[rows] - counts.cumsum(0) + counts).repeat_interleave(counts)
        pairs += torch.arange(len(pairs), device=pairs.device)
        return _Blocks(self.corner[:, rows], self.cut[rows], counts, self.seeds[pairs])


def _layer(
    tessellation: Tessellation,
    axes: tuple[NDArray[np.float64], ...],
    edge: int,
    shell: Shell | None,
    device: str | torch.device,
    precision: Precision,
    budget: int,
) -> _Layer:
    """Tensors on the device, labels zero."""
    padded = [np.pad(a, (0, -len(a) % edge), mode="edge") for a in axes]
    leaves = [len(a) // LEAF for a in reversed(padded)]
    return _Layer(
        axes=[torch.tensor(a, dtype=torch.float64, device=device) for a in padded],
        sizes=[len(a) for a in axes],
        grains=torch.tensor(tessellation.table.T.copy(), device=device),
        squared=tessellation.squared,
        slack=tessellation.slack(extent(tessellation, axes)),
        shell=shell,
        mixed=precision == "mixed",
        budget=budget,
        cells=torch.zeros((*leaves, VOXELS), dtype=torch.int32, device=device),
    )


def _voxels(layer: _Layer) -> NDArray[np.int32]:
    """Labels in the order of the voxels, (nz, ny, nx)."""
    zb, yb, xb, _ = layer.cells.shape
    cells = layer.cells.view(zb, yb, xb, LEAF, LEAF, LEAF).permute(0, 3, 1, 4, 2, 5)
    nx, ny, nz = layer.sizes
    voxels = cells.reshape(zb * LEAF, yb * LEAF, xb * LEAF)[:nz, :ny, :nx]
    labels: NDArray[np.int32] = voxels.cpu().numpy()
    return labels


def _roots(layer: _Layer, edge: int) -> Iterator[_Blocks]:
    """Root blocks with what a Lipschitz bound leaves of all grains, within the budget."""
    starts = [torch.arange(0, n, edge, device=layer.grains.device) for n in layer.sizes]
    corner = torch.cartesian_prod(*starts).T
    outside, cut = _shell_states(layer, corner, edge)
    corner, cut = corner[:, ~outside], cut[~outside]
    step = max(1, layer.budget // layer.grains.shape[1])
    for start in range(0, len(cut), step):
        rows = slice(start, start + step)
        near = _may_matter(layer, corner[:, rows], edge)
        yield _Blocks(corner[:, rows], cut[rows], near.sum(1), near.nonzero()[:, 1])


def _may_matter(layer: _Layer, corner: Tensor, edge: int) -> Tensor:
    """Whether a grain can be best in a block by the Lipschitz bound, (B, n) bool."""
    centre, half = (a[:, :, None] for a in _boxes(layer, corner, edge))
    widths = torch.cat([torch.zeros_like(layer.grains[:3]), layer.grains[3:9].abs()])
    norm = _lengths(_stretched(centre, layer.grains), squared=False)
    reach = _lengths(_stretched(half, widths), squared=False)
    near, far = (norm - reach).clamp_(min=0.0), norm + reach
    if layer.squared:
        near, far = near * near, far * far
    lowest = (far - layer.grains[9]).amin(1, keepdim=True)
    return ~(near - layer.grains[9] > lowest + layer.slack)


def _label(layer: _Layer, blocks: _Blocks, edge: int) -> None:
    """Label all voxels of some blocks: fill, evaluate, or go one level down."""
    blocks = _culled(layer, blocks, edge)
    settled = (blocks.counts == 1) & ~blocks.cut
    _fill(layer, blocks.corner[:, settled], blocks.seeds[blocks.starts()[settled]], edge)
    rest = torch.nonzero(~settled)[:, 0]
    if edge == LEAF:
        _evaluate(layer, blocks, rest)
        return
    for children in _children(layer, blocks, rest, edge // 2):
        _label(layer, children, edge // 2)


def _fill(layer: _Layer, corner: Tensor, seeds: Tensor, edge: int) -> None:
    """Give all voxels of each block the label of its only grain."""
    n = edge // LEAF
    zb, yb, xb, _ = layer.cells.shape
    cells = layer.cells.view(zb // n, n, yb // n, n, xb // n, n, VOXELS)
    x, y, z = corner // edge
    labels = (seeds + 1).int()[:, None, None, None, None]
    cells.permute(0, 2, 4, 1, 3, 5, 6)[z, y, x] = labels


def _children(layer: _Layer, blocks: _Blocks, rows: Tensor, edge: int) -> Iterator[_Blocks]:
    """Eighths of some blocks with their parents' candidates, within the budget."""
    octants = torch.cartesian_prod(*[torch.arange(2, device=rows.device) * edge] * 3).T
    corner = (blocks.corner[:, rows, None] + octants[:, None, :]).reshape(3, -1)
    parents = rows.repeat_interleave(8)
    live = (corner < torch.tensor(layer.sizes, device=rows.device)[:, None]).all(0)
    cut = blocks.cut[parents]
    doubtful = torch.nonzero(live & cut)[:, 0]
    outside, cut[doubtful] = _shell_states(layer, corner[:, doubtful], edge)
    live[doubtful[outside]] = False
    corner, cut, parents = corner[:, live], cut[live], parents[live]
    for run in _runs(blocks.counts[parents], layer.budget):
        yield blocks.take(parents[run])._replace(corner=corner[:, run], cut=cut[run])


def _runs(counts: Tensor, budget: int) -> Iterator[slice]:
    """Consecutive slices whose counts sum to ``budget`` at most, or of one element."""
    total = counts.cumsum(0).cpu().numpy()
    start, done = 0, 0
    while start < len(total):
        stop = max(start + 1, int(np.searchsorted(total, done + budget, side="right")))
        yield slice(start, stop)
        start, done = stop, int(total[stop - 1])


def _boxes(layer: _Layer, corner: Tensor, edge: int) -> tuple[Tensor, Tensor]:
    """Centre and half width (3, B) of the hull of the voxel centres in each block."""
    axes_and_corner = list(zip(layer.axes, corner, strict=True))
    first = torch.stack([a[i] for a, i in axes_and_corner])
    last = torch.stack([a[i + (edge - 1)] for a, i in axes_and_corner])
    return (first + last) / 2, (last - first) / 2


def _at(table: Tensor, index: Tensor) -> Tensor:
    """``table[:, index]``, on a processor three times as fast."""
    return table.gather(1, index.expand(len(table), -1))


def _stretched(points: Points, grains: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U (x - s) in the order of operations of `gbpd_kernels`."""
    dx, dy, dz = points[0] - grains[0], points[1] - grains[1], points[2] - grains[2]
    u0 = grains[3] * dx + (grains[4] * dy + grains[5] * dz)
    return u0, grains[6] * dy + grains[7] * dz, grains[8] * dz


def _lengths(u: tuple[Tensor, Tensor, Tensor], squared: bool) -> Tensor:
    """|u| or |u|^2, of the shape of u_0."""
    lengths = u[0] * u[0]
    lengths += u[1] * u[1] + u[2] * u[2]
    return lengths if squared else _root(lengths)


def _root(squares: Tensor) -> Tensor:
    """Square root in place, rounded correctly: torch's own is not on every processor."""
    if squares.device.type == "cpu":
        np.sqrt(squares.numpy(), out=squares.numpy())
        return squares
    return squares.sqrt_()


def _scores(points: Points, grains: Tensor, squared: bool) -> Tensor:
    """f_i(x) of Eq. (8), or its squared variant."""
    return _lengths(_stretched(points, grains), squared).sub_(grains[9])


def _culled(layer: _Layer, blocks: _Blocks, edge: int) -> _Blocks:
    """Copy with the candidates that convex dominance leaves (see `gbpd_kernels`)."""
    centre, half = _boxes(layer, blocks.corner, edge)
    owners = blocks.owners()
    grains = _at(layer.grains, blocks.seeds)
    scores, slopes = _tangents(_at(centre, owners), grains, layer.squared)
    dominators = _first_best(scores, owners, len(blocks.counts))
    corners = _corner_scores(centre, half, grains[:, dominators], layer.squared)
    lowest = _lowest_difference(slopes.mul_(_at(half, owners)), _at(corners, owners))
    keep = ~(scores + lowest > layer.slack)
    keep[dominators] = True
    counts = torch.bincount(owners[keep], minlength=len(blocks.counts))
    return blocks._replace(counts=counts, seeds=blocks.seeds[keep])


def _tangents(centre: Tensor, grains: Tensor, squared: bool) -> tuple[Tensor, Tensor]:
    """Score (P,) at the centre and its gradient (3, P)."""
    u0, u1, u2 = u = _stretched(centre, grains)
    lengths = _lengths(u, squared)
    gradients = torch.empty_like(centre)
    torch.mul(grains[3], u0, out=gradients[0])
    torch.add(grains[4] * u0, grains[6] * u1, out=gradients[1])
    torch.add(grains[5] * u0 + grains[7] * u1, grains[8] * u2, out=gradients[2])
    if squared:
        gradients *= 2.0
    else:
        gradients /= lengths.clamp(min=1e-150)  # zero at the kink in the seed, where u is
    return lengths - grains[9], gradients


def _first_best(scores: Tensor, owners: Tensor, n_blocks: int) -> Tensor:
    """First pair of each block that has its lowest score, (B,)."""
    best = scores.new_full((n_blocks,), torch.inf).scatter_reduce_(0, owners, scores, "amin")
    pairs = torch.nonzero(scores == best[owners])[:, 0]
    first = owners.new_full((n_blocks,), len(scores))
    return first.scatter_reduce_(0, owners[pairs], pairs, "amin")


def _corner_scores(centre: Tensor, half: Tensor, grains: Tensor, squared: bool) -> Tensor:
    """Score of one grain per block at the corners of its box, (8, B); x varies slowest."""
    sign = torch.tensor([-1.0, 1.0], dtype=torch.float64, device=centre.device)
    signs = torch.cartesian_prod(sign, sign, sign).T[:, :, None]  # (3, 8, 1)
    return _scores(centre[:, None] + signs * half[:, None], grains, squared)


def _lowest_difference(slopes: Tensor, corners: Tensor) -> Tensor:
    """Minimum over the corners of a grain's slope there less the dominator's score, (P,)."""
    a, b, c = slopes
    low, high = torch.full_like(a, torch.inf), torch.full_like(a, -torch.inf)
    for k, slope in enumerate((a + b + c, a + b - c, a - b + c, a - b - c)):
        torch.minimum(low, slope - corners[7 - k], out=low)
        torch.maximum(high, slope + corners[k], out=high)  # the opposite corner
    return torch.minimum(low, high.neg_())


def _evaluate(layer: _Layer, blocks: _Blocks, rows: Tensor) -> None:
    """Label some leaves voxel by voxel, those with the longest lists first."""
    rows = rows[blocks.counts[rows].argsort(descending=True)]
    room = min(layer.budget, CACHED) if rows.device.type == "cpu" else layer.budget
    best = _best_in_mixed_precision if layer.mixed else _best_in_float64
    _, yb, xb, _ = layer.cells.shape
    steps = torch.arange(LEAF, device=rows.device)[:, None]
    for part in torch.split(rows, max(1, room // VOXELS)):
        leaves = blocks.take(part)
        x, y, z = (a[i + steps] for a, i in zip(layer.axes, leaves.corner, strict=True))
        points = (x[None, None], y[None, :, None], z[:, None, None])  # broadcast (4, 4, 4, B)
        labels = best(layer, leaves, points)
        labels *= _inside(layer, leaves.cut, points)
        i, j, k = leaves.corner // LEAF
        cell = (k * yb + j) * xb + i
        layer.cells.view(-1, VOXELS).index_copy_(0, cell, labels.view(VOXELS, -1).T)


def _best_in_float64(layer: _Layer, leaves: _Blocks, points: Points) -> Tensor:
    """Label of the best grain at each voxel, (4, 4, 4, B) int32."""
    return _scan(leaves, points, _at(layer.grains, leaves.seeds), layer.squared)[0]


def _best_in_mixed_precision(layer: _Layer, leaves: _Blocks, points: Points) -> Tensor:
    """What `_best_in_float64` gives, mostly by float32 arithmetic."""
    centre, half = _boxes(layer, leaves.corner, LEAF)
    owners = leaves.owners()
    grains = _at(layer.grains, leaves.seeds)
    grains[:3] -= _at(centre, owners)
    grains[9] -= grains[9, leaves.starts()][owners]
    near = [(p - c).float() for p, c in zip(points, centre, strict=True)]
    labels, gap = _scan(leaves, near, grains.float(), layer.squared)
    proven = (gap > _float32_error(layer, half, grains, owners)).flatten(0, 2).all(0)
    rows = torch.nonzero(~proven)[:, 0]
    if len(rows):
        chosen = [p[..., rows] for p in points]
        labels[..., rows] = _best_in_float64(layer, leaves.take(rows), chosen)
    return labels


def _float32_error(layer: _Layer, half: Tensor, grains: Tensor, owners: Tensor) -> Tensor:
    """Difference of float32 scores above which the order is that of float64, (B,)."""
    sizes = grains.abs()
    opposed = torch.cat([-sizes[:3], sizes[3:]])  # the difference then gives h + |s'|
    u = _stretched(_at(half, owners), opposed)
    safe = torch.maximum(sizes.amax(0), _lengths(u, squared=False)) < FLOAT32_HUGE
    score = torch.where(safe, _lengths(u, layer.squared) + sizes[9], torch.inf)
    largest = torch.zeros_like(half[0]).scatter_reduce_(0, owners, score, "amax")
    return FLOAT32_ERROR * largest + (layer.slack + FLOAT32_TINY)


def _scan(leaves: _Blocks, points: Points, grains: Tensor, squared: bool) -> tuple[Tensor, Tensor]:
    """Label at each voxel, (4, 4, 4, B) int32, and in float32 the gap to the second best.

    Candidates are taken in ascending order, so that the lowest index wins a tie. The lists
    get shorter from block to block: those with a k-th candidate come first.
    """
    shape = (LEAF, LEAF, LEAF, len(leaves.counts))
    best, second = grains.new_full(shape, torch.inf), grains.new_full(shape, torch.inf)
    labels = leaves.seeds.new_zeros(shape, dtype=torch.int32)
    own_labels, starts = (leaves.seeds + 1).int(), leaves.starts()
    longer = len(starts) - torch.bincount(leaves.counts).cumsum(0)
    for k, n in enumerate(longer.tolist()[:-1]):  # n lists have more than k candidates
        pairs = starts[:n] + k
        scores = _scores([p[..., :n] for p in points], _at(grains, pairs), squared)
        lowest, latest = best[..., :n], labels[..., :n]
        if grains.dtype == torch.float32:
            second[..., :n].clamp_(max=torch.maximum(lowest, scores))
        torch.maximum(latest, (scores < lowest) * own_labels[pairs], out=latest)
        torch.minimum(lowest, scores, out=lowest)
    return labels, second.sub_(best)


def _inside(layer: _Layer, cut: Tensor, points: Points) -> Tensor:
    """Whether voxels (4, 4, 4, B) lie in the shell, evaluated in the leaves it may cut."""
    inside = torch.ones((LEAF, LEAF, LEAF, len(cut)), dtype=torch.bool, device=cut.device)
    rows = torch.nonzero(cut)[:, 0]
    if layer.shell is not None and len(rows):
        x, y, z = (p[..., rows] for p in points)
        distance = _root(x * x + y * y + z * z)
        inside[..., rows] = (distance == 0) | (distance <= _radii(x, y, z, layer.shell))
    return inside


def _radii(x: Tensor, y: Tensor, z: Tensor, shell: Shell) -> Tensor:
    """X in the direction of (x, y, z): the operations of `spherical_harmonics.radius_at`."""
    scale = _root(x * x + y * y + z * z).reciprocal_()
    x, y, z = x * scale, y * scale, z * scale
    coefficients = iter(shell.scaled_coefficients.tolist())
    real = imag = torch.zeros_like(scale)
    for n_powers in range(shell.max_degree + 1):
        cosine, sine = next(coefficients), next(coefficients)
        for _ in range(n_powers):
            cosine = cosine * z + next(coefficients)
            sine = sine * z + next(coefficients)
        real, imag = real * x - imag * y + cosine, real * y + imag * x - sine
    return real


def _shell_states(layer: _Layer, corner: Tensor, edge: int) -> tuple[Tensor, Tensor]:
    """Whether blocks provably lie outside the shell; whether it may cut them; (B,) bool."""
    (x, y, z), half = _boxes(layer, corner, edge)
    if layer.shell is None:
        return x.new_zeros(len(x), dtype=torch.bool), x.new_zeros(len(x), dtype=torch.bool)
    lower, upper, steepest = layer.shell.table[:3].tolist()
    tolerance = 1e-9 * upper
    r = _root(x * x + y * y + z * z)
    reach = _root((half * half).sum(0))
    slope = steepest / (r - reach)
    spread = torch.where(r > reach, reach * _root(1.0 + slope * slope) + tolerance, torch.inf)
    level = r - _radii(x, y, z, layer.shell)
    inside = (r + reach < lower - tolerance) | (level + spread < 0)
    outside = (r - reach > upper + tolerance) | (level - spread > 0)
    return outside, ~(inside | outside)
