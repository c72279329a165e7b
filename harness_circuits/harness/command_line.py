"""What was typed on lm-eval's command line, where lm-eval passes on something else.

Its parser makes numbers of whatever Python would read as one, so that `seed=0x10` is 16 before any model
sees it, and it fills in `--device cuda:0` where none is given. The first is undone here for our own runs;
of the second, what was left open is told from what was asked for.
"""

from __future__ import annotations

import math
import re
from argparse import ArgumentError
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from harness_circuits.errors import one_line

if TYPE_CHECKING:
    import argparse

TYPED = ("model_args", "metadata")  # arguments whose values our own options and tasks read
PLAIN = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)


class Typed(dict[str, Any]):
    """Arguments as lm-eval reads them.

    Attributes:
        texts: As they were typed, where that says no number plainly and a number was made of it.
    """

    def __init__(self, read: Mapping[str, Any], texts: Mapping[str, str]) -> None:
        """Hold both."""
        super().__init__(read)
        self.texts = {key: text for key, text in texts.items() if key in read}


def as_typed(text: str, value: Any) -> Any:
    """What was read of a text; the text itself where that is a number which it does not plainly say.

    >>> as_typed("16", 16), as_typed("1e-3", 0.001), as_typed("0x10", 16), as_typed("1_6", 16.0)
    (16, 0.001, '0x10', '1_6')
    """
    text = text.strip()
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return text if number and math.isfinite(value) and not PLAIN.fullmatch(text) else value


def read_text(text: str) -> dict[str, Any]:
    """What lm-eval reads of `key=value,key=value`, with texts that are no plain numbers as they are.

    >>> read_text("method=EAP,seed=1,n_discovery=0x10")
    {'method': 'EAP', 'seed': 1, 'n_discovery': '0x10'}
    """
    from lm_eval.utils import simple_parse_args_string

    texts = dict(part.partition("=")[::2] for part in text.strip().split(","))
    return {
        key: as_typed(texts[key], value) for key, value in simple_parse_args_string(text).items()
    }


def keep_texts(
    original: Callable[..., None],
    action: argparse.Action,
    parser: argparse.ArgumentParser,
    namespace: argparse.Namespace,
    values: Any,
    option_string: str | None = None,
) -> None:
    """What lm-eval does with arguments of the form `key=value`, which keep their texts meanwhile."""
    from lm_eval._cli.utils import split_top_level

    before = getattr(namespace, action.dest, None)
    try:
        original(action, parser, namespace, values, option_string)
    except ValueError as error:  # no JSON: argparse then says so in one line
        raise ArgumentError(action, one_line(error)) from error
    read = getattr(namespace, action.dest, None)
    if action.dest not in TYPED or not isinstance(read, dict):
        return
    texts = dict(before.texts) if isinstance(before, Typed) else {}
    for item in (part for value in values or () for part in split_top_level(str(value))):
        key, _, text = item.partition("=")
        texts.pop(key, None)
        if as_typed(text, read.get(key)) != read.get(key):
            texts[key] = text.strip()
    setattr(namespace, action.dest, Typed(read, texts))


def say_what_was_typed(arguments: argparse.Namespace, config: Mapping[str, Any]) -> None:
    """Put texts back that are no plain numbers, and name the device where none was.

    Args:
        arguments: The command line of a run of our model, which is changed.
        config: What its `--config` file says.
    """
    for name in TYPED:
        read = getattr(arguments, name, None)
        if isinstance(read, Typed):
            setattr(arguments, name, {**read, **read.texts})
    if not arguments.device and not config.get("device"):
        arguments.device = _default_device(arguments.model_args or config.get("model_args"))


def _default_device(model_args: Any) -> str:
    """The device where `--device` does not say any: what `--model_args` say, a GPU, or the CPU."""
    import torch

    given = read_text(model_args) if isinstance(model_args, str) else model_args
    own = (given or {}).get("device")
    return str(own or ("cuda:0" if torch.cuda.is_available() else "cpu"))


def config_file(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """What the file of `--config` says; nothing where lm-eval itself will refuse it."""
    from lm_eval.config.evaluate_config import EvaluatorConfig

    path = getattr(arguments, "config", None)
    try:
        return EvaluatorConfig.load_yaml_config(path) if path else {}
    except (OSError, TypeError, ValueError):
        return {}
