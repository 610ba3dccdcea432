"""Default objectives of a search: those that measured correlations favour on the family of its space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nasctl import registry
from nasctl.candidates.objective import Objective
from nasctl.correlations import defaults
from nasctl.correlations.families import default_task, family_of
from nasctl.correlations.table import shipped
from nasctl.errors import UnknownName
from nasctl.evaluation import ranges
from nasctl.problem.defaults import DEFAULT_COST, DEFAULT_COUNT, DEFAULT_OBJECTIVES, TASKS
from nasctl.problem.space import HasDefaultCost, HasTrainedWeights, SearchSpace
from nasctl.search.applicability import first_applicable

TRAINED_COST = "size"  # default cost of variants of a trained network, which fewer bits lower


@dataclass(frozen=True)
class DefaultObjectives:
    """Objectives for a search that names none.

    Args:
        objectives: Specs of the objectives, the cost included unless a device gives it.
        evidence: One sentence on the measurements that they rest on.
    """

    objectives: tuple[str, ...]
    evidence: str


def space_kind(spec: str, space: SearchSpace, task: str = "") -> defaults.SpaceKind:
    """Return the facts about a space that its default objectives follow from.

    Args:
        spec: Spec of the space.
        space: The space.
        task: What its networks are to be trained for; "" for what is usual in its family.

    Raises:
        UnknownName: There is no such task.
    """
    if task and task not in TASKS:
        raise UnknownName("task", task, TASKS)
    family = family_of(space, space.network(ranges.sample(space, 1)[0]))
    return defaults.SpaceKind(registry.plugin_of(spec), family, space.input.kind, task or default_task(family))


def default_objectives(spec: str, space: SearchSpace, task: str, with_device: bool) -> DefaultObjectives:
    """Return the default objectives of a space.

    Args:
        spec: Spec of the space.
        space: The space.
        task: What its networks are to be trained for; "" for what is usual in its family.
        with_device: Whether the latency on a device is the cost, in place of the multiply-accumulates.

    Raises:
        UnknownName: There is no such task.
    """
    if isinstance(space, HasTrainedWeights):
        usual = space.default_cost if isinstance(space, HasDefaultCost) else TRAINED_COST
        cost = () if with_device else (usual,)
        return DefaultObjectives(("accuracy", *cost), "the networks are trained, so their accuracy is measured")
    asked = space_kind(spec, space, task)
    choice = defaults.default_choice(asked)
    if choice is None:
        found = first_applicable(space, DEFAULT_OBJECTIVES, DEFAULT_COUNT)
        sentence = f"defaults without evidence: no space of {asked.called} was measured"
        return DefaultObjectives(_with_cost(found, with_device), sentence)
    found = first_applicable(space, (*choice.objectives, *choice.spare), len(choice.objectives))
    found = found or first_applicable(space, DEFAULT_OBJECTIVES, DEFAULT_COUNT)
    return DefaultObjectives(_with_cost(found, with_device), defaults.evidence_line(asked, choice, found))


def past_defaults(spec: str, space: SearchSpace, task: str, with_device: bool) -> list[tuple[str, ...]]:
    """Return the default objectives that earlier versions gave a space, by which their runs are found.

    Args:
        spec: Spec of the space.
        space: The space.
        task: What its networks are to be trained for; "" for what is usual in its family.
        with_device: Whether the latency on a device is the cost.

    Raises:
        UnknownName: There is no such task.
    """
    if isinstance(space, HasTrainedWeights):
        return []
    asked = space_kind(spec, space, task)
    past = shipped().past_choices(asked.family, asked.kind, asked.task)
    lists = [first_applicable(space, (*one.objectives, *one.spare), len(one.objectives)) for one in past]
    lists.append(first_applicable(space, DEFAULT_OBJECTIVES, DEFAULT_COUNT))
    return [_with_cost(metrics, with_device) for metrics in lists]


def objective_doubts(spec: str, space: SearchSpace, task: str, objectives: Mapping[str, Objective]) -> list[str]:
    """Return a sentence for each objective whose direction measurements do not support.

    Args:
        spec: Spec of the space.
        space: The space.
        task: What its networks are to be trained for; "" for what is usual in its family.
        objectives: The objectives by name.

    Raises:
        UnknownName: There is no such task.
    """
    asked = space_kind(spec, space, task)
    said = [defaults.doubts(asked, name, objective) for name, objective in objectives.items()]
    return [sentence for sentence in said if sentence]


def _with_cost(metrics: Sequence[str], with_device: bool) -> tuple[str, ...]:
    return (*metrics, *(() if with_device else (DEFAULT_COST,)))
