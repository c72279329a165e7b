"""Leaderboard, comparison of runs, and circuit drawings: results files in, tables and pages out."""
