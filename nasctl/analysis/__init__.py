"""Analyses of measured values.

Scores of given architectures, rank correlation of metrics with known values, comparison of fidelities and of runs,
aggregation of several metrics into one score, and selection of one network from a front.
"""
