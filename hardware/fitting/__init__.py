"""Fits of latency tables: operators, additive models of whole networks, and a block's cost inside a network."""
