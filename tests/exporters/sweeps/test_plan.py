"""What a sweep makes: ids, grid, bases, and what is refused before anything is made."""

import pickle
import re

import pytest

from cathodegrain.exporters.products.particle_folder import create
from cathodegrain.exporters.sweeps.plan import MOST_VARIANTS, planned
from cathodegrain.generator.errors import GenerationError, ModelCardError, RecipeError
from cathodegrain.generator.generate import generate_particle, regenerate
from cathodegrain.generator.model_card import ModelCard

SIZES = {"grains.size_um": [0.3, 0.5]}
SMALL = {"shell.diameter_um": [1.2]}


@pytest.fixture(scope="module")
def parent(tiny_particle, tmp_path_factory):
    return create(tiny_particle, tmp_path_factory.mktemp("parents"))


def ids(plan):
    return [variant.id for variant in plan.variants]


def test_a_particle_is_the_base_of_its_variants(parent):
    plan = planned(parent, SIZES)
    assert ids(plan) == ["p000000", "p000000-size_um-0.3", "p000000-size_um-0.5"]
    assert {v.base for v in plan.variants} == {"p000000"}
    assert [v.is_base for v in plan.variants] == [True, False, False]
    assert plan.variants[0].values == {"grains.size_um": 0.5523}
    assert plan.variants[2].values == {"grains.size_um": 0.5}


def test_several_parameters_make_all_combinations(parent):
    plan = planned(parent, {**SIZES, "grains.metric": ["norm", "squared"]})
    assert len(plan.variants) == 5
    assert ids(plan)[-1] == "p000000-size_um-0.5-metric-squared"


def test_a_point_of_the_grid_that_is_the_base_is_not_made_twice(parent):
    plan = planned(parent, {"grains.size_um": [0.5523, 0.3], "grains.elongation": [1.0, 1.5]})
    assert len(plan.variants) == 1 + 2 * 2 - 1


def test_a_single_value_is_set_in_all_particles(parent, tiny_particle):
    plan = planned(parent, {**SIZES, "grains.elongation": [1.5]})
    assert plan.fixed == {"grains.elongation": 1.5}
    assert ids(plan)[0] == "p000000"
    assert plan.base(0).n_grains == regenerate(tiny_particle, plan.fixed).n_grains


def test_single_values_alone_are_compared_with_the_particle_as_it_is(parent):
    plan = planned(parent, {"grains.elongation": [1.5], "grains.offset_scale": [0.5]})
    assert ids(plan) == ["p000000", "p000000-elongation-1.5-offset_scale-0.5"]
    assert not plan.fixed


def test_models_and_seeds_have_a_base_each():
    plan = planned(None, SIZES | SMALL, ["nmc811-radial", "nmc811-rods"], [3, 5])
    assert len(plan.variants) == 4 * 3
    assert ids(plan)[:2] == ["nmc811-radial-s3-p000000", "nmc811-radial-s3-p000000-size_um-0.3"]
    assert {v.seed for v in plan.variants} == {3, 5}
    assert plan.base(3).shell.diameter_um == pytest.approx(1.2)


def test_models_are_compared_without_a_parameter():
    assert ids(planned(None, {}, ["nmc811-radial", "nmc811-rods"])) == [
        "nmc811-radial-s0-p000000", "nmc811-rods-s0-p000000",
    ]  # fmt: skip


def test_names_are_safe_on_every_file_system(parent, tmp_path):
    values = {"grains.tilt_deg": [None, 5, 1e-7], "orientations.model": ["none", "uniform"]}
    card = ModelCard.load("nmc811-rods").save(tmp_path / "Mine & yours: (2).json")
    plan = planned(None, values, [card, "nmc811-rods"], [0])
    assert len({name.lower() for name in ids(plan)}) == len(plan.variants)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]", name) for name in ids(plan))


def test_what_a_task_carries_is_small(parent):
    many = {"grains.size_um": [0.2 + 0.001 * k for k in range(300)]}
    plan = planned(parent, many)
    assert len(plan.variants) == 301
    assert len(pickle.dumps(plan)) < 30_000
    assert pickle.loads(pickle.dumps(plan)).variants == plan.variants


@pytest.mark.parametrize(
    ("parameters", "error", "words"),
    [
        ({"grains.diameter": [0.2]}, ModelCardError, r"did you mean 'grains\.size_um'"),
        ({"grains.intenstiy": [1]}, ModelCardError, r"did you mean 'grains\.intensity'"),
        ({"grains.size_um": [0.2, "big"]}, ModelCardError, "is 'big', expected a mean diameter"),
        ({"grains.elongation": [1, "x"]}, ModelCardError, "'x' is not of type"),
        ({"grains.size_um": []}, ModelCardError, r"grains\.size_um has no value"),
        ({"grains.size_um": [0.2, 0.2]}, ModelCardError, r"0\.2 stands twice"),
        ({"grains.size_um": [0.3, 9]}, GenerationError, r"size_um 9 exceeds the diameter .* 1\.2"),
        ({"grains.scale": [0.5, 9]}, GenerationError, r"size_um 4\.97\d* exceeds the diameter"),
        (
            {"grains.size_um": [0.3, 0.4], "grains.scale": [1, 2]},
            ModelCardError,
            "both set, expected one",
        ),
        ({}, GenerationError, "nothing is varied; give --set"),
        (
            {"grains.size_um": [0.2 + k / 1e3 for k in range(60)],
             "grains.elongation": [1 + k / 100 for k in range(60)]},
            ModelCardError,
            rf"60 values of grains\.size_um x 60 values .* make 3600 .* at most {MOST_VARIANTS}",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_sentence(parent, parameters, error, words):
    with pytest.raises(error, match=words):
        planned(parent, parameters)


def test_sources_are_a_particle_or_models(parent, tmp_path):
    for more in ({"models": ["nmc811"]}, {"seeds": [1]}):
        with pytest.raises(GenerationError, match="not both"):
            planned(parent, SIZES, **more)
    with pytest.raises(ModelCardError, match="two models are called 'nmc811'"):
        planned(None, SIZES, ["nmc811", "nmc811"])
    with pytest.raises(RecipeError, match="expected the folder of a particle"):
        planned(tmp_path, SIZES)


def test_the_base_is_drawn_like_any_particle(card):
    plan = planned(None, SIZES | SMALL, [card], [7])
    again = generate_particle(card.with_parameters({"shell.diameter_um": 1.2}), 7)
    assert (plan.base(0).tessellation.table == again.tessellation.table).all()
