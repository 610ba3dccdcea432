"""Evaluation of genomes: the task, its measurement, the executor that runs it, and the ranges of objectives."""

from nasctl.evaluation.executor import Executor
from nasctl.evaluation.measure import measure
from nasctl.evaluation.task import Task

__all__ = ["Executor", "Task", "measure"]
