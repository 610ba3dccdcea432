"""The search problem: search spaces, genomes, fidelities, constraints, and the protocol of searchers.

All parts of a search are built on these values, which import nothing but networks.
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
