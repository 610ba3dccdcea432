"""Defaults of a search, shared by the command line and the library."""

# Default objectives: the first DEFAULT_COUNT of these that apply to the space.
DEFAULT_OBJECTIVES = ("synflow", "jacov", "snip", "hidden_covariance", "head_confidence")
DEFAULT_COUNT = 3

# Default cost, where no device is given.
DEFAULT_COST = "macs"

DEFAULT_SEARCHER = "guided"

DEFAULT_BUDGET = 300  # distinct candidates

DEFAULT_STORE = "nasctl.db"  # path of the database file
