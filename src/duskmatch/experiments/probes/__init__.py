"""Linear probes of the layers for camera, view, background and other nuisances."""
