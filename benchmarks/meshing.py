"""Quality, truth and cost of meshes: run ``python benchmarks/meshing.py [--quick]``.

Needs ``pip install 'cathodegrain[benchmark]'``. One thread, CPU seconds, every mesh in a
process of its own after a tiny one that has everything compiled. Particles are those of
the shipped card with consecutive seeds, none picked, at the default size of 3 px.

* ``--cost``: particles of about 1000 and 3000 grains, the cohesive split, and a finer mesh.
* ``--against``: small particles by our mesher and by others, in our boundaries, in surface
  nets of voxels and by themselves, all judged by our certificate and by a plain function.
* ``--labels``: the voxels of other particles by the same.
* ``--large``: a mesh of 20,000 grains on two threads, and what one of 118,000 is expected to take.
* ``--threads``: wall time of particles of about 1000 grains on one thread and on two; needs two
  cores that nothing else uses.
* ``--kernels``: whether a kernel pays for arrays of the mesh that it does not use.
* ``--particles``: many particles, hours; ``--out`` keeps the results, a JSON object for
  each line, and a later run goes on from there.

Without any of them, all but ``--large``, ``--threads`` and ``--particles``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from campaign import (
    CARD,
    WARM_UP_UM,
    Case,
    Row,
    apart,
    case_of,
    figures,
    run,
    warm_up,
)
from cathodegrain.exporters.certificate.certificate import SMALL_PIXELS, certify
from cathodegrain.exporters.certificate.fidelity import even_samples
from cathodegrain.exporters.labels.label_volume import LabelVolume
from cathodegrain.exporters.mesh.body import ParticleBody
from cathodegrain.exporters.mesh.tetrahedra import EDGES
from cathodegrain.exporters.mesh.volume_mesh import VolumeMesh
from cathodegrain.exporters.meshing.lattice import body_centred_lattice
from cathodegrain.exporters.meshing.sizes import DEFAULT_SIZE_UM
from cathodegrain.exporters.optimisation.tet_complex import (
    MAX_RING,
    complex_of,
    hull_of,
    ring_around,
)
from cathodegrain.generator.model_card import shipped_cards
from cathodegrain.generator.particle import Particle
from large_meshes import large, second_thread
from meshers import Rival, of_recipe, of_voxels, our_labels, ours
from nets import voxels
from timing import Result, alternating, in_one_thread, machine, peak_bytes, ratio, table

FINE_SIZE_UM = 0.1  # 2 px
FINE_SEEDS = 5  # particles meshed so finely
NETS_UM = (0.1, 0.05)  # edges of the voxels that meshers of labels get
LABELS = (  # particles whose voxels are meshed, with sizes of three voxels
    Case(2.4, 50777, 0.15, "nmc811"),
    Case(4.0, 50778, 0.3, "nmc811"),
)
PER_SIZE = 3  # voxels
PATIENCE_S = 400.0  # after which another mesher is given up
RING_RADIUS = 12.0  # of the ball of lattice cells whose rings are timed
MOST_FOR_UNUSED = 3.0  # times as long may a ring take among arrays that it does not use
COUNTS = {300: 100, 1000: 20, 6000: 1}  # of particles, by number of grains
OTHER_CARDS = [name for name in shipped_cards() if name != CARD]
OTHERS = 20  # particles of each of them
COSTS = (
    ("CPU time of a mesh", "cpu_s", " s", 1.0),
    ("most memory", "peak_bytes", " GB", 1e-9),
    ("cohesive split", "split_s", " s", 1.0),
)
COST_BARS = {  # by number of grains
    (1000, "cpu_s"): 32.0,
    (1000, "peak_bytes"): 0.8,
    (1000, "split_s"): 10.0,
    (3000, "cpu_s"): 100.0,
    (3000, "peak_bytes"): 2.0,
    (6000, "peak_bytes"): 8.0,
}


@dataclass(frozen=True)
class Bar:
    """A promise that every particle has to keep."""

    name: str
    value: Callable[[Row], float]
    low: float | None = None
    high: float | None = None
    unit: str = ""


MISLABELLED = Bar("mislabelled volume", lambda row: 100 * row["mislabelled"], high=1.5, unit=" %")
BARS = (
    Bar("smallest SICN", lambda row: row["sicn"][0], low=0.20),
    Bar("SICN, 5 %", lambda row: row["sicn"][1], low=0.50),
    Bar("smallest dihedral angle", lambda row: row["dihedral_deg"][0], low=10.0, unit=" deg"),
    Bar("boundary vertices off, 95 %", lambda row: row["distance_px"], high=0.3, unit=" px"),
    MISLABELLED,
    Bar("error of the volume", lambda row: 100 * abs(row["volume_error"]), high=0.5, unit=" %"),
    Bar("grains of 10 px^3 missing", lambda row: len(row["missing"]), high=0),
    Bar("grain volume error, half", lambda row: 100 * row["grain_errors"][0], high=2.5, unit=" %"),
    Bar("grain volume error, worst", lambda row: 100 * row["grain_errors"][2], high=8, unit=" %"),
    Bar("facets of the shell that face inwards", lambda row: row["n_inward"], high=0),
)  # fmt: skip
PERCENTILE_BARS = (  # of about 1000 grains
    Bar("dihedral angle, 1 %, 1000 grains", lambda row: row["dihedral_p1_deg"], 22.0, unit=" deg"),
    Bar("dihedral angle, 5 %, 1000 grains", lambda row: row["dihedral_deg"][1], 26.0, unit=" deg"),
)


def campaign_results(rows: Sequence[Row]) -> Iterator[Result]:
    """How many particles failed, and how the worst stands to each bar."""
    failed = [row for row in rows if not row.get("certified")]
    named = "; ".join(case_of(row).name for row in failed)
    name = f"particles of {len(rows)} without a certified mesh"
    yield Result(name=name, value=len(failed), high=0, details=named)
    meshed = [row for row in rows if "error" not in row]
    if not meshed:
        return
    defects = sum(sum(row["defects"].values()) for row in meshed)
    repaired = sum(bool(row["repairs"]) for row in meshed)
    yield Result(name="defects of all meshes", value=defects, high=0)
    yield Result(name="particles that took more than one attempt", value=repaired)
    for bar in BARS:
        yield worst_of(meshed, bar)


def worst_of(rows: Sequence[Row], bar: Bar) -> Result:
    """The worst particle; where the others are stands in the details."""
    values = np.array([bar.value(row) for row in rows])
    sign = 1 if bar.low is None else -1
    worst = int(np.argmax(sign * values))
    details = case_of(rows[worst]).name
    if len(rows) > 1:
        usual, poor = np.percentile(sign * values, [50, 95]) * sign
        details += f"; median of {len(rows)} {usual:.3g}, 95 % of them {poor:.3g} or better"
    if bar.low is not None or bar.high is not None:
        kept = sum(_result(bar, value).verdict == "met" for value in values)
        details += f"; met by {kept} of {len(rows)}"
    return _result(bar, values[worst], details)


def _result(bar: Bar, value: float, details: str = "") -> Result:
    return Result(
        name=bar.name,
        value=float(value),
        low=bar.low,
        high=bar.high,
        unit=bar.unit,
        details=details,
    )


def cost_results(n_grains: int, rows: Sequence[Row]) -> Iterator[Result]:
    """CPU seconds, memory and the cohesive split of particles of about ``n_grains``.

    Bars for about 1000 grains are for exactly that many: figures are in proportion.
    """
    meshed = [row for row in rows if "error" not in row]
    if not meshed:
        return
    per = 1000 if n_grains == 1000 else None
    about = f"{'each' if per else 'about'} {n_grains} grains"
    for name, key, unit, factor in COSTS:
        value = partial(_cost, key=key, factor=factor, per=per)
        bar = COST_BARS.get((n_grains, key))
        yield worst_of(meshed, Bar(f"{name}, {about}", value, high=bar, unit=unit))


def _cost(row: Row, key: str, factor: float, per: int | None) -> float:
    return factor * row[key] * (per / row["n_grains"] if per else 1.0)


def growth_results(small: Row, large: Row) -> Iterator[Result]:
    """Time for each grain of a large particle over that of a small one."""
    if "error" in small or "error" in large:
        return
    each = [row["cpu_s"] / row["n_grains"] for row in (small, large)]
    yield Result(
        name=f"time for each grain, {large['n_grains']} grains / {small['n_grains']} grains",
        value=each[1] / each[0],
        details=", ".join(f"{row['cpu_s']:.3g} s, {row['n_tets']} tets" for row in (large, small)),
    )


def compete(case: Case, rivals: Sequence[Rival]) -> Iterator[tuple[str, Row]]:
    """Name and row of each mesher on one particle, with an ``error`` in it if it fails.

    Those that are not installed are named, and left out.
    """
    for rival in rivals:
        if not rival.is_installed:
            print(f"{rival.name}: {rival.module} is not installed", flush=True)
            continue
        row, problem = apart(judged, rival, case, timeout=PATIENCE_S)
        yield rival.name, row or {**asdict(case), "error": problem}


def judged(rival: Rival, case: Case) -> Row:
    """Row of a mesh by any mesher, made in this process.

    ``wrong`` is the part of the recipe's volume that no element of its grain is in; what is
    mislabelled is a part of the mesh, which may have lost volume.
    """
    warm_up()
    if rival.pitch_um:
        our_labels(Case(WARM_UP_UM, 0, case.size_um).particle, WARM_UP_UM / 10)
    particle = case.particle
    start, wall = time.process_time(), time.perf_counter()
    mesh = rival.task(particle)
    seconds = {"cpu_s": time.process_time() - start, "wall_s": time.perf_counter() - wall}
    peak = peak_bytes()
    body = ParticleBody(particle)
    volumes = body.grain_volumes
    mesh = replace(mesh, facts={"boundary_size_um": case.size_um})
    found = figures(certify(mesh, body, volumes, volumes).document())
    smallest = smallest_dihedral_deg(mesh.points, mesh.tets)
    found["wrong"] = 1 - (1 - found["mislabelled"]) * (1 + found["volume_error"])
    found["plain_deg"] = [float(v) for v in np.percentile(smallest, (0, 1, 5))]
    if rival.pitch_um:
        found |= against_voxels(mesh, particle, rival.pitch_um)
    return {**asdict(case), "repairs": [], **seconds, "peak_bytes": peak, **found}


def smallest_dihedral_deg(
    points: NDArray[np.float64], tets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Smallest dihedral angle of each tetrahedron: a second opinion, written apart from ours.

    At an edge it is the angle between what is perpendicular to the edge on the ways to the
    two other vertices.
    """
    smallest = np.full(len(tets), 180.0)
    for i, j in combinations(range(4), 2):
        k, m = (n for n in range(4) if n not in (i, j))
        edge, one, other = (points[tets[:, n]] - points[tets[:, i]] for n in (j, k, m))
        edge = edge / np.linalg.norm(edge, axis=1, keepdims=True)
        one, other = (w - (w * edge).sum(axis=1, keepdims=True) * edge for w in (one, other))
        across = np.linalg.norm(np.cross(one, other), axis=1)
        angle = np.degrees(np.arctan2(across, (one * other).sum(axis=1)))
        smallest = np.minimum(smallest, angle)
    return smallest


