import json
import math
from functools import cache

import numpy as np
import pytest
from scipy.spatial import cKDTree

from cathodegrain.exporters.mesh.volume_mesh import VolumeMesh
from cathodegrain.exporters.meshing.mesher import volume_mesh
from cathodegrain.exporters.products import surfaces as products_surfaces
from cathodegrain.exporters.surfaces import grain_surfaces
from cathodegrain.exporters.surfaces.closed_surface import reach, separated
from cathodegrain.exporters.surfaces.grain_surfaces import GrainSurfaces
from cathodegrain.generator.errors import ExportError
from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.pictures.colours import grain_colours
from meshes import ball, edge_counts, umbrellas

trimesh = pytest.importorskip("trimesh")

COMPLEX_FILES = ("surfaces.vtkhdf", "triple_lines.vtkhdf")
CUBE = np.array([[i, j, k] for i in (0.0, 1.0) for j in (0.0, 1.0) for k in (0.0, 1.0)])


@pytest.fixture(scope="module")
def mesh(tiny_particle):
    return volume_mesh(tiny_particle, 0.15)


@pytest.fixture(scope="module")
def surfaces(mesh):
    return grain_surfaces.grain_surfaces(mesh)


def swept_um3(surface):
    """Largest volume that moving every vertex by three reaches could add or take."""
    return 3 * reach(surface.vertices) * surface.area


def assert_closed(surfaces, mesh):
    """Every grain watertight, outwards, of the volume of its tetrahedra; and the sum."""
    total = swept = 0.0
    for grain_id in surfaces.grain_ids.tolist():
        surface = surfaces.to_trimesh(grain_id)
        volume, touches = mesh.grain_volumes[grain_id - 1], touches_itself(surfaces, grain_id)
        assert surface.is_watertight
        assert surface.is_winding_consistent
        assert surface.volume == pytest.approx(
            volume, rel=1e-9, abs=swept_um3(surface) if touches else 0.0
        )
        total += surface.volume
        swept += swept_um3(surface) if touches else 0.0
    shell = surfaces.to_trimesh()
    assert shell.is_watertight
    assert shell.is_winding_consistent
    assert len(shell.split(only_watertight=False)) == 1
    assert shell.euler_number == 2
    assert total == pytest.approx(shell.volume, rel=1e-9, abs=swept)


def grain_triangles(surfaces, grain_id):
    return surfaces.triangles[(surfaces.pairs == grain_id).any(axis=1)]


def touches_itself(surfaces, grain_id):
    """Whether the surface of a grain has a vertex of several umbrellas, or a crowded edge."""
    triangles = grain_triangles(surfaces, grain_id)
    crowded = max(edge_counts(triangles).values()) > 2
    return crowded or max(umbrellas(triangles).values()) > 1


def test_every_grain_is_watertight_and_their_volumes_fill_the_shell(surfaces, mesh):
    assert_closed(surfaces, mesh)
    assert surfaces.grain_ids.tolist() == np.unique(mesh.grain_ids).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_hundreds_of_grains_are_watertight(card, seed):
    particle = generate_particle(card.with_parameters({"shell.diameter_um": 2.6}), seed=seed)
    mesh = volume_mesh(particle, 0.15)
    assert_closed(grain_surfaces.grain_surfaces(mesh), mesh)


def signed_volume(points, triangles):
    a, b, c = (points[triangles[:, k]] for k in range(3))
    return math.fsum(np.einsum("ij,ij->i", a, np.cross(b, c)) / 6)


def test_the_signed_volumes_add_up_to_that_of_the_shell(surfaces):
    grains = [surfaces.to_trimesh(g) for g in surfaces.grain_ids.tolist()]
    total = math.fsum(signed_volume(np.array(s.vertices), np.array(s.faces)) for s in grains)
    shell = surfaces.to_trimesh()
    whole = signed_volume(np.array(shell.vertices), np.array(shell.faces))
    moved = [g for g in surfaces.grain_ids.tolist() if touches_itself(surfaces, g)]
    swept = sum(swept_um3(surfaces.to_trimesh(g)) for g in moved)
    assert total == pytest.approx(whole, rel=1e-12, abs=swept)


def test_neighbouring_grains_share_their_patch(card):
    mesh = volume_mesh(ball(card, [[-0.5, 0.1, 0.2], [0.5, 0.1, 0.2]]), 0.3)
    surfaces = grain_surfaces.grain_surfaces(mesh)
    pairs, count = np.unique(surfaces.pairs, axis=0, return_counts=True)
    assert pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    areas = [surfaces.to_trimesh(g).area for g in (1, 2)]
    patch = (sum(areas) - surfaces.to_trimesh().area) / 2
    assert patch == pytest.approx(np.pi, rel=0.02)
    assert [len(surfaces.to_trimesh(g).faces) for g in (1, 2)] == [
        count[0] + count[2],
        count[1] + count[2],
    ]


