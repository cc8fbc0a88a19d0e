"""Every Python and shell block of the documents runs, at toy size, in the order of its document.

A document has a folder of its own, with toys of the files that its reader would have. What a
block is cut down by stands in `TOYS`, and what is not run in `NOT_RUN` with the reason.
"""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from glob import glob
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cathodegrain.exporters.commands.main import main
from places import ROOT
from shell_scenes import bumpy_balls

DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("README.md", "docs/*.md", "docs/examples/*.md", "dataset_cards/*.md")
    for path in ROOT.glob(pattern)
)
SHELL, PYTHON = ("bash", "sh", "console"), ("python",)
SMALL = ["--set", "shell.diameter_um=1.6"]
SMALL_PYTHON = (
    ("seed=32)", 'seed=32, parameters={"shell.diameter_um": 1.6})'),
    ("seed=7)", 'seed=7, parameters={"shell.diameter_um": 1.2})'),
    ("2.0}", "1.2}"),
)
OF_TORCH = ("docs/training.md", "docs/examples/README.md")
NOT_RUN = {
    "README.md": {"scripts/demo": "installs packages; .ci/run runs both scripts"},
    "docs/cohesive.md": {"nodes 4 5 6": "a drawing"},
    "docs/dataset.md": {"dataset.json ": "a table of files"},
    "docs/solvers.md": {
        "ccx -i": "commands of solvers, which tests/test_solver_clients.py starts",
        "mpirun": "the same",
        "XDMFFile": "Python of FEniCSx, as in the decks that the same tests run",
        "netgen": "Python of NGSolve, likewise",
        "getfem": "Python of GetFEM, likewise",
        "mfem": "Python of MFEM, likewise",
        "combined-opt": "MOOSE is not to be had here",
        "gmshToFoam": "commands of OpenFOAM, which the same tests start",
        "particle_mesh": "Python in a solver's folder, which the same tests run",
    },
}


@dataclass(frozen=True)
class Toy:
    """How a document is cut down, and what it must leave behind.

    Parameters
    ----------
    replaced
        Texts of blocks, each of which must be there, and what stands for them.
    added
        Arguments that commands get besides their own.
    made
        Makes the files that a reader would have.
    left
        Files that are there at the end.
    printed
        Texts that the blocks print.
    """

    replaced: tuple[tuple[str, str], ...] = ()
    added: dict[str, list[str]] = field(default_factory=dict)
    made: Callable[[], None] = lambda: None
    left: tuple[str, ...] = ()
    printed: tuple[str, ...] = ()


# files that a reader would have


def run(line):
    assert main(shlex.split(line)) == 0, line


def tiny_dataset(name):
    """Four particles with voxels."""
    Path(f"{name}.toml").write_text(
        f'name = "{name}"\nmodel = "nmc811-radial"\nseed = 7\ncount = 4\n[parameters]\n'
        "shell.diameter_um = 1.2\ngrains.intensity = 0.002\n[products.voxels]\npitch_um = 0.1\n"
    )
    run(f"dataset build {name}.toml --out {name} --jobs 1")


def particle(settings):
    run(f"generate --model nmc811-radial --seed 7 {settings} --out particles")


