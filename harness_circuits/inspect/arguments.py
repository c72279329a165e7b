"""Arguments of `-M` and `-T`, which are those of lm-eval's `--model_args`, checked by the same code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness_circuits.errors import OptionError, shown
from harness_circuits.harness.before_loading import check_metadata
from harness_circuits.harness.model_arguments import HARNESS, MODEL, RUN, WITHOUT_PAIRS
from harness_circuits.harness.options import Options, read_options
from harness_circuits.loading.default_model import DISPLAY_NAME, is_default_model
from harness_circuits.registry import unknown_name
from harness_circuits.settings import Settings
from harness_circuits.task_data.base import TaskData

DEFAULT = "default"  # the default model is `circuit/default`


def model_arguments(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `--model circuit/NAME` and `-M`, with the model among them.

    Args:
        name: What stands behind `circuit/`: `default`, a hub id, a folder or a GGUF file.
        given: `-M`.

    Raises:
        OptionError: Two models are named, or an option is one of lm-eval alone.
    """
    pretrained = DISPLAY_NAME if name == DEFAULT or is_default_model(name) else name
    own = given.get("pretrained")
    if own is not None and name != DEFAULT and own != pretrained:
        raise OptionError(
            f"--model circuit/{name} names a model and pretrained={shown(own)} another; give one, or "
            f"circuit/{DEFAULT} with pretrained=."
        )
    for option in WITHOUT_PAIRS:
        if given.get(option) is not None:
            raise OptionError(
                f"{option}={shown(given[option])} is for lm-eval's requests and has no effect under "
                "Inspect; leave it out."
            )
    return {**given, "pretrained": pretrained if own is None else own}


def task_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `-T` that say how circuits are found and measured; the others are the data's."""
    known = {*Settings.known_keys(), *RUN, *MODEL, *HARNESS}
    return {key: value for key, value in given.items() if key in known}


def merged_options(model: Mapping[str, Any], task: Mapping[str, Any]) -> Options:
    """What `-M` and `-T` say together.

    Raises:
        CircuitError: A value cannot be used, both give one option, or `-T` gives one of the model.
    """
    for key, value in task.items():
        if key in MODEL or key in HARNESS:
            raise OptionError(
                f"-T {key}={shown(value)} is an option of the model; give it as -M {key}=."
            )
        if model.get(key, value) != value:
            raise OptionError(
                f"{key} is {shown(model[key])} in -M and {shown(value)} in -T; give one."
            )
    return read_options({**model, **task})


def check_data_options(name: str, config: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Check those of `-T` that a task builds its data by, as lm-eval's `--metadata` is.

    Args:
        name: The task's name.
        config: What its YAML says.
        given: The options.

    Raises:
        CircuitError: A name or a value is none that the task knows.
    """
    check_metadata(name, config, given)
    data = config.get("custom_dataset")
    own = data.known_names() if isinstance(data, TaskData) else ()
    known = dict.fromkeys([*Settings.known_keys(), *RUN, *own, *(config.get("metadata") or {})])
    for key in given:
        if key not in known:
            raise OptionError(unknown_name(f"option of {name}", key, list(known)))
