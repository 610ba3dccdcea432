"""Measurement of blocks and networks on this machine, or on another by way of a kit of ONNX files."""
