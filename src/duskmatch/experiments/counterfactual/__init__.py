"""The same people on the same walks with one factor changed."""
