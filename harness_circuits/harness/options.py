"""What `--model_args` of the `circuit` model may hold, sorted into who it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness_circuits.ablation import ABLATIONS
from harness_circuits.attribution import METHODS
from harness_circuits.circuits.known import FOLDER, NAMES
from harness_circuits.errors import OptionError, shown
from harness_circuits.formats import check_suffix
from harness_circuits.formats.parts import split
from harness_circuits.harness.calibration_texts import check_source
from harness_circuits.harness.model_arguments import (
    HARNESS,
    MODEL,
    ORDINARY,
    RUN,
    WITHOUT_PAIRS,
)
from harness_circuits.harness.task_lookup import check_task
from harness_circuits.loading.arguments import TEXT
from harness_circuits.loading.load import names_a_hub_model
from harness_circuits.registry import unknown_name
from harness_circuits.settings import Settings

DISCOVER = "discover:"
LEARNING = "learning"  # folder among the artifacts that learned masks and constants are kept in


@dataclass(frozen=True)
class Options:
    """What `--model_args` say.

    Attributes:
        model: Arguments of the model loader.
        harness: Arguments of lm-eval's `hf` model.
        run: Which circuit, and what becomes of it.
        settings: Settings of discovery and evaluation.
        grid: Sizes that tasks without pairs run on one by one, from `sizes=` with `circuit=`.
    """

    model: dict[str, Any]
    harness: dict[str, Any]
    run: dict[str, Any]
    settings: Settings
    grid: tuple[float, ...] = ()

    @property
    def text(self) -> dict[str, Any]:
        """Those of the model's arguments that say how text is read, which `hf` has too."""
        return {name: self.model[name] for name in TEXT if name in self.model}

    @property
    def for_ordinary(self) -> bool:
        """Whether options were given that only tasks without pairs have a use for."""
        return any(self.run.get(key) for key in ORDINARY)

    @property
    def discovery(self) -> Settings:
        """The settings that `circuit=discover:TASK` discovers with: removed units are patched.

        `ablation=` is what tasks without pairs run with.
        """
        return replace(self.settings, ablation="patching", retrain_steps=0)

    def check_ordinary_ablation(self) -> None:
        """Make sure that the ablation is defined for tasks without pairs, and no spans are wanted.

        Raises:
            OptionError: It is not, or units are at spans of prompts.
        """
        if self.settings.positions != "none":
            raise OptionError(
                f"positions={self.settings.positions} cannot be used for tasks without pairs: a circuit "
                "over spans says nothing of other prompts. Leave it out."
            )
        ablation = self.settings.ablation
        kind = ABLATIONS.get(ablation)
        if kind.constant is None:
            able = [name for name in ABLATIONS if ABLATIONS.get(name).constant is not None]
            raise OptionError(
                f"ablation={ablation} cannot be used for tasks without pairs: it needs "
                f"{kind.why_pairs}. Use ablation={' or ablation='.join(able)}."
            )


def read_options(arguments: Mapping[str, Any]) -> Options:
    """Sort and validate arguments: each by its declaration, then those that go together.

    Raises:
        OptionError: An argument is unknown or has a bad value.
        UnknownNameError: A named method, selector or metric does not exist.
    """
    settings = Settings.known_keys()
    declared = {**MODEL, **HARNESS, **RUN}
    given = {key: value for key, value in arguments.items() if value is not None}
    for key in given:
        if key not in declared and key not in settings:
            raise OptionError(unknown_name("argument", key, [*declared, *settings]))
    read = {key: declared[key].read(key, given[key]) for key in given if key in declared}
    _check_together(read)
    model, harness, run = (
        {k: read[k] for k in read if k in group} for group in (MODEL, HARNESS, RUN)
    )
    chosen = {key: value for key, value in given.items() if key in settings}
    size = _pairs_per_pass(harness.get("batch_size"))
    if size is not None:
        chosen.setdefault("pairs_per_pass", size)
    method = chosen.get("method")
    if "artifacts" in run and method in METHODS and METHODS.get(str(method)).learned:
        chosen.setdefault("checkpoint", str(Path(run["artifacts"]) / LEARNING))
    parsed = Settings.from_arguments(chosen)
    grid = parsed.sizes if {"sizes", "circuit"} <= set(given) else ()
    options = Options(model, harness, run, parsed, grid)
    if options.for_ordinary:
        options.check_ordinary_ablation()
    _check_names(options)
    return options


