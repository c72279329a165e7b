"""Settings as fields: every one declared with a kind, a default of that kind, and a line about it."""

from __future__ import annotations

import dataclasses

from harness_circuits.options.fields import SETTINGS, SettingsFields
from harness_circuits.settings import Settings


def test_every_field_is_an_option() -> None:
    fields = dataclasses.fields(SettingsFields)
    assert [field.name for field in fields] == list(SETTINGS)
    assert {field.name for field in dataclasses.fields(Settings)} == set(SETTINGS)
    for option in SETTINGS.values():
        assert option.help and option.kind.text


def test_defaults_are_those_of_settings() -> None:
    plain = SettingsFields()
    for name, option in SETTINGS.items():
        assert getattr(plain, name) == option.default
        assert option.read(name, option.default) == option.default or option.default is None
    assert plain.method_options is not SettingsFields().method_options


def test_what_a_repetition_may_choose_anew_changes_nothing_that_is_measured() -> None:
    anew = {name for name, option in SETTINGS.items() if option.of_a_repetition}
    assert {"seed", "pairs_per_pass", "max_memory", "bootstrap_iters"} <= anew
    assert not anew & {"method", "level", "ablation", "selection", "ranking", "sizes", "metric"}
    named = {name for name, option in SETTINGS.items() if option.names_the_run}
    assert {"level", "ablation", "selection", "compat"} <= named and not named & anew
