"""The side of the package that faces lm-eval: registration, the `circuit` model, circuit tasks."""