def boundary(tets, points):
    """Surfaces of a few tetrahedra of one grain."""
    return grain_surfaces.grain_surfaces(VolumeMesh(points, tets, np.ones(len(tets)), 1))


def cube_tets(corners):
    """Kuhn's six positive tetrahedra of a cube whose corners are numbered as in CUBE."""
    paths = [(1, 3), (3, 2), (2, 6), (6, 4), (4, 5), (5, 1)]
    tets = np.array([[0, a, b, 7] for a, b in paths])
    vectors = CUBE[tets[:, 1:]] - CUBE[tets[:, :1]]
    flipped = np.linalg.det(vectors) < 0
    tets[flipped] = tets[flipped][:, [0, 2, 1, 3]]
    return np.asarray(corners)[tets]


def grid_cubes(cells):
    """Points and tetrahedra of unit cubes at integer places, corners shared."""
    number, points, tets = {}, [], []
    for cell in cells:
        corners = []
        for corner in (CUBE + cell).tolist():
            if tuple(corner) not in number:
                number[tuple(corner)] = len(points)
                points.append(corner)
            corners.append(number[tuple(corner)])
        tets.append(cube_tets(corners))
    return np.array(points), np.concatenate(tets)


@pytest.mark.parametrize(
    ("cells", "copies", "midpoints"),
    [
        ([(0, 0, 0)], 0, 0),
        ([(0, 0, 0), (1, 1, 1)], 1, 0),  # meet in a corner
        ([(0, 0, 0), (1, 1, 0)], 2, 0),  # meet along an edge
        # a ring that meets itself along an edge: both ends of it are one umbrella each
        ([(0, 0, 0), (1, 1, 0), (0, 0, 1), (0, 0, -1), (1, 1, 1), (1, 1, -1),
          (1, 0, 1), (1, 0, -1)], 0, 1),
    ],
    ids=["cube", "corner", "edge", "ring"],
)  # fmt: skip
def test_solids_that_touch_themselves_are_watertight(cells, copies, midpoints):
    points, tets = grid_cubes(cells)
    surfaces = boundary(tets, points)
    crowded = [edge for edge, count in edge_counts(surfaces.triangles).items() if count > 2]
    surface = surfaces.to_trimesh(1)
    assert surface.is_watertight
    assert surface.is_winding_consistent
    assert surface.volume == pytest.approx(len(cells), abs=swept_um3(surface))
    assert len(surface.faces) == len(surfaces.triangles) + 4 * midpoints
    assert len(surface.vertices) == len(surfaces.points) + copies + 2 * midpoints
    places = [*surfaces.points, *(surfaces.points[list(edge)].mean(axis=0) for edge in crowded)]
    away = np.linalg.norm(surface.vertices[:, None] - np.array(places), axis=2).min(axis=1)
    assert np.count_nonzero(away) == copies + midpoints
    assert away.max() < 1.001 * reach(surfaces.points)
    assert surface.body_count == (2 if copies else 1)


def test_random_solids_are_watertight(rng):
    for _ in range(10):
        cells = np.argwhere(rng.uniform(size=(4, 4, 4)) < 0.5)
        points, tets = grid_cubes(cells)
        surfaces = boundary(tets, points)
        surface = surfaces.to_trimesh(1)
        assert surface.is_watertight
        assert surface.is_winding_consistent
        assert surface.volume == pytest.approx(len(cells), abs=swept_um3(surface))
        assert_no_vertices_meet(surface)


def assert_no_vertices_meet(surface):
    """No two vertices become one in single precision, nor far above it."""
    places = np.asarray(surface.vertices, np.float32).astype(float)
    distance, _ = cKDTree(places).query(places, k=2)
    assert distance[:, 1].min() > 0.9 * reach(surface.vertices)


def default_readings(folder, surface_format):
    """The grains of a folder as trimesh reads them by default: vertices merged."""
    if surface_format == "glb":
        scene = trimesh.load(folder / "grains.glb")
        surfaces = [surface.copy() for surface in scene.geometry.values()]
        for surface in surfaces:
            surface.merge_vertices()
        return surfaces
    return [trimesh.load(path) for path in sorted(folder.glob("grain_*"))]


@pytest.mark.parametrize("surface_format", ["ply", "stl", "glb"])
@pytest.mark.parametrize("seed", [70001, 70002, 70003])
def test_all_grains_are_watertight_as_trimesh_reads_them(card, seed, surface_format, tmp_path):
    surfaces = unseen_surfaces(card, seed)
    assert sum(touches_itself(surfaces, g) for g in surfaces.grain_ids.tolist()) > 2
    folder = products_surfaces.write(surfaces, tmp_path / "s", surface_format=surface_format)
    read = default_readings(folder, surface_format)
    assert len(read) == len(surfaces.grain_ids)
    for surface in read:
        assert surface.is_watertight
        assert surface.is_winding_consistent
        assert surface.volume > 0


