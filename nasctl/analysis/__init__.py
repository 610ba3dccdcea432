"""Analyses of measured values: scores of several metrics, rank correlation with known values, comparison of runs."""
