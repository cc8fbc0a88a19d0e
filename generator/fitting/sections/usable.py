"""Whether sections can be fitted together, what to know before, and what identifies them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from .section import FEW_GRAINS, Section

PIXEL_TOLERANCE = 1e-4


def pixel_problems(sections: Sequence[Section]) -> list[str]:
    """Sections whose pixels have another size than those of the first."""
    first = sections[0]
    return [
        f"{section.source} has pixels of {section.pixel_um:g} um, {first.source} of "
        f"{first.pixel_um:g} um; expected the same, resample one of them"
        for section in sections
        if abs(section.pixel_um - first.pixel_um) > PIXEL_TOLERANCE * first.pixel_um
    ]


def twin_problems(sections: Sequence[Section]) -> list[str]:
    """Sections that are given twice."""
    hashes = [labels_sha256(section) for section in sections]
    return [
        f"{section.source} shows the same grains as {sections[first].source}; give each once"
        for k, section in enumerate(sections)
        if (first := hashes.index(hashes[k])) < k
    ]


def warnings(sections: Sequence[Section]) -> list[str]:
    """What a user should know before trusting a fit to these sections."""
    found = [text for section in sections for text in section.warnings]
    n_grains = sum(section.n_grains for section in sections)
    if n_grains < FEW_GRAINS:
        found.append(
            f"{n_grains} grains in all are too few to fit a model to, expected hundreds, at least "
            f"{FEW_GRAINS}; measure more sections"
        )
    return found


def labels_sha256(section: Section) -> str:
    """Hash of what the fit sees of a section: labels, pixel and centre."""
    head = f"{section.labels.shape} {section.pixel_um!r} {section.centre!r} "
    labels = np.ascontiguousarray(section.labels.astype("<i4"))
    return hashlib.sha256(head.encode() + labels.tobytes()).hexdigest()