@cache
def unseen_surfaces(card, seed):
    particle = generate_particle(card.with_parameters({"shell.diameter_um": 1.2}), seed=seed)
    mesh = volume_mesh(particle, detail="medium")  # whose grains touch themselves here and there
    return grain_surfaces.grain_surfaces(mesh)


def test_an_open_surface_bounds_no_solid():
    with pytest.raises(ExportError, match="it bounds no solid"):
        separated(CUBE, np.array([[0, 1, 2]]))


def test_a_grain_without_a_surface_is_named(surfaces):
    missing = int(np.setdiff1d(np.arange(1, surfaces.n_grains + 1), surfaces.grain_ids)[0])
    for grain_id in (missing, 0, surfaces.n_grains + 1):
        with pytest.raises(ExportError, match=f"grain {grain_id} has no surface here; "):
            surfaces.to_trimesh(grain_id)


def test_surfaces_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"pairs has shape \(1, 1\), expected \(1, 2\)"):
        GrainSurfaces(np.eye(3), [[0, 1, 2]], [[1]], 1)
    with pytest.raises(ValueError, match="expected low < high"):
        GrainSurfaces(np.eye(3), [[0, 1, 2]], [[1, 1]], 1)


def test_folder_holds_the_complex_and_a_closed_surface_per_grain(surfaces, tmp_path):
    folder = products_surfaces.write(surfaces, tmp_path / "surfaces")
    names = {f"grain_{g:05d}.ply" for g in surfaces.grain_ids.tolist()}
    assert {path.name for path in folder.iterdir()} == names | {"shell.ply", *COMPLEX_FILES}
    assert [path.name for path in tmp_path.iterdir()] == ["surfaces"]
    for path, expected in (
        (folder / "shell.ply", surfaces.to_trimesh()),
        (folder / sorted(names)[0], surfaces.to_trimesh(int(surfaces.grain_ids[0]))),
    ):
        assert b"comment coordinates in um\n" in path.read_bytes()[:200]
        loaded = trimesh.load(path, process=False)
        assert loaded.is_watertight
        assert loaded.volume == pytest.approx(expected.volume, rel=1e-5)  # float32
        np.testing.assert_array_equal(loaded.faces, expected.faces)


def test_stl_files_hold_the_same_surfaces(surfaces, tmp_path):
    folder = products_surfaces.write(surfaces, tmp_path / "surfaces", surface_format="stl")
    names = {f"grain_{g:05d}.stl" for g in surfaces.grain_ids.tolist()}
    assert {path.name for path in folder.iterdir()} == names | {"shell.stl", *COMPLEX_FILES}
    head = (folder / "shell.stl").read_bytes()[:80]
    assert head == b"coordinates in um".ljust(80)
    loaded = trimesh.load(folder / "shell.stl")
    assert loaded.is_watertight
    assert loaded.volume == pytest.approx(surfaces.to_trimesh().volume, rel=1e-5)  # float32


def gltf_document(path):
    data = path.read_bytes()
    length = int.from_bytes(data[12:16], "little")
    assert data[:4] == b"glTF"
    return json.loads(data[20 : 20 + length])


def test_glb_has_a_mesh_and_a_colour_for_each_grain(surfaces, tmp_path):
    folder = products_surfaces.write(surfaces, tmp_path / "surfaces", surface_format="glb")
    assert {path.name for path in folder.iterdir()} == {"grains.glb", *COMPLEX_FILES}
    names = [f"grain_{g:05d}" for g in surfaces.grain_ids.tolist()]
    document = gltf_document(folder / "grains.glb")
    assert sorted(mesh["name"] for mesh in document["meshes"]) == names
    assert len({tuple(colour(m)) for m in document["materials"]}) == len(names)
    colours = grain_colours(surfaces.grain_ids)
    for mesh in document["meshes"]:
        (primitive,) = mesh["primitives"]
        assert set(primitive["attributes"]) == {"POSITION"}  # no colour that could bleed
        material = document["materials"][primitive["material"]]
        assert material["name"] == mesh["name"]
        expected = colours[names.index(mesh["name"])]
        np.testing.assert_allclose(colour(material)[:3], expected, atol=0.5 / 255)


def colour(material):
    return material["pbrMetallicRoughness"]["baseColorFactor"]


