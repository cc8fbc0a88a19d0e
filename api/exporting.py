"""What a particle becomes: arrays, meshes and pictures in memory, products on the disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from .generator.errors import DeviceError, ExportError
from .generator.particle import Particle
from .generator.progress import Progress
from .generator.requirements import require
from .making import load

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray
    from numpy.typing import NDArray
    from torch import Tensor

    from .exporters.labels.label_volume import LabelVolume
    from .exporters.mesh.hex_mesh import HexMesh
    from .exporters.pictures.canvas import SavablePicture
    from .exporters.products.mesh import Boundaries, Elements, Mesh
    from .exporters.surfaces.grain_surfaces import GrainSurfaces
    from .generator.fitting.sections.plane_cut import PlaneCut
    from .generator.voxels.grid import Axes
    from .generator.voxels.morphology import GrainMorphology

Source = Particle | str | Path


def _particle(source: Source) -> Particle:
    return source if isinstance(source, Particle) else load(source)


@overload
def voxels(
    source: Source, *, pitch_um: float = ..., axes: Axes | None = ..., device: None = ...
) -> xarray.Dataset: ...
@overload
def voxels(
    source: Source, *, pitch_um: float = ..., axes: Axes | None = ..., device: str
) -> Tensor: ...
def voxels(
    source: Source,
    *,
    pitch_um: float = 0.1,
    axes: Axes | None = None,
    device: str | None = None,
) -> xarray.Dataset | Tensor:
    """Grains of a particle on a regular grid, in memory, as the product ``voxels`` has them.

    Parameters
    ----------
    pitch_um
        Edge of a voxel of a grid that holds the particle.
    axes
        Instead of that grid, ascending coordinates along x, y and z, um: any window, any
        spacing; they need not be equidistant.
    device
        "cpu", "cuda", "cuda:N" or "auto": a torch tensor there instead of an xarray.Dataset. The
        labels are the same on all of them.

    Returns
    -------
    xarray.Dataset
        ``grain_id`` (z, y, x) int32, 0 outside; ``grain_boundary`` (z, y, x) int8, 1 where a
        face neighbour has another id; ``grain_voxels`` (grain); coordinates in um; without
        ``axes`` also ``grain_volume`` (grain), um^3.
    torch.Tensor
        With ``device``: the grain ids alone, (z, y, x) int32.

    Raises
    ------
    ExportError
        If the pitch is not a positive number, no voxel of that grid lies inside, or axes are not
        ascending.
    DeviceError
        If the device is not there, not usable, or its memory does not suffice.
    """
    from .exporters.products.voxel_dataset import voxel_dataset, window_dataset

    if device is not None:
        return labels_of([source], pitch_um=pitch_um, axes=axes, device=device)[0]
    particle = _particle(source)
    return voxel_dataset(particle, pitch_um) if axes is None else window_dataset(particle, axes)


def labels_of(
    sources: Iterable[Source],
    *,
    pitch_um: float = 0.1,
    axes: Axes | Sequence[Axes] | None = None,
    device: str = "auto",
) -> list[Tensor]:
    """Grain ids of many particles as torch tensors; on a GPU they share all launches.

    Parameters
    ----------
    sources
        Particles, their folders or recipes.
    pitch_um
        Edge of a voxel of the grids that hold them.
    axes
        Instead of these grids, coordinates along x, y and z, um: for all particles, or a list of
        them, one for each particle.
    device
        "cpu", "cuda", "cuda:N", or "auto": the first GPU if it is usable, else the processor.

    Returns
    -------
    list of torch.Tensor
        (z, y, x) int32 each, 0 outside; on a GPU they share memory: ``clone`` what outlives the
        others.

    Raises
    ------
    ExportError
        As `voxels`, or if there are not as many axes as particles.
    DeviceError
        If the device is not there, not usable, or its memory does not suffice.
    """
    from .generator.devices import device_named

    place = device_named(device)
    require("torch", "torch", purpose="tensors", error=DeviceError)
    from .generator.voxels import device_labels

    particles = [_particle(source) for source in sources]
    return device_labels.labels_of(particles, _axes_of(particles, pitch_um, axes), place)


def _axes_of(
    particles: Sequence[Particle], pitch_um: float, axes: Axes | Sequence[Axes] | None
) -> list[Axes]:
    """Checked axes for each particle."""
    import numpy as np

    from .exporters.products.voxel_dataset import checked_axes
    from .exporters.products.voxels import plan

    if axes is None:
        return [plan(particle, pitch_um).grid.axes for particle in particles]
    if len(axes) == 3 and all(np.ndim(axis) == 1 for axis in axes):
        return [checked_axes(axes)] * len(particles)  # type: ignore[arg-type]
    if len(axes) != len(particles):
        msg = f"axes of {len(axes)} particles are given, expected {len(particles)}"
        raise ExportError(msg)
    return [checked_axes(own) for own in axes]  # type: ignore[arg-type]


def morphology(source: Source, *, pitch_um: float = 0.1, device: str = "cpu") -> GrainMorphology:
    """Size, shape and alignment of the grains of a particle, as the product ``grain-table``.

    Parameters
    ----------
    pitch_um
        Edge of the voxels that they are measured on.
    device
        "cpu", "cuda", "cuda:N" or "auto". From a GPU only sums are copied, not the voxels.

    Returns
    -------
    GrainMorphology
        ``voxel_count``, ``volume_um3``, ``centroid_um``, ``principal_lengths_um`` and others;
        row i is the grain with id i + 1.

    Raises
    ------
    ExportError
        If the pitch is not a positive number.
    DeviceError
        If the device is not there, not usable, or its memory does not suffice.
    """
    from .exporters.products.voxels import plan
    from .generator.devices import device_named

    place, particle = device_named(device), _particle(source)
    grid = plan(particle, pitch_um).grid
    if not place.is_gpu:
        from .generator.voxels.labelling import label_grid
        from .generator.voxels.morphology import grain_morphology

        return grain_morphology(label_grid(particle, grid), grid, particle.n_grains)
    from .generator.voxels.device_labels import morphologies_of

    return morphologies_of([particle], [grid], place)[0]


def mesh(
    source: Source | NDArray[np.integer[Any]],
    *,
    size_um: float | None = None,
    boundary_size_um: float | None = None,
    surface_size_um: float | None = None,
    detail: str | float = "fine",
    tets: int | None = None,
    elements: Elements = "tets",
    cut: str = "",
    order: int = 1,
    boundaries: Boundaries = "bonded",
    pitch_um: float | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Mesh:
    """Certified conforming mesh of a particle, or of segmented grains of your own.

    Parameters
    ----------
    source
        A particle, its folder or recipe; or grain ids on voxels, 0 outside: an array (z, y, x)
        or a file (.vtkhdf, .npy, .tif).
    size_um, boundary_size_um
        Lengths of edges inside grains and at their boundaries; of particles 0.15 um if left out,
        of voxels three of these, of coarse meshes as long as the grains allow. Of hexahedra
        ``size_um`` is the edge; of voxels a multiple of theirs, that one if left out.
    surface_size_um
        Length of edges at the outer surface; below it longer by half the depth, up to the others.
    detail
        Edges per radius of the largest ball in a grain: a number, or "fine", "medium" or
        "coarse", 0.77, 0.445 and 0.16.
    tets
        Number of tetrahedra, within a tenth; sets the detail.
    elements
        "hex": hexahedra, a cube for each voxel of edge ``size_um``. Surfaces are staircases.
    cut
        Only the part where these coordinates are positive, from the centre of a particle or the
        middle of the voxels' grains: "x", "x,y" and so on. ``mesh.symmetry`` has the faces there.
    order
        2 for ten-node tetrahedra.
    boundaries
        "cohesive": split along the grain boundaries, with wedges; "discontinuous": without.
    pitch_um
        Edge of a voxel, if the source is voxels and does not say.
    force
        Return a mesh that fails its certificate all the same.

    Returns
    -------
    VolumeMesh, SecondOrderMesh, SplitMesh or HexMesh
        ``facts["certificate"]`` says how good it is.

    Raises
    ------
    ExportError
        If options do not go together, memory does not suffice, the mesh fails its certificate,
        or more than 0.5 % of the volume of labelled voxels is lost.
    """
    from .exporters.labels.mesh_labels import mesh_volume
    from .exporters.meshing.mesher import volume_mesh
    from .exporters.products.mesh import formed, require_form

    require_form(order, boundaries, elements, boundary_size_um, cut, detail, tets, surface_size_um)
    if elements == "hex":
        return _hex_mesh(source, pitch_um, size_um, cut, progress, force)
    sizes: dict[str, Any] = {
        "size_um": size_um, "boundary_size_um": boundary_size_um,
        "surface_size_um": surface_size_um, "detail": detail, "tets": tets, "cut": cut,
        "progress": progress, "force": force,
    }  # fmt: skip
    if isinstance(source, Particle | str | Path) and _is_particle(source):
        _require_no_pitch(pitch_um)
        particle = _particle(source)
        return formed(volume_mesh(particle, **sizes), particle, order, boundaries)
    bonded = mesh_volume(_label_volume(source, pitch_um), **sizes)
    if order == 2:
        msg = "order is 2, expected 1: a mesh of voxels has straight edges"
        raise ExportError(msg)
    return formed(bonded, None, order, boundaries)


def _is_particle(source: Source) -> bool:
    """Whether it is a particle, or the path of one: a folder or a recipe."""
    if isinstance(source, Particle):
        return True
    return Path(source).is_dir() or Path(source).suffix == ".h5"


def _hex_mesh(
    source: Any,
    pitch_um: float | None,
    size_um: float | None,
    cut: str,
    progress: Progress | None,
    force: bool,
) -> HexMesh:
    from .exporters.labels.hex_labels import hex_volume
    from .exporters.meshing.hex_mesher import hex_mesh
    from .exporters.meshing.sizes import DEFAULT_SIZE_UM

    if isinstance(source, Particle | str | Path) and _is_particle(source):
        _require_no_pitch(pitch_um)
        size = DEFAULT_SIZE_UM if size_um is None else size_um
        return hex_mesh(_particle(source), size, progress, cut=cut, force=force)
    return hex_volume(_label_volume(source, pitch_um), size_um, cut=cut, force=force)


def _require_no_pitch(pitch_um: float | None) -> None:
    if pitch_um is not None:
        msg = f"pitch_um is {pitch_um}, expected none: a particle has no voxels; give size_um"
        raise ExportError(msg)


def _label_volume(source: Any, pitch_um: float | None) -> LabelVolume:
    from .exporters.labels.files import read_labels
    from .exporters.labels.label_volume import LabelVolume

    if isinstance(source, str | Path):
        return read_labels(source, pitch_um)
    if pitch_um is None:
        msg = "an array does not say how large a voxel is; give pitch_um, its edge in um"
        raise ExportError(msg)
    return LabelVolume(source, pitch_um)


def surfaces(source: Source | Mesh, **sizes: Any) -> GrainSurfaces:
    """Surfaces between the grains of a particle, and between them and the outside.

    Parameters
    ----------
    source
        A bonded mesh of first order; or a particle, its folder or recipe, to be meshed first.
    sizes
        ``size_um``, ``boundary_size_um``, ``surface_size_um``, ``detail``, ``tets``, ``force`` and
        ``progress`` of `mesh`.

    Raises
    ------
    ExportError
        If the mesh is not bonded and of first order, or as `mesh` does.
    """
    from .exporters.mesh.volume_mesh import VolumeMesh
    from .exporters.surfaces.grain_surfaces import grain_surfaces

    if isinstance(source, str | Path | Particle):
        source = mesh(source, **sizes)
    if not isinstance(source, VolumeMesh):
        msg = f"surfaces of a {type(source).__name__}, expected a bonded mesh of first order"
        raise ExportError(msg)
    return grain_surfaces(source)


def interfaces(source: Source, mesh: Mesh | None = None, **sizes: Any) -> pd.DataFrame:
    """Table of the grain boundaries: a row for each pair of grains that share one.

    Parameters
    ----------
    source
        A particle, its folder or recipe.
    mesh
        Its bonded mesh of first order, if there is one already.
    sizes
        As in `surfaces`, if there is none.

    Returns
    -------
    pandas.DataFrame
        The columns of the product ``interfaces``, units in their names.
    """
    from .exporters.products.interfaces import interfaces as measured

    particle = _particle(source)
    return measured(surfaces(particle if mesh is None else mesh, **sizes), particle).frame()


def section(
    source: Source,
    *,
    normal: tuple[float, float, float] = (0.0, 0.0, 1.0),
    offset_um: float = 0.0,
    pixel_um: float = 0.05,
    missing: float = 0.0,
) -> PlaneCut:
    """Cut a particle as a microscope would.

    Parameters
    ----------
    normal, offset_um
        Of the plane: its direction, and its distance from the particle's centre.
    pixel_um
        Edge of a pixel.
    missing
        Part of the pixels that are missing; in EBSD maps about 0.03.

    Returns
    -------
    PlaneCut
        ``grain_id`` (ny, nx) int32, 0 outside, -1 missing; the frame of the plane.

    Raises
    ------
    FitError
        If the plane does not cut the particle, or pixels are too large or too many.
    """
    from .generator.fitting.sections.plane_cut import Plane, plane_cut

    return plane_cut(_particle(source), Plane(normal, offset_um), pixel_um, missing)


def picture(source: Source, *, cut: str = "quarter", pixels: int = 800) -> SavablePicture:
    """Rendered picture of a particle, with a part cut away.

    Parameters
    ----------
    cut
        "none", "half", "quarter" or "octant".
    pixels
        Edge of the square picture.

    Returns
    -------
    SavablePicture
        ``rgb`` (pixels, pixels, 3) uint8; ``save("p.png")`` adds a scale bar.

    Raises
    ------
    ExportError
        If there is no such cut.
    """
    from .exporters.pictures.canvas import SavablePicture
    from .generator.pictures.rendering import render_cut, wedge

    drawn = render_cut(_particle(source), pixels, wedge(cut))
    return SavablePicture(drawn.rgb, drawn.pixel_um)


@overload
def export(
    folder: str | Path, products: str, *, overwrite: bool = ..., device: str = ..., **options: Any
) -> Path: ...
@overload
def export(
    folder: str | Path,
    products: Iterable[str],
    *,
    overwrite: bool = ...,
    device: str = ...,
    **options: Any,
) -> dict[str, Path]: ...
def export(
    folder: str | Path,
    products: str | Iterable[str],
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    device: str = "cpu",
    **options: Any,
) -> Path | dict[str, Path]:
    """Write products of a particle into its folder, as ``cathodegrain export``.

    Products that are made of a mesh share it, and keep it for later.

    Parameters
    ----------
    folder
        Of a particle; `save` makes one.
    products
        One product or solver, or several; `formats` lists them.
    overwrite
        Make products that are there again. Without it one that is as asked stays, and one made
        with other options is refused.
    progress
        Called with a message and the part of a product that is done.
    device
        Where voxels are labelled: "cpu", "cuda", "cuda:N" or "auto". Files are the same.
    options
        Those of the products, for example ``pitch_um=0.05``; each takes those that concern it.

    Returns
    -------
    Path
        The file or folder of one product; of several a dictionary of these by name.

    Raises
    ------
    ExportError
        If there is no such product or option, a package is missing, another file is in the
        way, or a product cannot be written.
    DeviceError
        If the device is not there, not usable, or its memory does not suffice.
    """
    from .exporters.products.particle_folder import write_all
    from .generator.devices import device_named
    from .generator.voxels.slabs import label_slab_on

    label = label_slab_on(device_named(device))
    names = [products] if isinstance(products, str) else list(products)
    paths = write_all(folder, names, options, overwrite=overwrite, progress=progress, label=label)
    return paths[names[0]] if isinstance(products, str) else paths


def write_for(
    mesh: Mesh,
    folder: str | Path,
    solver: str,
    *,
    orientations: NDArray[np.float64] | None = None,
    unit: str | None = None,
) -> Path:
    """Write any mesh with decks for one solver into a folder, whole or not at all.

    For the mesh of a particle `export` does that inside the particle's folder.

    Parameters
    ----------
    folder
        Replaced if it was written like this and is as it was; results are never lost.
    solver
        As in ``--for``; docs/solvers.md.
    orientations : (n_grains, 4) float
        Unit quaternions (w, x, y, z), crystal to sample; without them the material is isotropic.
    unit
        "um" or "m"; the solver's own if left out.

    Raises
    ------
    ExportError
        If there is no such solver or unit, it cannot take the mesh, or the folder cannot be
        written.
    """
    from .exporters.solvers.folder import write_for as write

    write(mesh, folder, solver, orientations=orientations, unit=unit)
    return Path(folder)


def report(folder: str | Path, *, overwrite: bool = False) -> Path:
    """Draw a particle's report into its folder: outside, cut open, sections, statistics."""
    return export(folder, "report", overwrite=overwrite)


def formats() -> dict[str, dict[str, Any]]:
    """All products: file, purpose, what opens it, options with defaults, missing packages.

    Examples
    --------
    >>> formats()["voxels"]["options"]
    {'pitch_um': 0.1}
    """
    from .exporters.products.registry import PRODUCTS

    return {
        name: {
            "file": product.file,
            "purpose": product.purpose,
            "opens_in": product.opens_in,
            "options": product.defaults,
            "missing": product.missing,
        }
        for name, product in PRODUCTS.items()
    }
