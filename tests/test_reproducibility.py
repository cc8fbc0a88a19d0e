"""The promises: a recipe gives the same labels anywhere, a card the same recipe on any CPU.

A table of grains has the same bytes on any CPU.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cathodegrain.generator.generate import generate_particle
from cathodegrain.generator.model_card import ModelCard
from cathodegrain.generator.streams import DRAWS
from cathodegrain.generator.voxels.grid import Grid
from cathodegrain.generator.voxels.labelling import label_grid
from places import HELPERS, ROOT

CASES = {
    "plain": (0, {"shell.diameter_um": 2.6}),
    "squared": (1, {"shell.diameter_um": 2.0, "grains.metric": "squared"}),
    "oriented": (
        2,
        {"shell.diameter_um": 2.3, "orientations.model": "radial", "shell.roughness": 1.2},
    ),
}


def digest(*arrays):
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def hashes(particle):
    """Hash of everything in the recipe, and of the labels at 50 nm."""
    t = particle.tessellation
    more = [part for part in (particle.axes, particle.orientations) if part is not None]
    recipe = digest(
        particle.shell.coefficients, t.seeds, t.matrices, t.offsets, particle.diagonals,
        particle.angles, particle.origin, *more,
    )  # fmt: skip
    return recipe, digest(label_grid(particle, Grid.around(particle.shell.radius_bounds[1], 0.05)))


FILE = json.loads((ROOT / "tests/golden_hashes.json").read_text())
GOLDEN = FILE["particles"]
FIRST = 5  # the particles had changed four times before their draws had a number


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("model", GOLDEN)
def test_particles_are_the_published_ones(model, name):
    index, changes = CASES[name]
    card = ModelCard.load(model).with_parameters(changes)
    particle = generate_particle(card, seed=7, index=index)
    assert list(hashes(particle)) == GOLDEN[model][name]


def test_other_particles_have_another_number_of_draws_and_an_entry_in_the_changelog():
    seal = hashlib.sha256(json.dumps(GOLDEN, sort_keys=True).encode()).hexdigest()
    seals = FILE["draws"]  # of the particles of every number, the last are those of this file
    assert list(seals) == [str(number) for number in range(FIRST, DRAWS + 1)]
    assert seals[str(DRAWS)] == seal, (
        "the particles changed: raise DRAWS in generator/streams.py, add its seal "
        f"{seal} to golden_hashes.json, write 'Recipes change (draws N)' in CHANGELOG.md"
    )
    assert len(set(seals.values())) == len(seals)
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    for number in range(FIRST, DRAWS + 1):
        assert f"Recipes change (draws {number})" in changelog


SCRIPT = """
import json, tempfile
from functools import partial
from pathlib import Path
import numpy as np
from cathodegrain.generator.model_card import ModelCard
from cathodegrain.generator.streams import stream
from cathodegrain.generator.markers.marker_net import MarkerNet
from cathodegrain.generator.generate import generate_particle
from cathodegrain.exporters.products import grain_table
from test_reproducibility import CASES, GOLDEN, digest, hashes
found = {}
for model in GOLDEN:
    card = ModelCard.load(model)
    found[model] = {
        name: hashes(generate_particle(card.with_parameters(changes), 7, index))
        for name, (index, changes) in CASES.items()
    }
with tempfile.TemporaryDirectory() as folder:
    table = Path(folder) / "grain_table.h5"
    grain_table.write(generate_particle(card, 7, 0), table, pitch_um=0.1)
    found["table of grains"] = digest(np.frombuffer(table.read_bytes(), np.uint8))
shells = [card.shell.sample(partial(stream, 7, k, "shell")).shell for k in range(20)]
found["bounds of shells"] = digest(*(shell.table[:3] for shell in shells))
rng = np.random.default_rng(0)
shapes = [(128, 60), (128, 128), (64, 128), (4, 64)]
net = MarkerNet(weights=tuple(rng.uniform(-1, 1, s) * 2 / np.sqrt(s[1]) for s in shapes),
                biases=tuple(rng.uniform(-1, 1, s[0]) / 2 for s in shapes))
object.__setattr__(card, "__dict__", card.__dict__ | {"marker_law": net})
found["random net"] = hashes(generate_particle(card, 7, 0))[:1]
raw = net.forward(rng.uniform(-1, 1, (5000, 60)))
print(json.dumps([found, digest(raw)]))
"""

KERNELS = {
    "as is": {},
    "no SIMD beyond SSE": {
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX "
        "AVX512_CNL AVX512_ICL AVX512_SPR",
        "OPENBLAS_CORETYPE": "NEHALEM",
        "NUMBA_CPU_NAME": "generic",
    },
    "one more BLAS": {"OPENBLAS_CORETYPE": "SANDYBRIDGE", "NUMBA_CPU_NAME": "nehalem"},
}


def run(environment, tmp_path):
    settings = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(HELPERS)]),
        "PYTHONWARNINGS": "ignore",  # numpy warns of features that this CPU does not have
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    settings.pop("OPENBLAS_CORETYPE", None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=settings | environment, text=True, check=True,
        stdout=subprocess.PIPE, timeout=800,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.slow
def test_recipes_and_tables_do_not_depend_on_the_kernels_of_the_cpu(tmp_path):
    found = {name: run(kernels, tmp_path / name) for name, kernels in KERNELS.items()}
    recipes = [recipe for recipe, _ in found.values()]
    assert all(recipe == recipes[0] for recipe in recipes)
    assert {k: recipes[0][k] for k in GOLDEN} == GOLDEN
    # the settings did change the arithmetic: without rounding the bits would differ
    assert len({raw for _, raw in found.values()}) > 1
