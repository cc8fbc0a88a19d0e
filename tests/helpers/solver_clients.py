"""The programs that read our files: whether they are here, how to run them.

A client that is not installed skips its tests, or fails them if the environment says
CATHODEGRAIN_CLIENTS=required, as continuous integration does.
"""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from tempfile import TemporaryDirectory

import numpy as np
import pytest

SYSTEM_PYTHON = "/usr/bin/python3"  # of the distribution, with its dolfinx and getfem
PYTHONS = {"fenicsx": SYSTEM_PYTHON, "getfem": SYSTEM_PYTHON}
MODULES = {"fenicsx": "dolfinx", "mfem": "mfem.ser", "scikit-fem": "skfem"}


def need(present, what):
    """Skip or fail unless a client is there."""
    if present:
        return
    message = f"{what} is not installed"
    if os.environ.get("CATHODEGRAIN_CLIENTS") == "required":
        pytest.fail(message)
    pytest.skip(message)


def need_program(name):
    need(shutil.which(name) is not None, name)


def need_module(profile):
    """Require the Python module of a profile; return the interpreter that has it."""
    python = PYTHONS.get(profile, sys.executable)
    module = MODULES.get(profile, profile)
    # the right profile's module runs, not only exists: shared libraries may be missing
    found = (
        shutil.which(python)
        and not subprocess.run(
            [python, "-c", f"import {module}"], capture_output=True, timeout=120
        ).returncode
    )
    need(found, f"{module} of {python}")
    return python


def run(argv, folder, **environment):
    """Standard output of a program that must succeed."""
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **environment}
    done = subprocess.run(
        list(map(str, argv)), cwd=folder, env=variables, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@cache
def compiled_forms():
    """Folder for what dolfinx compiles: one for all tests, not the user's."""
    return TemporaryDirectory(prefix="compiled-forms-")


def run_script(profile, folder, name):
    """Numbers that a deck prints, by their names."""
    output = run([need_module(profile), f"{name}.py"], folder, XDG_CACHE_HOME=compiled_forms().name)
    found = re.findall(
        r"^([a-z ]+): (\S+) (.*)$", output.replace("integral of u", "integral"), re.M
    )
    return {key: float(value) for key, value, _ in found}


def run_calculix(folder, job, n_columns):
    """Nodal values (n, n_columns) that CalculiX prints, in the order of the nodes."""
    need_program("ccx")
    output = run(["ccx", "-i", job], folder)
    assert "*ERROR" not in output
    assert "*WARNING" not in output
    rows = [line.split() for line in (folder / f"{job}.dat").read_text("ascii").splitlines()]
    rows = [row for row in rows if len(row) == 1 + n_columns and row[0].isdigit()]
    table = np.array(rows, float)
    assert table[:, 0].tolist() == list(range(1, len(table) + 1))
    return table[:, 1:]
