"""Small sections of a known radial law."""

import numpy as np

from cathodegrain.generator.fitting.laws import moment_fit, section_heights
from cathodegrain.generator.fitting.laws.common_seeds import section_labels
from cathodegrain.generator.fitting.laws.law_parameters import GUESS, NAMES, radial_law
from cathodegrain.generator.fitting.laws.section_frames import SectionFrame
from cathodegrain.generator.fitting.sections.section import Section

REFERENCE = 0.003


def theta_of(**values):
    found = GUESS.copy()
    for name, value in values.items():
        found[NAMES.index(name)] = value
    return found


TRUTH = theta_of(lambda_0=0.5, lambda_1=-0.3, rho_0=0.0, rho_1=1.0)


def law_section(number, part=0.0, radius=40.0, theta=TRUTH):
    """Section of a law on a disc, ``part`` of the particle's radius from the centre."""
    flat = radius * np.sqrt(1 - part * part)
    edge = int(flat) + 3
    y, x = np.indices((2 * edge + 1, 2 * edge + 1)) - edge
    centre = (float(edge), float(edge))
    frame = SectionFrame(np.hypot(y, x) <= flat, centre, part * radius, radius)
    labels = section_labels(radial_law(theta, REFERENCE), frame, 11, (50, number))
    return Section(labels, 0.05, centre, f"maps/section-{number}.tif")


def shorten(monkeypatch):
    """Let fits simulate a few sections only: seconds, and no good law."""
    few = moment_fit.Effort(
        rough_groups=1, groups=1, slope_groups=2, rough_replicates=6, replicates=8, rough_steps=1,
        steps=1, chords=1, profile_steps=1, refits=4, held_out_replicates=4,
    )  # fmt: skip
    monkeypatch.setattr(moment_fit, "EFFORT", few)
    monkeypatch.setattr(section_heights, "N_REPLICATES", 8)
