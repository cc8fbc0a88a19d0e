"""The command line: every command, by name.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import cyclopts

from ..files.provenance import version
from . import (
    calibrate,
    dataset,
    dataset_delivery,
    fit_grains,
    fit_shell,
    listings,
    mesh,
    particles,
    sections,
    sweep,
)

app = cyclopts.App(
    name="cathodegrain",
    help="Virtual NMC811 cathode particles: voxels, grain surfaces, FE meshes.",
    version=lambda: version("cathodegrain"),
    suppress_keyboard_interrupt=False,
)
app.command(particles.generate)
app.command(particles.regenerate)
app.command(sweep.sweep)
app.command(particles.export)
app.command(mesh.mesh)
app.command(particles.report)
app.command(particles.info)
app.command(particles.validate)
app.command(listings.formats)
app.command(listings.parameters)
app.command(sections.section)
app.command(sections.phantom)

fit = cyclopts.App(name="fit", help="Fit a model to measured data.")
fit.command(fit_shell.shell)
fit.command(fit_grains.grains)
app.command(fit)

calibration = cyclopts.App(name="calibrate", help="Calibrate a model to published numbers.")
calibration.command(calibrate.grains)
app.command(calibration)

datasets = cyclopts.App(name="dataset", help="Build, check, deliver and index datasets.")
datasets.command(dataset.build)
datasets.command(dataset.verify)
datasets.command(dataset.index)
datasets.command(dataset_delivery.describe)
datasets.command(dataset_delivery.fetch)
datasets.command(dataset_delivery.pack)
app.command(datasets)
