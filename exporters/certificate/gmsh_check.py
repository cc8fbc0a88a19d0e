"""What gmsh says of a mesh file, beside what we say: counts, volumes, quality, complaints.

gmsh opens the file by itself and measures by its own means; the numbers it is compared with
are read and computed without it, and those of the certificate in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...generator.errors import ExportError
from ..mesh.gmsh_session import gmsh_model
from ..mesh.msh_file import ELEMENTS, LAST_TWO_SWAPPED
from ..mesh.msh_sections import MshContent, read_content
from ..mesh.second_order import jacobian_coefficients
from ..mesh.tetrahedra import inverse_condition, signed_volumes
from .element_shape import Spread

LINEAR, CURVED = ELEMENTS[3, 4], ELEMENTS[3, 10]
NAMES = {
    ELEMENTS[2, 3]: "triangles",
    ELEMENTS[2, 6]: "six-node triangles",
    LINEAR: "tetrahedra",
    CURVED: "ten-node tetrahedra",
    ELEMENTS[3, 6]: "wedges",
}
ROUNDING = 1e-9  # of sums over elements, relative
SHOWN_DIGITS = 1e-5  # the certificate has six


@dataclass(frozen=True, eq=False)
class Measures:
    """Numbers of a mesh, by whomever they were measured.

    Parameters
    ----------
    n_nodes
    counts
        Elements of each kind in each physical group: by kind and tag.
    volumes
        Of the tetrahedra of each grain, by its id, um^3.
    sicn
        Of the tetrahedra, in the order of their numbers; empty if not measured.
    gamma
        The same, gmsh's ``gamma``: radius of the inscribed over that of the circumscribed ball.
    """

    n_nodes: int
    counts: Mapping[tuple[int, int], int]
    volumes: Mapping[int, float]
    sicn: NDArray[np.float64]
    gamma: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GmshCheck:
    """What gmsh found in a file, and where it disagrees or complains.

    Parameters
    ----------
    version
        Of gmsh.
    measured
        What it found; None if it cannot open the file.
    problems
        A sentence each; empty if it agrees.
    """

    version: str
    measured: Measures | None
    problems: list[str]

    def lines(self) -> Iterator[str]:
        """What was found, for people."""
        if self.measured is None:
            return
        found = self.measured
        counts: dict[int, int] = {}
        for (kind, _), count in found.counts.items():
            counts[kind] = counts.get(kind, 0) + count
        kinds = ", ".join(f"{counts[kind]:,} {NAMES[kind]}" for kind in sorted(counts))
        yield f"gmsh {self.version}        {found.n_nodes:,} nodes, {kinds}"
        for name, values in (("minSICN", found.sicn), ("gamma", found.gamma)):
            spread = Spread.of(values)
            yield (
                f"{name:<18} min {spread.least:.3f}, 5 % {spread.low:.3f}, "
                f"median {spread.median:.3f}"
            )
        total = sum(found.volumes.values())
        yield f"volume             {total:.4f} um^3 in {len(found.volumes)} grains"


def check_with_gmsh(path: str | Path) -> GmshCheck:
    """Let gmsh open and measure a mesh.msh, and compare.

    Raises
    ------
    ExportError
        If gmsh is missing or in use, or we cannot read the file.
    """
    with gmsh_model() as gmsh:
        content = read_content(path)
        if not {LINEAR, CURVED} & set(content.elements):
            msg = f"{path} has no tetrahedra, expected a mesh of a particle"
            raise ExportError(msg)
        measured, complaints = _opened(gmsh, Path(path))
        version = gmsh.__version__
    if measured is None:
        return GmshCheck(version, None, complaints)
    ours = own_measures(content)
    problems = [*complaints, *_differences(measured, ours), *_beside(measured, content)]
    return GmshCheck(version, measured, problems)


def own_measures(content: MshContent) -> Measures:
    """The numbers of a file by our means; no gamma, and no SICN of second order."""
    counts = {}
    for kind, elements in content.elements.items():
        for group, count in zip(*np.unique(elements.groups, return_counts=True), strict=True):
            counts[kind, int(group)] = int(count)
    curved = CURVED in content.elements
    tets = content.elements[CURVED if curved else LINEAR]
    if curved:
        corners = content.points[tets.nodes[:, LAST_TWO_SWAPPED]]
        volumes, sicn = jacobian_coefficients(corners).mean(axis=1) / 6, np.empty(0)
    else:
        volumes = signed_volumes(content.points, tets.nodes)
        sicn = inverse_condition(content.points, tets.nodes)
    grains, place = np.unique(tets.groups, return_inverse=True)
    by_grain = dict(zip(grains.tolist(), np.bincount(place, volumes).tolist(), strict=True))
    return Measures(len(content.points), counts, by_grain, sicn, np.empty(0))


def _opened(gmsh: ModuleType, path: Path) -> tuple[Measures | None, list[str]]:
    """What gmsh measures, and what it complains of."""
    gmsh.logger.start()
    try:
        gmsh.open(str(path))
        measured = _measures(gmsh)
    except Exception as error:  # gmsh raises nothing more specific
        return None, [f"gmsh cannot open it: {error}"]
    finally:
        said = gmsh.logger.get()
        gmsh.logger.stop()
    return measured, [f"gmsh says: {line}" for line in said if not line.startswith("Info")]


def _measures(gmsh: ModuleType) -> Measures:
    model = gmsh.model
    counts: dict[tuple[int, int], int] = {}
    volumes: dict[int, float] = {}
    numbers = []
    for dimension, group in model.getPhysicalGroups():
        for entity in model.getEntitiesForPhysicalGroup(dimension, group):
            kinds, elements, _ = model.mesh.getElements(dimension, entity)
            for kind, tags in zip(kinds.tolist(), elements, strict=True):
                counts[kind, group] = counts.get((kind, group), 0) + len(tags)
                if kind in (LINEAR, CURVED):
                    volumes[group] = volumes.get(group, 0.0) + _volume(gmsh, kind, entity)
                    numbers.append(tags)
    tets = np.sort(np.concatenate(numbers))
    sicn, gamma = (
        np.array(model.mesh.getElementQualities(tets, name)) for name in ("minSICN", "gamma")
    )
    return Measures(len(model.mesh.getNodes()[0]), counts, volumes, sicn, gamma)


def _volume(gmsh: ModuleType, kind: int, entity: int) -> float:
    """Volume of the elements of an entity, exact: the determinant is of degree 3 at most."""
    at, weights = gmsh.model.mesh.getIntegrationPoints(kind, "Gauss3")
    _, determinants, _ = gmsh.model.mesh.getJacobians(kind, at, entity)
    return float((determinants.reshape(-1, len(weights)) @ weights).sum())


def _differences(found: Measures, ours: Measures) -> Iterator[str]:
    """Where gmsh's numbers are not those that we find in the file."""
    if found.n_nodes != ours.n_nodes:
        yield f"gmsh finds {found.n_nodes} nodes, we {ours.n_nodes}"
    for kind, group in sorted(set(found.counts) | set(ours.counts)):
        count, own = (m.counts.get((kind, group), 0) for m in (found, ours))
        if count != own:
            yield f"gmsh finds {count} {NAMES[kind]} in group {group}, we {own}"
    for grain in sorted(set(found.volumes) & set(ours.volumes)):
        theirs, volume = found.volumes[grain], ours.volumes[grain]
        if abs(theirs - volume) > ROUNDING * abs(volume):
            yield f"gmsh finds {theirs:.9g} um^3 in grain {grain}, we {volume:.9g}"
    if len(ours.sicn) == len(found.sicn) and len(ours.sicn):
        worst = int(np.argmax(np.abs(found.sicn - ours.sicn)))
        if abs(found.sicn[worst] - ours.sicn[worst]) > ROUNDING:
            yield f"gmsh finds a SICN of {found.sicn[worst]:.9g}, we {ours.sicn[worst]:.9g}"


def _beside(found: Measures, content: MshContent) -> Iterator[str]:
    """Where gmsh's numbers are not those of the certificate, and elements that are inverted."""
    if inverted := int((found.sicn <= 0).sum()):
        yield f"gmsh finds {inverted} inverted or flat tetrahedra"
    certificate: Mapping[str, Any] = content.facts.get("certificate", {})
    if not certificate:
        return
    if len(found.sicn) != certificate["n_tets"]:
        yield f"gmsh finds {len(found.sicn)} tetrahedra, the certificate {certificate['n_tets']}"
    if CURVED in content.elements:
        return  # the certificate is that of the straight edges
    least, told = float(found.sicn.min()), certificate["shape"]["sicn"]["least"]
    if abs(least - told) > SHOWN_DIGITS * abs(told):
        yield f"gmsh finds a least SICN of {least:.6g}, the certificate says {told:.6g}"
    for grain, _, _, volume in certificate["grain_volumes_um3"]:
        theirs = found.volumes.get(grain, 0.0)
        if abs(theirs - volume) > SHOWN_DIGITS * abs(volume):
            yield (
                f"gmsh finds {theirs:.6g} um^3 in grain {grain}, the certificate says {volume:.6g}"
            )
