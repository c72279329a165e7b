"""The errors a user can cause. Each message says what, where, the value, and the way out."""


class CircuitError(Exception):
    """Base class: commands print its message as one line and exit with a non-zero code."""


class OptionError(CircuitError):
    """An option has a value that cannot be used, or two options exclude each other."""


class UnknownNameError(CircuitError, LookupError):
    """A name (of a method, metric, task, node, ...) is not known."""


class UnsupportedModelError(CircuitError):
    """The model has no decomposition into residual-stream nodes that we can patch."""


class PairError(CircuitError):
    """A clean/corrupted pair cannot be used, for example because token lengths differ."""


class TaskDataError(CircuitError):
    """A task's data is missing, malformed, or empty after filtering."""


class CircuitFileError(CircuitError):
    """A scores or circuit file is malformed, unsafe, or belongs to another model."""


class NumericalError(CircuitError):
    """A number that must be finite is not, or a ratio has a zero denominator."""
