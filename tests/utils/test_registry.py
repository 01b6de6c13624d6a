"""Names that nobody registered: the message is short, and names what was meant."""

import pytest

from slowfast.utils.registry import Registry, nearest


def test_few_names_are_listed():
    assert nearest("rde", ["green", "red"]) == "Known: green, red. Did you mean 'red'?"
    assert nearest("xyz", ["green", "red"]) == "Known: green, red."
    assert nearest("xyz", []) == "Known: none."


def test_of_many_names_only_those_that_are_meant():
    names = [f"zoo_{kind}_{size}" for kind in ("moco", "byol") for size in range(30)]
    assert nearest("zoo_moco_77", names) == "60 are known. Did you mean 'zoo_moco_7'?"
    assert nearest("qqqqqq", names) == "60 are known."


def test_a_part_of_a_name_finds_all_that_have_it():
    names = ["zoo_moco_rho2", "zoo_moco_rho4", "mocha"]
    assert nearest("MoCo", names).endswith("Did you mean 'zoo_moco_rho2' or 'zoo_moco_rho4'?")
    assert nearest("o", names).endswith("rho4.")  # too little to go by


def test_an_unknown_name_is_a_key_error_that_names_the_key():
    colors = Registry("color", "MODEL.COLOR")
    colors.register(lambda: None)
    with pytest.raises(KeyError, match=r"MODEL.COLOR: unknown color 'red'. Known: <lambda>."):
        colors.get("red")


def test_one_builder_under_several_names():
    colors = Registry("color", "MODEL.COLOR")

    @colors.register_as("Red", "PTVRed")
    def red():
        return (255, 0, 0)

    assert colors.names() == ["PTVRed", "Red"]
    assert colors.get("PTVRed") is red


def test_a_registration_says_what_its_entry_can_do():
    colors = Registry("color", "MODEL.COLOR", is_dark=False)

    @colors.register(is_dark=True)
    def navy():
        return (0, 0, 128)

    colors.register_as("White")(lambda: (255, 255, 255))
    assert navy() == (0, 0, 128)
    assert colors.capability("navy", "is_dark") is True
    assert colors.capability("White", "is_dark") is False
    with pytest.raises(KeyError, match="unknown color 'black'"):
        colors.capability("black", "is_dark")
    with pytest.raises(TypeError, match=r"unknown capability 'dark'. Known: is_dark"):
        colors.register(dark=True)(lambda: None)


def test_a_name_is_registered_once():
    colors = Registry("color", "MODEL.COLOR")
    colors.register_as("red")(lambda: None)
    with pytest.raises(ValueError, match="color registry: 'red' is registered twice"):
        colors.register_as("red")(lambda: None)
