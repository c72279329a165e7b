"""The import path of `harness_circuits.pairs.encode` before 0.2, which scripts use."""

from harness_circuits.pairs.encode import encode_answers, encode_prompt

__all__ = ["encode_answers", "encode_prompt"]
