"""Export of architectures as files that run without nasctl: Python source, torch weights, pt2, ONNX and JSON.

`nasctl.export.export` writes the files and compares each with nasctl's own module before it is kept. There is a module
for each format, and `formats` lists them. Importing this package does not import torch.
"""
