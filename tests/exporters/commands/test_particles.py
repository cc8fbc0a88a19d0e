import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from cathodegrain.exporters.commands.main import main
from cathodegrain.exporters.mesh.reading import read_msh
from cathodegrain.exporters.meshing import mesher
from cathodegrain.exporters.particles import metadata
from cathodegrain.exporters.products.registry import PRODUCTS
from cathodegrain.generator import requirements
from processes import started

SMALL = ["--set", "shell.diameter_um=1.4", "--set", "grains.intensity=0.002"]


def run(capsys, *argv):
    code = main(list(map(str, argv)))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder of a particle with voxels."""
    out = tmp_path_factory.mktemp("particles")
    assert main(["generate", "--seed", "7", "--out", str(out), *SMALL, "--export", "voxels"]) == 0
    return out / "p000000"


@pytest.fixture
def folder(made, tmp_path):
    import shutil

    return Path(shutil.copytree(made, tmp_path / "p000000"))


def contents(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_generate_writes_recipe_metadata_and_products(made):
    assert set(contents(made)) == {"particle.json", "recipe.h5", "voxels.vtkhdf"}
    fields = json.loads((made / "particle.json").read_text())
    assert [p["path"] for p in fields["products"]] == ["recipe.h5", "voxels.vtkhdf"]


def test_the_same_command_gives_the_same_bytes_and_does_nothing_twice(made, tmp_path, capsys):
    argv = ["generate", "--seed", "7", *SMALL, "--export", "voxels", "--out"]
    assert run(capsys, *argv, tmp_path)[0] == 0
    assert contents(tmp_path / "p000000") == contents(made)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert run(capsys, *argv, tmp_path)[0] == 0
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_generate_makes_a_series_whose_members_do_not_depend_on_it(made, tmp_path, capsys):
    code, out, _ = run(
        capsys, "generate", "--seed", "7", *SMALL, "--count", "3", "--out", tmp_path, "--json"
    )
    assert code == 0
    assert [Path(json.loads(line)["particle"]).name for line in out.splitlines()] == [
        "p000000", "p000001", "p000002",
    ]  # fmt: skip
    assert (tmp_path / "p000000/recipe.h5").read_bytes() == (made / "recipe.h5").read_bytes()


def test_dry_run_writes_nothing_and_says_what_it_would(tmp_path, capsys):
    code, out, _ = run(
        capsys, "generate", *SMALL, "--export", "voxels", "--dry-run", "--json", "--out", tmp_path
    )
    assert code == 0
    assert json.loads(out)["voxel_bytes_estimate"] > 0
    assert not list(tmp_path.iterdir())


def test_regenerate_writes_the_parent_and_the_change(made, tmp_path, capsys):
    code, *_ = run(capsys, "regenerate", made, "--set", "grains.elongation=1.5", "--out", tmp_path)
    assert code == 0
    source = json.loads((tmp_path / "p000000/particle.json").read_text())["provenance"]
    assert source["wasDerivedFrom"]["id"] == "p000000"
    assert source["wasDerivedFrom"]["changes"] == {"grains.elongation": {"from": 1.0, "to": 1.5}}


def test_export_adds_a_product_and_lists_its_hash(folder, capsys):
    code, *_ = run(capsys, "export", folder, "--to", "voxels-vti", "--pitch", "0.2")
    assert code == 0
    assert run(capsys, "validate", folder)[0] == 0
    fields = json.loads((folder / "particle.json").read_text())
    (vti,) = [p for p in fields["products"] if p["format"] == "voxels-vti"]
    assert vti["options"] == {"pitch_um": 0.2}


def test_validate_finds_a_changed_file(folder, capsys):
    path = folder / "voxels.vtkhdf"
    path.write_bytes(path.read_bytes()[:-1])
    code, _, err = run(capsys, "validate", folder)
    assert code == 1
    assert "voxels.vtkhdf: missing or changed" in err


def test_info_has_one_row_for_a_folder_of_files(folder, capsys):
    assert run(capsys, "export", folder, "--to", "surfaces", "--size", "0.3")[0] == 0
    files = list((folder / "surfaces").iterdir())
    total = sum(p.stat().st_size for p in files)
    rows = [line.split(maxsplit=1) for line in run(capsys, "info", folder)[1].splitlines()]
    assert [row for row in rows if row[0].startswith("surfaces")] == [
        ["surfaces/", f"{total:,} bytes in {len(files)} files"]
    ]


def test_info_and_formats_and_parameters_say_what_there_is(made, capsys):
    assert "particle" in run(capsys, "info", made)[1]
    assert json.loads(run(capsys, "info", made, "--json")[1])["id"] == "p000000"
    assert set(json.loads(run(capsys, "formats", "--json")[1])) == set(PRODUCTS)
    assert "grains.intensity" in run(capsys, "parameters")[1]


def test_another_particle_is_not_overwritten_unasked(folder, capsys):
    before = contents(folder)
    argv = ["generate", "--seed", "8", *SMALL, "--out", folder.parent]
    code, _, err = run(capsys, *argv)
    assert (code, contents(folder)) == (2, before)
    assert "already holds a different particle" in err
    assert "--overwrite" in err
    assert run(capsys, *argv, "--overwrite")[0] == 0
    assert contents(folder) != before


def test_a_damaged_recipe_is_not_taken_for_the_particle(folder, capsys):
    whole = (folder / "recipe.h5").read_bytes()
    (folder / "recipe.h5").write_bytes(whole[:-100])
    argv = ["generate", "--seed", "7", *SMALL, "--out", folder.parent]
    code, _, err = run(capsys, *argv)
    assert code == 2
    assert "or other files" in err
    assert run(capsys, *argv, "--overwrite")[0] == 0
    assert (folder / "recipe.h5").read_bytes() == whole


def test_a_product_with_other_options_is_not_overwritten_unasked(folder, capsys):
    before = contents(folder)
    code, _, err = run(capsys, "export", folder, "--to", "voxels", "--pitch", "0.2")
    assert (code, contents(folder)) == (2, before)
    assert "made with {'pitch_um': 0.1}; --overwrite to replace it" in err


def test_a_damaged_product_is_not_overwritten_unasked(folder, capsys):
    (folder / "voxels.vtkhdf").write_bytes(b"half")
    code, _, err = run(capsys, "export", folder, "--to", "voxels")
    assert (code, (folder / "voxels.vtkhdf").read_bytes()) == (2, b"half")
    assert "not as particle.json lists it" in err


def test_validate_finds_what_a_killed_process_left(folder, capsys):
    (folder / ".voxels-0123abcd.tmp.vtkhdf").touch()
    code, _, err = run(capsys, "validate", folder)
    assert code == 1
    assert ".voxels-0123abcd.tmp.vtkhdf: being written, or left by a killed process" in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["generate", "--set", "grains.intenstiy=0.001"], "did you mean 'grains.intensity'"),
        (["generate", "--set", "grains.intensity"], "expected NAME=VALUE"),
        (["generate", "--set", "grains.intensity=NaN"], "nan is not a finite number"),
        (["generate", "--set", "grains.intensity=-1"], "-1 is less than the minimum"),
        (["generate", "--set", "grains.metric=cubed"], "'cubed' is not one of"),
        (["generate", "--model", "nmc999"], "no model card 'nmc999'"),
        (["generate", "--model", "nmc-811"], "did you mean 'nmc811'?"),
        (["generate", "--seed", "-3"], "seed is -3"),
        (["generate", "--seed", "seven"], "seven"),
        (["generate", "--count", "0"], "--count is 0"),
        (["generate", "--colour", "grey"], "colour"),
        (["generate", "--sede", "3"], "Did you mean --seed?"),
        (["generate", "--export", "voxles"], "unknown product 'voxles'; did you mean 'voxels'?"),
        (["generate", *SMALL, "--export", "voxels", "--pitch", "0"], "is 0.0, expected a positive"),
        (
            ["generate", *SMALL, "--export", "voxels", "--pitch", "nan"],
            "is nan, expected a positive",
        ),
        (["generate", *SMALL, "--export", "voxels", "--pitch", "1e-6"], "PB of memory and about"),
        (["generate", *SMALL, "--export", "voxels", "--pitch", "99"], "no voxel centre"),
        (
            ["generate", "--set", "grains.intensity=0.1", "--set", "shell.diameter_um=25"],
            "seed points",
        ),
        (["frobnicate"], "frobnicate"),
        (["exprot"], 'Did you mean "export"?'),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(argv, message, tmp_path, capsys):
    out = tmp_path / "out"
    code, printed, err = run(capsys, *argv, *(["--out", out] if argv[0] == "generate" else []))
    assert code == 2
    assert message in err + printed
    assert "Traceback" not in err
    left = [p.name for p in out.rglob("*")] if out.exists() else []
    assert not [name for name in left if "tmp" in name or "voxels" in name]


@pytest.mark.parametrize("verb", ["info", "validate", "report"])
def test_a_folder_that_is_no_particle_is_said(verb, tmp_path, capsys):
    code, _, err = run(capsys, verb, tmp_path)
    assert code == (1 if verb == "validate" else 2)
    assert "holds no particle.json" in err


@pytest.mark.parametrize("verb", ["info", "validate", "report"])
def test_a_file_given_as_folder_is_said(verb, folder, capsys):
    code, _, err = run(capsys, verb, folder / "recipe.h5")
    assert code == (1 if verb == "validate" else 2)
    assert "recipe.h5 is a file, expected the folder of a particle" in err


def test_a_parent_that_is_not_there_is_said(tmp_path, capsys):
    code, _, err = run(capsys, "regenerate", tmp_path / "nowhere", "--out", tmp_path)
    assert code == 2
    assert "nowhere does not exist, expected the folder of a particle or a recipe.h5" in err


def test_a_document_of_another_kind_is_no_card(folder, capsys):
    code, _, err = run(capsys, "generate", "--model", folder / "particle.json")
    assert code == 2
    assert "schema: 'cathodegrain/particle', expected 'cathodegrain/model_card'" in err
    assert "required" not in err


@pytest.mark.parametrize("damage", ["truncated", "text", "json"])
def test_a_damaged_recipe_is_said(folder, damage, capsys):
    path = folder / ("particle.json" if damage == "json" else "recipe.h5")
    data = path.read_bytes()
    path.write_bytes({"truncated": data[:-500], "text": b"hello", "json": b"{"}[damage])
    code, _, err = run(capsys, "export", folder, "--to", "voxels-vti")
    assert code == 2
    assert path.name in err
    assert not (folder / "voxels.vti").exists()


@pytest.mark.parametrize(
    "verb", [["export", "--to", "voxels-vti"], ["regenerate", "--out", "other"]]
)
def test_a_recipe_with_one_changed_number_is_not_used(folder, verb, capsys, monkeypatch):
    monkeypatch.chdir(folder.parent)
    with h5py.File(folder / "recipe.h5", "r+") as file:
        file["grain_offset"][3] += 0.5
    code, _, err = run(capsys, verb[0], folder, *verb[1:])
    assert code == 2
    assert "recipe.h5 was changed since it was written" in err
    assert not (folder / "voxels.vti").exists()
    assert not Path("other").exists()


def test_metadata_cannot_name_files_outside(folder, capsys):
    fields = json.loads((folder / "particle.json").read_text())
    fields["products"][0]["path"] = "../../secret"
    (folder / "particle.json").write_text(json.dumps(fields))
    code, _, err = run(capsys, "validate", folder)
    assert code == 1
    assert "products.0.path" in err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_said(tmp_path, capsys):
    tmp_path.chmod(0o500)
    code, _, err = run(capsys, "generate", *SMALL, "--out", tmp_path / "out")
    assert code == 2
    assert "cannot be written" in err


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no folder that refuses even root")
def test_a_file_system_that_takes_no_files_is_said(capsys):
    code, _, err = run(capsys, "generate", *SMALL, "--out", "/proc/particles")
    assert code == 2
    assert "/proc/particles/p000000 cannot be written" in err


def test_a_file_in_place_of_the_output_folder_is_said(tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    code, _, err = run(capsys, "generate", *SMALL, "--out", tmp_path / "out")
    assert code == 2
    assert "cannot be written" in err
    assert (tmp_path / "out").read_text() == "a file"


def test_an_interrupted_export_leaves_nothing_behind(folder, capsys, monkeypatch):
    from cathodegrain.generator.voxels import slabs

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(slabs, "label_slab", interrupt)
    before = contents(folder)
    code, _, err = run(capsys, "export", folder, "--to", "voxels", "--pitch", "0.05", "--overwrite")
    assert code == 1
    assert "interrupted" in err
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_a_command_and_leaves_nothing_behind(folder, name):
    before = contents(folder)
    script = (  # a command that is started in the background of a script ignores SIGINT
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from cathodegrain.exporters.commands.main import main; sys.exit(main())"
    )
    command = [
        sys.executable,
        "-c",
        script,
        "export",
        folder,
        "--to",
        "voxels-vti",
        "--pitch",
        "0.001",
    ]
    with started(command, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not list(folder.glob("**/.voxels-*.tmp.vti")):
            time.sleep(0.02)
        process.send_signal(signal.Signals[name])
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (
        1, "cathodegrain: interrupted; nothing half-written is left\n",
    )  # fmt: skip
    assert contents(folder) == before


def test_a_reader_that_goes_away_is_no_crash():
    command = [sys.executable, "-m", "cathodegrain.exporters.commands.main", "formats"]
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of file size")
@pytest.mark.parametrize("product", ["voxels", "voxels-vti", "report"])
def test_a_disk_that_fills_while_a_file_is_written_is_said(folder, product):
    before = contents(folder)
    script = (
        "import resource, sys; from cathodegrain.exporters.commands.main import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, "export", folder, "--to", product, "--pitch", "0.03",
               "--overwrite"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2
    assert "cannot be written (File too large); is the folder writable" in done.stderr
    assert done.stderr.count("\n") == 1
    assert contents(folder) == before


def test_too_little_memory_is_said(folder, capsys, monkeypatch):
    from cathodegrain.generator.voxels import slabs

    def exhaust(*_, **__):
        raise MemoryError

    monkeypatch.setattr(slabs, "label_slab", exhaust)
    code, _, err = run(capsys, "export", folder, "--to", "voxels", "--overwrite")
    assert code == 2
    assert "memory does not suffice" in err


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        (["generate", "--export", "voxels,surfaces", "--out"], "trimesh", "mesh"),
        (["regenerate", "FOLDER", "--export", "report", "--out"], "matplotlib", "view"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else value,
)
def test_a_missing_package_is_said_before_anything_is_read_or_written(
    folder, tmp_path, capsys, monkeypatch, arguments, package, extra
):
    monkeypatch.setattr(requirements, "find_spec", lambda name: None if name == package else name)
    argv = [str(folder) if word == "FOLDER" else word for word in arguments]
    code, _, err = run(capsys, *argv, tmp_path / "out")
    assert code == 2
    assert f"need {package}, not installed here: {requirements.install_command(extra)}" in err
    assert list(tmp_path.iterdir()) == [folder]


def test_a_missing_package_of_a_product_is_said_and_nothing_changes(folder, capsys, monkeypatch):
    before = contents(folder)
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    for command in (["export", folder, "--to", "voxels-vti,surfaces"], ["report", folder]):
        code, _, err = run(capsys, *command)
        assert code == 2
        assert requirements.install_command("mesh" if "mesh" in err else "view") in err
    assert contents(folder) == before


def test_the_command_line_starts_without_heavy_packages():
    script = (
        "import sys; from cathodegrain.exporters.commands.main import main; main(['--help']); "
        "assert not {'numpy', 'numba', 'h5py', 'scipy'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def meshed(tmp_path_factory):
    """Folder of a particle of some 50 grains with its mesh."""
    out = tmp_path_factory.mktemp("meshed")
    arguments = ["--set", "shell.diameter_um=1.1", "--set", "orientations.model=uniform"]
    assert main(["generate", "--seed", "3", "--out", str(out), "--export", "mesh", *arguments]) == 0
    return out / "p000000"


def test_a_mesh_is_certified_in_the_metadata_and_in_print(meshed, capsys):
    (product,) = [p for p in metadata.read(meshed)["products"] if p["format"] == "mesh"]
    certificate = product["summary"]["certificate"]
    assert certificate["certified"]
    assert main(["export", str(meshed), "--to", "mesh"]) == 0
    printed = capsys.readouterr().out
    assert f"certified: {certificate['n_tets']:,} tetrahedra" in printed
    assert "s CPU, peak memory" in printed


def test_products_of_the_same_sizes_are_made_of_the_mesh_in_the_folder(meshed, monkeypatch, capsys):
    def never(*arguments, **options):
        pytest.fail("meshed again")

    monkeypatch.setattr(mesher, "volume_mesh", never)
    command = ["export", str(meshed), "--to", "surfaces,interfaces,mesh-vtkhdf"]
    assert main([*command, "--for", "calculix,moose"]) == 0, capsys.readouterr().err
    assert (meshed / "calculix/expansion.inp").is_file()
    assert main(["export", str(meshed), "--for", "abaqus", "--boundaries", "cohesive"]) == 0
    assert "COH3D6" in (meshed / "abaqus/elements.inp").read_text()
    assert main(["validate", str(meshed)]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--for", "nastran"], "unknown solver 'nastran'; choose from"),
        (["--for", "calculx"], "unknown solver 'calculx'; did you mean 'calculix'?"),
        (["--to", "mesh", "--order", "3", "--overwrite"], "order is 3, expected 1 or 2"),
        (
            ["--to", "mesh-vtkhdf", "--order", "2", "--boundaries", "cohesive", "--overwrite"],
            "no second-order cohesive wedge",
        ),
        (
            ["--to", "mesh-vtkhdf", "--boundaries", "torn", "--overwrite"],
            "boundaries is 'torn', expected one of",
        ),
        (
            ["--for", "getfem", "--boundaries", "cohesive"],
            "getfem has no zero-thickness cohesive elements",
        ),
        (["--for", "fenicsx", "--unit", "mile"], "mile"),
        (["--to", "mesh", "--size", "wide"], "--size is 'wide', expected a length in um"),
        (["--to", "surfaces", "--size", "0.3,0.2"], "surfaces takes one --size"),
        (["--to", "mesh", "--size", "0.3,0.3"], "0.3"),
        (["--to", "mesh", "--size", "3", "--overwrite"], "size_um is 3.0, expected a length in um"),
        (["--to", "mesh", "--size", "0.001", "--overwrite"], "expected at most 80% of the"),
        ([], "nothing to write: give --to PRODUCT or --for SOLVER"),
    ],
)
def test_mesh_options_that_cannot_be_are_refused(meshed, arguments, message, capsys):
    before = sorted(meshed.rglob("*"))
    assert main(["export", str(meshed), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert sorted(meshed.rglob("*")) == before


def test_solvers_asked_for_together_are_given_one_mesh_which_later_commands_find(
    tmp_path, monkeypatch
):
    assert main(["generate", *SMALL, "--out", str(tmp_path)]) == 0
    folder, made = tmp_path / "p000000", []
    monkeypatch.setattr(
        mesher, "volume_mesh", lambda *a, m=mesher.volume_mesh, **k: made.append(1) or m(*a, **k)
    )
    assert main(["export", str(folder), "--for", "calculix,scikit-fem,getfem"]) == 0
    assert main(["export", str(folder), "--for", "fenicsx"]) == 0
    assert len(made) == 1
    assert main(["validate", str(folder)]) == 0


def test_results_of_a_solver_are_never_lost(meshed, capsys):
    command = ["export", str(meshed), "--for", "calculix", "--size", "0.15"]
    assert main([*command, "--overwrite"]) == 0
    result = meshed / "calculix/expansion.frd"
    result.write_text("a night of work")
    assert main([*command, "--overwrite"]) == 2
    assert "(expansion.frd) and would be lost" in capsys.readouterr().err
    assert result.read_text() == "a night of work"
    assert main(["validate", str(meshed)]) == 0
    assert "calculix/expansion.frd: not listed, left alone" in capsys.readouterr().out
    result.unlink()
    assert main([*command, "--overwrite"]) == 0


@pytest.mark.filterwarnings("default::FutureWarning")
def test_former_options_and_products_are_taken_with_a_sentence(meshed, capsys):
    former = ["--to", "vtk-mesh", "--cohesive", "--overwrite"]
    assert main(["export", str(meshed), *former]) == 0
    told = capsys.readouterr().err.splitlines()
    assert "cathodegrain: --cohesive is now --boundaries cohesive" in told
    assert "cathodegrain: the product 'vtk-mesh' is now 'mesh-vtkhdf'" in told
    (product,) = [p for p in metadata.read(meshed)["products"] if p["format"] == "mesh-vtkhdf"]
    assert product["options"]["boundaries"] == "cohesive"


def test_several_sizes_make_a_ladder(meshed, capsys):
    assert main(["export", str(meshed), "--to", "mesh", "--size", "0.25,0.15"]) == 0
    assert len(list((meshed / "convergence").glob("mesh_*um.msh"))) == 2
    assert "dihedral" in capsys.readouterr().out
    assert main(["validate", str(meshed)]) == 0


def test_a_mesh_is_planned_without_being_made(meshed, capsys):
    command = ["export", str(meshed), "--to", "mesh", "--size", "0.12", "--dry-run", "--json"]
    assert main(command) == 0
    plan = json.loads(capsys.readouterr().out)
    assert 1e3 < plan["mesh_tetrahedra_estimate"] < 1e6
    assert plan["mesh_memory_bytes_estimate"] > 1e6


def test_labels_of_ones_own_are_meshed(tmp_path, capsys):
    axis = np.arange(-9.5, 10)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    labels = np.where(x * x + y * y + z * z < 64, 1 + (x > 0), 0).astype(np.int32)
    np.save(tmp_path / "halves.npy", labels)
    target = tmp_path / "halves.msh"
    command = ["mesh", str(tmp_path / "halves.npy"), "--out", str(target)]
    assert main(command) == 2
    assert "pitch" in capsys.readouterr().err
    assert main([*command, "--pitch", "0.1", "--size", "0.2"]) == 0
    assert "certified: " in capsys.readouterr().out
    mesh = read_msh(target)
    assert mesh.grain_volumes == pytest.approx([2 * np.pi / 3 * 0.8**3] * 2, rel=0.03)
    assert main([*command, "--pitch", "0.1"]) == 2
    assert "--overwrite to replace it" in capsys.readouterr().err
