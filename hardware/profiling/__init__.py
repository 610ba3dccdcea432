"""Measurement of blocks and whole networks, on this machine (`profile`) or on another device (`kit`).

`runtimes` runs a network with torch or ONNX Runtime, `timing` times it, and `timings` keeps what was measured.
"""
