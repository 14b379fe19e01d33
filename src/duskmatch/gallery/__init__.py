"""The gallery: entries that last, found by exact search."""
