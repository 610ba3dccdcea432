"""Default metrics of a space and a task, chosen by measured correlations, and what the evidence says of any metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nasctl.candidates.objective import Objective, closed_form
from nasctl.candidates.reversed_objective import ReversedObjective, measured_name, parse_direction
from nasctl.correlations.families import FAMILIES, default_task
from nasctl.correlations.table import DefaultChoice, MeasuredScene, mean_correlation, shipped
from nasctl.problem.defaults import DEFAULT_COST
from nasctl.problem.searcher import Direction

BASELINES = (DEFAULT_COST, "params")  # sizes that a score is to beat


@dataclass(frozen=True)
class SpaceKind:
    """The facts about a space that its defaults follow from.

    Args:
        name: Name of the space without its options.
        family: Its family.
        kind: Kind of its input: "images" or "tokens".
        task: What its networks are to be trained for.
    """

    name: str
    family: str
    kind: str
    task: str

    @property
    def called(self) -> str:
        """The family in words, such as "mobile networks"."""
        return FAMILIES.get(self.family, self.family)


def default_choice(asked: SpaceKind) -> DefaultChoice | None:
    """Return the default metrics of a space and a task; None if no space of this kind of input was measured.

    Without a choice for the task, the choice for the usual task of the family is returned.
    """
    table = shipped()
    usual = default_task(asked.family)
    return table.choice(asked.family, asked.kind, asked.task) or table.choice(asked.family, asked.kind, usual)


def default_score(asked: SpaceKind, choice: DefaultChoice) -> tuple[str, ...]:
    """Return the metrics whose log rank is the default score of a space."""
    return choice.score if asked.name in choice.spaces else choice.elsewhere


def evidence_line(asked: SpaceKind, choice: DefaultChoice, objectives: Sequence[str]) -> str:
    """Return one sentence on the measurements behind default objectives, and on how far the space is from them.

    Args:
        asked: The space and the task.
        choice: The choice for them.
        objectives: The objectives of the choice that apply to the space.
    """
    figures = ", ".join(f"{spec} {correlation_text(_rho(choice, spec))}" for spec in (*objectives, "macs"))
    scenes = _scenes(choice)
    networks = sum({scene.name: scene.networks for scene in scenes}.values())
    if len(scenes) == 1:
        results = f"Spearman with {scenes[0].dataset} of {networks} networks"
    else:
        results = f"mean Spearman with results of {networks:,} networks"
    names = ", ".join(choice.spaces)
    if choice.task != asked.task:
        distance = f"of {names}; {asked.task} was not measured on {asked.called}"
    elif choice.family != asked.family:
        distance = f"of {names}; {asked.called} were not measured"
    elif asked.name not in choice.spaces:
        distance = f"of {names}, not of this space"
    else:
        distance = "of this space" if len(choice.spaces) == 1 else f"of {names}, this space among them"
    whose = f"defaults for {asked.called}" + (f", {asked.task}" if asked.task != default_task(asked.family) else "")
    return f"{whose}: {figures} ({results} {distance})"


def doubts(asked: SpaceKind, name: str, objective: Objective) -> str:
    """Return what measurements on a space, or else on its family, hold against an objective; "" if nothing.

    Args:
        asked: The space and the task.
        name: Name of the objective, such as "snip" or "min:snip".
        objective: The objective.
    """
    metric = measured_name(name)
    scenes = [scene for scene in shipped().of(asked.family, asked.task) if metric in scene.metrics]
    if not scenes or (closed_form(objective) and objective.direction == "min"):
        return ""  # a cost is minimised whatever it says of accuracy
    judged, whose = _deciding(asked, metric)
    said = _held_against(whose, judged, name, objective)
    others = [scene for scene in scenes if scene not in judged]
    if said or not others or any(_supports(scene, metric, objective.direction) for scene in judged):
        return said
    # The space decides nothing either way, so it cannot clear an objective that its family contradicts.
    if not _held_against(asked.called, others, name, objective):
        return ""
    spec = f"{objective.direction}:{metric}"
    return "" if mean_correlation(judged, spec) is None else _not_seen(whose, judged, name, spec)


def _deciding(asked: SpaceKind, metric: str) -> tuple[list[MeasuredScene], str]:
    """Return the scenes that judge a metric, and the words for them: those of the space itself, or else of its family.

    Metrics order the spaces of a family differently, so a mean over the family may hide what one space shows.
    """
    scenes = [scene for scene in shipped().of(asked.family, asked.task) if metric in scene.metrics]
    own = [scene for scene in scenes if scene.name == asked.name and scene.metrics[metric].spearman is not None]
    if not own or len(own) == len(scenes):
        return scenes, asked.called
    return own, asked.name


def _held_against(whose: str, scenes: Sequence[MeasuredScene], name: str, objective: Objective) -> str:
    """Return what scenes hold against an objective that all of them have; "" if nothing."""
    metric = measured_name(name)
    if any(_supports(scene, metric, objective.direction) for scene in scenes):
        return ""
    opposite: Direction = "min" if objective.direction == "max" else "max"
    other = metric if isinstance(objective, ReversedObjective) else f"{opposite}:{metric}"
    measured: Direction = objective.direction
    if any(scene.metrics[metric].towards(measured) is None for scene in scenes):
        measured = opposite  # networks failed, so the figure of one direction says nothing exact of the other
    spec = f"{measured}:{metric}"
    rho = mean_correlation(scenes, spec)
    if rho is None or (rho > 0) == (measured == objective.direction):
        return ""
    ordered = any(_supports(scene, metric, opposite) for scene in scenes)
    if measured == opposite:
        return f"{other} orders {whose} ({_figures(scenes, spec)}); {name} was not measured" if ordered else ""
    if not ordered:
        return _not_seen(whose, scenes, name, spec)
    figures = _figures(scenes, spec)
    return f"measurements on {whose} contradict the direction of {name} ({figures}); {other} has the other"


def _not_seen(whose: str, scenes: Sequence[MeasuredScene], name: str, spec: str) -> str:
    return f"{name} was not seen to order {whose} ({_figures(scenes, spec)})"


def _figures(scenes: Sequence[MeasuredScene], spec: str) -> str:
    """Return the figure of an objective on each space, such as "Spearman .65 on nb201, -.04 on darts"."""
    names = dict.fromkeys(scene.name for scene in scenes)
    means = {name: mean_correlation([scene for scene in scenes if scene.name == name], spec) for name in names}
    return "Spearman " + ", ".join(
        f"{correlation_text(rho)} on {name}" for name, rho in means.items() if rho is not None
    )


def _supports(scene: MeasuredScene, metric: str, direction: Direction) -> bool:
    """Return whether the interval of a scene lies above 0 for a metric in a direction."""
    found = scene.metrics[metric].towards(direction)
    return found is not None and found.low is not None and found.low > 0


def _rho(choice: DefaultChoice, spec: str) -> float | None:
    """Return the mean correlation of an objective on the scenes of a choice."""
    return mean_correlation(_scenes(choice), spec)


def _scenes(choice: DefaultChoice) -> list[MeasuredScene]:
    return [one for one in shipped().scenes if one.name in choice.spaces and one.task == choice.task]


def correlation_text(rho: float | None) -> str:
    """Return a correlation as the field prints it: .85, -.10."""
    return "-" if rho is None else f"{rho:.2f}".replace("0.", ".", 1)


def score_doubt(asked: SpaceKind, metrics: Sequence[str]) -> str:
    """Return what measurements hold against the log rank of several metrics as a score; "" if nothing.

    A size among the metrics is no gain over the sizes. A metric that orders networks in the other direction, in which
    alone it was measured, was not seen to order them in its own. Each metric is compared with parameters and MACs, in
    their better direction, on the spaces that the metric was measured on.

    Args:
        asked: The space and the task.
        metrics: Names of the metrics, such as "naswot", "max:params" or "min:snip".
    """
    if _is_validated(asked, metrics):
        return ""
    judged = {name: _deciding(asked, measured_name(name))[0] for name in metrics}
    figures = {name: rho for name, scenes in judged.items() if (rho := _figure(scenes, name)) is not None}
    scenes = [scene for scene in shipped().scenes if any(scene in judged[name] for name in figures)]
    own = all(scene.name == asked.name for scene in scenes)
    whose = _deciding(asked, BASELINES[0])[1] if own else asked.called
    if len(figures) == len(metrics) and all(rho <= _best_size(judged[name])[0] for name, rho in figures.items()):
        return f"{', '.join(metrics)}: none orders {whose} better than {_best_size(scenes)[1]}"
    against = [name for name, rho in figures.items() if rho < 0]
    if against:
        return f"{', '.join(against)}: not seen to order {whose} in this direction, and may lower the score"
    return ""


def _is_validated(asked: SpaceKind, metrics: Sequence[str]) -> bool:
    """Return whether metrics are the measured score of a space; it was judged on networks it was not chosen on."""
    choice = default_choice(asked)
    if choice is None or choice.task != asked.task or set(choice.score) <= set(BASELINES):
        return False
    named = {name.removeprefix("max:") if measured_name(name) in BASELINES else name for name in metrics}
    return asked.name in choice.spaces and named == set(choice.score)


def _figure(scenes: Sequence[MeasuredScene], spec: str) -> float | None:
    """Return the mean correlation of an objective; below 0 if the other direction alone was measured and is right."""
    rho = mean_correlation(scenes, spec)
    if rho is not None:
        return rho
    direction, metric = parse_direction(spec)
    opposite = mean_correlation(scenes, f"{'min' if direction == 'max' else 'max'}:{metric}") if direction else None
    return -opposite if opposite is not None and opposite > 0 else None


def _best_size(scenes: Sequence[MeasuredScene]) -> tuple[float, str]:
    """Return the highest mean correlation of a size in either direction, and the size."""
    specs = [spec for size in BASELINES for spec in (size, f"min:{size}")]
    found = [(rho, spec) for spec in specs if (rho := mean_correlation(scenes, spec)) is not None]
    return max(found, key=lambda one: one[0], default=(1.0, DEFAULT_COST))
