"""A search: the loop of ask, evaluate, record and tell, and the runs that the store records of it."""

from nasctl.search.loop import Visit
from nasctl.search.run import Run

__all__ = ["Run", "Visit"]