def against_voxels(mesh: VolumeMesh, particle: Particle, pitch_um: float) -> Row:
    """How a mesh stands to the voxels that it was made from.

    The part of it in voxels of another grain; grains of the voxels without an element; of
    those of ten voxels and more the median and the largest error of the volume.
    """
    labels, grid = voxels(particle, pitch_um)
    points, grain_ids = even_samples(mesh)
    given = LabelVolume(labels, pitch_um, grid.origin)
    volumes, own = given.grain_volumes, np.zeros(particle.n_grains + 1)
    own[1:] = mesh.grain_volumes
    there, own = np.flatnonzero(volumes), own[: len(volumes)]
    large = there[volumes[there] >= SMALL_PIXELS * pitch_um**3 * (1 - 1e-9)]
    errors = np.abs(own[large] / volumes[large] - 1)
    return {
        "mislabelled_voxels": float((given.voxels_at(points) != grain_ids).mean()),
        "n_given": len(there),
        "n_lost": int((own[there] == 0).sum()),
        "voxel_errors": [float(np.median(errors)), float(errors.max())],
    }


def against_results(rows: Mapping[str, Row], ours: str, what: str) -> Iterator[Result]:
    """CPU seconds of the other meshers over ours."""
    seconds = {name: row["cpu_s"] for name, row in rows.items() if "error" not in row}
    for name in [name for name in seconds if name != ours] if ours in seconds else []:
        yield ratio(f"{name} / {ours}, {what}", seconds, ours, name, None, rival_line(rows[name]))


