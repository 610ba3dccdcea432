"""Policies of training on one benchmark: the quality of what they trained, and tests of which policy is better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nasctl.bench.benchmark import TrainingTable
from nasctl.bench.compare import PairTest, pair_tests
from nasctl.bench.replay_trainings import TrainedIndicators, TrainingReplay, TrainingReplayer, trained_indicators

TRAINED_INDICATORS = ("best", "chosen", "hv")  # tested indicators; larger is better in all of them


@dataclass(frozen=True)
class TrainingComparison:
    """The trainings of several policies.

    Args:
        tables: Trainings by data set or task.
        runs: Replays by data set or task and policy, one per seed.
    """

    tables: Mapping[str, TrainingTable]
    runs: Mapping[str, Mapping[str, Sequence[TrainingReplay]]]

    @cached_property
    def final(self) -> dict[str, dict[str, list[TrainedIndicators]]]:
        """Return the indicators of the trained networks by data set or task and policy, one per seed."""
        return {
            scene: {
                policy: [trained_indicators(self.tables[scene], run.places) for run in runs]
                for policy, runs in by_policy.items()
            }
            for scene, by_policy in self.runs.items()
        }

    def tests(self) -> list[PairTest]:
        """Return the tests of every pair of policies in every scene and indicator."""
        found = []
        for scene, by_policy in self.final.items():
            for indicator in TRAINED_INDICATORS:
                values = {
                    policy: np.array([asdict(one)[indicator] for one in judged]) for policy, judged in by_policy.items()
                }
                found += pair_tests(scene, indicator, values)
        return found

    def figures(self) -> dict[str, Any]:
        """Return the whole comparison as JSON has it. Seconds that a table does not have are null."""
        return {
            "scenes": {
                scene: {
                    "about": self.tables[scene].about,
                    "policies": {
                        policy: [
                            asdict(one) | self._facts(run)
                            for one, run in zip(judged, self.runs[scene][policy], strict=True)
                        ]
                        for policy, judged in by_policy.items()
                    },
                }
                for scene, by_policy in self.final.items()
            },
            "tests": [asdict(one) for one in self.tests()],
        }

    def _facts(self, run: TrainingReplay) -> dict[str, Any]:
        """Return the cost of a run."""
        seconds = run.training_seconds
        return {
            "trainings": len(run.places),
            "measured": run.measured,
            "metric_seconds": run.metric_seconds,
            "training_seconds": seconds if np.isfinite(seconds) else None,
        }


def replay_trainings(
    replayer: TrainingReplayer, tables: Mapping[str, TrainingTable], policies: Sequence[str], seeds: int
) -> Iterator[tuple[str, str, TrainingReplay]]:
    """Yield a replay of every policy on every data set or task with every seed, from 0: scene, policy, replay."""
    for scene, table in tables.items():
        for policy in policies:
            for seed in range(seeds):
                yield scene, policy, replayer.run(policy, table, seed)


def compare_trainings(
    tables: Mapping[str, TrainingTable], found: Sequence[tuple[str, str, TrainingReplay]]
) -> TrainingComparison:
    """Return the comparison of the replays that `replay_trainings` yields."""
    runs: dict[str, dict[str, list[TrainingReplay]]] = {}
    for scene, policy, run in found:
        runs.setdefault(scene, {}).setdefault(policy, []).append(run)
    return TrainingComparison(tables, runs)
