"""The machine it runs on: processes, time and memory spent, progress bars, the cache."""
