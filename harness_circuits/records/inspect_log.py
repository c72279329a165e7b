"""Logs of Inspect AI as records of runs."""

SECTION = "harness_circuits"  # of a log's metadata