def test_glb_is_in_um_with_the_y_axis_up_and_says_so(surfaces, tmp_path):
    folder = products_surfaces.write(surfaces, tmp_path / "surfaces", surface_format="glb")
    document = gltf_document(folder / "grains.glb")
    assert document["asset"]["extras"] == {"unit": "um", "metres_per_unit": 1e-6}
    scene = trimesh.load(folder / "grains.glb", process=False)
    assert scene.metadata["metres_per_unit"] == 1e-6
    np.testing.assert_allclose(scene.extents.max(), np.ptp(surfaces.points, axis=0).max())
    for grain_id in surfaces.grain_ids[:5].tolist():
        name, expected = f"grain_{grain_id:05d}", surfaces.to_trimesh(grain_id)
        loaded = scene.geometry[name].copy()
        loaded.apply_transform(scene.graph.get(name)[0])
        assert loaded.is_watertight
        assert loaded.volume == pytest.approx(expected.volume, rel=1e-4)
        x, y, z = loaded.vertices.T
        np.testing.assert_allclose(np.stack([x, -z, y], axis=1), expected.vertices, rtol=1e-5)


def test_an_unknown_surface_format_is_refused(surfaces, tmp_path):
    with pytest.raises(ExportError, match=r"surface_format is 'obj', expected one of \('ply'"):
        products_surfaces.write(surfaces, tmp_path / "surfaces", surface_format="obj")
    assert not list(tmp_path.iterdir())


def test_reading_gives_back_the_surfaces(surfaces, tmp_path):
    folder = products_surfaces.write(surfaces, tmp_path / "surfaces")
    for path in (folder, folder / "surfaces.vtkhdf"):
        read = products_surfaces.read(path)
        for name in ("points", "triangles", "pairs"):
            np.testing.assert_array_equal(getattr(read, name), getattr(surfaces, name))
        assert read.n_grains == surfaces.n_grains


def test_vtk_opens_the_complex(surfaces, tmp_path):
    pytest.importorskip("vtkmodules")
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOHDF import vtkHDFReader

    reader = vtkHDFReader()
    reader.SetFileName(str(products_surfaces.write(surfaces, tmp_path / "s") / "surfaces.vtkhdf"))
    reader.Update()
    data = reader.GetOutput()
    assert data.GetClassName() == "vtkPolyData"
    np.testing.assert_array_equal(vtk_to_numpy(data.GetPoints().GetData()), surfaces.points)
    triangles = vtk_to_numpy(data.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    np.testing.assert_array_equal(triangles, surfaces.triangles)
    for column, name in enumerate(("grain_low", "grain_high")):
        values = vtk_to_numpy(data.GetCellData().GetArray(name))
        np.testing.assert_array_equal(values, surfaces.pairs[:, column])


@pytest.mark.parametrize("surface_format", ["ply", "stl", "glb"])
def test_equal_surfaces_give_equal_bytes_and_replace_older_ones(
    surfaces, card, surface_format, tmp_path
):
    older = products_surfaces.write(ball(card, [[0.0, 0, 0]]), tmp_path / "a", size_um=0.4)
    names = {path.name for path in older.iterdir()}
    assert names == {"shell.ply", "grain_00001.ply", *COMPLEX_FILES}
    folders = [
        products_surfaces.write(surfaces, tmp_path / name, surface_format=surface_format)
        for name in ("a", "b")
    ]
    contents = [{p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders]
    assert contents[0] == contents[1]


def test_a_folder_of_something_else_is_not_replaced(surfaces, tmp_path):
    (tmp_path / "surfaces").mkdir()
    (tmp_path / "surfaces" / "thesis.txt").write_text("years of work")
    with pytest.raises(ExportError, match="is not a folder of surfaces"):
        products_surfaces.write(surfaces, tmp_path / "surfaces")
    assert (tmp_path / "surfaces" / "thesis.txt").read_text() == "years of work"
    with pytest.raises(ExportError, match="cannot be written"):
        products_surfaces.write(surfaces, tmp_path / "surfaces" / "thesis.txt" / "surfaces")


def test_files_of_others_are_not_read(tmp_path):
    path = tmp_path / "surfaces.vtkhdf"
    with pytest.raises(ExportError, match="cannot be read"):
        products_surfaces.read(path)
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w"):
        pass
    with pytest.raises(ExportError, match="is no file of grain surfaces"):
        products_surfaces.read(tmp_path)


def test_vtk_opens_the_glb(surfaces, tmp_path):
    pytest.importorskip("vtkmodules")
    from vtkmodules.vtkIOGeometry import vtkGLTFReader

    folder = products_surfaces.write(surfaces, tmp_path / "surfaces", surface_format="glb")
    reader = vtkGLTFReader()
    reader.SetFileName(str(folder / "grains.glb"))
    reader.Update()
    bounds = np.zeros(6)
    reader.GetOutput().GetBounds(bounds)
    low, high = surfaces.points.min(axis=0), surfaces.points.max(axis=0)
    expected = [low[0], high[0], low[2], high[2], -high[1], -low[1]]
    np.testing.assert_allclose(bounds, expected, rtol=1e-5)
