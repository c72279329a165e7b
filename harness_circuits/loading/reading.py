"""Configuration, tokenizer and weights, read by transformers; whatever goes wrong is one line.

What is cheap comes first, so that nothing is refused after the weights have been read.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness_circuits.errors import CircuitError, OptionError, UnsupportedModelError
from harness_circuits.loading.arguments import TEXT
from harness_circuits.models.text_reader import TextReader
from harness_circuits.options import read_options

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger("lm_eval.circuit")


def read_config(source: str, name: str, where: dict[str, Any]) -> Any:
    """A model's configuration.

    Raises:
        OptionError: There is none, or it needs Python code that was not allowed.
        UnsupportedModelError: It is of a model that circuits cannot be found in.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(source, **where)
    except Exception as error:  # whatever transformers raises for a missing or damaged file
        raise OptionError(_not_loaded(name, where, error)) from error
    if getattr(config, "is_encoder_decoder", False):
        raise UnsupportedModelError(
            f"{name} is an encoder-decoder model; circuits need a decoder-only one."
        )
    quantised = getattr(config, "quantization_config", None)
    if quantised is not None:
        how = quantised if isinstance(quantised, dict) else quantised.to_dict()
        raise UnsupportedModelError(
            f"{name} is a quantised checkpoint ({how.get('quant_method') or 'unknown method'}); "
            "circuits need weights in floating point: load the unquantised model, or a GGUF file."
        )
    return config


def read_tokenizer(source: Any, where: dict[str, Any]) -> Any:
    """A tokenizer; one that is loaded already is returned as it is.

    Raises:
        OptionError: There is none that could read a prompt.
    """
    from transformers import AutoTokenizer

    if not isinstance(source, (str, Path)):
        return source
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **where)
    except Exception as error:  # whatever transformers raises for a missing or damaged file
        raise OptionError(f"{source} has no usable tokenizer: {first_line(error)}") from error
    if set(tokenizer.get_vocab().values()) <= set(tokenizer.all_special_ids):
        raise OptionError(  # what transformers makes of a folder without tokenizer files
            f"{source} has no usable tokenizer: its vocabulary holds special tokens only."
        )
    return tokenizer


def read_text(source: Any, where: dict[str, Any], given: Mapping[str, Any]) -> TextReader:
    """A tokenizer, used as the options say; told of a first token as it is made, as by lm-eval's `hf`.

    Args:
        source: Where the tokenizer is, or one that is loaded already, or a reader, which stays as it is.
        where: Its revision, and whether its code may run.
        given: Options of `TEXT`; None for those that are not given.

    Raises:
        OptionError: There is none that could read a prompt, or an option cannot be used.
    """
    if isinstance(source, TextReader):
        return source
    text = read_options(TEXT, {k: v for k, v in given.items() if v is not None}, "load_model")
    asked = {name: text[name] for name in ("add_bos_token",) if name in text}
    reader = TextReader(read_tokenizer(source, {**where, **asked}), **text)
    if reader.add_bos_token and reader.first_token() is None:
        logger.warning(
            "add_bos_token=true: the tokenizer of %s has no first token to add, here and under "
            "--model hf. Write it in front of the prompts, or give compat=mib.",
            source,
        )
    return reader


def check_vocabulary(tokenizer: Any, config: Any, name: str) -> None:
    """Compare a tokenizer with the embedding.

    Tokens that were added and never trained are common, and no text becomes one unless it spells it.

    Raises:
        OptionError: Ordinary tokens have no row in the embedding.
    """
    rows = getattr(config.get_text_config(), "vocab_size", None)
    if rows is None:
        return
    beyond = {token for token, number in tokenizer.get_vocab().items() if number >= int(rows)}
    if not beyond:
        return
    what = f"its tokenizer has {len(tokenizer)} tokens, its embedding {rows} rows"
    if beyond - set(tokenizer.get_added_vocab()):
        raise OptionError(f"{name} cannot be used: {what}. It is the tokenizer of another model.")
    logger.warning("%s: %s; the added tokens %s cannot be read.", name, what, sorted(beyond)[:3])


def read_weights(
    source: str, name: str, config: Any, where: dict[str, Any], **options: Any
) -> PreTrainedModel:
    """A model with its weights.

    Raises:
        OptionError: They are missing or damaged, or need a package that is not installed.
    """
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(source, config=config, **where, **options)
    except (torch.OutOfMemoryError, CircuitError):
        raise
    except Exception as error:  # missing packages and files, damaged weights, other shapes
        raise OptionError(_not_loaded(name, where, error)) from error


def first_line(error: Exception) -> str:
    """The first line of an error's message that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _not_loaded(name: str, where: dict[str, Any], error: Exception) -> str:
    if "trust_remote_code" in str(error):
        return (
            f"pretrained={name} comes with Python code of its own, which is not run unless you say so: "
            "look at it, then set trust_remote_code=true."
        )
    line = first_line(error)
    line = line if line.endswith(".") else f"{line}."
    if not isinstance(error, (OSError, ValueError)):
        line = f"{type(error).__name__}: {line}"
    return (
        f"pretrained={name} (revision {where['revision']}) cannot be loaded: {line} Give a "
        "folder with config.json and weights, a .gguf file, or the id of a model on the Hugging Face "
        "hub (which needs a network, or the model in the local cache)."
    )
