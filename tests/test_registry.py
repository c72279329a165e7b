"""The registry, which is also the specification of "did you mean"."""

import pytest

from harness_circuits.errors import CircuitError, UnknownNameError
from harness_circuits.registry import Registry, unknown_name


@pytest.fixture
def colours() -> Registry[int]:
    registry: Registry[int] = Registry("colour")
    for number, name in enumerate(("red", "Green", "blue-green")):
        registry.register(name)(number)
    return registry


def test_items_are_found_and_listed_in_order_of_registration(colours: Registry[int]) -> None:
    assert list(colours) == ["red", "Green", "blue-green"]
    assert colours.get("Green") == 1
    assert "red" in colours
    assert "yellow" not in colours
    assert 3 not in colours


def test_register_decorates_and_returns_the_item() -> None:
    functions: Registry[object] = Registry("function")

    @functions.register("double")
    def double(x: int) -> int:
        return 2 * x

    assert functions.get("double") is double
    assert double(2) == 4


def test_a_name_is_taken_once(colours: Registry[int]) -> None:
    with pytest.raises(ValueError, match="colour 'red' is registered twice"):
        colours.register("red")(9)
    assert colours.get("red") == 0


def test_a_miss_names_the_closest_and_all_known(colours: Registry[int]) -> None:
    with pytest.raises(UnknownNameError) as caught:
        colours.get("green")
    assert str(caught.value) == (
        "Unknown colour 'green'. Did you mean 'Green'? Known: red, Green, blue-green."
    )


def test_a_miss_with_nothing_close_does_not_guess() -> None:
    assert unknown_name("method", "zzz", ["EAP"]) == "Unknown method 'zzz'. Known: EAP."


def test_a_miss_is_a_user_error_and_a_lookup_error(colours: Registry[int]) -> None:
    for kind in (CircuitError, LookupError):
        with pytest.raises(kind):
            colours.get("gren")


@pytest.mark.parametrize("typo", ["rde", "RED", "red "])
def test_case_and_small_slips_are_recognised(colours: Registry[int], typo: str) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'red'"):
        colours.get(typo)


def test_a_name_of_another_type_is_a_miss_too(colours: Registry[int]) -> None:
    with pytest.raises(UnknownNameError, match="Unknown colour 5"):
        colours.get(5)  # type: ignore[arg-type]
