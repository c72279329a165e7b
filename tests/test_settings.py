"""Settings from flat arguments: what they become, and what is refused before a model is loaded."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.circuits.sizes import MIB_SIZES, parse_sizes
from harness_circuits.errors import CircuitError, OptionError, UnknownNameError
from harness_circuits.options.fields import SETTINGS
from harness_circuits.options.kinds import Memory, Whole
from harness_circuits.settings import Settings


def refused(arguments: dict[str, Any]) -> str:
    with pytest.raises(CircuitError) as error:
        Settings.from_arguments(arguments)
    assert isinstance(error.value, (OptionError, UnknownNameError))
    return str(error.value)


def test_no_arguments_are_the_defaults() -> None:
    settings = Settings.from_arguments({})
    assert settings == Settings()
    assert settings.method == "EAP-IG-inputs"
    assert settings.sizes == MIB_SIZES
    assert settings.to_dict()["method_options"] == {"ig_steps": 5, "ig_rule": "left"}


def test_arguments_are_sorted_by_owner() -> None:
    settings = Settings.from_arguments(
        {"method": "EAP-IG-inputs", "ig_steps": 7, "sizes": "0.1:1", "max_memory": "2GB", "seed": 3}
    )
    assert settings.method_options == {"ig_steps": 7}
    assert settings.selection_options == {}
    assert settings.sizes == (0.1, 1.0)
    assert settings.max_memory == 2 * 2**30
    assert settings.seed == 3
    data = settings.to_dict()
    assert data["method_options"] == {"ig_steps": 7, "ig_rule": "left"}
    assert json.loads(json.dumps(data)) == data


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().method = "EAP"  # type: ignore[misc]


def test_a_method_with_a_seed_gets_that_of_the_run() -> None:
    settings = Settings.from_arguments({"method": "random", "seed": 5})
    assert settings.chosen_method_options() == {"seed": 5}
    assert settings.to_dict()["method_options"] == {"seed": 5}


@pytest.mark.parametrize(
    ("ranking", "rankings"),
    [("both", ("absolute", "signed")), ("signed", ("signed",)), ("absolute", ("absolute",))],
)
def test_rankings(ranking: str, rankings: tuple[str, ...]) -> None:
    assert Settings.from_arguments({"ranking": ranking}).rankings == rankings


@pytest.mark.parametrize("key", Settings.known_keys())
def test_every_known_key_is_somebodys(key: str) -> None:
    """A known key is refused for its value at most, never as unknown."""
    try:
        Settings.from_arguments({key: object()})
    except CircuitError as error:
        assert not str(error).startswith("Unknown option")


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("igsteps", "ig_steps"),
        ("Method", "method"),
        ("n_discover", "n_discovery"),
        ("size", "sizes"),
    ],
)
def test_unknown_keys_are_refused_with_the_nearest(key: str, nearest: str) -> None:
    text = refused({key: 1})
    assert text.startswith(f"Unknown option {key!r}. Did you mean {nearest!r}? Known: method, ")


def test_an_option_of_another_method_is_refused() -> None:
    text = refused({"method": "EAP", "ig_steps": 5})
    assert text.startswith(
        "ig_steps has no effect with method=EAP and selection=top-n; it belongs to "
        "method=EAP-IG-inputs"
    )
    with pytest.raises(OptionError, match=r"^method=EAP: Unknown option 'ig_steps'\."):
        Settings(method="EAP", method_options={"ig_steps": 5})
    with pytest.raises(OptionError, match=r"^selection=top-n: Unknown option 'root'\."):
        Settings(selection_options={"root": 1})


@pytest.mark.parametrize("key", ["method_options", "selection_options"])
def test_options_are_given_flat(key: str) -> None:
    assert refused({key: {}}).startswith(f"Unknown option {key!r}.")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"method": "eap-ig-input"},
            "Unknown attribution method 'eap-ig-input'. Did you mean 'EAP",
        ),
        ({"method": 3}, "Unknown attribution method 3. Known: "),
        ({"method": ["EAP"]}, "Unknown attribution method ['EAP']. Known: "),
        ({"method": "eap-ig"}, "Unknown attribution method 'eap-ig'. Did you mean 'EAP-IG-inputs'"),
        ({"method": "ifr"}, "Unknown attribution method 'ifr'. Did you mean 'information-flow-r"),
        ({"selection": "topn"}, "Unknown selector 'topn'. Did you mean 'top-n'?"),
        ({"metric": "logitdiff"}, "Unknown metric 'logitdiff'. Did you mean 'logit_diff'?"),
        ({"attribution_metric": "KLD"}, "Unknown metric 'KLD'. Did you mean 'kl'?"),
        ({"level": "edges"}, "Unknown level 'edges'. Did you mean 'edge'? Known: edge, node, neu"),
        ({"ranking": "abs"}, "Unknown ranking 'abs'. "),
        (
            {"ablation": "noise"},
            "Unknown ablation 'noise'. Known: mean, mean-positional, optimal, patc",
        ),
        ({"mean_over": "both"}, "Unknown mean_over 'both'. Known: clean, corrupted."),
    ],
)
def test_unknown_names_are_refused(arguments: dict[str, Any], text: str) -> None:
    assert refused(arguments).startswith(text)


@pytest.mark.parametrize(
    ("key", "kind"),
    [(key, o.kind) for key, o in SETTINGS.items() if isinstance(o.kind, Whole)],
)
@pytest.mark.parametrize("wrong", ["below", "above", "x", "3", 1.5, True, [1]])
def test_whole_numbers_have_a_floor_and_a_ceiling(key: str, kind: Whole, wrong: Any) -> None:
    value = {"below": kind.least - 1, "above": kind.most + 1}.get(str(wrong), wrong)
    bounds = f"from {kind.least} to {kind.most}"
    assert refused({key: value}) == f"{key} is a whole number {bounds}, got {value!r}."
    assert kind.most < 2**62
    assert kind.read(key, kind.least) == kind.least


@pytest.mark.parametrize(
    "arguments",
    [
        {"bootstrap_iters": 2**31},
        {"null_circuits": 2**31},
        {"stability_resamples": 2**31},
        {"selection": "bootstrap-filter", "resamples": 2**31},
    ],
)
def test_counts_that_would_run_for_days_are_refused(arguments: dict[str, Any]) -> None:
    assert refused(arguments).endswith(f", got {2**31}.")


@pytest.mark.parametrize("key", ["n_discovery", "pairs_per_pass", "max_memory"])
def test_limits_may_be_left_open(key: str) -> None:
    assert getattr(Settings.from_arguments({key: None}), key) is None


@pytest.mark.parametrize("key", ["bootstrap_iters", "seed"])
def test_other_numbers_may_not(key: str) -> None:
    assert refused({key: None}).endswith(", got None.")


@pytest.mark.parametrize("value", [0, -1, "x", "5", 1.0, True, None])
def test_ig_steps_are_checked_before_a_model_is_loaded(value: Any) -> None:
    assert refused({"ig_steps": value}) == (
        f"ig_steps is a whole number from 1 to 1000, got {value!r}."
    )


def test_ig_rule_is_checked_before_a_model_is_loaded() -> None:
    assert refused({"ig_rule": "simpson"}) == (
        "Unknown ig_rule 'simpson'. Known: left, right, midpoint, gausslegendre."
    )


@given(sizes=st.lists(st.integers(1, 1000), min_size=1, max_size=6, unique=True).map(sorted))
def test_sizes_are_read_from_text_lists_and_numbers(sizes: list[int]) -> None:
    expected = tuple(size / 1000 for size in sizes)
    for text in (":", ";", " ", "+", "/", " : "):
        assert parse_sizes(text.join(map(str, expected))) == expected
    assert parse_sizes(list(expected)) == parse_sizes(expected) == expected
    assert parse_sizes(expected[0]) == expected[:1]
    assert parse_sizes(1) == (1.0,)
    assert Settings.from_arguments({"sizes": list(expected)}).sizes == expected


@pytest.mark.parametrize(
    "value",
    ["", "x", "0.1:x", "0.1,,1", None, [None], [[0.1]], object, True, "\u0660.\u0661", "0_1"],
)
def test_sizes_that_are_no_numbers_are_refused(value: Any) -> None:
    assert refused({"sizes": value}) == (
        f"sizes are fractions such as sizes=0.01:0.1:1, got {value!r}."
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0:1", "sizes are fractions in (0, 1], got 0.0."),
        ("0.5:1.5", "sizes are fractions in (0, 1], got 1.5."),
        (-0.1, "sizes are fractions in (0, 1], got -0.1."),
        ("1e-320", "sizes are at least 1e-09, got 1e-320."),
        ("nan", "sizes are fractions in (0, 1], got nan."),
        ([], "sizes is empty; give fractions in (0, 1], for example sizes=0.01:0.1:1."),
        ("0.5:0.1", "sizes have to ascend without repetition, got [0.5, 0.1]."),
        ("0.1:0.1", "sizes have to ascend without repetition, got [0.1, 0.1]."),
    ],
)
def test_sizes_are_ascending_fractions(value: Any, text: str) -> None:
    assert refused({"sizes": value}) == text


@pytest.mark.parametrize(
    ("value", "n"),
    [
        ("4GB", 4 * 2**30),
        ("4gib", 4 * 2**30),
        ("500MB", 500 * 2**20),
        ("500 m", 500 * 2**20),
        ("1.5k", 1536),
        ("2T", 2 * 2**40),
        ("100b", 100),
        (1000, 1000),
        (1e9, 10**9),
    ],
)
def test_amounts_of_memory(value: Any, n: int) -> None:
    assert Memory().accept(value) == n
    assert Settings.from_arguments({"max_memory": value}).max_memory == n


@pytest.mark.parametrize(
    "value",
    ["", "lots", "-4GB", "0", "0.5", 0, "4XB", "4GBB", "1e9", True, [4], "\u0664GB", "0x10", 2**60],
)
def test_other_amounts_are_refused(value: Any) -> None:
    assert refused({"max_memory": value}) == (
        f"max_memory is an amount such as 4GB or 500MB, got {value!r}."
    )
