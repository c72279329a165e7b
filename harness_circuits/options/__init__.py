"""What an option is: one declaration each of its kind, bounds and default, and how it is read."""

from harness_circuits.options.option import (
    Option,
    defaults_of,
    options_of,
    read_options,
    setting,
)

__all__ = ["Option", "defaults_of", "options_of", "read_options", "setting"]
