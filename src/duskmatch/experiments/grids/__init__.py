"""Rows x seeds: cells trained and scored side by side, and their tables."""
