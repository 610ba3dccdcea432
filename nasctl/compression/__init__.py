"""Trained networks as search spaces: the given network, its quantisation, its early exits, and their accuracy."""
