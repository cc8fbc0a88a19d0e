"""Every option of every command does what it says: each stands in a command line that is run here.

A test says which lines it runs; files and folders that they begin with are toys, made once.
"""

import json
import shlex
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import tifffile
import xarray

import slurm
from cathodegrain import open_dataset
from cathodegrain.exporters.certificate import certificate as mesh_certificate
from cathodegrain.exporters.commands.main import app, main
from cathodegrain.exporters.meshing import mesher
from cathodegrain.generator.model_card import ModelCard
from shell_scenes import bumpy_balls
from small_datasets import make_dataset

LINES = []
TOY = "--model nmc811-radial --set shell.diameter_um=1 --set grains.intensity=0.0001"
FAILING = """
name = "failing"
model = "nmc811"
count = 8
parameters.grains.intensity = 0.00005
products.voxels.pitch_um = 6.0  # about half of the particles hold no voxel of this size
"""
HEXAHEDRON, WEDGE, QUADRATIC_TETRAHEDRON = 12, 13, 24


@dataclass(frozen=True)
class Lines:
    """Command lines, and the exit code of the last; those before it succeed."""

    lines: tuple
    code: int = 0


def line(*lines, code=0):
    """Run the lines one after the other; the test is given what they did."""
    return each(Lines(lines, code))


def each(*alternatives):
    """Run each of the alternatives in a test of its own."""
    alternatives = [a if isinstance(a, Lines) else Lines((a,)) for a in alternatives]
    LINES.extend(text for a in alternatives for text in a.lines)
    return pytest.mark.parametrize(
        "ran", alternatives, indirect=True, ids=[a.lines[-1] for a in alternatives]
    )


def made_by(options, products):
    """Lines of the three commands that write products, with the same options."""
    return (
        f"generate {TOY} --out made --export {products} {options}",
        f"regenerate particles/p000000 --set grains.elongation=1.2 --out made "
        f"--export {products} {options}",
        f"export particles/p000000 --to {products} {options}",
    )


# what the lines are about


def particles(folder):
    settings = ["--set", "orientations.model=uniform", "--out", str(folder)]
    assert main(["generate", "--seed", "7", *TOY.split(), *settings]) == 0


def meshed(folder):
    particles(folder)
    assert main(["export", f"{folder}/p000000", "--to", "mesh", "--size", "0.24"]) == 0


def spoiled(folder):
    """A particle with another file where its report would be."""
    particles(folder)
    (folder / "p000000/report.png").write_text("mine")


def flipped(folder):
    """A dataset with one bit changed."""
    make_dataset(folder, count=1)
    path = folder / "particles/00/p000000/voxels.vtkhdf"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def dataset(folder):
    make_dataset(folder, count=3)


def other(folder):
    make_dataset(folder, count=1, seed=8)


def phantom(folder):
    assert main(["phantom", "elongated", "--sections", "2", "--off-centre", "1", "--out",
                 str(folder)]) == 0  # fmt: skip


def scan(folder):
    """27 particles in voxels of 0.5 um: grey levels, two values, numbers, and parts of them."""
    folder.mkdir()
    balls = bumpy_balls()
    mask = (balls > 0).astype(np.uint8)
    np.save(folder / "labels.npy", balls)
    np.save(folder / "mask.npy", mask)
    noise = np.random.default_rng(0).normal(0, 10, mask.shape)
    np.save(folder / "grey.npy", (60 + 90 * mask + noise).astype(np.uint8))
    mask[:48].tofile(folder / "mask.raw")
    with h5py.File(folder / "two.h5", "w") as file:
        file["first"], file["second"] = mask, mask[:48]
    twins = np.zeros((40, 40, 60), np.uint8)
    z, y, x = np.indices(twins.shape)
    for centre in (20, 33):  # two balls with a neck, a speck and a rod
        twins |= ((z - 20) ** 2 + (y - 20) ** 2 + (x - centre) ** 2 < 81).astype(np.uint8)
    twins[5:7, 5:7, 5] = 1
    twins[33, 33, 4:56] = 1
    np.save(folder / "twins.npy", twins)
    (folder / "old.json").write_text("a card of before")


