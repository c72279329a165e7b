"""From circuits to values per pair, curves, areas and intervals."""
