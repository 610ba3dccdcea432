"""Supernets: one set of shared weights for all networks of a search space, and the strategies that train it."""
