"""Measured rank correlations of training-free metrics, by family of search spaces, and the defaults that follow."""
