"""`harness-circuits compare`: two sets of results, pair by pair."""