def rival_line(row: Row) -> str:
    """What a mesher made, in a line."""
    if "error" in row:
        return row["error"]
    angles = " / ".join(f"{angle:.1f}" for angle in row["plain_deg"])
    text = (
        f"{row['cpu_s']:.1f} CPU s, {row['n_tets']} tets, dihedral {angles} degrees, "
        f"volume {100 * row['volume_error']:+.1f} %, mislabelled {100 * row['mislabelled']:.1f} %, "
        f"wrong {100 * row['wrong']:.1f} %, boundaries {row['distance_px']:.2f} px "
        f"off, {len(row['missing'])} grains missing"
    )
    if "n_given" in row:
        half, worst = (100 * error for error in row["voxel_errors"])
        text += (
            f"; of voxels mislabelled {100 * row['mislabelled_voxels']:.1f} %, {row['n_lost']} of "
            f"{row['n_given']} grains lost, volumes {half:.1f}, {worst:.0f} % off"
        )
    return f"{text}; {'certified' if row['certified'] else '; '.join(row['failures'])}"


def fine_results(rows: Sequence[Row]) -> Iterator[Result]:
    """The bar for finer meshes."""
    meshed = [row for row in rows if "error" not in row]
    if meshed:
        name = f"mislabelled volume at {FINE_SIZE_UM} um"
        yield worst_of(meshed, replace(MISLABELLED, name=name, high=0.7))


