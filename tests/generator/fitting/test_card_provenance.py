import copy

import pytest

from cathodegrain.generator.fitting.card_provenance import fitted_on, limits
from cathodegrain.generator.model_card import ModelCard, shipped_cards


def card_of(name, text, *limits):
    base = ModelCard.load("nmc811")
    document = copy.deepcopy(dict(base.document))
    document |= {"name": name, "fitted_on": text, "limits": list(limits)}
    return ModelCard(document, base.folder)


@pytest.mark.parametrize("name", shipped_cards())
def test_shells_of_shipped_cards_say_nothing_of_the_phantom_that_the_grains_are(name):
    card = ModelCard.load(name)
    shell = [fitted_on(card, "Shell"), *limits(card, "Shell")]
    grains = [fitted_on(card, "Grains"), *limits(card, "Grains")]
    assert not any("phantom" in text for text in shell)
    of_a_phantom = name not in ("nmc811-ebsd598", "nmc811-rods")
    assert (sum("phantom" in text for text in grains) >= 2) == of_a_phantom
    assert len(shell) + len(grains) == len(card.document["limits"]) + 2
    for half, texts in {"Shell": shell, "Grains": grains}.items():
        assert all(text.startswith(f"{half}, as in the model {name}") for text in texts)


def test_a_half_that_was_taken_twice_says_whose_it_is():
    shells = card_of(
        "my-grains",
        "Shell: 80 particles of a.tif. Grains, as in the model nmc811: of a phantom.",
        "Shell: voxels of grains.tif are coarse.",
        "Grains, as in the model nmc811: a phantom.",
    )
    both = card_of("both", f"Grains: b.ctf. {fitted_on(shells, 'Shell')}", *limits(shells, "Shell"))
    told = "Shell, as in the model both, as in the model my-grains: "
    assert fitted_on(both, "Shell") == told + "80 particles of a.tif."
    assert limits(both, "Shell") == [told + "voxels of grains.tif are coarse."]
    assert limits(both, "Grains") == []
    assert fitted_on(both, "Grains") == "Grains, as in the model both: b.ctf."


def test_words_that_do_not_tell_the_halves_apart_are_left_whole():
    free = card_of("free", "Our scan and our maps of 2024.")
    told = "Shell, as in the model free, whose card says: Our scan and our maps of 2024."
    assert fitted_on(free, "Shell") == told
    again = fitted_on(card_of("again", f"Grains: b.ctf. {told}"), "Shell")
    assert again == told.replace("model free", "model again, as in the model free")
