"""Stores of runs: in memory, in a SQLite file."""
