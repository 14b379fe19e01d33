"""Linear probes: what the layers know besides the person."""
