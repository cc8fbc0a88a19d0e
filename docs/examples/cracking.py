"""Stress between grains that swell differently along a and c, and the boundaries that open first.

Solved, in every grain g, with small strains e = sym grad u and no inertia:

    div s = 0,    s = C_g : (e - e_g),    e_g = Q_g^T diag(EPS_A, EPS_A, EPS_C) Q_g  at full charge,

C_g the stiffness of a hexagonal crystal turned into the sample by Q_g (rows: axes a, b, c), e_g
proportional to the state of charge z (0 discharged, 1 charged), the same everywhere in the
particle: slow charging.

* Outer surface: no traction. Three nodes hold the six rigid motions; the reactions there are zero.
* Grain boundaries: springs of stiffness k, so stiff that only their traction t = k (u_high - u_low)
  matters; positive along the normal from the lower to the higher grain id is tension.
* A boundary opens when its normal traction, averaged over its area, reaches STRENGTH. Its springs
  then have no stiffness in tension and shear, and k against interpenetration.

Between two openings u is proportional to z (the contact, too), so the z of every opening is
solved for, not stepped to. No energy of fracture: the result is where and when cracks start, not
how they grow. Linear tetrahedra, wedges with their traction at the nodes. um, GPa, GPa um^2 = mN.

Needs `pip install "cathodegrain[examples]"` and vtk for the picture.
The material values below are placeholders of the order of the literature, not measured data.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array, eye_array, kron
from scipy.sparse.linalg import splu
from scipy.spatial.transform import Rotation
from skfem import Basis, BilinearForm, ElementTetP1, ElementVector, LinearForm, MeshTet, asm

from cathodegrain.exporters.mesh.cohesive import SplitMesh, split
from cathodegrain.exporters.meshing.mesher import volume_mesh
from cathodegrain.exporters.products.interfaces import Interfaces, interfaces
from cathodegrain.exporters.surfaces.grain_surfaces import grain_surfaces
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.model_card import ModelCard
from cathodegrain.generator.particle import Particle

Array = NDArray[np.float64]

C11, C12, C13, C33, C44 = 250.0, 90.0, 70.0, 180.0, 55.0  # GPa, placeholder
EPS_A, EPS_C = (
    -0.015,
    0.015,
)  # strain per unit of charge along a and c before c collapses, placeholder
STRENGTH = 0.2  # GPa, of every grain boundary, placeholder
SPRING = 1e5  # k, GPa / um; a grain of 0.3 um has about 1e3
STUMP = 1e-6  # part of k that an open boundary keeps, so that no grain floats away
N_OPENINGS = 5
OPEN, SHELL = (25, 25, 25), (205, 205, 205)  # colours of the picture
LEGEND = {"open": OPEN, "outer surface": SHELL}
PIXELS = 600
TRACTIONS = Normalize(-2 * STRENGTH, 2 * STRENGTH)  # GPa, range of the colours
COLOURS = colormaps["coolwarm"]


def particle_of(diameter_um: float, seed: int) -> Particle:
    """Particle with (003) planes along the radius, as the c-axes of real ones tend to lie."""
    parameters = {"shell.diameter_um": diameter_um, "orientations.model": "radial"}
    card = ModelCard.load("nmc811-radial").with_parameters(parameters)
    return generate_particle(card, seed=seed, index=0)


def hexagonal_stiffness() -> Array:
    """C_ijkl in crystal axes, (3, 3, 3, 3), GPa."""
    c66 = (C11 - C12) / 2
    voigt = np.diag([C11, C11, C33, C44, C44, c66])
    voigt[[0, 1], [1, 0]] = C12
    voigt[[0, 2, 1, 2], [2, 0, 2, 1]] = C13
    place = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
    return voigt[place[:, :, None, None], place]


def turned(stiffness: Array, strain: Array, orientations: Array) -> tuple[Array, Array]:
    """C_g (n, 3, 3, 3, 3) and e_g (n, 3, 3) of each grain in sample axes."""
    r = Rotation.from_quat(orientations, scalar_first=True).as_matrix()  # Q^T
    c = np.einsum("nia,njb,nkc,nld,abcd->nijkl", r, r, r, r, stiffness, optimize=True)
    return c, r @ strain @ r.transpose(0, 2, 1)


@BilinearForm
def elasticity(u: Any, v: Any, w: Any) -> Any:
    """Integral of grad v : C : grad u."""
    return np.einsum("ijkl...,kl...,ij...", w.stiffness, u.grad, v.grad, optimize=True)


@LinearForm
def swelling(v: Any, w: Any) -> Any:
    """Integral of grad v : C : e_g."""
    return np.einsum("ij...,ij...", w.stress, v.grad)


@dataclass(frozen=True, eq=False)
class Body:
    """Equations of a split mesh for z = 1; degree of freedom 3 node + axis."""

    mesh: SplitMesh
    stiffness: csr_array  # of the tetrahedra, GPa um
    load: Array  # of the swelling, mN
    jump: csr_array  # u -> u_high - u_low at the links, the pairs of nodes that springs join
    link: NDArray[np.int64]  # (n_wedges, 3), link of each node pair of a wedge
    normals: Array  # (n_wedges, 3)
    areas: Array  # (n_wedges,), um^2

    @property
    def intact(self) -> csr_array:
        """Stiffness with all springs in place."""
        weights = np.bincount(self.link.ravel(), np.repeat(SPRING * self.areas / 3, 3))
        return csr_array(self.stiffness + self.jump.T @ diags_array(weights.repeat(3)) @ self.jump)


def body_of(mesh: SplitMesh, stiffness: Array, strains: Array) -> Body:
    """Body whose grain g has stiffness[g - 1], GPa, and swells by strains[g - 1] at z = 1."""
    tets = MeshTet(np.ascontiguousarray(mesh.points.T), np.ascontiguousarray(mesh.tets.T))
    basis = Basis(tets, ElementVector(ElementTetP1()), intorder=1)
    stress = np.einsum("nijkl,nkl->nij", stiffness, strains)
    c, s = (
        np.moveaxis(of_grains[mesh.grain_ids - 1], 0, -1)[..., None] * np.ones(basis.dx.shape)
        for of_grains in (stiffness, stress)
    )
    k, load = asm(elasticity, basis, stiffness=c), asm(swelling, basis, stress=s)
    pairs = np.stack([mesh.wedges[:, :3], mesh.wedges[:, 3:]], axis=2).reshape(-1, 2)
    links, link = np.unique(pairs, axis=0, return_inverse=True)
    select = eye_array(len(mesh.points), format="csr")
    jump = kron(select[links[:, 1]] - select[links[:, 0]], eye_array(3), format="csr")
    p, q, r = mesh.points[mesh.wedges[:, :3]].transpose(1, 0, 2)
    vectors = np.cross(q - p, r - p) / 2
    areas = np.linalg.norm(vectors, axis=1)
    return Body(
        mesh, csr_array(k), load, jump, link.reshape(-1, 3), vectors / areas[:, None], areas
    )


def held_degrees(points: Array) -> NDArray[np.int64]:
    """Six degrees of freedom that hold the rigid motions, and nothing else."""
    a, b = points[:, 0].argmin(), points[:, 0].argmax()  # a in x, y and z, b in y and z,
    offset = points - points[a]
    c = np.linalg.norm(np.cross(offset, offset[b]), axis=1).argmax()  # c out of the plane abc
    normal = np.cross(offset[b], offset[c])
    across = 1 if abs(normal[1]) > abs(normal[2]) else 2
    return np.array([3 * a, 3 * a + 1, 3 * a + 2, 3 * b + 1, 3 * b + 2, 3 * c + across])


@dataclass(frozen=True, eq=False)
class State:
    """Solution for z = 1 with some wedges open."""

    displacement: Array  # (n_nodes, 3), um
    tractions: Array  # (n_wedges, 3), GPa, on the grain with the lower id
    normal: Array  # (n_wedges,), GPa, tension positive
    unbalanced: Array  # (3 n_nodes,), mN; at the held degrees of freedom the reactions
    touching: NDArray[np.bool_]  # (n_wedges, 3), node pairs that are open and in contact


class Solver:
    """Equilibrium with any set of open wedges from one factorisation.

    With K the intact stiffness and J the jump at the links of open wedges, the change D of their
    springs gives j = J u from (1 + G D) j = J u_0, G = J K^-1 J^T, and u = u_0 - K^-1 J^T D j:
    exact, and small, since G has three rows for each link at an open wedge.
    """

    def __init__(self, body: Body, load: Array | None = None) -> None:
        self.body = body
        self.load = body.load if load is None else load
        self.held = held_degrees(body.mesh.points)
        self.free = np.setdiff1d(np.arange(len(self.load)), self.held)
        block = body.intact[self.free][:, self.free].tocsc()
        self.factors = splu(block, "MMD_AT_PLUS_A", 0.0, options={"SymmetricMode": True})
        self.intact = self.response(self.load)
        self.links = np.empty(0, np.int64)  # at open wedges, in the order they opened
        self.columns = np.empty((len(self.load), 0))  # K^-1 J^T of them

    def response(self, forces: Array) -> Array:
        """K^-1 of forces (3 n_nodes, ...), mN; the held degrees of freedom are 0."""
        u = np.zeros(forces.shape)
        u[self.free] = self.factors.solve(forces[self.free])
        return u

    def rows(self, links: NDArray[np.int64]) -> csr_array:
        """J of some links."""
        return self.body.jump[(3 * links[:, None] + np.arange(3)).ravel()]

    def equilibrium(self, is_open: NDArray[np.bool_], start: State | None = None) -> State:
        """Displacement with the wedges ``is_open`` (n_wedges,) open, contact settled."""
        body, normals = self.body, self.body.normals
        fresh = np.setdiff1d(body.link[is_open], self.links)
        self.links = np.concatenate([self.links, fresh])
        self.columns = np.hstack([self.columns, self.response(self.rows(fresh).T.toarray())])
        flexibility = self.rows(self.links) @ self.columns
        touching = start.touching if start else np.zeros(body.link.shape, bool)
        for _ in range(50):
            springs = springs_of(normals, is_open, touching)
            u = self.displacement(springs, flexibility)
            openings = (body.jump @ u).reshape(-1, 3)[body.link]  # (n_wedges, 3 nodes, 3)
            inwards = is_open[:, None] & (np.einsum("wni,wi->wn", openings, normals) < 0)
            if (inwards == touching).all():
                return self.state(u, np.einsum("wnij,wnj->wni", springs, openings), touching)
            touching = inwards
        msg = "contact between open boundaries does not settle in 50 rounds"
        raise RuntimeError(msg)

    def displacement(self, springs: Array, flexibility: Array) -> Array:
        """U (3 n_nodes,) for springs (n_wedges, 3, 3, 3) at the node pairs of the wedges."""
        m, body = len(self.links), self.body
        changes = np.zeros((body.link.max() + 1, 3, 3))
        lost = springs - SPRING * np.eye(3)
        np.add.at(changes, body.link, body.areas[:, None, None, None] / 3 * lost)
        changes = changes[self.links]
        product = np.einsum("amb,mbc->amc", flexibility.reshape(3 * m, m, 3), changes)
        jumps = np.linalg.solve(
            np.eye(3 * m) + product.reshape(3 * m, 3 * m), self.rows(self.links) @ self.intact
        )
        forces = np.einsum("mbc,mc->mb", changes, jumps.reshape(m, 3))
        return self.intact - self.columns @ forces.ravel()

    def state(self, u: Array, tractions: Array, touching: NDArray[np.bool_]) -> State:
        """What follows from u and the tractions (n_wedges, 3 nodes, 3)."""
        body = self.body
        forces = np.zeros((body.link.max() + 1, 3))
        np.add.at(forces, body.link, body.areas[:, None, None] / 3 * tractions)
        unbalanced = body.stiffness @ u + body.jump.T @ forces.ravel() - self.load
        mean = tractions.mean(axis=1)
        normal = np.einsum("wi,wi->w", mean, body.normals)
        return State(u.reshape(-1, 3), mean, normal, unbalanced, touching)


def springs_of(normals: Array, is_open: NDArray[np.bool_], touching: NDArray[np.bool_]) -> Array:
    """Stiffness (n_wedges, 3, 3, 3) of the springs at the three node pairs, GPa / um."""
    pressed = normals[:, None, :, None] * normals[:, None, None, :]
    cracked = np.where(touching[..., None, None], pressed, STUMP * np.eye(3))
    return SPRING * np.where(is_open[:, None, None, None], cracked, np.eye(3))


@dataclass(frozen=True, eq=False)
class Opening:
    """What happened at one state of charge."""

    charge: float  # z
    opened: NDArray[np.bool_]  # (n_boundaries,)
    state: State  # before they opened, for z = 1


def opened_in_turn(
    solver: Solver, row: NDArray[np.int64], resolved: NDArray[np.bool_], n_openings: int
) -> tuple[list[Opening], State]:
    """Boundaries in the order in which they open, and the state after the last.

    ``row`` (n_wedges,) is the boundary of each wedge. Only ``resolved`` ones, (n_boundaries,),
    set the charge; smaller ones open with them if their traction, too, is at the strength.
    """
    areas = np.bincount(row, solver.body.areas)
    is_open, charge = np.zeros(len(areas), bool), 0.0
    state, openings = solver.equilibrium(is_open[row]), []
    for _ in range(n_openings):
        traction = boundary_mean(state.normal, solver.body.areas, row)
        highest = traction[resolved & ~is_open].max()
        if highest <= 0:
            break
        charge = max(charge, float(STRENGTH / highest))
        fresh = ~is_open & (traction * charge >= STRENGTH * (1 - 1e-9))
        openings.append(Opening(charge, fresh, state))
        is_open = is_open | fresh
        state = solver.equilibrium(is_open[row], state)
    return openings, state


def boundary_mean(values: Array, areas: Array, row: NDArray[np.int64]) -> Array:
    """Mean of the wedges' values (n_wedges,) over the area of each boundary."""
    return np.bincount(row, areas * values) / np.bincount(row, areas)


