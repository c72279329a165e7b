"""What `--model_args` of the `circuit` model may hold, sorted into who it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness_circuits.errors import OptionError
from harness_circuits.known import FOLDER, NAMES
from harness_circuits.registry import unknown_name
from harness_circuits.settings import Settings

MODEL_KEYS = ("pretrained", "revision", "dtype", "device", "kv_heads", "trust_remote_code")
HARNESS_KEYS = (
    "batch_size",
    "max_batch_size",
    "max_length",
    "truncation",
    "add_bos_token",
    "prefix_token_id",
    "logits_cache",
    "softmax_dtype",
    "think_end_token",
    "enable_thinking",
    "chat_template_args",
)
RUN_KEYS = ("artifacts", "circuit", "size", "calibration", "complement")


@dataclass(frozen=True)
class Options:
    """Arguments of the model loader, of lm-eval's `hf` model, of a run, and its settings."""

    model: dict[str, Any]
    harness: dict[str, Any]
    run: dict[str, Any]
    settings: Settings


def read_options(arguments: Mapping[str, Any]) -> Options:
    """Sort and validate arguments.

    Raises:
        OptionError: An argument is unknown or has a bad value.
        UnknownNameError: A named method, selector or metric does not exist.
    """
    groups = [MODEL_KEYS, HARNESS_KEYS, RUN_KEYS]
    settings = Settings.known_keys()
    known = [*(key for group in groups for key in group), *settings]
    given = {key: value for key, value in arguments.items() if value is not None}
    for key in given:
        if key not in known:
            raise OptionError(unknown_name("argument", key, known))
    if "circuit" in given and not circuit_path(given["circuit"]).is_file():
        raise OptionError(
            f"circuit={given['circuit']}: there is no such file, and no known circuit of this name. "
            f"Known circuits: {', '.join(NAMES)}."
        )
    _check_ordinary(given)
    model, harness, run = ({k: v for k, v in given.items() if k in group} for group in groups)
    chosen = {key: value for key, value in given.items() if key in settings}
    size = _pairs_per_pass(harness.get("batch_size"))
    if size is not None:
        chosen.setdefault("pairs_per_pass", size)
    return Options(model, harness, run, Settings.from_arguments(chosen))


def _check_ordinary(given: Mapping[str, Any]) -> None:
    """Check the options of tasks without pairs."""
    for key in ("size", "calibration", "complement"):
        if key in given and "circuit" not in given:
            raise OptionError(f"{key}= says which part of a circuit to run; give circuit=FILE too.")
    size = given.get("size")
    if size is not None and (type(size) not in (int, float) or not 0 < size <= 1):
        raise OptionError(f"size is one fraction in (0, 1], got {size!r}.")
    if not isinstance(given.get("complement", False), bool):
        raise OptionError(f"complement is True or False, got {given['complement']!r}.")


def circuit_path(circuit: Any) -> Path:
    """The file that `circuit=` names, without the name of one circuit in it (`FILE#NAME`).

    A circuit of the literature (`known.NAMES`) is a file of this package.
    """
    if circuit in NAMES:
        return FOLDER / f"{circuit}.json"
    return Path(str(circuit).partition("#")[0]).expanduser()


def _pairs_per_pass(batch_size: Any) -> int | None:
    """The harness's batch size, where the user chose one: lm-eval's default of 1 leaves it open."""
    if batch_size is None or str(batch_size).startswith("auto"):
        return None
    try:
        size = int(batch_size)
    except ValueError:
        raise OptionError(f"batch_size is a whole number or 'auto', got {batch_size!r}.") from None
    if size < 1:
        raise OptionError(f"batch_size is at least 1, got {size}.")
    return None if size == 1 else size
