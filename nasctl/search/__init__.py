"""Searches: the loop of ask, evaluate, record and tell, and the runs that a store holds.

The package can be called: `nasctl.search("mbconv", device="gpu")` is `nasctl.search.from_python.search`.
"""

from nasctl.search.from_python import search as _search
from nasctl.search.loop import Visit
from nasctl.search.run import Run
from nasctl.system.lazy_names import make_callable

__all__ = ["Run", "Visit"]

make_callable(__name__, _search)
