"""Adapters (LoRA and others that PEFT can merge): recognised, and merged into their model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness_circuits.errors import OptionError, shown
from harness_circuits.machine.extras import how_to_install
from harness_circuits.options.paths import read_path

CONFIG = "adapter_config.json"
MERGE = "merge"  # peft= of a loaded model that has adapters


def refuse_adapter(folder: Path) -> None:
    """Raise `OptionError` for a folder that holds an adapter and no model: it needs its base."""
    if not (folder / CONFIG).is_file() or (folder / "config.json").is_file():
        return
    config = _config(folder)
    kind = str(config.get("peft_type") or "PEFT")
    base = config.get("base_model_name_or_path") or "its base model"
    raise OptionError(
        f"pretrained={folder} is a {'LoRA' if kind == 'LORA' else kind} adapter of {base}: use "
        f"pretrained={base},peft={folder} (which merges it)."
    )


def check_adapter(peft: str) -> str:
    """Where an adapter is: a folder, or an id on the hub.

    Raises:
        OptionError: The package `peft` is not installed, or the folder holds no adapter.
    """
    if peft == MERGE:
        raise OptionError(
            f"peft={MERGE} is for a model of PEFT that Python code has loaded; name an adapter's folder."
        )
    try:
        import peft as _  # noqa: F401
    except ImportError as error:
        raise OptionError(
            f"peft={shown(peft)} needs the extra `peft`: {how_to_install('peft')}."
        ) from error
    folder = read_path(peft, "peft", "an adapter's folder or hub id")
    if folder.is_dir() and not (folder / CONFIG).is_file():
        raise OptionError(f"peft={folder} holds no adapter: there is no {CONFIG} in it.")
    return str(folder) if folder.is_dir() else peft


def merge_adapter(hf: Any, peft: str, name: str) -> Any:
    """The model with an adapter's weights added to its own.

    Raises:
        OptionError: The adapter cannot be read, belongs to another model, or cannot be merged.
    """
    from peft import PeftModel

    try:
        model: Any = PeftModel.from_pretrained(hf, peft)
    except Exception as error:  # whatever PEFT raises, the adapter is of no use here
        raise OptionError(_not_merged(peft, name, error)) from error
    return merge(model, name, peft)


def merge(model: Any, name: str, peft: str = MERGE) -> Any:
    """The model inside one of PEFT's, with the adapters' weights added to its own.

    Raises:
        OptionError: The adapters cannot be merged.
    """
    try:
        if not hasattr(model, "merge_and_unload"):
            raise ValueError(f"{type(model).__name__} adds more than weights")
        return model.merge_and_unload(safe_merge=True)
    except Exception as error:  # whatever PEFT raises, the adapter is of no use here
        raise OptionError(_not_merged(peft, name, error)) from error


def _not_merged(peft: str, name: str, error: Exception) -> str:
    return (
        f"peft={peft} cannot be merged into {name}: {type(error).__name__}: {shown(str(error))}. "
        "It has to be an adapter of that model that PEFT can merge, such as LoRA."
    )


def _config(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
