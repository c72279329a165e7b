"""Leaderboard, comparison of runs, and circuit drawings: files in, tables and pages out. No torch."""
