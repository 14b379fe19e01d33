"""Grids of runs, rows x seeds: cells are trained and scored in parallel, and shown in tables."""
