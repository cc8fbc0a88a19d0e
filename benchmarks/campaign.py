"""Many particles meshed, each in a process of its own, the results kept line by line."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cathodegrain import exporters, generator
from cathodegrain.exporters.certificate.certificate import SMALL_PIXELS
from cathodegrain.exporters.certificate.conformity import Conformity
from cathodegrain.exporters.mesh.cohesive import split
from cathodegrain.exporters.mesh.tetrahedra import dihedral_angles
from cathodegrain.exporters.mesh.volume_mesh import VolumeMesh
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.model_card import ModelCard
from cathodegrain.generator.particle import Particle
from meshers import ours
from timing import peak_bytes

DIAMETERS_UM = {100: 1.7, 300: 2.78, 1000: 4.7, 3000: 7.3, 6000: 9.5}  # by number of grains
WARM_UP_UM = 0.8  # diameter of a particle that is meshed only to have everything compiled
CARD = "nmc811-radial"
Row = dict[str, Any]  # what was measured of a particle, JSON values


@dataclass(frozen=True)
class Case:
    """A particle of a shipped card and the size of its elements."""

    diameter_um: float
    seed: int
    size_um: float
    card: str = CARD

    @classmethod
    def of_about(cls, n_grains: int, seed: int, size_um: float = 0.15, card: str = CARD) -> Case:
        """Case with one of the numbers of grains in `DIAMETERS_UM`, which are those of `CARD`."""
        return cls(DIAMETERS_UM[n_grains], seed, size_um, card)

    @property
    def name(self) -> str:
        """The particle in words."""
        return f"{self.card}, {self.diameter_um} um, seed {self.seed}"

    @property
    def particle(self) -> Particle:
        """The particle itself."""
        card = ModelCard.load(self.card).with_parameters({"shell.diameter_um": self.diameter_um})
        return generate_particle(card, seed=self.seed)


def measured(case: Case) -> Row:
    """Mesh a particle in this process: its certificate in figures, CPU seconds, peak memory."""
    warm_up()
    particle = case.particle
    start, wall = time.process_time(), time.perf_counter()
    mesh = ours(particle, case.size_um)
    seconds = {"cpu_s": time.process_time() - start, "wall_s": time.perf_counter() - wall}
    peak = peak_bytes()
    start = time.process_time()
    cohesive = split(mesh)
    return {
        **asdict(case),
        "code": code_version(),
        "n_in_recipe": particle.n_grains,
        **seconds,
        "peak_bytes": peak,
        "split_s": time.process_time() - start,
        "n_wedges": len(cohesive.wedges),
        "repairs": list(mesh.facts["repairs"]),
        "dihedral_p1_deg": float(np.percentile(smallest_angles(mesh), 1)),
        **figures(mesh.facts["certificate"]),
    }


def smallest_angles(mesh: VolumeMesh) -> NDArray[np.float64]:
    """Smallest dihedral angle of each tetrahedron, (m,), degrees."""
    smallest: NDArray[np.float64] = dihedral_angles(mesh.points, mesh.tets).min(axis=1)
    return smallest


def warm_up() -> None:
    """Have everything compiled, or loaded from where numba keeps it."""
    case = Case(WARM_UP_UM, 0, 0.15)
    ours(case.particle, case.size_um)


def figures(certificate: Mapping[str, Any]) -> Row:
    """What the bars are about, from `Certificate.document`; distances in pixels."""
    shape, fidelity = certificate["shape"], certificate["fidelity"]
    pixel = certificate["pixel_um"]
    small = SMALL_PIXELS * pixel**3
    return {
        "certified": certificate["certified"],
        "failures": certificate["failures"],
        "n_grains": certificate["n_present"],
        "n_tets": certificate["n_tets"],
        "n_nodes": certificate["n_nodes"],
        "sicn": [shape["sicn"]["least"], shape["sicn"]["low"]],
        "dihedral_deg": [shape["dihedral_deg"]["least"], shape["dihedral_deg"]["low"]],
        "n_inward": fidelity["shell_facets"]["n_inward"],
        "distance_px": fidelity["grain_boundary_um"]["p95"] / pixel,
        "mislabelled": fidelity["mislabelled"],
        "volume_error": fidelity["volume_um3"] / fidelity["body_volume_um3"] - 1,
        "grain_errors": [fidelity["grain_volume_error"][key] for key in ("p50", "p95", "largest")],
        "defects": Conformity(**certificate["conformity"]).defects(),
        "missing": [g["grain_id"] for g in certificate["lost"] if g["volume_um3"] >= small],
    }


def line(row: Row) -> str:
    """A particle in a line."""
    name = case_of(row).name
    if "error" in row:
        return f"{name}: {row['error']}"
    verdict = "certified" if row["certified"] else f"NOT certified: {'; '.join(row['failures'])}"
    errors = " / ".join(f"{100 * error:.1f}" for error in row["grain_errors"])
    return (
        f"{name}: {row['n_grains']} grains, {row['n_tets']} tets, {row['cpu_s']:.1f} CPU s, "
        f"{row['peak_bytes'] / 1e6:.0f} MB; SICN {_pair(row['sicn'], 3)}, "
        f"dihedral {_pair(row['dihedral_deg'], 1)}, distance {row['distance_px']:.3f} px, "
        f"mislabelled {100 * row['mislabelled']:.2f} %, volume {100 * row['volume_error']:+.2f} %, "
        f"grains {errors} %; {sum(row['defects'].values())} defects, "
        f"{len(row['repairs'])} repairs, {verdict}"
    )


def _pair(values: list[float], digits: int) -> str:
    return " / ".join(f"{value:.{digits}f}" for value in values)


def run(
    cases: Iterable[Case], path: Path | None = None, jobs: int = 1, any_code: bool = False
) -> list[Row]:
    """Rows of all cases in their order, printed and added to the file ``path`` as they come.

    Cases that the file has already, made by the same code or ``any_code``, are not run again.
    """
    cases = list(cases)
    done = {case_of(row): row for row in kept_rows(path, any_code)}
    waiting = [case for case in cases if case not in done]
    for row in _rows(waiting, jobs):
        print(line(row), flush=True)
        if path is not None:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, allow_nan=False) + "\n")
        done[case_of(row)] = row
    return [done[case] for case in cases]


def kept_rows(path: Path | None, any_code: bool) -> list[Row]:
    """Rows of a file that the present code has made; a line cut short is passed over."""
    if path is None or not path.exists():
        return []
    rows = [row for text in path.read_text("utf-8").splitlines() if (row := _row(text))]
    kept = [row for row in rows if any_code or row["code"] == code_version()]
    if len(kept) < len(rows):
        print(f"{len(rows) - len(kept)} results in {path} are of other code and not used")
    return kept


def _row(text: str) -> Row | None:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def _rows(cases: list[Case], jobs: int) -> Iterator[Row]:
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(apart, measured, case): case for case in cases}
        for future in as_completed(futures):
            row, problem = future.result()
            if row is None:
                row = {**asdict(futures[future]), "code": code_version(), "error": problem}
            yield row


def case_of(row: Row) -> Case:
    """Case that a row is of."""
    return Case(row["diameter_um"], row["seed"], row["size_um"], row["card"])


def apart(
    task: Callable[..., Any], *arguments: Any, timeout: float | None = None
) -> tuple[Any, str]:
    """Result of a call in a fresh process; None and what happened if there is none."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, task, arguments))
    process.start()
    sender.close()
    try:
        outcome = receiver.recv() if receiver.poll(timeout) else (None, f"over {timeout:g} s")
    except EOFError:
        process.join()
        outcome = None, f"the process ended with exit code {process.exitcode}"
    if outcome[0] is None:
        process.kill()
    process.join()
    return outcome


def _send(sender: Connection, task: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        sender.send((task(*arguments), ""))
    except Exception as error:
        sender.send((None, f"{type(error).__name__}: {error}"))


def code_version() -> str:
    """Short hash of the sources of the package."""
    digest = hashlib.sha256()
    for package in (exporters, generator):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
