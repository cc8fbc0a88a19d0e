"""Products that the command line is asked for: their options, and what is said about them.

While one is written its progress is shown if standard error is a terminal; afterwards the
certificate of a mesh, the table of several and the cost are printed. Nothing heavy is
imported before a product is written.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..console.arguments import Device, usable
from ..console.terminal import cost, progress_bar
from ..products.options import OPTIONS

if TYPE_CHECKING:
    from ...generator.particle import Particle
    from ..products.product import Written


def _default(name: str) -> Any:
    return OPTIONS[name].default


@Parameter(name="*")
@dataclass(frozen=True)
class ProductOptions:
    """How products are made; each takes those that concern it."""

    pitch: Annotated[float, Parameter(help="Edge of a voxel, um.")] = _default("pitch_um")
    size: Annotated[
        str | None,
        Parameter(
            help="Length of edges inside grains, or edge of the hexahedra, um: 0.15 if left out, "
            "in coarse meshes as long as the grains allow; several, as 0.4,0.2,0.1, for a mesh of "
            "each."
        ),
    ] = _default("size_um")
    boundary_size: Annotated[
        float | None,
        Parameter(help="Length of edges at grain boundaries, um; as --size if left out."),
    ] = _default("boundary_size_um")
    surface_size: Annotated[
        float | None,
        Parameter(
            help="Length of edges at the outer surface, um, below it longer by half the depth; as "
            "in grains if left out."
        ),
    ] = _default("surface_size_um")
    detail: Annotated[
        str,
        Parameter(help="fine, medium or coarse, or edges per radius of a grain, as 0.3."),
    ] = _default("detail")
    tets: Annotated[
        int | None, Parameter(help="Number of tetrahedra, within a tenth; sets the detail.")
    ] = _default("tets")
    elements: Annotated[str, Parameter(help="tets; hex: a cube for each voxel of edge --size.")] = (
        _default("elements")
    )
    cut: Annotated[
        str,
        Parameter(
            help="Mesh only where these coordinates are positive: x, or x,y; symmetric faces are "
            "tagged."
        ),
    ] = _default("cut")
    order: Annotated[int, Parameter(help="1, or 2 for ten-node tetrahedra.")] = _default("order")
    boundaries: Annotated[
        str,
        Parameter(
            help="bonded; cohesive: split along grain boundaries, with wedges; discontinuous: "
            "split, without wedges."
        ),
    ] = _default("boundaries")
    cohesive: Annotated[bool, Parameter(negative="", show=False)] = False  # until version 0.3
    discontinuous: Annotated[bool, Parameter(negative="", show=False)] = False
    unit: Annotated[str | None, Parameter(help="Unit of length of solver decks: um or m.")] = (
        _default("unit")
    )
    surface_format: Annotated[str, Parameter(help="Closed surfaces as ply, stl or glb.")] = (
        _default("surface_format")
    )
    force: Annotated[
        bool, Parameter(negative="", help="Write a mesh although it fails its certificate.")
    ] = _default("force")
    device: Device = "cpu"

    def of(self, name: str) -> dict[str, Any]:
        """Options of one product."""
        from ..products.registry import PRODUCTS

        given = {
            "pitch_um": self.pitch,
            "size_um": self.sizes[0] if self.sizes else None,
            "sizes_um": self.sizes,
            "boundary_size_um": self.boundary_size,
            "surface_size_um": self.surface_size,
            "detail": self.detail,
            "tets": self.tets,
            "elements": self.elements,
            "cut": self.cut,
            "order": self.order,
            "boundaries": self._boundaries(),
            "unit": self.unit,
            "surface_format": self.surface_format,
            "force": self.force,
        }
        return {option: given[option] for option in PRODUCTS[name].options}

    @property
    def sizes(self) -> list[float]:
        """Lengths of edges, um; none if they are left out."""
        from ...generator.errors import ExportError

        if self.size is None:
            return []
        try:
            return [float(text) for text in self.size.split(",")]
        except ValueError as error:
            msg = f"--size is {self.size!r}, expected a length in um, or several: 0.4,0.2,0.1"
            raise ExportError(msg) from error

    def _boundaries(self) -> str:
        """The option, which two flags of version 0.1.0 may stand for."""
        from ...generator.errors import ExportError

        flags = [name for name in ("cohesive", "discontinuous") if getattr(self, name)]
        for name in flags:
            warnings.warn(f"--{name} is now --boundaries {name}", FutureWarning, stacklevel=2)
        if len(flags) == 2:
            msg = "--cohesive and --discontinuous exclude each other; give --boundaries one of them"
            raise ExportError(msg)
        return flags[0] if flags else self.boundaries


def product_names(text: str) -> list[str]:
    """Names of products that are separated by commas.

    Raises
    ------
    ExportError
        If there is no such product, or one needs a package that is not installed.
    """
    from ..products.registry import product_named

    found = [product_named(name.strip()) for name in text.split(",") if name.strip()]
    for product in found:
        product.require()
    return [product.name for product in found]


def options_of(names: list[str], options: ProductOptions) -> dict[str, Any]:
    """Options of all of the products together."""
    return {name: value for product in names for name, value in options.of(product).items()}


def write_products(
    folder: Path, names: list[str], options: ProductOptions, overwrite: bool
) -> dict[str, Any]:
    """Write products; rows of what was written, with a mesh's certificate, once, after it."""
    from ...generator.voxels.slabs import label_slab_on
    from ..products.particle_folder import opened

    rows: dict[str, Any] = {}
    shown: list[str] = []
    names = meshed_as_asked(names, options)
    place = usable(options.device)
    if options.device != "cpu":
        rows["device"] = str(place)
    if not names:
        return rows
    with opened(folder, label=label_slab_on(place)) as found:
        for name in names:
            started = time.process_time()
            with progress_bar(name) as show:
                made = found.write(name, options.of(name), overwrite=overwrite, progress=show)
            rows[name] = str(made.path)
            rows |= dict(_told(name, made, started, shown))
        if (kept := found.keep_mesh()) is not None:
            rows["mesh-vtkhdf"] = str(kept.path)
    return rows