class RingArrays(NamedTuple):
    """The arrays of a `TetComplex` that `ring_around` reads."""

    tets: NDArray[np.int64]
    members: NDArray[np.int32]
    n_members: NDArray[np.int32]


# not cached, or numba would not notice that it has changed, and other programs would find
# `RingArrays` in its index, which they cannot import
ring_again = njit(nogil=True)(ring_around.py_func)


@njit(nogil=True)
def all_rings(c, n_tets):  # type: ignore[no-untyped-def]
    """Number of tetrahedra in the rings of all six edges of every tetrahedron."""
    tets = c.tets
    ring, rows = np.empty(MAX_RING, np.int64), np.empty(MAX_RING, np.int64)
    total = 0
    for t in range(n_tets):
        for e in range(6):
            total += ring_again(c, tets[t, EDGES[e, 0]], tets[t, EDGES[e, 1]], ring, rows)
    return total


def kernels(quick: bool) -> Iterator[Result]:
    """Time the rings of a lattice with the whole complex, and with the arrays of a ring only."""
    points, tets = body_centred_lattice(
        lambda x: np.linalg.norm(x, axis=-1) < RING_RADIUS, RING_RADIUS
    )
    labels, fixed = np.ones(len(tets), np.int32), hull_of(tets, len(points))
    whole = complex_of(points, tets, labels, fixed, np.ones(2), np.ones(2))
    few = RingArrays(whole.tets, whole.members, whole.n_members)
    tasks = {
        "all": partial(all_rings, whole, len(tets)),
        "few": partial(all_rings, few, len(tets)),
    }
    if len({task() for task in tasks.values()}) != 1:
        msg = "the rings found with all arrays and with few are not the same"
        raise RuntimeError(msg)
    seconds = alternating(tasks, 1 if quick else 7)
    yield ring_result({name: s / (6 * len(tets)) for name, s in seconds.items()})


def ring_result(seconds: Mapping[str, float]) -> Result:
    """Bar for the seconds of one ring with all arrays and with few."""
    each = ", ".join(f"{name} {1e9 * s:.3g} ns" for name, s in seconds.items())
    return Result(
        name="ring of an edge, all arrays of the mesh / its own",
        value=seconds["all"] / seconds["few"],
        high=MOST_FOR_UNUSED,
        details=each,
    )


def cost(quick: bool) -> Iterator[Result]:
    """Measure a small and a large particle, and finer meshes of still smaller ones."""
    sizes = (100, 300) if quick else (1000, 3000)
    small, large = run(Case.of_about(n, 0) for n in sizes)
    for n, row in zip(sizes, (small, large), strict=True):
        yield from cost_results(n, [row])
    yield from growth_results(small, large)
    n, seeds = (100, 1) if quick else (300, FINE_SEEDS)
    yield from fine_results(run(Case.of_about(n, seed, FINE_SIZE_UM) for seed in range(seeds)))


