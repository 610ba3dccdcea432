"""Seconds of each metric, alone and together with others."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nasctl.evaluation.measure import measure
from nasctl.evaluation.task import Task
from nasctl.problem.space import Genome

TIMED = 5  # candidates that each metric is timed on, alone


def alone(task: Task, genomes: Sequence[Genome]) -> dict[str, float]:
    """Seconds that each metric takes for a candidate when nothing else is asked."""
    return {name: together(replace(task, metrics={name: metric}), genomes) for name, metric in task.metrics.items()}


def together(task: Task, genomes: Sequence[Genome]) -> float:
    """Seconds that all metrics take for a candidate, the median over these: of the processor, if that computes."""
    clock = time.process_time if task.setting.device == "cpu" else time.perf_counter
    times = []
    for genome in genomes:
        start = clock()
        measure(task, genome, {name: name for name in task.metrics})
        times.append(clock() - start)
    return float(np.median(times))