def _told(name: str, made: Written, started: float, shown: list[str]) -> Iterator[tuple[str, Any]]:
    """Rows about a product; a certificate that was ``shown`` is not shown again."""
    summary = made.summary or {}
    if "rows" in summary:
        yield "table", _ladder(summary["rows"])
    certificate = _certificate(summary)
    if certificate and certificate != shown:
        shown[:] = certificate
        yield f"{name} certificate", certificate
        yield f"{name} cost", cost(started)


def meshed_as_asked(names: list[str], options: ProductOptions) -> list[str]:
    """The products, with the ladder of meshes for ``mesh`` where several sizes are asked for."""
    from ...generator.errors import ExportError
    from ..products.registry import PRODUCTS, require_elements

    if len(sizes := options.sizes) > 1:
        names = ["convergence" if name == "mesh" else name for name in names]
    require_elements([PRODUCTS[name] for name in names], options.elements, options.cut)
    if len(sizes) < 2:
        return names
    own = {"--detail": options.detail != _default("detail"), "--tets": options.tets is not None}
    own |= {"--surface-size": options.surface_size is not None}
    if given := [flag for flag, there in own.items() if there]:
        msg = f"several --size make meshes that differ in nothing else; leave out {given[0]}"
        raise ExportError(msg)
    if single := [name for name in names if PRODUCTS[name].made_of == "mesh"]:
        msg = f"{single[0]} takes one --size, not {sizes}; several go with --to mesh only"
        raise ExportError(msg)
    return names


def _ladder(rows: list[dict[str, Any]]) -> list[str]:
    from ..products.convergence import Rung, lines

    return list(lines([Rung(**row) for row in rows]))


def _certificate(summary: Mapping[str, Any]) -> list[str]:
    from ..certificate.hex_certificate import lines_of

    return list(lines_of(summary["certificate"])) if "certificate" in summary else []


def plan_rows(
    particle: Particle, out: Path, names: list[str], options: ProductOptions
) -> dict[str, Any]:
    """What would be written: rows of names, numbers of voxels and elements, memory."""
    from ..products.registry import PRODUCTS

    rows: dict[str, Any] = {
        "particle": str(out / particle.id),
        "grains": particle.n_grains,
        "diameter_um": round(particle.shell.diameter_um, 3),
    }
    for name in meshed_as_asked(names, options):
        rows |= PRODUCTS[name].plan(particle, options.of(name))
    return rows


def row_names(paths: Sequence[Path]) -> list[str]:
    """Names of the files; whole paths if two have the same name.

    Examples
    --------
    >>> row_names([Path("a/map.ctf"), Path("b/other.ctf")])
    ['map.ctf', 'other.ctf']
    """
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
