"""What the model loader can be told: in `--model_args`, a sweep's `models`, or `load_model`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from harness_circuits.models.text_reader import TextReader
from harness_circuits.options import Option
from harness_circuits.options.kinds import (
    Checked,
    Choice,
    FilePath,
    Kind,
    Name,
    Switch,
    Whole,
    mapping,
)

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def _dtype(value: Any) -> str:
    name = str(value).removeprefix("torch.") if isinstance(value, (str, torch.dtype)) else ""
    if name != "auto" and name not in DTYPES:
        raise ValueError
    return name


def name_or_number(value: Any) -> str | int:
    """A name, or a number that stands for one: `device=0` is the first GPU."""
    if isinstance(value, str):
        return Name().accept(value)
    return Whole(0, 2**31 - 1).accept(value)


def _device(value: Any) -> str | int:
    return str(value) if isinstance(value, torch.device) else name_or_number(value)


def _device_map(value: Any) -> Any:
    if isinstance(value, (str, int)):
        return name_or_number(value)
    return {module: _device(where) for module, where in mapping(value).items()}


def is_loaded(pretrained: Any) -> bool:
    """Whether `pretrained` is a model, and not where to load one from."""
    return isinstance(pretrained, nn.Module)


def _is_tokenizer(value: Any) -> bool:
    return (callable(value) and hasattr(value, "encode")) or isinstance(value, TextReader)


@dataclass(frozen=True)
class PathOrLoaded(Kind):
    """A path or hub id, or, from Python, what was loaded already.

    Attributes:
        what: What messages call a path.
        loaded: Whether a value is an object of the right kind.
    """

    what: str
    loaded: Callable[[Any], bool]

    @property
    def text(self) -> str:
        """What messages call it."""
        return self.what

    def read(self, name: str, value: Any) -> Any:
        """The path, or the object."""
        return value if self.loaded(value) else FilePath(self.what).read(name, value)


DTYPE = Checked(f"one of auto, {', '.join(DTYPES)}", _dtype)

# How text is read; those that lm-eval's `hf` model has too, and with the same meaning.
TEXT = {
    "add_bos_token": Option(
        Switch(), None, "whether a first token goes before every prompt; else as the tokenizer does"
    ),
    "prefix_token_id": Option(Whole(0, 2**31 - 1), None, "the first token, as a number"),
    "max_length": Option(Whole(1, 10**9), None, "most tokens at once; else the model's own limit"),
}

MODEL = {
    "pretrained": Option(
        PathOrLoaded("a hub id, a folder or a GGUF file", is_loaded), None, "the model"
    ),
    "tokenizer": Option(
        PathOrLoaded("a tokenizer's folder or hub id", _is_tokenizer),
        None,
        "the tokenizer, where it is not with the model",
    ),
    "revision": Option(Name("a branch, tag or commit"), "main", "which version of a hub id"),
    "dtype": Option(DTYPE, "float32", "number format of the weights"),
    "device": Option(Checked("a device such as cpu or cuda:0", _device), None, "where it runs"),
    "device_map": Option(
        Checked("a name such as auto, or a mapping of modules to devices", _device_map),
        None,
        "spread over several devices",
    ),
    "kv_heads": Option(
        Choice(("ungrouped", "grouped")), "ungrouped", "key/value inputs: per query head, or shared"
    ),
    "peft": Option(
        FilePath("an adapter's folder or hub id"), None, "an adapter, merged on loading"
    ),
    "trust_remote_code": Option(Switch(), False, "run Python code that comes with the model"),
    **TEXT,
}
