"""Sweeps: a grid of models, tasks, methods and settings, one lm-eval evaluation per cell."""
