"""Task metrics: a number per pair from the logits, for attribution to differentiate and circuits to keep.

`METRICS` holds them by name; `metrics.py` has one record for each.
"""
