"""Speed and memory against the plain model: `python -m benchmarks.run`."""
