"""What `--model_args` of the `circuit` model may hold, sorted into who it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness_circuits.circuits.known import FOLDER, NAMES
from harness_circuits.errors import OptionError
from harness_circuits.harness.calibration_texts import check_source
from harness_circuits.harness.task_lookup import check_task
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.registry import unknown_name
from harness_circuits.settings import Settings

MODEL_KEYS = (
    "pretrained",
    "revision",
    "dtype",
    "device",
    "device_map",
    "kv_heads",
    "trust_remote_code",
)
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
ORDINARY_KEYS = ("size", "calibration", "complement")
RUN_KEYS = ("artifacts", "circuit", *ORDINARY_KEYS)
ORDINARY_ABLATIONS = ("zero", "mean")
DISCOVER = "discover:"


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
    def for_ordinary(self) -> bool:
        """Whether options were given that only tasks without pairs have a use for."""
        return any(self.run.get(key) for key in ORDINARY_KEYS)

    @property
    def discovery(self) -> Settings:
        """The settings that `circuit=discover:TASK` discovers with: removed units are patched.

        `ablation=` is what tasks without pairs run with.
        """
        return replace(self.settings, ablation="patching")

    def check_ordinary_ablation(self) -> None:
        """Make sure that the ablation is defined for tasks without pairs.

        Raises:
            OptionError: It is not.
        """
        ablation = self.settings.ablation
        if ablation not in ORDINARY_ABLATIONS:
            raise OptionError(
                f"ablation={ablation} cannot be used for tasks without pairs: patching needs "
                "corrupted prompts, mean-positional prompts of the training prompts' lengths. "
                "Use ablation=mean or ablation=zero."
            )


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
    _check_ordinary(given)
    model, harness, run = ({k: v for k, v in given.items() if k in group} for group in groups)
    chosen = {key: value for key, value in given.items() if key in settings}
    size = _pairs_per_pass(harness.get("batch_size"))
    if size is not None:
        chosen.setdefault("pairs_per_pass", size)
    parsed = Settings.from_arguments(chosen)
    grid = parsed.sizes if {"sizes", "circuit"} <= set(given) else ()
    options = Options(model, harness, run, parsed, grid)
    if options.for_ordinary:
        options.check_ordinary_ablation()
    _check_names(options)
    return options


def _check_ordinary(given: Mapping[str, Any]) -> None:
    """Check the options of tasks without pairs."""
    for key in ORDINARY_KEYS:
        if key in given and "circuit" not in given:
            raise OptionError(f"{key}= says which part of a circuit to run; give circuit=FILE too.")
    size = given.get("size")
    if size is not None and (type(size) not in (int, float) or not 0 < size <= 1):
        raise OptionError(f"size is one fraction in (0, 1], got {size!r}.")
    if not isinstance(given.get("complement", False), bool):
        raise OptionError(f"complement is True or False, got {given['complement']!r}.")


def _check_names(options: Options) -> None:
    """Make sure that the files and tasks named are there, before a model is loaded."""
    circuit, calibration = options.run.get("circuit"), options.run.get("calibration")
    task = task_to_discover(circuit)
    if task is not None:
        check_task(task, f"circuit={circuit}")
        settings = options.discovery
        metric = settings.attribution_metric or settings.metric or "logit_diff"
        settings.method_for(METRICS.get(metric))
    elif circuit is not None and not ((path := circuit_path(circuit)) and path.is_file()):
        raise OptionError(
            f"circuit={circuit}: there is no such file, and no known circuit of this name. "
            f"Known circuits: {', '.join(NAMES)}. discover:TASK discovers one."
        )
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
