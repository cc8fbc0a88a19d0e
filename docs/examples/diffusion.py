"""Lithium diffusion in a particle whose grains conduct well in plane and badly along c.

Solved, in every grain g of the particle:

    dc/dt = div(D_g grad c),    D_g = Q_g^T diag(D_in, D_in, D_out) Q_g,

c the lithium concentration in mol/l (= fmol/um^3), Q_g with the crystal's axes a, b, c as rows.

* Start: c = C_START everywhere.
* Outer surface: c = C_SURFACE from t = 0 on, a potential step with fast kinetics; the electrolyte
  does not enter the grain boundaries.
* Grain boundaries: c and the normal flux are continuous, no resistance.

Second-order tetrahedra in space, Alexander's implicit Runge-Kutta method in time (second order,
two solutions a step with one factorisation, damps the jump of the start). Lengths are um, times s.

The same grains are computed with three materials: isotropic, with the mean of D_g; "radial",
(003) planes along the radius; "uniform", random crystals. A ball is computed beside them:
its isotropic run must follow the series of Crank, The Mathematics of Diffusion (1975), Eq. (6.20).

Needs `pip install "cathodegrain[examples]"`.
The material values below are placeholders of the order of the literature, not measured data.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.tri import TriContourSet
from numpy.typing import NDArray
from scipy.sparse.linalg import splu
from scipy.spatial.transform import Rotation
from skfem import Basis, BilinearForm, ElementTetP2, MeshTet, asm
from skfem.helpers import dot, mul

from cathodegrain.exporters.mesh.volume_mesh import VolumeMesh
from cathodegrain.exporters.meshing.mesher import volume_mesh
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.model_card import ModelCard
from cathodegrain.generator.particle import Particle
from cathodegrain.generator.shell.shell import Shell

Array = NDArray[np.float64]

D_IN, D_OUT = (
    1e-3,
    1e-5,
)  # um^2/s in the (003) planes and along c (1e-11, 1e-13 cm^2/s), placeholder
C_START, C_SURFACE = 15.0, 45.0  # mol/l, placeholder: full lithiation is about 50
D_MEAN = (2 * D_IN + D_OUT) / 3
N_STEPS, FOURIER_END = 60, 0.12  # last time in R^2 / D_MEAN
LEVELS = np.linspace(C_START, C_SURFACE, 25)  # of the picture, mol/l
SHOWN = (3, 15, 45)  # steps drawn
GAMMA = 1 - np.sqrt(0.5)  # of Alexander's method


@dataclass(frozen=True)
class Run:
    """Concentrations of one computation at N_STEPS + 1 times."""

    basis: Basis
    times_s: Array  # (n,)
    states: list[Array]  # nodal concentrations, mol/l
    content: Array  # (n,) integral of c, fmol
    supplied: Array  # (n,) lithium that came through the surface since t = 0, fmol

    @property
    def uptake(self) -> Array:
        """Part of what the particle takes up in the end, (n,), 0 to 1."""
        full = C_SURFACE / C_START * self.content[0]
        return (self.content - self.content[0]) / (full - self.content[0])

    @property
    def half_time_s(self) -> float:
        """Time at which half is taken up."""
        return float(np.interp(0.5, self.uptake, self.times_s))

    @property
    def imbalance(self) -> float:
        """Largest difference of supply and change of content, part of the whole change."""
        gained = self.content - self.content[0]
        return float(np.abs(self.supplied - gained).max() / gained[-1])


def particle_of(diameter_um: float, seed: int, texture: str) -> Particle:
    """Particle whose grains have crystal orientations; the same grains for every texture."""
    parameters = {"shell.diameter_um": diameter_um, "orientations.model": texture}
    card = ModelCard.load("nmc811-radial").with_parameters(parameters)
    return generate_particle(card, seed=seed, index=0)


def diffusivities(orientations: Array) -> Array:
    """D_g of each grain in sample axes, (n_grains, 3, 3), um^2/s."""
    to_sample = Rotation.from_quat(orientations, scalar_first=True).as_matrix()  # Q^T
    return to_sample @ np.diag([D_IN, D_IN, D_OUT]) @ to_sample.transpose(0, 2, 1)


@BilinearForm
def mass(c: Any, v: Any, w: Any) -> Any:
    """Integral of c v."""
    return c * v


@BilinearForm
def conduction(c: Any, v: Any, w: Any) -> Any:
    """Integral of (D grad c) . grad v."""
    return dot(mul(w.diffusivity, c.grad), v.grad)


def diffuse(mesh: VolumeMesh, tensors: Array) -> Run:
    """Concentrations while the surface is held at C_SURFACE; tensors (n_grains, 3, 3)."""
    tets = MeshTet(np.ascontiguousarray(mesh.points.T), np.ascontiguousarray(mesh.tets.T))
    basis = Basis(tets, ElementTetP2())
    of_tets = tensors[mesh.grain_ids - 1].transpose(1, 2, 0)[..., None]  # (3, 3, n_tets, 1)
    of_tets = of_tets * np.ones(basis.dx.shape)
    m, k = asm(mass, basis), asm(conduction, basis, diffusivity=of_tets)
    times = np.linspace(0.0, FOURIER_END * radius_um(mesh) ** 2 / D_MEAN, N_STEPS + 1)
    dt = times[1]
    inside = basis.complement_dofs(basis.get_dofs())
    implicit = (m + GAMMA * dt * k).tocsr()
    factors = splu(implicit[inside][:, inside].tocsc(), "MMD_AT_PLUS_A", 0.0,
                   options={"SymmetricMode": True})  # fmt: skip

    def solved(old: Array) -> tuple[Array, float]:
        """State a part GAMMA of a step later, and the lithium supplied: the sum of reactions."""
        new, before = np.zeros(basis.N), m @ old
        new[inside] = factors.solve(before[inside])
        reactions = np.delete(implicit @ new - before, inside)
        return new, float(reactions.sum())

    below = np.full(basis.N, C_START - C_SURFACE)  # c - C_SURFACE, 0 at the surface from t > 0 on
    states, supplied = [below], [0.0]
    for _ in range(N_STEPS):
        stage, first = solved(below)
        ahead = (1 - GAMMA) / GAMMA
        below, second = solved(below + ahead * (stage - below))
        states.append(below)
        supplied.append(supplied[-1] + ahead * first + second)
    states = [C_SURFACE + state for state in states]
    weights = m @ np.ones(basis.N)
    content = np.array([weights @ state for state in states])
    return Run(basis, times, states, content, np.array(supplied))


def radius_um(mesh: VolumeMesh) -> float:
    """Radius of the ball of the same volume."""
    return float((3 * mesh.volumes.sum() / (4 * np.pi)) ** (1 / 3))


def crank_uptake(fourier: Array, n_terms: int = 400) -> Array:
    """Part of the final uptake of a ball at times D t / R^2, surface concentration constant."""
    n = np.arange(1, n_terms + 1)
    terms = np.exp(-((np.pi * n) ** 2) * fourier[:, None]) / n**2
    return 1 - 6 / np.pi**2 * terms.sum(axis=1)


def crank_half_time_s(diffusivity: float, radius: float) -> float:
    """Time at which a ball has taken up half."""
    fourier = np.linspace(0.02, 0.05, 3001)
    return float(np.interp(0.5, crank_uptake(fourier), fourier)) * radius**2 / diffusivity


def section(points: Array, simplices: NDArray[np.int64], values: Array) -> list[Array]:
    """Polygons (x, y, value) in which the plane z = 0 cuts tetrahedra or triangles."""
    pieces = []
    height = points[:, 2] + 1e-9 * np.ptp(points)  # no vertex exactly in the plane
    order = np.take_along_axis(simplices, np.argsort(height[simplices], axis=1), axis=1)
    below = (height[order] < 0).sum(axis=1)
    n = simplices.shape[1]
    for n_below in range(1, n):
        low = list(range(n_below))
        edges = [(i, j) for i in low for j in range(n_below, n)]
        if len(edges) == 4:
            edges[2:] = edges[:1:-1]  # around the quadrilateral
        i, j = order[below == n_below][:, np.array(edges)].transpose(2, 0, 1)
        part = (height[i] / (height[i] - height[j]))[..., None]
        data = np.column_stack([points[:, :2], values])
        pieces.append((1 - part) * data[i] + part * data[j])
    return pieces


def bands(ax: Axes, run: Run, step: int) -> TriContourSet:
    """Concentration on the plane z = 0: the section of the tetrahedra, each cut in eight."""
    fine, c = run.basis.refinterp(run.states[step], 1)
    polygons = section(fine.p.T, fine.t.T, c)
    corners = [p[:, [0, k, k + 1]] for p in polygons for k in range(1, p.shape[1] - 1)]
    vertices = np.concatenate(corners).reshape(-1, 3)
    _, first, number = np.unique(  # one vertex where triangles meet
        vertices[:, :2].round(6), axis=0, return_index=True, return_inverse=True
    )
    triangles = number.reshape(-1, 3)
    triangles = triangles[(np.diff(np.sort(triangles, axis=1)) > 0).all(axis=1)]
    x, y, value = vertices[first].T
    return ax.tricontourf(x, y, triangles, value, levels=LEVELS, cmap="viridis", extend="both")


def draw(mesh: VolumeMesh, runs: dict[str, Run], path: Path) -> None:
    """A row for each run and a column for each time; lines are grain boundaries."""
    figure = Figure(figsize=(7.0, 5.9), layout="constrained", dpi=120)
    axes = figure.subplots(len(runs), len(SHOWN), sharex=True, sharey=True)
    lines = [
        (np.concatenate(section(mesh.points, mesh.grain_boundary, mesh.points[:, 0])), "w", 0.6),
        (np.concatenate(section(mesh.points, mesh.outer, mesh.points[:, 0])), "k", 1.0),
    ]
    for row, (name, run) in zip(axes, runs.items(), strict=True):
        for ax, step in zip(row, SHOWN, strict=True):
            image = bands(ax, run, step)
            for segments, colour, width in lines:
                ax.add_collection(
                    LineCollection(segments[..., :2], colors=colour, lw=width, clip_on=False)
                )
            ax.set(aspect="equal", frame_on=False, xmargin=0.03, ymargin=0.03)
        row[0].set_ylabel(f"{name}\n\ny / µm")
    for ax, step in zip(axes[0], SHOWN, strict=True):
        ax.set_title(f"t = {run.times_s[step]:.1f} s")
    for ax in axes[-1]:
        ax.set_xlabel("x / µm")
    label = "lithium concentration / mol l$^{-1}$"
    figure.colorbar(
        image, ax=axes, label=label, shrink=0.6, aspect=30, ticks=LEVELS[::4], extendrect=True
    )
    figure.savefig(path)


def verified(particle: Particle, radius: float, size_um: float) -> dict[str, float]:
    """The isotropic run in a ball beside Crank's series; the ball has the particle's grains."""
    ball = volume_mesh(replace(particle, shell=Shell.sphere(radius)), size_um)
    run = diffuse(ball, D_MEAN * np.stack([np.eye(3)] * particle.n_grains))
    series = crank_uptake(D_MEAN * run.times_s[1:] / radius_um(ball) ** 2)
    exact_s = crank_half_time_s(D_MEAN, radius_um(ball))
    return {
        "ball_half_time_s": run.half_time_s,
        "crank_half_time_s": exact_s,
        "crank_half_time_error": abs(run.half_time_s / exact_s - 1),
        "crank_uptake_error": float(np.abs(run.uptake[1:] - series).max()),
        "ball_imbalance": run.imbalance,
    }


def report(runs: dict[str, Run], found: dict[str, float]) -> None:
    """The table."""
    print(
        f"{found['n_grains']} grains, {found['n_tets']} tetrahedra, R = {found['radius_um']:.3f} um"
    )
    print(f"{'material':12}{'half full / s':>15}{'D_eff / um^2/s':>17}{'lithium lost':>15}")
    for name, run in runs.items():
        effective = found[f"{name}_effective_diffusivity_um2_s"]
        print(f"{name:12}{run.half_time_s:15.2f}{effective:17.3e}{run.imbalance:15.1e}")
    print(
        f"ball, isotropic: half full after {found['ball_half_time_s']:.3f} s, Crank "
        f"{found['crank_half_time_s']:.3f} s ({found['crank_half_time_error']:.2%} off); uptake "
        f"within {found['crank_uptake_error']:.4f} of the series at every step"
    )


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Compute, draw and print; returns the numbers."""
    options = arguments(argv)
    textures = {
        name: particle_of(options.diameter, options.seed, name) for name in ("radial", "uniform")
    }
    particle = textures["radial"]
    mesh = volume_mesh(particle, options.size)
    tensors = {name: diffusivities(textured.orientations) for name, textured in textures.items()}
    tensors = {"isotropic": D_MEAN * np.stack([np.eye(3)] * particle.n_grains), **tensors}
    runs = {name: diffuse(mesh, of_grains) for name, of_grains in tensors.items()}
    found: dict[str, float] = {
        "n_grains": len(np.unique(mesh.grain_ids)),
        "n_tets": len(mesh.tets),
        "radius_um": radius_um(mesh),
        **verified(particle, radius_um(mesh), options.size),
    }
    for name, run in runs.items():
        faster = runs["isotropic"].half_time_s / run.half_time_s
        found[f"{name}_half_time_s"] = run.half_time_s
        found[f"{name}_effective_diffusivity_um2_s"] = D_MEAN * faster
        found[f"{name}_imbalance"] = run.imbalance
    report(runs, found)
    options.out.mkdir(parents=True, exist_ok=True)
    draw(mesh, runs, options.out / "diffusion.png")
    return found


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("."), help="folder of the picture")
    parser.add_argument("--diameter", type=float, default=1.25, help="of the particle, um")
    parser.add_argument("--size", type=float, default=0.15, help="of the tetrahedra, um")
    parser.add_argument("--seed", type=int, default=7, help="of the particle")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
