"""Products with hexahedra, and those that have none."""

import json

import pytest

import cathodegrain as cg
from cathodegrain.exporters.commands.main import main
from cathodegrain.exporters.mesh.hex_mesh import HexMesh
from cathodegrain.exporters.meshing import mesher
from cathodegrain.exporters.products import particle_folder
from cathodegrain.generator.errors import ExportError


@pytest.fixture
def folder(tiny_particle, tmp_path):
    return cg.save(tiny_particle, tmp_path / "p")


@pytest.fixture
def no_tetrahedra(monkeypatch):
    """Nobody may make any."""

    def made(*_args, **_options):
        raise AssertionError

    monkeypatch.setattr(mesher, "mesh_of", made)
    monkeypatch.setattr(mesher, "volume_mesh", made)


@pytest.mark.usefixtures("no_tetrahedra")
def test_several_products_share_the_cubes_and_keep_no_tetrahedra(folder, monkeypatch):
    made = []
    of_voxels = HexMesh.__post_init__
    monkeypatch.setattr(HexMesh, "__post_init__", lambda m: (made.append(m), of_voxels(m)))
    cg.export(folder, ["calculix", "scikit-fem"], elements="hex", size_um=0.1)
    assert len({id(m.hexes) for m in made}) <= 2  # the mesh, and the same with its certificate
    assert not (folder / "mesh.vtkhdf").exists()
    assert particle_folder.ParticleFolder.read(folder).fields["products"]
    cg.validate(folder)


@pytest.mark.usefixtures("no_tetrahedra")
@pytest.mark.parametrize("name", ["surfaces", "interfaces", "convergence"])
def test_products_made_of_tetrahedra_are_refused_before_anything_is_meshed(name, folder):
    with pytest.raises(ExportError, match=f"{name} is made of tetrahedra, not of elements 'hex'"):
        cg.export(folder, ["mesh-vtkhdf", name], elements="hex", size_um=0.1)
    assert not (folder / "mesh.vtkhdf").exists()


@pytest.mark.usefixtures("no_tetrahedra")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--to", "mesh-vtkhdf,surfaces"], "surfaces is made of tetrahedra"),
        (["--to", "mesh", "--size", "0.4,0.2"], "convergence is made of tetrahedra"),
        (["--to", "mesh", "--order", "2"], "elements 'hex' and order 2 do not go together"),
    ],
)
def test_the_command_line_refuses_in_one_sentence(options, reason, folder, capsys):
    assert main(["export", str(folder), "--elements", "hex", *options]) == 2
    told = capsys.readouterr().err
    assert reason in told
    assert len(told.strip().splitlines()) <= 3


@pytest.mark.usefixtures("no_tetrahedra")
def test_a_dry_run_says_how_many_cubes(capsys, tmp_path):
    argv = "generate --model nmc811-radial --seed 7 --set shell.diameter_um=1.2 --dry-run --export"
    assert main([*argv.split(), "mesh", "--elements", "hex", "--size", "0.1", "--out", "o"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert int(rows["mesh_hexahedra_estimate"]) == 905


def test_a_mesh_of_an_earlier_version_is_not_taken_for_one_with_a_fine_surface(folder):
    cg.export(folder, "mesh-vtkhdf", size_um=0.3, detail="coarse", force=True)
    metadata = folder / "particle.json"
    fields = json.loads(metadata.read_text("utf-8"))
    options = next(p for p in fields["products"] if p["format"] == "mesh-vtkhdf")["options"]
    del options["surface_size_um"]
    metadata.write_text(json.dumps(fields), "utf-8")
    found = particle_folder.ParticleFolder.read(folder)
    assert found._kept_mesh(options | {"surface_size_um": 0.1}) is None
    assert found._kept_mesh(options | {"surface_size_um": None}) is not None


def test_a_mesh_of_tetrahedra_is_not_taken_for_one_of_cubes(folder):
    cg.export(folder, "mesh-vtkhdf", elements="hex", size_um=0.3, force=True)
    with pytest.raises(ExportError, match="exists, made with"):
        cg.export(folder, "mesh-vtkhdf", size_um=0.3)
    kept = particle_folder.ParticleFolder.read(folder)._kept_mesh(
        {"size_um": 0.3, "boundary_size_um": None, "force": True}
    )
    assert kept is None
