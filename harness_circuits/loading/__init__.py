"""Where models come from, and the checks they must pass."""

from typing import TYPE_CHECKING

from harness_circuits.registry import on_first_use

if TYPE_CHECKING:
    from harness_circuits.loading.checks import check_model
    from harness_circuits.loading.default_model import convert_gguf, default_model_folder
    from harness_circuits.loading.fingerprint import folder_fingerprint, weights_fingerprint
    from harness_circuits.loading.load import (
        load_model,
        load_reader,
        load_tokenizer,
        resolve,
        take_apart,
    )

__all__ = [
    "check_model",
    "convert_gguf",
    "default_model_folder",
    "folder_fingerprint",
    "load_model",
    "load_reader",
    "load_tokenizer",
    "resolve",
    "take_apart",
    "weights_fingerprint",
]

__getattr__ = on_first_use(
    __name__,
    {
        "check_model": "checks",
        "convert_gguf": "default_model",
        "default_model_folder": "default_model",
        "folder_fingerprint": "fingerprint",
        "load_model": "load",
        "load_reader": "load",
        "load_tokenizer": "load",
        "resolve": "load",
        "take_apart": "load",
        "weights_fingerprint": "fingerprint",
    },
)