# What `lm_eval` says where these are not given.
LEFT_OPEN = {"batch_size": "1"}


def with_harness_flags(arguments: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """`--model_args` together with lm-eval's `--device`, `--batch_size` and `--max_batch_size`.

    What is given in `--model_args` counts.

    Raises:
        OptionError: Both name one option, with different values.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    own = {name: value for name, value in arguments.items() if value is not None}
    for name, value in given.items():
        left_open = str(value) == LEFT_OPEN.get(name)
        if name in own and not left_open and str(own[name]) != str(value):
            raise OptionError(
                f"{name} is {shown(own[name])} in --model_args and {shown(value)} in --{name}; give "
                "one."
            )
    return {**given, **own}


def check_with_pairs(options: Options, task: str) -> None:
    """Refuse options that a task with pairs would ignore.

    Raises:
        OptionError: One is given.
    """
    for name in WITHOUT_PAIRS:
        if name in options.harness and options.harness[name] != HARNESS[name].default:
            raise OptionError(
                f"{name}={shown(options.harness[name])} has no effect on {task}, whose pairs run "
                "through passes of our own; leave it out, or run tasks without pairs by themselves."
            )


def _check_together(given: Mapping[str, Any]) -> None:
    """Check options that need others beside them."""
    for key in ORDINARY:
        if key in given and "circuit" not in given:
            raise OptionError(f"{key}= says which part of a circuit to run; give circuit=FILE too.")
    if given.get("enable_thinking") and "think_end_token" not in given:
        raise OptionError("enable_thinking=true needs think_end_token=, the token that ends it.")
    pretrained = given.get("pretrained")
    if "revision" in given and not names_a_hub_model(pretrained):
        raise OptionError(
            f"revision={shown(given['revision'])} is a version of a model on the hub; "
            f"pretrained={shown(pretrained)} is none."
        )


def _check_names(options: Options) -> None:
    """Make sure that the files and tasks named are there, before a model is loaded."""
    circuit, calibration = options.run.get("circuit"), options.run.get("calibration")
    task = task_to_discover(circuit)
    if task == "":
        raise OptionError(
            f"circuit={circuit} names no task: write one behind it, as in circuit=discover:ioi_circuit."
        )
    if task is not None:
        check_task(task, f"circuit={circuit}")
        options.discovery.check_discovery()
    elif circuit is None:
        options.settings.check_discovery()
    elif not ((path := circuit_path(circuit)) and path.exists()):
        raise OptionError(
            f"circuit={shown(circuit)}: there is no such file, and no known circuit of this name. "
            f"Known circuits: {', '.join(NAMES)}. discover:TASK discovers one."
        )
    elif path.is_file():
        check_suffix(path)
    if calibration is not None:
        check_source(str(calibration))


def task_to_discover(circuit: Any) -> str | None:
    """The task that `circuit=discover:TASK` names; None where it names a circuit."""
    text = str(circuit)
    return text.removeprefix(DISCOVER) if text.startswith(DISCOVER) else None


def circuit_path(circuit: Any) -> Path | None:
    """The file that `circuit=` names, without the name of one circuit in it (`FILE#NAME`).

    A circuit of the literature (`known.NAMES`) is a file of this package; None for `discover:TASK`.
    """
    if task_to_discover(circuit) is not None:
        return None
    if circuit in NAMES:
        return FOLDER / f"{circuit}.json"
    return split(str(circuit))[0]


def _pairs_per_pass(batch_size: int | str | None) -> int | None:
    """The harness's batch size, where the user chose one: lm-eval's default of 1 leaves it open."""
    return batch_size if isinstance(batch_size, int) and batch_size > 1 else None