def imbalance(mesh: SplitMesh, areas: Array, tractions: Array) -> float:
    """Largest force of all neighbours on a grain, part of the sum of their absolute values."""
    forces, sizes = np.zeros((mesh.n_grains + 1, 3)), np.zeros(mesh.n_grains + 1)
    for grains, sign in zip(mesh.wedge_pairs.T, (1, -1), strict=True):
        np.add.at(forces, grains, sign * areas[:, None] * tractions)
        np.add.at(sizes, grains, areas * np.linalg.norm(tractions, axis=1))
    return float(np.linalg.norm(forces, axis=1).max() / sizes.max())


def rendered(mesh: SplitMesh, colours: NDArray[np.uint8], half_width_um: float) -> Array:
    """Picture (n, n, 3) of the half z < 0, seen from above; a colour for each wedge."""
    import vtkmodules.all as vtk
    from vtkmodules.util.numpy_support import vtk_to_numpy

    renderer, window, plane = vtk.vtkRenderer(), vtk.vtkRenderWindow(), vtk.vtkPlane()
    renderer.SetBackground(1, 1, 1)
    plane.SetNormal(0, 0, -1)
    shell = np.full((len(mesh.outer), 3), SHELL, np.uint8)
    for triangles, shades in ((mesh.outer, shell), (mesh.wedges[:, :3], colours)):
        mapper, actor = vtk.vtkPolyDataMapper(), vtk.vtkActor()
        mapper.SetInputData(surface_of(mesh.points, triangles, shades))
        mapper.AddClippingPlane(plane)
        actor.SetMapper(mapper)
        actor.GetProperty().SetAmbient(0.4)
        actor.GetProperty().SetDiffuse(0.6)
        renderer.AddActor(actor)
    camera = renderer.GetActiveCamera()
    camera.SetPosition(0.9, 1.4, 4.0)
    camera.ParallelProjectionOn()
    camera.SetParallelScale(half_width_um)
    renderer.ResetCameraClippingRange()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(8)
    window.SetSize(PIXELS, PIXELS)
    window.AddRenderer(renderer)
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.Update()
    seen = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars())
    return seen.reshape(PIXELS, PIXELS, 3)[::-1].copy()


