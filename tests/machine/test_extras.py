"""How an extra is installed: from the checkout, or package by package where there is none."""

from __future__ import annotations

from importlib import metadata

import pytest
from helpers.environments import ROOT

from harness_circuits.machine import extras


def test_a_checkout_is_installed_from() -> None:
    assert extras.how_to_install("ray") == f'pip install -e "{ROOT}[ray]"'


def test_packages_are_those_that_the_extra_names(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [
        "torch<3,>=2.6",
        'ray<3,>=2.40; extra == "ray"',
        "jinja2<4; extra == 'report'",
        'plotly<8; python_version > "3" and extra == "report"',
    ]
    monkeypatch.setattr(metadata, "requires", lambda name: wanted)
    assert extras.packages_of("ray") == ["ray<3,>=2.40"]
    assert extras.packages_of("report") == ["jinja2<4", "plotly<8"]
    monkeypatch.setattr(extras, "__file__", "/a/b/c/extras.py")
    assert extras.how_to_install("ray") == "pip install 'ray<3,>=2.40'"
