"""Trained networks as search spaces: the given network, its quantisation and pruning, and accuracies of variants."""
