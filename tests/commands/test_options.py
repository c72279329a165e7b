"""`harness-circuits options` lists every option and every name, each with a line."""

from __future__ import annotations

import re

import pytest

from harness_circuits.ablation import ABLATIONS
from harness_circuits.attribution import METHODS
from harness_circuits.commands.main import main
from harness_circuits.harness.model_arguments import HARNESS, MODEL, RUN
from harness_circuits.harness.options import read_options
from harness_circuits.metrics import METRICS
from harness_circuits.options.fields import SETTINGS
from harness_circuits.selection import SELECTORS

LINE = re.compile(r"^( +)([^ =]+)(=\S*)? +(\S.*)$")


def listed(capsys: pytest.CaptureFixture[str], *names: str) -> dict[str, tuple[str, str]]:
    """Default and line of every name, the last where several methods have an option of one name."""
    assert main(["options", *names]) == 0
    found = map(LINE.match, capsys.readouterr().out.splitlines())
    return {line[2]: (line[3] or "", line[4]) for line in found if line is not None}


def test_all_options_and_names_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(capsys)
    main(["options"])
    said = capsys.readouterr().out
    own = [METHODS.get(name).options for name in METHODS]
    own += [SELECTORS.get(name).options for name in SELECTORS]
    for declared in (RUN, MODEL, HARNESS, SETTINGS, *own):
        for name, option in declared.items():
            assert re.search(rf"^ +{name}=\S* +{re.escape(option.help)} \[", said, re.M)
    for name in (*METHODS, *SELECTORS, *METRICS, *ABLATIONS):
        assert name in found
    assert all(len(line) > 5 for _, line in found.values())


def test_a_default_can_be_typed_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(capsys)
    for name, option in {**SETTINGS, **MODEL, **HARNESS, **RUN}.items():
        default = found[name][0].removeprefix("=")
        if default and name != "revision":  # which needs a hub id beside it
            text = int(default) if default.isdigit() else default
            beside = {"circuit": "ioi-gpt2-small"} if name == "complement" else {}
            read_options({name: text, **beside})
            assert option.read(name, text) == option.read(name, option.default)


def test_one_name_is_told_with_what_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(listed(capsys, "RelP")) == {"RelP", *METHODS.get("RelP").options}
    assert set(listed(capsys, "ablation")) == {"ablation", *ABLATIONS}
    assert set(listed(capsys, "ig_steps")) == {"ig_steps"}
    with pytest.raises(SystemExit, match=r"Unknown option or name 'Relp'\. Did you mean 'RelP'"):
        main(["options", "Relp"])