def maps(folder):
    """Sections of few grains: an EBSD map of two phases, and labels with and without a mask."""
    folder.mkdir()
    axis = np.arange(-82, 83)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    rows, columns, inside = (y + 99) // 20, (x + 99) // 16, y * y + x * x <= 80 * 80
    crack = inside & ~((np.abs(x) <= 3) & (y < -62))
    labels = 1 + rows * 20 + columns
    with h5py.File(folder / "two.h5", "w") as file:
        file["fine"] = (1 + (y + 99) // 10 * 20 + columns) * inside
        file["coarse"] = labels * inside
    tifffile.imwrite(folder / "labels.tif", (labels * inside).astype(np.int32))
    tifffile.imwrite(folder / "crack.tif", (labels * crack).astype(np.int32))
    tifffile.imwrite(folder / "full.tif", labels.astype(np.int32))
    tifffile.imwrite(folder / "mask.tif", inside.astype(np.uint8))
    phases = (1 + ((y + 99) // 4 % 3 == 0)) * inside
    angles = 40 * rows + 12 * (columns // 2) + 4 * (columns % 2)
    (folder / "map.ctf").write_text(ctf(phases, angles))
    (folder / "old.json").write_text("a card of before")


def ctf(phases, angles):
    """Oxford's text of crystals, c 20 degrees from z, turned about z; two phases, 0 not indexed."""
    ny, nx = phases.shape
    header = [
        "Channel Text File", "Prj\tnmc", "Author\t", "JobMode\tGrid", f"XCells\t{nx}",
        f"YCells\t{ny}", "XStep\t0.05", "YStep\t0.05", "AcqE1\t0", "AcqE2\t0", "AcqE3\t0",
        "Euler angles refer to Sample Coordinate system (CS0)!\tMag\t400", "Phases\t2",
        "2.87;2.87;14.2\t90;90;120\tNMC811\t7\t166\t\t\t",
        "8.1;8.1;8.1\t90;90;90\tspinel\t11\t227\t\t\t",
        "Phase\tX\tY\tBands\tError\tEuler1\tEuler2\tEuler3\tMAD\tBC\tBS",
    ]  # fmt: skip
    rows = [
        f"{phases[j, i]}\t{0.05 * i:.4f}\t{0.05 * j:.4f}\t6\t0\t{angles[j, i]}\t20\t0\t0.5\t9\t9"
        for j, i in np.ndindex(phases.shape)
    ]
    return "\n".join([*header, *rows]) + "\n"


def labels(folder):
    folder.mkdir()
    axis = np.arange(-9.5, 10)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    halves = np.where(x * x + y * y + z * z < 64, 1 + (x > 0), 0).astype(np.int32)
    np.save(folder / "halves.npy", halves)
    (folder / "old.msh").write_text("a mesh of before")


def configs(folder):
    folder.mkdir()
    toy = "\n[parameters]\nshell.diameter_um = 1.2\ngrains.intensity = 0.002\n"
    (folder / "two.toml").write_text(f'name = "two"\nmodel = "nmc811-radial"\ncount = 2\n{toy}')
    (folder / "failing.toml").write_text(FAILING)


MAKERS = {
    f.__name__: f
    for f in (
        particles, meshed, spoiled, dataset, other, flipped, phantom, scan, maps, labels, configs
    )
}  # fmt: skip


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """Folder of a toy by its name, made when it is first asked for."""

    @cache
    def made(name):
        folder = tmp_path_factory.mktemp("toys") / name
        MAKERS[name](folder)
        return folder

    return made


@pytest.fixture
def ran(request, toys, tmp_path, monkeypatch, capsys):
    """What the lines of the test did, in a folder with copies of the toys that they name."""
    for name in {word.split("/")[0] for text in request.param.lines for word in text.split()}:
        if name in MAKERS:
            shutil.copytree(toys(name), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    found = [run(shlex.split(text), capsys) for text in request.param.lines]
    assert [one.code for one in found] == [0] * (len(found) - 1) + [request.param.code], found
    return found[0] if len(found) == 1 else found


def run(words, capsys):
    """Exit code, what was said, and the JSON that was asked for; a dry run leaves all as it is."""
    before = contents()
    code = main(words)
    out, err = capsys.readouterr()
    if "--dry-run" in words:
        assert contents() == before
    found = [json.loads(text) for text in out.splitlines()] if "--json" in words else []
    return SimpleNamespace(code=code, out=out, err=err, json=found[0] if found else None)


def contents():
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


# the table is complete


def commands(group=app, path=()):
    """Path and application of every command."""
    names = [name for name in group if not name.startswith("-")]
    if not names:
        yield path, group
    for name in names:
        yield from commands(group[name], (*path, name))


def options_of(command):
    """Names of the options of a command, without those that every program has."""
    found = command.assemble_argument_collection()
    names = [argument.names[0] for argument in found if argument.parameter.show is not False]
    return {name for name in names if name.startswith("--")}


def shown(path):
    """Options that lines of the command hold, and whether there is a line at all."""
    found = [shlex.split(text) for text in LINES]
    mine = [words for words in found if tuple(words[: len(path)]) == path]
    return bool(mine), {word for words in mine for word in words if word.startswith("--")}


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(*pair, id=" ".join(pair[0])) for pair in commands()]
)
def test_every_option_of_the_command_is_run(path, command):
    there, options = shown(path)
    assert there
    assert options_of(command) - options == set()


def test_commands_and_options_are_found():
    found = {path: options_of(command) for path, command in commands()}
    assert len(found) > 15
    assert {"--min-sphericity", "--labelled", "--json"} <= found["fit", "shell"]


# the program itself


@line("--version")
def test_version_is_that_of_the_package(ran):
    from importlib.metadata import version

    assert ran.out.strip() == version("cathodegrain")


@line("--help", "-h", "dataset build --help")
def test_help_lists_commands_and_options(ran):
    assert all(word in ran[0].out for word in ("generate", "dataset", "fit"))
    assert ran[1].out == ran[0].out
    assert "--executor" in ran[2].out


# generate, regenerate, export


def particle():
    """Folder of the particle that the line made, or wrote products into."""
    return next(p for p in map(Path, ("made/p000000", "particles/p000000")) if p.exists())


def product(name, folder=None):
    """Entry of a product in a particle's metadata."""
    fields = json.loads(((folder or particle()) / "particle.json").read_text("utf-8"))
    return next(p for p in fields["products"] if p["format"] == name)


@each(
    *made_by(
        "--pitch 0.2 --size 0.24 --boundary-size 0.2 --unit m --surface-format stl",
        "voxels,mesh,surfaces,fenicsx",
    )
)
def test_sizes_units_and_formats_of_products(ran):
    with xarray.open_dataset(particle() / "voxels.vtkhdf") as voxels:
        assert np.diff(voxels.x.values) == pytest.approx(0.2)
    mesh = product("mesh")["summary"]
    assert (mesh["size_um"], mesh["boundary_size_um"]) == (0.24, 0.2)
    assert json.loads((particle() / "fenicsx/solver.json").read_text())["units"]["length"] == "m"
    assert list((particle() / "surfaces").glob("*.stl"))
    assert not list((particle() / "surfaces").glob("*.ply"))


@each(*made_by("--detail medium", "mesh-vtkhdf"), *made_by("--tets 3000", "mesh-vtkhdf"))
def test_meshes_are_as_coarse_as_asked(ran):
    mesh = product("mesh-vtkhdf")
    asked, found = mesh["options"], mesh["summary"]
    assert found["detail"] == 0.445 or asked["detail"] == "fine"
    with h5py.File(particle() / "mesh.vtkhdf") as file:
        n_tets = len(file["VTKHDF/Types"])
    assert n_tets == pytest.approx(asked["tets"] or n_tets, rel=0.1)


@each(*made_by("--size 0.24 --surface-size 0.15 --detail coarse", "mesh-vtkhdf"))
def test_the_surface_is_as_fine_as_asked(ran):
    mesh = product("mesh-vtkhdf")
    assert mesh["options"]["surface_size_um"] == mesh["summary"]["surface_size_um"] == 0.15


@each(*made_by("--size 0.24 --order 2", "mesh-vtkhdf"))
def test_order_2_has_ten_nodes(ran):
    with h5py.File(particle() / "mesh.vtkhdf") as file:
        assert set(file["VTKHDF/Types"][:]) == {QUADRATIC_TETRAHEDRON}


@each(*made_by("--size 0.1 --elements hex", "mesh-vtkhdf"))
def test_hexahedra_are_cubes(ran):
    with h5py.File(particle() / "mesh.vtkhdf") as file:
        assert set(file["VTKHDF/Types"][:]) == {HEXAHEDRON}
    assert product("mesh-vtkhdf")["summary"]["certificate"]["scaled_jacobian"] == pytest.approx(1)


@each(*made_by("--size 0.15 --cut x,z", "mesh-vtkhdf"))
def test_a_cut_particle_lies_on_the_positive_side(ran):
    with h5py.File(particle() / "mesh.vtkhdf") as file:
        assert file["VTKHDF/Points"][:].min(axis=0)[[0, 2]].tolist() == [0.0, 0.0]


@each(*made_by("--size 0.24 --boundaries discontinuous", "mesh-vtkhdf"))
def test_discontinuous_meshes_have_more_nodes_and_no_wedges(ran):
    with h5py.File(particle() / "mesh.vtkhdf") as file:
        assert WEDGE not in file["VTKHDF/Types"][:]
        assert len(file["VTKHDF/Points"]) > product("mesh-vtkhdf")["summary"]["n_bonded_points"]


@pytest.fixture
def unreachable(monkeypatch):
    """No mesh is certified."""
    for module in (mesh_certificate, mesher):
        monkeypatch.setattr(module, "LEAST_SICN", 0.999)
    monkeypatch.setattr(mesher, "ATTEMPTS", mesher.ATTEMPTS[:1])


@pytest.mark.usefixtures("unreachable")
@each(*made_by("--size 0.24 --boundaries cohesive --force", "mesh-vtkhdf"))
def test_cohesive_meshes_have_wedges_and_force_writes_what_fails(ran):
    with h5py.File(particle() / "mesh.vtkhdf") as file:
        assert WEDGE in file["VTKHDF/Types"][:]
    assert product("mesh-vtkhdf")["summary"]["certificate"]["certified"] is False


@line("generate --model nmc811-radial --seed 5 --first 3 --count 2 --set shell.diameter_um=0.8 "
      "--set grains.intensity=0.0001 --out made --json")  # fmt: skip
def test_model_seed_and_indices_are_those_asked_for(ran):
    assert sorted(p.name for p in Path("made").iterdir()) == ["p000003", "p000004"]
    fields = json.loads(Path("made/p000003/particle.json").read_text())
    source = fields["provenance"]
    assert (source["model"], source["entropy"], source["index"]) == ("nmc811-radial", 5, 3)
    assert fields["shell"]["diameter"]["value"] == pytest.approx(0.8)
    assert "particle" in ran.json


@line(f"generate {TOY} --export voxels --pitch 0.25 --dry-run --json",
      f"generate {TOY} --export mesh --size 0.24 --boundary-size 0.2 --dry-run --json")  # fmt: skip
def test_generate_says_what_it_would_write(ran):
    assert max(ran[0].json["voxel_shape_zyx"]) < 10
    assert ran[1].json["mesh_tetrahedra_estimate"] > 0


@line(f"generate {TOY} --out made", f"generate {TOY} --seed 1 --out made --overwrite")
def test_generate_replaces_a_particle_if_it_may(ran):
    assert json.loads(Path("made/p000000/particle.json").read_text())["provenance"]["entropy"] == 1


@line("regenerate particles/p000000 --out particles --set grains.elongation=1.5 --overwrite --json")
def test_regenerate_replaces_a_particle_if_it_may(ran):
    fields = json.loads(Path("particles/p000000/particle.json").read_text())
    assert fields["provenance"]["wasDerivedFrom"]["changes"]["grains.elongation"]["to"] == 1.5
    assert ran.json["grains"] == fields["n_grains"]


@line("export particles/p000000 --to voxels --pitch 0.25",
      "export particles/p000000 --to voxels --pitch 0.2 --overwrite --json")  # fmt: skip
def test_export_replaces_a_product_if_it_may(ran):
    assert product("voxels")["options"] == {"pitch_um": 0.2}
    assert ran[1].json == {"voxels": "particles/p000000/voxels.vtkhdf"}


@line("export particles/p000000 --to voxels-vti,mesh --pitch 0.2 --size 0.24 --dry-run --json")
def test_export_says_what_it_would_write(ran):
    assert max(ran.json["voxel_shape_zyx"]) < 12
    assert ran.json["mesh_memory_bytes_estimate"] > 0


@each(*made_by("--pitch 0.25 --device auto --json", "grain-table"),
      f"generate {TOY} --out made --device auto --json",
      "dataset build configs/two.toml --out made --jobs 1 --device auto --json")  # fmt: skip
def test_what_the_device_auto_took_is_told(ran):
    took = ran.json["device"]
    assert took.startswith(("cpu (", "cuda:0 ("))


@line("export meshed/p000000 --for calculix --size 0.24")
def test_for_names_solvers(ran):
    assert Path("meshed/p000000/calculix/expansion.inp").is_file()


# sweep

SWEEP = "sweep particles/p000000 --set grains.elongation=1.2 --out made --jobs 1"


def variant():
    return Path("made/p000000-elongation-1.2")


@line(f"{SWEEP} --export voxels,surfaces,fenicsx --pitch 0.25 --size 0.24 --boundary-size 0.2 "
      "--unit m --surface-format stl --device cpu --json")  # fmt: skip
def test_a_sweep_makes_products_as_asked(ran):
    assert ran.json["made"] == 2
    assert product("voxels", variant())["options"] == {"pitch_um": 0.25}
    mesh = product("fenicsx", variant())["options"]
    assert (mesh["size_um"], mesh["boundary_size_um"], mesh["unit"]) == (0.24, 0.2, "m")
    assert list((variant() / "surfaces").glob("*.stl"))


@line(f"{SWEEP} --export mesh-vtkhdf --size 0.1 --elements hex --cut x")
def test_a_sweep_makes_cut_cubes(ran):
    made = product("mesh-vtkhdf", variant())["options"]
    assert (made["elements"], made["cut"], made["size_um"]) == ("hex", "x", 0.1)


@line(f"{SWEEP} --export mesh-vtkhdf --detail coarse --surface-size 0.15 "
      "--boundaries discontinuous --force",
      f"{SWEEP} --export mesh-vtkhdf --tets 3000 --order 2 --overwrite")  # fmt: skip
def test_a_sweep_makes_meshes_as_coarse_as_asked_and_replaces_them_if_it_may(ran):
    made = product("mesh-vtkhdf", variant())["options"]
    assert (made["tets"], made["order"], made["boundaries"]) == (3000, 2, "bonded")
    assert "fail" not in ran[0].err


@line("sweep --model nmc811-radial,nmc811-rods --seeds 1,2 --set shell.diameter_um=1 "
      "--set grains.size_um=0.3,0.6 --out made --dry-run --json")  # fmt: skip
def test_a_sweep_is_planned(ran):
    assert ran.json["particles"] == len(ran.json["variants"]) == 12
    assert ran.json["seconds_estimate"] > 0


# mesh, report, info, validate, formats, parameters


@line("mesh labels/halves.npy --out halves.msh --pitch 0.1 --size 0.3 --boundary-size 0.25 "
      "--surface-size 0.2 --json")  # fmt: skip
def test_labels_are_meshed_in_the_sizes_asked_for(ran):
    from cathodegrain.exporters.mesh.msh_sections import read_facts

    facts = read_facts(Path("halves.msh"))
    assert (facts["size_um"], facts["boundary_size_um"]) == (0.3, 0.25)
    assert facts["surface_size_um"] == 0.2
    assert facts["label_volume"]["pitch_um"] == 0.1
    assert ran.json["mesh"] == "halves.msh"


@each(
    "mesh labels/halves.npy --pitch 0.1 --detail coarse --out coarse.msh",
    "mesh labels/halves.npy --pitch 0.1 --tets 1650 --out coarse.msh",
)
def test_labels_are_meshed_as_coarsely_as_asked(ran):
    from cathodegrain.exporters.mesh.msh_sections import read_facts

    facts = read_facts(Path("coarse.msh"))
    assert facts["detail"] == 0.16 or facts["certificate"]["n_tets"] == pytest.approx(1650, rel=0.1)


@line("mesh labels/halves.npy --pitch 0.1 --elements hex --out cubes.msh")
def test_labels_become_cubes(ran):
    from cathodegrain.exporters.mesh.msh_sections import read_facts

    certificate = read_facts(Path("cubes.msh"))["certificate"]
    assert certificate["n_hexes"] == np.count_nonzero(np.load("labels/halves.npy"))
    assert "hexahedra with edges of 0.1 um" in ran.out


@line("mesh labels/halves.npy --pitch 0.1 --elements hex --cut x --out half.msh")
def test_labels_are_cut_in_half(ran):
    from cathodegrain.exporters.mesh.msh_sections import read_facts

    facts = read_facts(Path("half.msh"))
    labels = np.load("labels/halves.npy")
    assert 2 * facts["certificate"]["n_hexes"] == np.count_nonzero(labels)
    assert set(facts["cut"]) == {"x"}


@pytest.mark.usefixtures("unreachable")
@line("mesh labels/halves.npy --pitch 0.1 --size 0.4 --force --out labels/old.msh --overwrite")
def test_a_mesh_that_fails_replaces_a_file_if_both_may_be(ran):
    assert "NOT certified" in ran.out
    assert Path("labels/old.msh").read_bytes().startswith(b"$MeshFormat")


@line("report spoiled/p000000 --overwrite")
def test_a_report_replaces_a_file_if_it_may(ran):
    assert Path("spoiled/p000000/report.png").read_bytes().startswith(b"\x89PNG")


@line("info particles/p000000 --json", "info particles/p000000")
def test_info_says_what_a_particle_is(ran):
    assert ran[0].json == json.loads(Path("particles/p000000/particle.json").read_text("utf-8"))
    assert f"grains       {ran[0].json['n_grains']}".split() == ran[1].out.splitlines()[3].split()


@line("validate particles/p000000")
def test_a_whole_particle_is_sound(ran):
    assert ran.out == "particles/p000000: sound\n"


@line("validate meshed/p000000 --gmsh", "validate meshed/p000000/mesh.msh --gmsh")
def test_gmsh_measures_a_mesh_in_its_folder_or_by_itself(ran):
    for one, name in zip(ran, ("p000000", "p000000/mesh.msh"), strict=True):
        lines = one.out.splitlines()
        assert [text.split()[0] for text in lines[:4]] == ["gmsh", "minSICN", "gamma", "volume"]
        assert lines[4:] == [f"meshed/{name}: sound"]


@line("formats --json", "parameters --model nmc811-radial --json")
def test_lists_are_json(ran):
    assert {"voxels", "mesh", "calculix"} <= ran[0].json.keys()
    card = ModelCard.load("nmc811-radial")
    value = card.parameter("grains.intensity")
    assert value != ModelCard.load("nmc811").parameter("grains.intensity")
    assert ran[1].json["grains.intensity"].startswith(f"{value} ")


# section, phantom


@line("section particles/p000000 --normal 1,-2,0.5 --offset -0.1 --pixel 0.04 --format npy "
      "--missing 0.1 --json")  # fmt: skip
def test_sections_are_cut_where_and_as_asked(ran):
    image, found = np.load("section.npy"), ran.json
    normal = np.array([1, -2, 0.5]) / np.sqrt(5.25)
    assert found["plane"]["normal"] == pytest.approx(normal)
    assert (found["plane"]["offset_um"], found["pixel_um"]) == (-0.1, 0.04)
    assert np.count_nonzero(image == -1) / np.count_nonzero(image) == pytest.approx(0.1, abs=0.06)


@line("section particles/p000000 --out cut.tif", "section particles/p000000 --offset 0.2 "
      "--out cut.tif --overwrite")  # fmt: skip
def test_a_section_is_replaced_if_it_may_be(ran):
    assert json.loads(Path("cut.tif.json").read_text())["plane"]["offset_um"] == 0.2


@line("phantom compact --sections 2 --off-centre 1 --seed 5 --out ph --dry-run --json",
      "phantom --json")  # fmt: skip
def test_a_phantom_is_planned(ran):
    assert {"section-000.tif", "section-001.tif"} < ran[0].json.keys()
    assert ran[0].json["section-000.tif"] == "plane through the centre"
    assert ran[0].json["section-001.tif"] != "plane through the centre"
    assert ran[0].json["phantom"] == "ph"
    assert "elongated" in ran[1].json


@line("phantom elongated --sections 1 --off-centre 0 --seed 5 --out phantom --overwrite")
def test_a_phantom_of_another_seed_replaces_one_if_it_may(ran):
    assert json.loads(Path("phantom/phantom.json").read_text())["entropy"] == 5
    assert not Path("phantom/section-001.tif").exists()


# dataset


@pytest.fixture
def no_processes(monkeypatch):
    """Computer of three cores, on which starting processes fails."""

    def forbidden(*_, **__):
        pytest.fail("a process is started")

    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.setattr(ProcessPoolExecutor, "__init__", forbidden)


@pytest.mark.usefixtures("no_processes")
@line("dataset build configs/two.toml --out made --jobs 1 --json",
      "dataset build --from made --set grains.elongation=1.5 --out longer --jobs 1 --json",
      "dataset index longer --jobs 1 --json",
      "dataset verify longer --jobs 1 --json")  # fmt: skip
def test_a_dataset_and_another_one_of_the_same_draws(ran):
    first, second, index, verified = ran
    assert (first.json["made"], second.json["made"]) == (2, 2)
    document = json.loads(Path("longer/dataset.json").read_text())
    assert "grains.elongation" in json.dumps(document)
    assert list(open_dataset("longer").index.wasDerivedFrom) == list(
        open_dataset("made").index.particle_id
    )
    assert index.json["dataset"] == "longer"
    assert verified.json == {"dataset": "longer", "level": "geometry", "problems": []}


@line("dataset build configs/two.toml --out made --shard 1/2 --jobs 1")
def test_a_shard_is_every_nth_particle(ran):
    assert [p.name for p in Path("made").glob("particles/*/p*")] == ["p000001"]
    assert not Path("made/index").exists()


@line("dataset build configs/failing.toml --out made --strict --jobs 1", code=1)
def test_strict_stops_at_the_first_failure(ran):
    assert len(list(Path("made/failures").iterdir())) == 1
    assert "stopped at the first failure" in ran.err


@line("dataset build configs/two.toml --out made --jobs 1 --dry-run --json")
def test_a_dataset_is_estimated(ran):
    assert ran.json["dataset"] == "made"


@line("dataset build configs/two.toml --out made --executor dask://127.0.0.1:1", code=2)
def test_the_dask_scheduler_is_the_one_that_is_named(ran):
    assert "no dask scheduler answers at tcp://127.0.0.1:1" in ran.err


@pytest.fixture
def cluster(tmp_path_factory, monkeypatch):
    with slurm.one_node(tmp_path_factory.mktemp("slurm")) as environment:
        monkeypatch.setenv("SLURM_CONF", environment["SLURM_CONF"])
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
@line("dataset build configs/two.toml --out made --executor slurm --jobs 1 --hours 0.1 --json")
def test_slurm_is_given_the_limit_of_time(ran):
    assert ran.json["made"] == 2
    scripts = [path.read_text() for path in Path("made.slurm").glob("*_submission.sh")]
    assert len(scripts) == 2  # of the particles, and of the index of their grains
    assert all("#SBATCH --time=6\n" in text for text in scripts)


@line("dataset verify flipped --level sizes --jobs 1",
      "dataset verify flipped --level hashes --jobs 1 --json", code=1)  # fmt: skip
def test_a_dataset_is_verified_as_far_as_asked(ran):
    assert "voxels.vtkhdf" in str(ran[1].json["problems"])


@line("dataset describe dataset --json")
def test_a_dataset_is_described(ran):
    assert "README.md" in ran.json["written"]


@line("dataset pack dataset --out packed --shard-size 100kB --dry-run --json",
      "dataset pack dataset --out packed --shard-size 100kB --json",
      "dataset pack dataset --out packed --shard-size 2GB --overwrite --json")  # fmt: skip
def test_a_dataset_is_packed_in_shards_of_the_size_asked_for(ran):
    planned, packed, again = (one.json["shards"] for one in ran)
    assert planned == packed > again
    assert again == len(list(Path("packed").glob("*.zip")))


PART = "--out part --select \"particle_id > 'p000000'\" --limit 1 --products recipe,voxels --json"


@line(f"dataset fetch dataset --dry-run {PART}", f"dataset fetch dataset {PART}")
def test_a_part_of_a_dataset_is_fetched(ran):
    assert [one.json["particles"] for one in ran] == [1, 1]
    (one,) = open_dataset("part")
    assert one.id == "p000001"
    assert Path("part/particles/00/p000001/voxels.vtkhdf").is_file()


@line("dataset fetch dataset --out part", "dataset fetch other --out part --overwrite")
def test_a_part_of_another_dataset_replaces_one_if_it_may(ran):
    (one,) = open_dataset("part")
    assert one.metadata["provenance"]["entropy"] == 8


# fit shell

SHELL = "--voxel 0.5 --dry-run --json"


def steps(ran):
    """Remark of each step, by its name."""
    (found,) = ran.json.values()
    return {text.split(":")[0]: text for text in found}


@line("fit shell scan/mask.npy --segmented --voxel 0.5 --out scan/old.json --name mine "
      "--grains nmc811-radial --max-degree 2 --seed 3 --bootstrap 100 "
      "--overwrite --json")  # fmt: skip
def test_shells_are_fitted_as_asked(ran):
    card, base = ModelCard.load(Path("scan/old.json")), ModelCard.load("nmc811-radial")
    assert (card.name, card.shell.max_degree, card.shell.voxel_um) == ("mine", 2, 0.5)
    assert card.document["grains"] == base.document["grains"]
    fit = card.document["shell"]["fit"]
    assert (fit["entropy"], fit["n_bootstrap"], fit["n_particles"]) == (3, 100, 27)
    assert ran.json["card"] == "scan/old.json"


@line(
    f"fit shell scan/labels.npy --labelled {SHELL}", f"fit shell scan/mask.npy --segmented {SHELL}"
)
def test_numbers_of_particles_are_taken_as_they_are(ran):
    assert next(iter(steps(ran[0]))) == "pieces"
    assert next(iter(steps(ran[1]))) == "phase"


@line(f"fit shell scan/grey.npy {SHELL}", f"fit shell scan/grey.npy --sigma 0.5 {SHELL}")
def test_sigma_smooths_grey_levels(ran):
    assert steps(ran[0])["phase"] != steps(ran[1])["phase"]


@line(f"fit shell scan/twins.npy --segmented {SHELL}",
      f"fit shell scan/twins.npy --segmented --neck 0.1 {SHELL}",
      f"fit shell scan/twins.npy --segmented --min-voxels 1 --min-sphericity 0.1 {SHELL}",
      f"fit shell scan/twins.npy --segmented --min-voxels 1 {SHELL}")  # fmt: skip
def test_necks_specks_and_rods_are_judged_as_asked(ran):
    found = [int(steps(one)["border"].split(": ")[1].split()[0]) for one in ran]
    assert found == [2, 1, 4, 3]


@line(f"fit shell scan/mask.raw --segmented --shape 48,72,72 --type uint8 {SHELL}",
      f"fit shell scan/two.h5 --dataset second --segmented {SHELL}")  # fmt: skip
def test_files_are_read_as_asked(ran):
    assert steps(ran[0]) == steps(ran[1])
    assert steps(ran[0])["border"].startswith("border: 18 components")


# calibrate grains


@pytest.mark.usefixtures("light_calibrations")
@line("calibrate grains --diameter 0.6+-0.28 --aspect 1.9 --alignment 0.2 --pixel 0.06 "
      "--min-pixels 6 --cuts random --radius 3.5 --spread d --source paper --seed 4 --name mine "
      "--shell nmc-electrode-ct --out scan/old.json --overwrite --json",
      "calibrate grains --diameter 0.6 --dry-run --json")  # fmt: skip
def test_grains_are_calibrated_as_asked(ran):
    card = ModelCard.load(Path("scan/old.json"))
    found = card.grains["calibration"]
    assert found["asked"] == {
        "mean_um": 0.6, "std_um": 0.28, "aspect_ratio": 1.9, "alignment": 0.2
    }  # fmt: skip
    assert found["view"] == {
        "pixel_um": 0.06, "min_pixels": 6, "cuts": "random", "radius_um": 3.5
    }  # fmt: skip
    assert (found["spread"], found["source"], found["seed"]) == ("d", "paper", 4)
    assert card.name == "mine"
    assert card.document["shell"] == ModelCard.load("nmc-electrode-ct").document["shell"]
    assert ran[0].json["card"] == "scan/old.json"
    assert ran[1].json["asked"] == "mean diameter 0.6 um"


# fit grains


@pytest.fixture
def workers(monkeypatch):
    """Number of processes of every pool."""
    found, start = [], ProcessPoolExecutor.__init__

    def counted(self, n=None, *rest, **options):
        found.append(n)
        start(self, n, *rest, **options)

    monkeypatch.setattr(ProcessPoolExecutor, "__init__", counted)
    return found


@pytest.mark.usefixtures("short_grain_fits")
@line("fit grains phantom/section-000.tif --pixel 0.05 --out maps/old.json --name mine "
      "--shell nmc-electrode-ct --truth phantom/phantom.json --steps 4 --planar-steps 10 "
      "--seeds 2 --seed 5 --jobs 1 --device cpu --config default --overwrite --json")  # fmt: skip
def test_grains_are_fitted_as_asked(workers, ran):
    card = ModelCard.load(Path("maps/old.json"))
    base = ModelCard.load("nmc-electrode-ct")
    assert (card.name, card.shell.max_degree) == ("mine", base.shell.max_degree)
    found = card.document["grains"]["fit"]
    assert found["distances"]["reference"] == "phantom"
    assert sorted(run["entropy"] for run in found["runs"]) == [5, 6]
    plan = json.loads(Path("maps/old-fit/plan.json").read_text())
    assert plan["planar"]["steps"] == 10
    assert "device" not in plan
    assert plan["config"]["epochs"] * plan["config"]["steps"] == 4
    assert set(workers) == {1}
    assert "KS in space, elongation" in ran.json
    assert ran.json["device"] == "cpu"


def grains(ran, name):
    """Number of grains of a section, part that is missing, verdict."""
    counts, verdict = ran.json[name]
    number, _, missing = counts.partition(" grains, ")
    return int(number), float(missing.partition("%")[0]), verdict.partition(":")[0]


BLOCKS = "--pixel 0.05 --all-sections --dry-run --json"
PAIR = "fit grains phantom/section-000.tif phantom/section-001.tif --pixel 0.05 --dry-run --json"


@line(f"{PAIR} --family law", f"{PAIR} --family net")
def test_a_law_or_a_net_is_fitted(ran):
    law, net = (one.json for one in ran)
    assert law["fit"].startswith("a radial law")
    assert net["training"].startswith("configuration default")


@line(f"fit grains maps/two.h5 --dataset fine {BLOCKS}",
      f"fit grains maps/two.h5 --dataset coarse {BLOCKS}")  # fmt: skip
def test_the_array_of_a_file_is_the_one_that_is_named(ran):
    fine, coarse = (grains(one, "two.h5")[0] for one in ran)
    assert coarse < 0.7 * fine


@line(f"fit grains maps/full.tif --mask maps/mask.tif --centre 82,82 {BLOCKS}",
      f"fit grains maps/full.tif --mask maps/mask.tif --centre 90,70 {BLOCKS}",
      f"fit grains maps/labels.tif {BLOCKS}")  # fmt: skip
def test_masks_and_centres_are_those_of_the_particle(ran):
    masked, shifted, own = (next(iter(one.json.values())) for one in ran)
    assert masked[1] == own[1]
    assert shifted[0] == masked[0]
    assert shifted[1] != masked[1]


@line(f"fit grains maps/labels.tif {BLOCKS}",
      f"fit grains maps/labels.tif --min-pixels 150 {BLOCKS}")  # fmt: skip
def test_grains_of_few_pixels_are_missing(ran):
    (number, missing, _), (fewer, more, _) = (grains(one, "labels.tif") for one in ran)
    assert fewer < number
    assert more > missing


@line(f"fit grains maps/crack.tif {BLOCKS}", f"fit grains maps/crack.tif --gap 4 {BLOCKS}")
def test_gaps_are_closed(ran):
    (_, outside, _), (_, missing, _) = (grains(one, "crack.tif") for one in ran)
    assert missing > outside + 0.3


@line(
    f"fit grains maps/map.ctf --gap 4 --threshold 3 {BLOCKS}",
    f"fit grains maps/map.ctf --gap 4 --threshold 5 {BLOCKS}",
    f"fit grains maps/map.ctf --gap 4 --threshold 3 --phase spinel {BLOCKS}",
)
def test_grains_of_a_map_are_those_of_the_threshold_and_the_phase(ran):
    (fine, missing, _), (coarse, _, _), (_, without, _) = (grains(one, "map.ctf") for one in ran)
    assert coarse < 0.7 * fine
    assert (missing, without) == pytest.approx((33, 67), abs=5)


@line(f"fit grains maps/map.ctf --gap 4 {BLOCKS}",
      f"fit grains maps/map.ctf --gap 4 --frame x {BLOCKS}")  # fmt: skip
def test_the_frame_of_the_angles_turns_the_crystals_and_leaves_the_grains(ran):
    plain, turned = (one.json for one in ran)
    assert plain["map.ctf"] == turned["map.ctf"]
    assert "with crystal orientations" in plain["map.ctf"][0]
    assert plain["crystals"] != turned["crystals"]


@line(
    f"{PAIR} --relative-alignment 0.1",
    f"{PAIR} --relative-alignment 0.1 --level 1e-90",
    f"{PAIR} --relative-alignment 0.1 --least-alignment 0.6",
    f"{PAIR} --all-sections",
    PAIR,
)
def test_sections_are_kept_as_the_tests_say(ran):
    assert [grains(one, "section-001.tif")[2] for one in ran] == [
        "kept", "rejected", "rejected", "kept", "rejected"
    ]  # fmt: skip
    assert all(grains(one, "section-000.tif")[2] == "kept" for one in ran)


@line(f"{PAIR} --config paper --steps 20000 --seeds 2 --seed 4")
def test_the_published_training_is_a_configuration(ran):
    assert ran.json["training"].startswith("configuration paper, 20000 steps of")
    assert ran.json["training"].endswith("seeds 4, 5")
