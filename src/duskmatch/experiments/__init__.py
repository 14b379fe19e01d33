"""Experiments: grids of runs, data sets and questions, and their tables."""
