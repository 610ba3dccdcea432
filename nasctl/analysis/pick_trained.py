"""The choice of one network of a stored run, also by true accuracy.

For a choice by true accuracy, the run is its trained candidates, with their accuracy as one more objective.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from nasctl.analysis.pick import Pick, Rule, columns_called, pick, recommended
from nasctl.errors import NasctlError
from nasctl.problem.searcher import Evaluation, Goal
from nasctl.store.run_record import Column, RunRecord
from nasctl.store.store import Store
from nasctl.training.accuracies import TrainedNetworks

WORDS = ("trained", "accuracy")  # names of the objective


def choose(
    store: Store,
    run: str,
    visited: Sequence[Evaluation],
    rule: Rule | None,
    under: Sequence[str],
    trained: TrainedNetworks | None,
    word: str | None,
) -> Pick:
    """Return the network of a run that a rule chooses, or the recommended one without a rule.

    Args:
        store: The store of the run.
        run: Name of the run.
        visited: Evaluations of the run's candidates.
        rule: A rule of `nasctl.analysis.pick`; None for the recommended network within the constraints.
        under: Further constraints.
        trained: Trained networks of the run.
        word: Name under which the rule or the constraints ask for true accuracy; None if they do not.

    Raises:
        NasctlError: A constraint or the rule does not fit the run, no candidate is left, or `word` is given and no
            candidate is trained.
    """
    _, record = store.run(run)
    if word is not None:
        record, visited = with_accuracy(record, visited, trained, word)
    if rule is None:
        return recommended(store, run, record, visited, under)
    return pick(record, visited, rule, under)


def asked_word(texts: Iterable[str], record: RunRecord) -> str | None:
    """Return the name under which the options of a pick ask for true accuracy, or None.

    A column of the run that is called so comes first: "accuracy" means "accuracy@FILE.json" in a run that has it.

    Args:
        texts: Options such as "accuracy", "trained>=0.9", "accuracy=0.9,params=4M" or "trained,macs".
        record: Record of the run.
    """
    names = {match for text in texts for match in re.findall(r"[\w@.:/-]+", text)}
    return next((word for word in WORDS if word in names and not columns_called(word, record)), None)


def with_accuracy(
    record: RunRecord, visited: Sequence[Evaluation], trained: TrainedNetworks | None, word: str
) -> tuple[RunRecord, list[Evaluation]]:
    """Return the record with true accuracy as an objective, and the trained candidates with its values.

    Networks are judged on the validation part, so that the test accuracy of the network that is picked is unbiased.

    Args:
        record: Record of the run.
        visited: Evaluations of the run's candidates.
        trained: Trained networks of the run's space.
        word: Name of the objective.

    Raises:
        NasctlError: No candidate is trained, or the trained ones have no accuracy.
    """
    found = []
    for one in visited:
        value = None if trained is None else trained.value(one.genome, trained.judged)
        if value is not None:
            found.append(replace(one, values={**one.values, word: value}))
    if trained is None or not found:
        raise NasctlError(
            f"Cannot pick by {word}: no candidate of this run is trained to the end. Train some with nasctl train"
            " --run, or pick by another objective."
        )
    if word == "accuracy" and trained.measure != "accuracy":
        raise NasctlError(
            f"Cannot pick by accuracy: the trainings of this run have {trained.measure}. Pick by trained instead."
        )
    goal = Goal(word, "max" if trained.measure == "accuracy" else "min", "identity", "module")
    column = Column("", "", "module", goal)
    return replace(record, columns={**record.columns, word: column}, asked={}), found


__all__ = ["WORDS", "asked_word", "choose", "with_accuracy"]
