"""Trained networks as search spaces: the given network, its quantisation, pruning and early exits, and accuracies."""
