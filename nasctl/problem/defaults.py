"""Defaults of a search, shared by the command line and the library."""

# What networks may be trained for; default objectives follow the task. Dense tasks are segmentation and surface
# normals; layout is the regression of a room's layout.
TASKS = ("classification", "self-supervised", "reconstruction", "dense", "layout", "language")

# Default objectives of nasctl before they followed measured correlations: the first DEFAULT_COUNT of these that apply
# to the space. `SearchRequest.run` still finds runs that were made with them, also at earlier bounds of a level,
# and spaces of unmeasured inputs still get them.
DEFAULT_OBJECTIVES = ("synflow", "jacov", "snip", "hidden_covariance", "head_confidence")
DEFAULT_COUNT = 3

# Default cost, where no device is given.
DEFAULT_COST = "macs"

# Sizes of networks, the baselines of every metric. A score of a run may use them, whether or not the run optimises or
# records them.
SIZES = ("params", "macs", "depth")

DEFAULT_SEARCHER = "guided"

DEFAULT_BUDGET = 300  # distinct candidates

DEFAULT_STORE = "nasctl.db"  # path of the database file
