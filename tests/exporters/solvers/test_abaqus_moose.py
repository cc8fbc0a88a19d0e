"""Decks of programs that are not here to run them: Abaqus and MOOSE, read independently."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from abaqus_deck import read_deck
from cathodegrain.exporters.mesh.cohesive import split
from cathodegrain.exporters.mesh.second_order import second_order
from cathodegrain.exporters.solvers.folder import write_for
from cathodegrain.generator.errors import ExportError
from finite_elements import conduction, jumps, solved, source

# nodes of the faces S1 to S4 of C3D4, as the Abaqus manual lists them
ABAQUS_FACES = {1: (1, 2, 3), 2: (1, 4, 2), 3: (2, 4, 3), 4: (3, 4, 1)}


@pytest.fixture(scope="module")
def write(crystals, tmp_path_factory):
    particle, mesh = crystals

    def written(profile, mesh=mesh, **options):
        folder = tmp_path_factory.mktemp(profile) / "deck"
        options = {"orientations": particle.orientations, **options}
        write_for(mesh, folder, profile, **options)
        return folder

    return written


@pytest.mark.parametrize("profile", ["abaqus", "calculix"])
def test_a_deck_gives_back_the_mesh_with_its_sets(profile, write, crystals):
    _, mesh = crystals
    deck = read_deck(write(profile) / "expansion.inp")
    points = np.array([deck.nodes[n] for n in range(1, len(mesh.points) + 1)])
    np.testing.assert_allclose(points, mesh.points, rtol=1e-13, atol=1e-20)
    assert [deck.elements[e] for e in range(1, len(mesh.tets) + 1)] == [
        ("C3D4", [n + 1 for n in tet]) for tet in mesh.tets.tolist()
    ]
    for g in np.unique(mesh.grain_ids).tolist():
        rows = 1 + np.flatnonzero(mesh.grain_ids == g)
        assert deck.element_sets[f"GRAIN_{g:05d}"] == rows.tolist()
    assert deck.element_sets["GRAINS"] == list(range(1, len(mesh.tets) + 1))
    for name, triangles in (("OUTER", mesh.outer), ("GRAIN_BOUNDARY", mesh.grain_boundary)):
        assert deck.node_sets[name] == (1 + np.unique(triangles)).tolist()
        faces = []
        for element, face in deck.surfaces[name]:
            nodes = deck.elements[element][1]
            faces.append(tuple(sorted(nodes[k - 1] for k in ABAQUS_FACES[face])))
        assert sorted(faces) == sorted(tuple(sorted(t)) for t in (1 + triangles).tolist())


def test_every_element_has_one_section_whose_axes_are_rows_of_q(write, crystals):
    particle, mesh = crystals
    deck = read_deck(write("abaqus") / "expansion.inp")
    assert set(deck.sections) == {f"GRAIN_{g:05d}" for g in np.unique(mesh.grain_ids)}
    rotations = Rotation.from_quat(particle.orientations, scalar_first=True)
    for name, section in deck.sections.items():
        crystal = rotations[int(name[-5:]) - 1]
        a_and_b = deck.orientations[section.parameters["ORIENTATION"]]
        np.testing.assert_allclose(a_and_b, crystal.apply(np.eye(3)[:2]), atol=1e-11)
        assert section.parameters["MATERIAL"] in deck.materials


def test_abaqus_conducts_in_elements_for_heat_transfer(write):
    folder = write("abaqus")
    heat, stress = (read_deck(folder / f"{name}.inp") for name in ("diffusion", "expansion"))
    assert {kind for kind, _ in heat.elements.values()} == {"DC3D4"}
    assert {e: nodes for e, (_, nodes) in heat.elements.items()} == {
        e: nodes for e, (_, nodes) in stress.elements.items()
    }
    names = [word.name for word in heat.words]
    assert names[0] == "HEADING"
    assert names[-1] == "END STEP"
    for before, after in pairwise(["NODE", "ELEMENT", "MATERIAL", "STEP", "HEAT TRANSFER"]):
        assert names.index(before) < names.index(after)
    used = {row[0] for word in heat.words for row in word.data if word.name == "BOUNDARY"}
    assert used == {"OUTER"}


def test_isotropic_decks_have_no_orientation_and_say_so(write):
    folder = write("abaqus", orientations=None)
    deck = read_deck(folder / "expansion.inp")
    assert not deck.orientations
    assert not any("ORIENTATION" in s.parameters for s in deck.sections.values())
    assert [word.parameters.get("TYPE") for word in deck.materials["NMC811"]] == [None] * 3
    for path in folder.glob("*.inp"):
        assert "no orientations: the material is isotropic" in path.read_text("ascii"), path
    assert not (folder / "orientations.csv").exists()


def test_ten_node_elements_have_their_middles_where_abaqus_wants_them(write, crystals):
    particle, mesh = crystals
    curved = second_order(mesh, particle)
    deck = read_deck(write("abaqus", curved) / "expansion.inp")
    off = []
    for kind, nodes in deck.elements.values():
        assert kind == "C3D10"
        x = np.array([deck.nodes[n] for n in nodes])
        for middle, (a, b) in enumerate([(0, 1), (1, 2), (2, 0), (0, 3), (1, 3), (2, 3)], start=4):
            length = np.linalg.norm(x[a] - x[b])
            off.append(np.linalg.norm(x[middle] - (x[a] + x[b]) / 2) / length)
    assert max(off) < 0.26
    assert np.median(off) < 1e-12


def test_cohesive_elements_point_from_the_lower_to_the_higher_grain(write, crystals):
    _, mesh = crystals
    apart = split(mesh)
    folder = write("abaqus", apart)
    deck = read_deck(folder / "expansion.inp")
    cohesive = deck.element_sets["COHESIVE"]
    assert len(cohesive) == len(mesh.grain_boundary)
    assert {deck.elements[e][0] for e in cohesive} == {"COH3D6"}
    assert sum(len(rows) for name, rows in deck.element_sets.items() if name[:3] == "GB_") == len(
        cohesive
    )
    area, centre, used = 0.0, {}, {}
    for name, rows in deck.element_sets.items():
        if name[:6] == "GRAIN_":
            used[name] = {n for e in rows for n in deck.elements[e][1]}
            for e in rows:
                nodes = deck.elements[e][1]
                middle = np.mean([deck.nodes[n] for n in nodes], axis=0)
                for face in ABAQUS_FACES.values():
                    centre[frozenset(nodes[k - 1] for k in face)] = middle
    for name, rows in deck.element_sets.items():
        if name[:3] == "GB_":
            low, high = name[3:8], name[9:]
            assert low < high
            for e in rows:
                nodes = deck.elements[e][1]
                bottom, top = nodes[:3], nodes[3:]
                assert set(bottom) <= used[f"GRAIN_{low}"]
                assert set(top) <= used[f"GRAIN_{high}"]
                x = np.array([deck.nodes[n] for n in bottom])
                np.testing.assert_array_equal(x, [deck.nodes[n] for n in top])
                normal = np.cross(x[1] - x[0], x[2] - x[0]) / 2
                assert normal @ (centre[frozenset(bottom)] - x[0]) < 0
                assert normal @ (centre[frozenset(top)] - x[0]) > 0
                area += np.linalg.norm(normal)
    a, b, c = (mesh.points[mesh.grain_boundary[:, k]] for k in range(3))
    assert area == pytest.approx(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)
    section = deck.sections["COHESIVE"].parameters
    assert section["RESPONSE"] == "TRACTION SEPARATION"
    law = deck.materials[section["MATERIAL"]]
    assert [word.name for word in law] == ["ELASTIC", "DAMAGE INITIATION", "DAMAGE EVOLUTION"]
    assert not (folder / "diffusion.inp").exists()
    assert len(deck.surfaces["OUTER"]) == len(mesh.outer)
    assert len(deck.surfaces["GRAIN_BOUNDARY"]) == len(mesh.grain_boundary)


def test_stiff_cohesive_elements_of_a_deck_converge_to_the_bonded_mesh(write, crystals):
    _, mesh = crystals
    load = source(mesh.points, mesh.tets)
    identity = np.broadcast_to(np.eye(3), (len(mesh.tets), 3, 3))
    bonded = load @ solved(conduction(mesh.points, mesh.tets, identity), load, mesh.outer)

    apart = split(mesh)
    folder = write("abaqus", apart)
    deck = read_deck(folder / "expansion.inp")
    points = np.array([deck.nodes[n] for n in range(1, len(deck.nodes) + 1)])
    nodes = {kind: [] for kind in ("C3D4", "COH3D6")}
    for kind, element in deck.elements.values():
        nodes[kind].append(element)
    tets, wedges = (np.array(rows) - 1 for rows in nodes.values())
    held = np.array(deck.node_sets["OUTER"]) - 1
    bulk, between, load = (
        conduction(points, tets, identity),
        jumps(points, wedges),
        source(points, tets),
    )
    errors = np.array(
        [load @ solved(bulk + k * between, load, held) / bonded - 1 for k in (1e3, 1e4, 1e5, 1e6)]
    )
    assert (errors > 0).all()
    assert errors[0] < 0.1
    np.testing.assert_allclose(errors[:-1] / errors[1:], 10, rtol=0.1)


def test_cohesive_elements_that_do_not_fit_are_refused(write, crystals, tmp_path):
    _, mesh = crystals
    apart = split(mesh)
    wedges, pairs = apart.wedges, apart.wedge_pairs
    target = tmp_path / "deck"
    whole = replace(apart, points=mesh.points, tets=mesh.tets, parent=np.arange(len(mesh.points)))
    cases = [
        (apart, "calculix", wedges, pairs, "MOOSE .* split a bonded mesh themselves"),
        (apart, "abaqus", wedges + len(apart.points), pairs, "name nodes up to"),
        (apart, "abaqus", wedges, pairs[:, ::-1], "lower grain id first"),
        (apart, "abaqus", wedges[:, [0, 1, 2, 4, 3, 5]], pairs, "different places"),
        (apart, "abaqus", np.roll(wedges, 1, axis=1), pairs, "not a free face of grain"),
        (apart, "abaqus", wedges[:, [1, 0, 2, 4, 3, 5]], pairs, "expected out of it; exchange"),
        (whole, "abaqus", np.tile(mesh.grain_boundary, 2), pairs, "mesh that was split"),
    ]
    for mesh_given, profile, nodes, ids, message in cases:
        with pytest.raises(ExportError, match=message):
            write_for(replace(mesh_given, wedges=nodes, wedge_pairs=ids), target, profile)
    assert list(tmp_path.iterdir()) == []


def test_cracks_of_a_discontinuous_mesh_are_no_outer_surface(write, crystals):
    _, mesh = crystals
    deck = read_deck(write("abaqus", split(mesh).without_wedges()) / "expansion.inp")
    assert len(deck.surfaces["OUTER"]) == len(mesh.outer)


def moose(path):
    """Blocks of a MOOSE input file, {"Mesh/particle": {"type": ...}}, expressions evaluated."""
    lines, variables, blocks, place = iter(path.read_text("ascii").splitlines()), {}, {}, []
    for line in lines:
        text = line.partition("#")[0].strip()
        if not text:
            continue
        if text == "[]":
            place.pop()
        elif text[0] == "[":
            place.append(text.strip("[]"))
            blocks["/".join(place)] = {}
        else:
            name, value = (part.strip() for part in text.split("=", 1))
            value = value.strip("'")
            if not place:
                variables[name] = value
                continue
            value = re.sub(r"\$\{fparse ([^}]*)\}", lambda m: _evaluated(m[1], variables), value)
            value = re.sub(r"\$\{(\w+)\}", lambda m: variables[m[1]], value)
            blocks["/".join(place)][name] = value
    assert not place
    return blocks


def _evaluated(expression, variables):
    """Sum of products such as D_1*(0.2)+D_2*(-0.1)."""
    terms = re.findall(r"(\w+)\*\(([^)]*)\)", expression)
    assert "+".join(f"{name}*({number})" for name, number in terms) == expression
    return repr(sum(float(variables[name]) * float(number) for name, number in terms))


def numbers(text):
    return np.array(text.split(), float)


def test_moose_gets_the_tensors_of_every_grain(write, crystals):
    particle, mesh = crystals
    folder = write("moose")
    diffusion, expansion = (moose(folder / f"{name}.i") for name in ("diffusion", "expansion"))
    rotations = Rotation.from_quat(particle.orientations, scalar_first=True).as_matrix()
    grains = np.unique(mesh.grain_ids).tolist()
    for g in grains:
        r = rotations[g - 1]
        kernel = diffusion[f"Kernels/diffusion_{g:05d}"]
        assert kernel["block"] == f"grain_{g:05d}"
        tensor = r @ np.diag([0.01, 0.01, 0.0001]) @ r.T
        np.testing.assert_allclose(numbers(kernel["tensor_coeff"]), tensor.ravel(), atol=1e-13)
        swelling = r @ np.diag([-0.01, -0.01, -0.03]) @ r.T
        strain = numbers(expansion[f"Materials/swelling_{g:05d}"]["eigen_base"])
        np.testing.assert_allclose(
            strain, swelling[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], atol=1e-13
        )
        elasticity = expansion[f"Materials/elasticity_{g:05d}"]
        np.testing.assert_allclose(numbers(elasticity["rotation_matrix"]), r.ravel(), atol=1e-11)
        assert len(numbers(elasticity["C_ijkl"])) == 9
    assert sum("diffusion_" in name for name in diffusion) == len(grains)
    assert diffusion["BCs/outer"]["boundary"] == "outer"
    fixed = [expansion[f"BCs/{axis}"]["boundary"].split() for axis in "xyz"]
    assert [len(names) for names in fixed] == [1, 2, 3]


def test_moose_takes_one_isotropic_material(write):
    folder = write("moose", orientations=None)
    kernel = moose(folder / "diffusion.i")["Kernels/diffusion"]
    assert "block" not in kernel
    np.testing.assert_allclose(numbers(kernel["tensor_coeff"]), 0.0067 * np.eye(3).ravel())
    elasticity = moose(folder / "expansion.i")["Materials/elasticity"]
    c11, c12, *_, c44, c55, c66 = numbers(elasticity["C_ijkl"])
    assert c44 == c55 == c66 == pytest.approx((c11 - c12) / 2, rel=1e-9)
