"""Searches: the loop of ask, evaluate, record and tell, and the runs that a store holds.

The package can be called: `nasctl.search("mbconv", device="gpu")` is `nasctl.facade.search.search`. That function is
imported when it is called, because its result stands above this package.
"""

from nasctl.search.loop import Visit
from nasctl.search.run import Run
from nasctl.system.lazy_names import make_callable

__all__ = ["Run", "Visit"]

make_callable(__name__, "nasctl.facade.search")
