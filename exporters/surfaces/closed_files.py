"""Closed surfaces of grains as PLY, STL or GLB.

PLY and STL have one file for each surface, in um: a comment says so in PLY, the first 80
bytes in STL. STL stores every triangle by itself, so that a reader has to merge vertices.

GLB (binary glTF 2.0) is one file with a mesh for each grain, with the y axis up as glTF
demands: (x, y, z) of the particle is (x, z, -y) there. Its numbers are um too, a particle a
million times as large as it is: viewers take them for metres, and show nothing of 5e-6 m. The
extras of ``asset`` and of the scene say so (`GLB_SCALE`). Each grain has
a material of its own; no colour is stored at vertices, so that none can bleed from one
grain into the next, and no normals, so that viewers shade the triangles flat.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np

from ...generator.errors import ExportError
from ...generator.pictures.colours import grain_colours

if TYPE_CHECKING:
    import trimesh

SurfaceFormat = Literal["ply", "stl", "glb"]

ALL_GRAINS = "grains.glb"
UNIT = "coordinates in um"
STL_HEAD = 80  # bytes
TO_GLTF = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])  # z up -> y up
GLB_SCALE = {"unit": "um", "metres_per_unit": 1e-6}


def require_format(surface_format: str) -> None:
    """Raise an ExportError unless it is one of ours."""
    if surface_format not in get_args(SurfaceFormat):
        msg = (
            f"surface_format is {surface_format!r}, expected one of {get_args(SurfaceFormat)}; "
            "surfaces.vtkhdf is written in any case"
        )
        raise ExportError(msg)


def write_surfaces(
    shell: trimesh.Trimesh,
    grains: Iterable[tuple[int, trimesh.Trimesh]],
    folder: Path,
    surface_format: SurfaceFormat,
) -> None:
    """Write the shell and the surface of each (grain id, surface) into a folder."""
    if surface_format == "glb":
        (folder / ALL_GRAINS).write_bytes(glb(grains))
        return
    encoded = _ply if surface_format == "ply" else _stl
    (folder / f"shell.{surface_format}").write_bytes(encoded(shell))
    for grain_id, surface in grains:
        (folder / f"grain_{grain_id:05d}.{surface_format}").write_bytes(encoded(surface))


def _ply(surface: trimesh.Trimesh) -> bytes:
    data = surface.export(file_type="ply", encoding="binary", vertex_normal=False)
    head, _, body = cast(bytes, data).partition(b"\nelement ")
    return head + f"\ncomment {UNIT}\nelement ".encode() + body


def _stl(surface: trimesh.Trimesh) -> bytes:
    data = cast(bytes, surface.export(file_type="stl"))
    return UNIT.encode().ljust(STL_HEAD) + data[STL_HEAD:]


def glb(
    grains: Iterable[tuple[int, trimesh.Trimesh]], facts: Mapping[str, str] | None = None
) -> bytes:
    """Surfaces (grain id, surface) as a GLB file; ``facts`` stand beside its scale."""
    import trimesh

    visual: Any = trimesh.visual  # untyped
    extras = {**GLB_SCALE, **(facts or {})}
    scene: Any = trimesh.Scene(metadata=extras)
    for grain_id, surface in grains:
        name = f"grain_{grain_id:05d}"
        colour = np.append(grain_colours(np.array(grain_id, np.int32)), 1.0)  # linear, as in glTF
        material = visual.material.PBRMaterial(
            name=name, baseColorFactor=colour, metallicFactor=0.0, roughnessFactor=0.8
        )
        mesh = trimesh.Trimesh(
            surface.vertices @ TO_GLTF.T,
            surface.faces,
            visual=visual.TextureVisuals(material=material),
            process=False,
        )
        scene.add_geometry(mesh, node_name=name, geom_name=name)

    def with_extras(document: dict[str, Any]) -> None:
        document["asset"]["extras"] = extras

    data = scene.export(file_type="glb", include_normals=False, tree_postprocessor=with_extras)
    return cast(bytes, data)
