"""Export of an architecture to files that run without nasctl; one file of this package for each format.

The package can be called: `nasctl.export("nb201-f882")` is `nasctl.export.library.export`.
"""

from nasctl.export.library import export as _export
from nasctl.system.lazy_names import make_callable

make_callable(__name__, _export)
