"""Fits of latency tables, all by non-negative least squares of relative errors (`nonnegative`).

`operators` fits the operator model, `additive` a table from whole networks, and `in_network` the terms that a block
costs inside a network in addition to its latency alone. `measured` applies these fits to a table of measured rows.
"""
