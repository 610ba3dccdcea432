"""Trained networks as search spaces: the given network, its quantisation, and the accuracy of its variants."""