def against(quick: bool) -> Iterator[Result]:
    """Let all meshers mesh the same particles, from our boundaries and from voxels."""
    cases = [Case(1.0, 0, DEFAULT_SIZE_UM)] if quick else [Case.of_about(n, 0) for n in (100, 300)]
    for case in cases:
        rivals = of_recipe(case.size_um, ours(case.particle, case.size_um))
        for pitch in NETS_UM if case == Case.of_about(100, 0) else NETS_UM[:1]:
            rivals += [replace(r, name=f"{r.name}, {pitch:g} um") for r in of_voxels(pitch)]
        yield from _matched(case, rivals)


def labels(quick: bool) -> Iterator[Result]:
    """Let all meshers mesh the same labelled voxels."""
    for case in [Case(1.0, 0, 0.24, "nmc811")] if quick else LABELS:
        yield from _matched(case, of_voxels(case.size_um / PER_SIZE))


def _matched(case: Case, rivals: Sequence[Rival]) -> Iterator[Result]:
    print(case.name, flush=True)
    rows: dict[str, Row] = {}
    for name, row in compete(case, rivals):
        print(f"  {name}: {rival_line(row)}", flush=True)
        rows[name] = row
    yield from against_results(rows, rivals[0].name, case.name)


def particles(
    counts: Mapping[int, int], others: int, out: Path | None, jobs: int, any_code: bool
) -> list[Result]:
    """Mesh the first ``counts[n]`` particles of about n grains, and ``others`` of other cards."""
    cases = [Case.of_about(n, seed) for n, count in counts.items() for seed in range(count)]
    cases += [Case.of_about(300, k, card=card) for card in OTHER_CARDS for k in range(others)]
    rows = run(cases, out, jobs, any_code)
    found = list(campaign_results(rows))
    for n in counts:
        own = [Case.of_about(n, seed) for seed in range(counts[n])]
        chosen = [row for row in rows if case_of(row) in own]
        found += cost_results(n, chosen)
        if n == 1000:
            meshed = [row for row in chosen if "error" not in row]
            found += [worst_of(meshed, bar) for bar in PERCENTILE_BARS if meshed]
    return found


def parsed() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and smaller particles")
    parser.add_argument("--cost", action="store_true", help="time, memory and their growth")
    parser.add_argument("--against", action="store_true", help="other meshers")
    parser.add_argument("--labels", action="store_true", help="the same, of labelled voxels")
    parser.add_argument("--kernels", action="store_true", help="cost of arrays that are not used")
    parser.add_argument("--large", action="store_true", help="20,000 grains, on two threads")
    parser.add_argument("--threads", action="store_true", help="1000 grains, one thread and two")
    parser.add_argument("--particles", action="store_true", help="many particles, hours")
    for n_grains, count in COUNTS.items():
        text = f"particles of about {n_grains} grains, {count} by default"
        parser.add_argument(f"--count{n_grains}", type=int, help=text)
    text = f"particles of each other card, {OTHERS} by default"
    parser.add_argument("--others", type=int, default=OTHERS, help=text)
    parser.add_argument("--out", type=Path, help="file of the particles' results, gone on with")
    parser.add_argument("--any-code", action="store_true", help="take results of other code too")
    parser.add_argument("--jobs", type=int, default=1, help="particles at a time")
    return parser.parse_args()


def main() -> None:
    """Print what is measured, then the table."""
    chosen = parsed()
    print(machine(), end="\n\n", flush=True)
    some = (
        chosen.cost, chosen.against, chosen.labels, chosen.kernels, chosen.large, chosen.threads
    )  # fmt: skip
    everything = not (any(some) or chosen.particles)
    found: list[Result] = []
    if chosen.particles:
        usual = dict.fromkeys(COUNTS, 0) | {300: 3} if chosen.quick else COUNTS
        asked = {n: getattr(chosen, f"count{n}") for n in COUNTS}
        counts = {n: usual[n] if asked[n] is None else asked[n] for n in COUNTS}
        others = min(1, chosen.others) if chosen.quick else chosen.others
        found += particles(counts, others, chosen.out, chosen.jobs, chosen.any_code)
    if chosen.cost or everything:
        found += cost(chosen.quick)
    if chosen.against or everything:
        found += against(chosen.quick)
    if chosen.labels or everything:
        found += labels(chosen.quick)
    if chosen.kernels or everything:
        found += kernels(chosen.quick)
    if chosen.large:
        found += large(chosen.quick)
    if chosen.threads:
        found += second_thread(chosen.quick)
    print(f"\n{table(found)}")


if __name__ == "__main__":
    in_one_thread()
    main()
