"""Where models come from, and the checks they must pass."""
