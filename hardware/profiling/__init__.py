"""Measurement of blocks and whole networks, on this machine (`profile`) or on another device (`kit`).

`timed_network` has a runtime run a network, `timing` times it, and `timings` keeps what was measured.
"""
