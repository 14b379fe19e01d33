"""Exact search of vectors in memory, one byte a number.

Reading order: facts, coding, chunks, kernels, products, candidates, exact, search, index.
"""
