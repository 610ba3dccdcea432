"""Export of architectures as files that run without nasctl, such as Python source, ONNX and TFLite.

`nasctl.export.export` writes the files and compares each with nasctl's own module before it is kept. There is a module
for each format, and `formats` lists them. The package can be called: `nasctl.export("nb201-f882")` is
`nasctl.export.from_python.export`. Importing this package does not import torch.
"""

from nasctl.system.lazy_names import make_callable

make_callable(__name__, "nasctl.export.from_python")