def surface_of(points: Array, triangles: NDArray[np.int64], colours: NDArray[np.uint8]) -> Any:
    """Coloured triangles as VTK's data."""
    import vtkmodules.all as vtk
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray

    corners, cells, data = vtk.vtkPoints(), vtk.vtkCellArray(), vtk.vtkPolyData()
    corners.SetData(numpy_to_vtk(points, deep=True))
    offsets = 3 * np.arange(len(triangles) + 1)
    cells.SetData(*(numpy_to_vtkIdTypeArray(a.ravel(), deep=True) for a in (offsets, triangles)))
    data.SetPoints(corners)
    data.SetPolys(cells)
    data.GetCellData().SetScalars(numpy_to_vtk(np.ascontiguousarray(colours), deep=True))
    return data


def draw(mesh: SplitMesh, shown: dict[str, tuple[Array, NDArray[np.bool_]]], path: Path) -> None:
    """Views by title, each with normal tractions, GPa, and open wedges, both (n_wedges,)."""
    width = 1.05 * np.linalg.norm(mesh.points, axis=1).max()
    figure = Figure(figsize=(7.0, 3.2), layout="constrained", dpi=150)
    axes = figure.subplots(1, len(shown))
    for ax, (title, (normal, is_open)) in zip(axes, shown.items(), strict=True):
        colours = COLOURS(TRACTIONS(normal), bytes=True)[:, :3]
        colours[is_open] = OPEN
        ax.imshow(rendered(mesh, colours, width), extent=(-width, width, -width, width))
        ax.plot([-width, 0.5 - width], [-width, -width], "k", lw=3, solid_capstyle="butt")
        ax.text(0.25 - width, -0.97 * width, "0.5 µm", ha="center", va="bottom", fontsize=8)
        ax.set_title(title, fontsize=9)
        ax.axis("off")
    patches = [Patch(color=np.array(c) / 255, label=n) for n, c in LEGEND.items()]
    axes[-1].legend(handles=patches, fontsize=8, loc="lower right", frameon=False)
    scale = ScalarMappable(TRACTIONS, COLOURS)
    bar = figure.colorbar(scale, ax=axes, extend="both", shrink=0.85, aspect=25)
    bar.set_label("normal traction of grain boundaries / GPa", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    figure.savefig(path)


def report(found: dict[str, Any], table: Interfaces) -> None:
    """The boundaries with the highest traction before anything is open, and the openings."""
    print("grains       area  traction / z  misorientation  normal to radius  opens at z")
    print("             um^2           GPa          degree            degree")
    for k in found["ranked"]:
        print(
            f"{table.grain_low[k]:3}-{table.grain_high[k]:<3}{table.area_um2[k]:10.3f}"
            f"{found['traction'][k]:14.3f}{table.misorientation_deg[k]:16.1f}"
            f"{table.radial_angle_deg[k]:18.1f}{found['opens_at'][k]:12.4f}"
        )
    print(
        f"{found['n_grains']} grains, {len(table)} boundaries, here those of at least size^2\n"
        f"first opening at z = {found['first_charge']:.4f}; after z = {found['last_charge']:.4f} "
        f"{found['n_open']} boundaries, {found['open_area']:.1%} of their area, are open\n"
        f"reactions {found['reaction']:.1e}, all forces at the end {found['residual']:.1e} of the "
        f"largest load; forces on a grain balance to {found['grain_imbalance']:.1e}"
    )


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Compute, draw and print; returns the numbers."""
    options = arguments(argv)
    particle = particle_of(options.diameter, options.seed)
    bonded = volume_mesh(particle, options.size)
    mesh, table = split(bonded), interfaces(grain_surfaces(bonded), particle)
    strain = np.diag([EPS_A, EPS_A, EPS_C])
    body = body_of(mesh, *turned(hexagonal_stiffness(), strain, particle.orientations))
    solver, resolved = Solver(body), table.area_um2 >= options.size**2
    row = np.unique(mesh.wedge_pairs, axis=0, return_inverse=True)[1].ravel()
    openings, last = opened_in_turn(solver, row, resolved, options.openings)
    found = numbers(solver, table, row, openings, last)
    found["ranked"] = np.argsort(np.where(resolved, -found["traction"], np.inf))[:10]
    report(found, table)
    options.out.mkdir(parents=True, exist_ok=True)
    first, end, is_open = found["first_charge"], found["last_charge"], found["opens_at"][row] > 0
    shown = {
        f"state of charge {first:.3f}, all closed": (
            first * openings[0].state.normal,
            np.zeros_like(is_open),
        ),
        f"state of charge {end:.3f}, {found['n_open']} boundaries open": (
            end * last.normal,
            is_open,
        ),
    }
    try:
        draw(mesh, shown, options.out / "cracking.png")
    except ModuleNotFoundError as error:
        print(f"no picture: {error}; pip install vtk")
    return found


def numbers(
    solver: Solver, table: Interfaces, row: NDArray[np.int64], openings: list[Opening], last: State
) -> dict[str, Any]:
    """What is printed and returned."""
    body, intact = solver.body, openings[0].state
    opens_at = np.full(len(table), np.nan)
    for opening in openings:
        opens_at[opening.opened] = opening.charge
    is_open = np.isfinite(opens_at)
    load = np.abs(body.load).max()
    return {
        "n_grains": len(np.unique(body.mesh.grain_ids)),
        "traction": boundary_mean(intact.normal, body.areas, row),  # (n_boundaries,), GPa, z = 1
        "opens_at": opens_at,  # (n_boundaries,), z or nan
        "first_charge": openings[0].charge,
        "last_charge": openings[-1].charge,
        "n_open": int(is_open.sum()),
        "open_area": float(table.area_um2[is_open].sum() / table.area_um2.sum()),
        "reaction": float(np.abs(intact.unbalanced[solver.held]).max() / load),
        "residual": float(np.abs(last.unbalanced).max() / load),
        "grain_imbalance": imbalance(body.mesh, body.areas, intact.tractions),
    }


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("."), help="folder of the picture")
    parser.add_argument("--diameter", type=float, default=1.25, help="of the particle, um")
    parser.add_argument("--size", type=float, default=0.15, help="of the tetrahedra, um")
    parser.add_argument("--seed", type=int, default=7, help="of the particle")
    parser.add_argument("--openings", type=int, default=N_OPENINGS, help="how often to go on")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
