"""Pairs of prompts with their answers, as text and as tokens."""

from harness_circuits.pairs.pair import Pair, make_pairs, pairs_from_docs, pairs_from_frame

__all__ = ["Pair", "make_pairs", "pairs_from_docs", "pairs_from_frame"]