def measured():
    """A CT volume, EBSD maps, images of labels, a particle to cut."""
    balls = bumpy_balls()
    grey = 60 + 90 * (balls > 0) + np.random.default_rng(0).normal(0, 10, balls.shape)
    tifffile.imwrite("scan.tif", grey.astype(np.uint8))
    y, x = np.indices((262, 256))
    disc = np.hypot(y - 131, x - 127.5) < 120
    tifffile.imwrite("b.tif", (disc * (1 + y // 20 * 20 + x // 13)).astype(np.int32))
    particle("--set shell.diameter_um=7 --set orientations.model=uniform")
    Path("maps").mkdir()
    run("section particles/p000000 --out maps/first.ctf")
    shutil.copy("maps/first.ctf", "a.ctf")
    run("section particles/p000000 --offset 1.2 --out b.ctf")


def meshable():
    particle("--set shell.diameter_um=1 --set grains.intensity=0.0001")
    axis = np.arange(-9.5, 10)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    halves = np.where(x * x + y * y + z * z < 64, 1 + (x > 0), 0)
    tifffile.imwrite("labels.tif", halves.astype(np.int32))


CARD = Toy(added={"generate": SMALL}, left=("particles/p000002/voxels.vtkhdf",))
SHORT_FIT = ["--steps", "6", "--planar-steps", "20", "--seeds", "1", "--jobs", "1"]
TOYS = {
    "README.md": Toy(
        replaced=(("diameter_um=2", "diameter_um=1.2"), SMALL_PYTHON[0], SMALL_PYTHON[2]),
        added={"generate": SMALL, "sweep": ["--jobs", "1"]},
        left=(
            "small/p000000/mesh.msh",
            "small/p000000/fenicsx/expansion.py",
            "section.tif",
            "saved/p000000/calculix/expansion.inp",
            "small.png",
        ),
        printed=("um^3", "small/p000000: sound", "grains.elongation"),
    ),
    "docs/cohesive.md": Toy(
        replaced=(SMALL_PYTHON[1],),
        left=("cohesive.msh", "cohesive.vtkhdf", "discontinuous.msh"),
    ),
    "docs/dataset.md": Toy(
        replaced=(
            ("[parameters]", "[parameters]\nshell.diameter_um = 1.2"),
            ("count = 200", "count = 2"),
            ("count = 5 ", "count = 1 "),
        ),
        added={"dataset build": ["--jobs", "1"]},
        made=lambda: tiny_dataset("tiny"),
        left=(
            "my-dataset/index/particles.parquet",
            "longer/dataset.json",
            "tiny-shards/shards.json",
            "part/fetched.json",
        ),
        printed=("my-dataset: sound (geometry)", "p000000 ", "mean "),
    ),
    "docs/examples/README.md": Toy(
        replaced=(
            ("diffusion.py", "diffusion.py --diameter 0.7 --size 0.15"),
            ("cracking.py", "cracking.py --diameter 0.7 --size 0.15 --openings 1"),
            ("boundaries.py", "boundaries.py --steps 2 --edge 12 --processes 0"),
        ),
        left=("pictures/diffusion.png", "pictures/cracking.png", "pictures/boundaries.png"),
    ),
    "docs/fitting.md": Toy(
        replaced=(
            ("elongated --out", "elongated --sections 2 --off-centre 1 --out"),
            ("--sections 6 --off-centre 2", "--sections 2 --off-centre 1"),
            ("voxel_um=0.128", "voxel_um=0.128, max_degree=2, bootstrap=100"),
            ("folder=", "steps=6, planar_steps=20, seeds=1, jobs=1, folder="),
            ("grains.card,", 'grains.card.with_parameters({"shell.diameter_um": 1.6}),'),
        ),
        added={
            "generate": SMALL,
            "fit shell": ["--max-degree", "2", "--bootstrap", "100"],
            "fit grains": SHORT_FIT,
        },
        made=measured,
        left=(
            "my-shells-report/index.html",
            "my-grains-report/index.html",
            "own-shells-report/index.html",
            "own-grains.json",
            "card.json",
            "my-size-report/index.html",
            "own-size-report/laws.png",
            "sections.png",
            "section.ctf",
        ),
    ),
    "docs/meshing.md": Toy(
        replaced=(
            ("--tets 200000", "--tets 5000"),
            ("--surface-size 0.05", "--surface-size 0.12"),
            ("--size 0.4 --boundary-size", "--size 0.24 --boundary-size"),
            ("--size 0.4,0.2,0.1", "--size 0.24,0.2"),
        ),
        added={"export": ["--overwrite"]},  # the lines are alternatives
        made=meshable,
        left=(
            "mesh.msh",
            "particles/p000000/calculix/expansion.inp",
            "particles/p000000/convergence/convergence.csv",
            "particles/p000000/geo/grains.geo",
            "particles/p000000/mesh-2.2.msh",
        ),
        printed=("certified: ", "minSICN ", "particles/p000000: sound"),
    ),
    "docs/particles.md": Toy(
        replaced=(
            ("diameter_um=8", "diameter_um=1.6"),
            ("0.3,0.55,1.2", "0.4"),
            ("0.35,0.5,1.0", "0.35"),
            ("[0.35, 0.5, 1.0]", "[0.35]"),
        ),
        added={"generate": SMALL, "sweep": ["--jobs", "1"]},
        left=("study/sweep.png", "study/p000000-size_um-0.35/recipe.h5", "sizes/sweep.csv"),
        printed=("time  ", "paired_diameter_difference_um"),
    ),
    "docs/solvers.md": Toy(
        replaced=(('"radial"}', '"radial", "shell.diameter_um": 1.2}'),),
        left=("for_calculix/expansion.inp",),
    ),
    "docs/training.md": Toy(
        replaced=(
            ("edge=64, pitch_um=0.05)", 'edge=16, changes={"shell.diameter_um": 1.6})'),
            ("stop=3)", 'stop=3, changes={"shell.diameter_um": 1.6})'),
            ('changes={"grains', 'changes={"shell.diameter_um": 1.6, "grains'),
        ),
        printed=("torch.Size([8, 16, 16, 16])", "2 torch.Size([96, 96, 96])", "'radial'}"),
    ),
    "dataset_cards/nmc811-virtual.md": Toy(
        made=lambda: tiny_dataset("nmc811-virtual-sample"),
        printed=("p000000 ",),
    ),
    **{name: CARD for name in DOCUMENTS if name.startswith("dataset_cards/model-")},
}


# blocks


def text_of(document):
    return (ROOT / document).read_text("utf-8")


def blocks(document):
    """Language and text of each fenced block, in order."""
    return re.findall(r"^```(\w*)\n(.*?)^```", text_of(document), re.MULTILINE | re.DOTALL)


def is_left_out(document, text):
    if document == "README.md" and "VolumeStream" in text and find_spec("torch") is None:
        return True
    return any(part in text for part in NOT_RUN.get(document, ()))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_is_run_or_says_why_not(document):
    kinds = {*SHELL, *PYTHON, "toml"}
    for language, text in blocks(document):
        assert language in kinds or is_left_out(document, text), text
    for part in NOT_RUN.get(document, ()):
        assert any(part in text for _, text in blocks(document)), part


def with_blocks():
    """Documents that have blocks to run; two fits of grains take minutes."""
    for name in DOCUMENTS:
        if any(kind in (*SHELL, *PYTHON) for kind, _ in blocks(name)):
            is_slow = text_of(name).count("cathodegrain fit grains") > 1
            yield pytest.param(name, marks=[pytest.mark.slow] if is_slow else [])


@pytest.mark.parametrize("document", list(with_blocks()))
def test_blocks_run_in_the_order_of_their_document(
    document, tmp_path, monkeypatch, capsys, request
):
    toy = TOYS.get(document, Toy())
    if document in OF_TORCH:
        pytest.importorskip("torch")
    if "fit grains" in text_of(document):
        request.getfixturevalue("short_grain_fits")
    if "calibrate" in text_of(document):
        request.getfixturevalue("light_calibrations")
    monkeypatch.chdir(tmp_path)
    toy.made()
    capsys.readouterr()
    names = {"__name__": "document"}
    unused = {old for old, _ in toy.replaced}
    for language, text in blocks(document):
        if is_left_out(document, text):
            continue
        for old, new in toy.replaced:
            unused -= {old} if old in text else set()
            text = text.replace(old, new)
        if language in PYTHON:
            exec(compile(text, document, "exec"), names)
        elif language in SHELL:
            for line in text.splitlines():
                run_line(line.removeprefix("$ "), toy)
        else:
            Path("my.toml").write_text(text)
    printed = capsys.readouterr().out
    assert unused == set()
    assert [name for name in toy.left if not Path(name).is_file()] == []
    assert [part for part in toy.printed if part not in printed] == []
    for value in names.values():  # files that the last block left open
        if hasattr(value, "close"):
            value.close()


def run_line(line, toy):
    """Run a command of ours; of others, check that there is what they ask for."""
    words = shlex.split(line, comments=True)
    if words[:1] == ["cathodegrain"]:
        added = [
            a
            for verb, extra in toy.added.items()
            if line.startswith(f"cathodegrain {verb}")
            for a in extra
        ]
        files = [name for word in words[1:] for name in sorted(glob(word)) or [word]]
        assert main([*files, *added]) == 0, line
    elif words[:1] == ["python"] and words[1].startswith("docs/examples/"):
        # a process of its own: OpenGL loads an LLVM, and torch crashes on its own after
        subprocess.run([sys.executable, ROOT / words[1], *words[2:]], check=True)
    elif words[:1] == ["python"] and words[1].startswith("benchmarks/"):
        has_options(words)
    elif "pip" in words:
        are_extras(words)
    else:
        assert words == [], f"{line!r} is not run"


def are_extras(words):
    """The extras that a pip command asks for are those of this package."""
    known = tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"]
    asked = [re.fullmatch(r"(?:cathodegrain|\.)\[(.*)\]", word) for word in words]
    assert any(asked), words
    assert {name for found in asked if found for name in found[1].split(",")} <= known.keys()


# benchmarks: hours; their options are looked at


def has_options(words):
    """The script of a benchmark is there and has the options."""
    done = subprocess.run(
        [sys.executable, ROOT / words[1], "--help"], capture_output=True, text=True, check=True
    )
    options = [word.split("=")[0] for word in words[2:] if word.startswith("--")]
    assert [name for name in options if not re.search(rf"{name}\b", done.stdout)] == []


BENCHMARKS = sorted(
    {
        found
        for document in DOCUMENTS
        for found in re.findall(r"`(python benchmarks/[^`]*)`", text_of(document))
    }
)


@pytest.mark.parametrize("command", BENCHMARKS)
def test_commands_of_benchmarks_have_the_options_that_are_shown(command):
    has_options(command.split())
