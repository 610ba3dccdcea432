"""A search problem: the genomes of a search space, objectives, constraints, and the searcher's protocol.

Everything else of nasctl is built on these values; they import nothing but networks.
"""

from nasctl.problem.constraints import Constraint
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.searcher import Evaluation, Goal, Problem, Searcher
from nasctl.problem.space import Gene, Genome, Input, Notation, SearchSpace, validate

__all__ = [
    "Constraint",
    "Evaluation",
    "Fidelity",
    "Gene",
    "Genome",
    "Goal",
    "Input",
    "Notation",
    "Problem",
    "SearchSpace",
    "Searcher",
    "validate",
]
