"""Models: loading, where their parts are, and the checks they must pass."""
