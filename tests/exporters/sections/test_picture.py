from dataclasses import replace

import numpy as np
import pytest

from cathodegrain.exporters.sections import picture as section_report
from cathodegrain.generator.errors import ExportError
from sections import plane, voronoi

image = pytest.importorskip("matplotlib.image")


def test_the_picture_shows_a_kept_and_a_rejected_section(tmp_path, small_particle, rng):
    sections = [plane(small_particle, 0.0), voronoi(rng, 40)]
    path = section_report.write(sections, tmp_path / "sections.png")
    picture = image.imread(path)
    assert picture.shape[:2] == (section_report.PART_A + 2 * section_report.ROW, 1600)
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 1000
    again = section_report.write(sections, tmp_path / "again.png")
    assert path.read_bytes() == again.read_bytes()


def test_sections_of_one_kind_take_one_row(tmp_path, rng):
    path = section_report.write([voronoi(rng, 40)], tmp_path / "sections.png")
    assert image.imread(path).shape[0] == section_report.PART_A + section_report.ROW


def test_a_section_with_crystals_has_a_row_of_them(tmp_path, rng):
    section = voronoi(rng, 40)
    plain, other = (rng.normal(size=(section.n_grains, 4)) for _ in range(2))
    paths = []
    for k, q in enumerate((plain, other)):
        q = q / np.linalg.norm(q, axis=1, keepdims=True)
        paths.append(tmp_path / f"{k}.png")
        section_report.write([replace(section, orientations=q)], paths[-1])
    first, second = (image.imread(path) for path in paths)
    assert first.shape[0] == section_report.PART_A + 2 * section_report.ROW
    top = section_report.PART_A + section_report.ROW
    np.testing.assert_array_equal(first[:top], second[:top])
    assert (first[top:] != second[top:]).any()


def test_no_section_is_refused(tmp_path):
    with pytest.raises(ExportError, match="there are 0 sections to draw"):
        section_report.write([], tmp_path / "sections.png")


def test_a_name_is_drawn_as_it_is_and_never_as_a_formula(tmp_path, rng):
    spiteful = replace(voronoi(rng, 40), source="$\\frac$\udcff.tif")
    path = section_report.write([spiteful], tmp_path / "sections.png")
    assert path.is_file()
