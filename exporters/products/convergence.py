r"""The same particle meshed at several sizes: whether a result still depends on the mesh.

A folder with a file ``mesh_0.4um.msh`` for each size and ``convergence.csv``, a row for each
size, the longest first; units are in the names of the columns, parts of a whole have none.
Grains have the same ids in all of them. Where grains are thin edges are shorter than asked
for, so that no grain of at least ten pixels is lost: ``boundary_edge_um`` is what they are on
average. Sizes beyond the thickness of the grains give nearly the same boundaries, and only
coarser insides; short ones also hold grains of a few pixels.

Observed orders p, against ``boundary_edge_um`` h: of the total volume and of the mislabelled
part, whose limits are known,

.. math:: p = \ln(e_1 / e_2) / \ln(h_1 / h_2);

of the area of the grain boundaries, whose limit is not, from three sizes,

.. math:: (A_1 - A_2) / (A_2 - A_3) = (h_1^p - h_2^p) / (h_2^p - h_3^p).

They are empty where there are too few sizes, no convergence is seen, or an edge is not
`LEAST_RATIO` times the next one; negative where an error grew.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from ...generator.errors import ExportError
from ...generator.particle import Particle
from ...generator.progress import Progress
from ..files.atomic import replacing_folder
from ..mesh import msh_file
from ..mesh.body import ParticleBody
from ..mesh.volume_mesh import VolumeMesh
from ..meshing.mesher import volume_mesh
from ..meshing.sizes import MeshSizes, at_a_time

TABLE = "convergence.csv"
LEAST_RATIO = 1.2  # of edges: errors at nearly equal ones say nothing about an order
ORDERS = (0.05, 8.0)  # between which an order from three sizes is looked for


@dataclass(frozen=True, kw_only=True)
class Rung:
    """A mesh of one size; errors are parts, relative to the particle by its recipe.

    Parameters
    ----------
    boundary_edge_um
        Mean edge of the triangles between materials.
    grains_present, grains_lost
        Grains with an element; grains with a volume but without one.
    moved_um3
        Volume of fragments and very small grains that went to a neighbour.
    boundary_area_um2
        Of the boundaries between grains.
    volume_error
        Mesh / particle - 1.
    grain_error_median, grain_error_p95, grain_error_max
        Of the volumes of grains, absolute.
    cpu_s
        Of meshing, in its thread; not in the file, which is the same every time.
    """

    size_um: float
    boundary_edge_um: float
    nodes: int
    tets: int
    grains_present: int
    grains_lost: int
    moved_um3: float
    certified: bool
    dihedral_min_deg: float
    dihedral_p5_deg: float
    dihedral_median_deg: float
    sicn_min: float
    sicn_p5: float
    sicn_median: float
    volume_um3: float
    boundary_area_um2: float
    volume_error: float
    grain_error_median: float
    grain_error_p95: float
    grain_error_max: float
    boundary_distance_p95_um: float
    shell_distance_p95_um: float
    mislabelled: float
    volume_order: float | None = None
    boundary_area_order: float | None = None
    mislabelled_order: float | None = None
    cpu_s: float = 0.0


def ladder(
    particle: Particle,
    sizes_um: Sequence[float],
    folder: str | Path,
    *,
    force: bool = False,
    progress: Progress | None = None,
    threads: int | None = None,
) -> list[Rung]:
    """Write a mesh for each size and the table into ``folder``; all or nothing.

    Several are meshed at the same time, those with the most elements first. The files do
    not depend on how many.

    Parameters
    ----------
    sizes_um
        Two or more longest edges, in any order.
    folder
        For these files only: it is replaced as a whole.
    force
        Also write meshes that fail their certificates.
    progress
        As for one mesh; called by the threads that mesh, one at a time.
    threads
        Meshes made at a time, at most; by default as many as there are cores that the
        process may use. Fewer if the memory does not hold them together.

    Returns
    -------
    list of Rung
        The longest edges first.

    Raises
    ------
    ExportError
        For sizes that are no lengths, too long for the particle, too few, or the same; and
        what `mesher.volume_mesh` raises: then nothing is written.
    """
    sizes = descending(sizes_um)
    checked = [MeshSizes(ParticleBody(particle), size, size) for size in sizes]
    for each in checked:
        each.check_memory()
    work = np.array([each.expected_tets for each in checked])
    parts = np.zeros(len(sizes))
    telling, stopping = Lock(), Event()

    def tell(k: int, message: str, part: float) -> None:
        with telling:
            if stopping.is_set():
                raise _Stopped
            parts[k] = part
            if progress:
                done = float((parts * work).sum() / work.sum())
                progress(f"{sizes[k]:g} um: {message}", done)

    def rung(k: int) -> Rung:
        start = time.thread_time()
        mesh = volume_mesh(particle, sizes[k], None, partial(tell, k), force=force, threads=1)
        seconds = time.thread_time() - start
        msh_file.write(mesh, temporary / file_name(sizes[k]))
        return replace(_rung(mesh), cpu_s=seconds)

    with replacing_folder(folder) as temporary:
        rungs = with_orders(_largest_first(rung, work, at_a_time(checked, threads), stopping))
        _write_table(rungs, temporary / TABLE)
    return rungs


class _Stopped(Exception):
    """Another mesh failed, or the user interrupts."""


def _largest_first(
    make: Callable[[int], Rung], work: NDArray[np.float64], threads: int, stopping: Event
) -> list[Rung]:
    """``make(k)`` for each k, some at a time; ``stopping`` is set as soon as one fails."""
    order = sorted(range(len(work)), key=lambda k: (-work[k], -k))
    with ThreadPoolExecutor(threads) as pool:
        try:
            made = {k: pool.submit(make, k) for k in order}
            for finished in as_completed(made.values()):
                finished.result()
        finally:
            stopping.set()
            pool.shutdown(cancel_futures=True)
    return [made[k].result() for k in range(len(work))]


def descending(sizes_um: Sequence[float]) -> list[float]:
    """Sizes, the longest first.

    Raises
    ------
    ExportError
        If there are fewer than two, one is no positive number, or two have the same file.
    """
    for size in sizes_um:
        if not (math.isfinite(size) and size > 0):
            msg = f"one of the sizes is {size}, expected positive lengths in um"
            raise ExportError(msg)
    sizes = sorted((float(size) for size in sizes_um), reverse=True)
    if len({file_name(size) for size in sizes}) < max(2, len(sizes)):
        named = ", ".join(f"{size:g}" for size in sizes)
        msg = f"the sizes are {named or 'none'}, expected two or more different ones, as 0.4,0.2"
        raise ExportError(msg)
    return sizes


def file_name(size_um: float) -> str:
    """Name of the file of a size.

    Examples
    --------
    >>> file_name(0.40)
    'mesh_0.4um.msh'
    """
    return f"mesh_{size_um:g}um.msh"


def _rung(mesh: VolumeMesh) -> Rung:
    facts = mesh.facts["certificate"]
    shape, fidelity = facts["shape"], facts["fidelity"]
    dihedral, sicn, errors = shape["dihedral_deg"], shape["sicn"], fidelity["grain_volume_error"]
    triangles, _ = mesh.facets
    a, b, c = (mesh.points[mesh.grain_boundary[:, k]] for k in range(3))
    ends = mesh.points[triangles]
    edges = np.linalg.norm(ends - np.roll(ends, 1, axis=1), axis=2)
    return Rung(
        size_um=mesh.facts["size_um"],
        boundary_edge_um=float(edges.mean()),
        nodes=facts["n_nodes"],
        tets=facts["n_tets"],
        grains_present=facts["n_present"],
        grains_lost=len(facts["lost"]),
        moved_um3=sum(row[2] for row in mesh.facts["moved_pieces"]),
        certified=facts["certified"],
        dihedral_min_deg=dihedral["least"],
        dihedral_p5_deg=dihedral["low"],
        dihedral_median_deg=dihedral["median"],
        sicn_min=sicn["least"],
        sicn_p5=sicn["low"],
        sicn_median=sicn["median"],
        volume_um3=fidelity["volume_um3"],
        boundary_area_um2=float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2),
        volume_error=float(mesh.volumes.sum() / fidelity["body_volume_um3"] - 1),
        grain_error_median=errors["p50"],
        grain_error_p95=errors["p95"],
        grain_error_max=errors["largest"],
        boundary_distance_p95_um=fidelity["grain_boundary_um"]["p95"],
        shell_distance_p95_um=fidelity["shell_um"]["p95"],
        mislabelled=fidelity["mislabelled"],
    )


def with_orders(rungs: Sequence[Rung]) -> list[Rung]:
    """The same with observed orders, each at the shortest of the sizes it comes from."""
    found = []
    for k, rung in enumerate(rungs):
        orders: dict[str, float | None] = {}
        if k > 0:
            pair = rungs[k - 1 : k + 1]
            h = [r.boundary_edge_um for r in pair]
            orders["volume_order"] = order_of_errors([abs(r.volume_error) for r in pair], h)
            orders["mislabelled_order"] = order_of_errors([r.mislabelled for r in pair], h)
        if k > 1:
            three = rungs[k - 2 : k + 1]
            orders["boundary_area_order"] = order_of_values(
                [r.boundary_area_um2 for r in three], [r.boundary_edge_um for r in three]
            )
        found.append(replace(rung, **orders))  # type: ignore[arg-type]
    return found


def order_of_errors(errors: Sequence[float], h: Sequence[float]) -> float | None:
    """Order p of two errors that fall like h^p; None if that cannot be said.

    Examples
    --------
    >>> order_of_errors([0.04, 0.01], [0.2, 0.1])
    2.0
    """
    if min(errors) <= 0 or h[0] < LEAST_RATIO * h[1]:
        return None
    return math.log(errors[0] / errors[1]) / math.log(h[0] / h[1])


def order_of_values(values: Sequence[float], h: Sequence[float]) -> float | None:
    """Order p of three values that differ from a limit by a multiple of h^p, or None.

    Examples
    --------
    >>> round(order_of_values([1 + 3 * 0.9**2, 1 + 3 * 0.4**2, 1 + 3 * 0.3**2], [0.9, 0.4, 0.3]), 6)
    2.0
    """
    first, second = values[0] - values[1], values[1] - values[2]
    if first * second <= 0 or min(h[0] / h[1], h[1] / h[2]) < LEAST_RATIO:
        return None

    def excess(p: float) -> float:
        return math.log((h[0] ** p - h[1] ** p) / (h[1] ** p - h[2] ** p)) - math.log(
            first / second
        )

    if excess(ORDERS[0]) * excess(ORDERS[1]) > 0:
        return None
    return float(brentq(excess, *ORDERS))


def _write_table(rungs: Sequence[Rung], path: Path) -> None:
    rows = [asdict(rung) for rung in rungs]
    for row in rows:
        del row["cpu_s"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _text(value) for name, value in row.items()})


def _text(value: float | bool | None) -> str:
    """Six digits: what lies beyond is not measured."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def write(
    particle: Particle,
    folder: str | Path,
    *,
    sizes_um: Sequence[float],
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write a `ladder`; returns its folder."""
    ladder(particle, sizes_um, folder, force=force, progress=progress)
    return Path(folder)


def summary(folder: str | Path) -> dict[str, Any]:
    """The table of a folder: ``rows``, with the numbers of the file."""
    with (Path(folder) / TABLE).open(encoding="utf-8", newline="") as file:
        rows = [{k: _number(text) for k, text in row.items()} for row in csv.DictReader(file)]
    return {"rows": rows}


def _number(text: str) -> float | int | None:
    if not text:
        return None
    return int(text) if text.isdigit() else float(text)


def lines(rungs: Sequence[Rung]) -> Iterator[str]:
    """The table for people, a line each; CPU time where it was measured."""
    timed = any(rung.cpu_s > 0 for rung in rungs)
    yield (
        f"{'size':>7} {'edge':>6} {'tets':>9} {'grains':>7} {'lost':>5} {'dihedral':>11} "
        f"{'SICN':>11} {'volume':>8} {'order':>5} {'area':>9} {'order':>5} {'misl.':>6} "
        f"{'order':>5}" + (f" {'CPU s':>7}" if timed else "")
    )
    for r in rungs:
        yield (
            f"{r.size_um:>7g} {r.boundary_edge_um:>6.3f} {r.tets:>9,} {r.grains_present:>7,} "
            f"{r.grains_lost:>5} {r.dihedral_min_deg:>5.1f} {r.dihedral_p5_deg:>5.1f} "
            f"{r.sicn_min:>5.2f} {r.sicn_p5:>5.2f} {100 * r.volume_error:>+7.2f}% "
            f"{_order(r.volume_order)} {r.boundary_area_um2:>9.2f} "
            f"{_order(r.boundary_area_order)} {100 * r.mislabelled:>5.2f}% "
            f"{_order(r.mislabelled_order)}" + (f" {r.cpu_s:>7.1f}" if timed else "")
        )


def _order(value: float | None) -> str:
    return f"{'-':>5}" if value is None else f"{value:>5.2f}"
