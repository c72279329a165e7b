"""A GGUF file of a tiny random Llama, written without any model code."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

DIM, HEADS, KV_HEADS, HIDDEN, LAYERS = 32, 2, 1, 64, 2
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def write_tiny_gguf(path: Path, *, seed: int = 0) -> Path:
    """Write a model with some 8-bit weights and a byte-level tokenizer that knows one merge."""
    tokens = [*SPECIAL, *_byte_characters(), "ab"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(64)
    writer.add_embedding_length(DIM)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(DIM // HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    for name, shape in _shapes(len(tokens)).items():
        _add_tensor(writer, name, shape, np.random.default_rng([seed, *name.encode()]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _shapes(vocab: int) -> dict[str, tuple[int, ...]]:
    kv = DIM * KV_HEADS // HEADS
    block = {
        "attn_norm": (DIM,),
        "attn_q": (DIM, DIM),
        "attn_k": (kv, DIM),
        "attn_v": (kv, DIM),
        "attn_output": (DIM, DIM),
        "ffn_norm": (DIM,),
        "ffn_gate": (HIDDEN, DIM),
        "ffn_up": (HIDDEN, DIM),
        "ffn_down": (DIM, HIDDEN),
    }
    blocks = {f"blk.{i}.{name}": shape for i in range(LAYERS) for name, shape in block.items()}
    return {"token_embd": (vocab, DIM), **blocks, "output_norm": (DIM,)}


def _add_tensor(
    writer: gguf.GGUFWriter, name: str, shape: tuple[int, ...], random: np.random.Generator
) -> None:
    norm = len(shape) == 1
    values = random.normal(1.0 if norm else 0.0, 0.2, shape).astype(np.float32)
    if norm:
        writer.add_tensor(f"{name}.weight", values)
        return
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(f"{name}.weight", gguf.quantize(values, kind), raw_dtype=kind)


def _byte_characters() -> list[str]:
    """The printable character that stands for each byte in byte-level BPE."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    plain += range(ord("®"), ord("ÿ") + 1)
    others = [byte for byte in range(256) if byte not in plain]
    table = {byte: chr(byte) for byte in plain}
    table |= {byte: chr(256 + at) for at, byte in enumerate(others)}
    return [table[byte] for byte in range(256)]
