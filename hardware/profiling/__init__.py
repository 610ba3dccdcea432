"""Measurement of blocks and whole networks, on this machine (`profile`) or on another device (`kit`).

`network_call` has a runtime run a network, `timing` times it, and `timings` keeps what was measured.
"""
