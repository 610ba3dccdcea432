"""Evaluation of genomes.

A task names the metrics, and an executor measures genomes by them. The package also holds the problem that a searcher
sees, the ranges of objectives over a space, and the hypervolume of a running search.
"""

from nasctl.evaluation.executor import Executor
from nasctl.evaluation.measure import LocalExecutor
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task

__all__ = ["Executor", "LocalExecutor", "SearchProblem", "Task"]
