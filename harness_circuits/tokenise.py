"""The import path of `harness_circuits.pairs.tokenise` before 0.2, which scripts use."""

from harness_circuits.pairs.tokenise import encode_answers, encode_prompt

__all__ = ["encode_answers", "encode_prompt"]
