"""Models that Python code has loaded already: what is taken of them, and what is too late to ask."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness_circuits.errors import CircuitError, OptionError, UnsupportedModelError, shown
from harness_circuits.loading.adapters import MERGE, check_adapter, merge, merge_adapter
from harness_circuits.loading.arguments import is_loaded
from harness_circuits.loading.reading import read_text
from harness_circuits.models.text_reader import TextReader


def loaded_name(hf: Any) -> str:
    """What a loaded model is called: the last part of where it came from, or its class."""
    source = str(getattr(getattr(hf, "config", None), "_name_or_path", "") or "")
    name = Path(source).name if Path(source).is_dir() else source
    adapter = f"+{hf.active_adapter}" if is_peft(hf) else ""
    return (name or type(hf).__name__) + adapter


def named(arguments: Mapping[str, Any]) -> dict[str, str]:
    """What results call the loaded ones among the arguments of a model: names by argument."""
    found = {}
    if is_loaded(arguments.get("pretrained")):
        found["pretrained"] = loaded_name(arguments["pretrained"])
    if not isinstance(arguments.get("tokenizer"), (str, Path, type(None))):
        tokenizer: Any = TextReader.of(arguments["tokenizer"]).tokenizer
        found["tokenizer"] = str(tokenizer.name_or_path or type(tokenizer).__name__)
    return found


def is_peft(hf: Any) -> bool:
    """Whether a model is one of PEFT's, with adapters around a model."""
    return hasattr(hf, "peft_config") and hasattr(hf, "merge_and_unload")


def take_loaded(
    read: Mapping[str, Any], asked: Mapping[str, Any], text: Mapping[str, Any]
) -> tuple[Any, TextReader, str]:
    """A loaded model as it is, or a copy with its adapters merged; how it reads text; its name.

    Args:
        read: `pretrained`, the model; `tokenizer` and `peft`, as far as they were given.
        asked: Options of `load_model` that say how to load a model, as far as they were given.
        text: Options of `TEXT`, as far as they were given.

    Raises:
        OptionError: There is no tokenizer, or an option asks for what the model is not.
        UnsupportedModelError: Its weights are quantised, or it is no Hugging Face model.
    """
    hf, peft = read["pretrained"], read.get("peft")
    name = loaded_name(hf)
    config = getattr(hf, "config", None)
    if not hasattr(config, "get_text_config"):
        raise UnsupportedModelError(
            f"pretrained is a {type(hf).__name__}: it has to be a model of transformers or PEFT, a hub "
            "id, a folder or a file."
        )
    _check_asked(hf, name, asked)
    whole = all(parameter.is_floating_point() for parameter in hf.parameters())
    if not whole:
        raise UnsupportedModelError(
            f"{name} has quantised weights; circuits need them in floating point: load the model "
            "without quantization_config."
        )
    reader = loaded_reader(hf, read.get("tokenizer"), text)
    if peft == MERGE:
        if not is_peft(hf):
            raise OptionError(f"peft={MERGE} is for a loaded model of PEFT; {name} is none.")
        hf = merge(copy.deepcopy(hf), name)
    elif peft is not None:
        adapter = check_adapter(peft)
        hf = merge_adapter(copy.deepcopy(hf), adapter, name)
        name = f"{name}+{Path(adapter).name}"
    return hf, reader, name


def _check_asked(hf: Any, name: str, asked: Mapping[str, Any]) -> None:
    """Refuse options of loading that a loaded model does not have already."""
    own = {"dtype": str(hf.dtype).removeprefix("torch."), "device": str(hf.device)}
    for option, value in asked.items():
        if own.get(option) not in (str(value).removeprefix("torch."), f"{value}:0"):
            of = f" ({own[option]})" if option in own else ""
            raise OptionError(
                f"{option}={shown(value)} says how to load a model, and {name} is loaded already{of}: "
                "leave it out, or change the model before it is handed over."
            )
    capped = getattr(hf.config.get_text_config(), "attn_logit_softcapping", None)
    kernel = getattr(hf.config, "_attn_implementation", "eager")
    if capped and kernel != "eager":
        raise OptionError(
            f"{name} caps attention scores, which attn_implementation={kernel} may leave out: load it "
            "with attn_implementation='eager'."
        )


def loaded_reader(hf: Any, tokenizer: Any, text: Mapping[str, Any]) -> TextReader:
    """How a loaded model reads text: by the tokenizer that was given, or by that of its source.

    Raises:
        OptionError: There is none, or an option of `TEXT` cannot be used.
    """
    source = tokenizer or str(getattr(hf.config, "_name_or_path", "") or "")
    try:
        if not source:
            raise OptionError("it does not say where it came from")
        return read_text(source, {}, text)
    except CircuitError as error:
        if tokenizer is not None:
            raise
        raise OptionError(
            f"{loaded_name(hf)} is a loaded model, and no tokenizer is found for it ({error}): give "
            "tokenizer=."
        ) from error
