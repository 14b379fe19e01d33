"""Grids of runs, and tests on trained runs, with their tables."""
