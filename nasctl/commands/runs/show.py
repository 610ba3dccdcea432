"""`nasctl runs show`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from nasctl.commands import json_option, store_option
from nasctl.commands._complete import complete

if TYPE_CHECKING:
    from nasctl.analysis.run_scores import Sizes
    from nasctl.problem.searcher import Evaluation
    from nasctl.store.run_record import RunRecord
    from nasctl.store.store import Store
    from nasctl.training.accuracies import TrainedNetworks


@click.command()
@click.argument("name", shell_complete=complete("runs"), required=False)
@click.option(
    "--config", is_flag=True, help="Print the options that repeat the run, for `nasctl search --config FILE`."
)
@store_option
@json_option
def command(name: str | None, config: bool, store: str, as_json: bool) -> None:
    """Show the question of the run NAME (or the newest run), its versions, and its results."""
    import json

    from nasctl.analysis.run_scores import stored_sizes
    from nasctl.pareto.losses import front
    from nasctl.store.store import Store
    from nasctl.system.terminal import definitions, duration
    from nasctl.training.accuracies import trained_networks

    opened = Store.reading(store)
    name, record = opened.run(name)
    if config:
        click.echo(_config(opened, name, record, as_json), nl=False)
        return
    visits = list(opened.visits(name))
    found = [evaluation for evaluation, _ in visits]
    errors = sorted({error for evaluation in found for error in evaluation.errors.values()})
    result: dict[str, Any] = {
        "run": name,
        **record.asked,
        "versions": record.versions,
        "machines": list(record.machines),
        "values": {machine or "unknown": number for machine, number in opened.machines(name).items()},
        "candidates": len(found),
        "failed": sum(bool(evaluation.errors) for evaluation in found),
        "errors": errors,
        "front": len(front(found, record.goals, record.constraints)),
        "hypervolume": _hypervolume(record, found),
        "recommended": _recommended(opened, name, record, found),
        "score": _best(record, found, stored_sizes(opened, name, record)),
        "seconds": round(sum(seconds for _, seconds in visits), 3),
    }
    trained = trained_networks(opened, record.space, (evaluation.genome for evaluation in found))
    if trained:
        result["trained"] = _trained(trained, record)
    if as_json:
        click.echo(json.dumps(result))
        return
    if record.constraints:
        result["constraints"] = record.bounds
    result["seconds"] = duration(float(str(result["seconds"])))
    if result["hypervolume"] is not None:
        result["hypervolume"] = f"{result['hypervolume']:.1%} of the ideal box"
    if recommended := result["recommended"]:
        result["recommended"] = f"{recommended['id']}, {recommended['why']}"
    listed = {key: _listed(value) for key, value in result.items()}
    if trained:
        listed["trained"] = _trained_text(trained, _trained(trained, record))
    definitions({key: "-" if value in ("", None) else value for key, value in listed.items()})


def _config(store: Store, name: str, record: RunRecord, as_json: bool) -> str:
    """Return the options that repeat a run, as TOML or JSON.

    Raises:
        NasctlError: The run has no options, because an older nasctl or a script started it.
    """
    import json

    from nasctl.commands._config import to_toml
    from nasctl.errors import NasctlError
    from nasctl.search import command_line
    from nasctl.system.terminal import printable

    if not record.config:
        line, _ = command_line.command_line(name, record, len(store.evaluations(name)))
        raise NasctlError(f"run {name!r} was started by an older nasctl, or by a script; this repeats it: {line}")
    versions = ", ".join(f"{library} {version}" for library, version in record.versions.items())
    heading = printable(f"# made with {versions}; repeat it with nasctl search --config FILE") + "\n"
    return json.dumps(record.config) + "\n" if as_json else heading + to_toml(record.config)


def _hypervolume(record: RunRecord, found: Sequence[Evaluation]) -> float | None:
    """Return the hypervolume as a share of the ideal box; None if no candidate has a value in every objective."""
    from nasctl.errors import NasctlError
    from nasctl.search.recorded_hypervolume import hypervolume_share

    try:
        return hypervolume_share(record, found)
    except NasctlError:
        return None


def _recommended(store: Store, name: str, record: RunRecord, found: Sequence[Evaluation]) -> dict[str, str] | None:
    """Return the id of the recommended network and the reason; None for an empty front or a space that is gone."""
    from nasctl.analysis.recommendation import recommend
    from nasctl.errors import UnknownName

    try:
        recommended = recommend(store, name, record, found)
    except UnknownName:  # the plug-in of the space is not installed any more
        return None
    return {"id": recommended.id, "why": recommended.reason} if recommended else None


def _best(record: RunRecord, found: Sequence[Evaluation], sizes: Sizes) -> dict[str, object]:
    """Return the name of the run's score, its largest value, and the id of the network that has it."""
    from nasctl import registry
    from nasctl.analysis.run_scores import scores_of_run
    from nasctl.architectures import ids

    head, scores = scores_of_run(record, found, None, sizes) or ("", {})
    if not scores:
        return {}
    genome = max(scores, key=lambda one: scores[one])
    arch = ids.encode(record.space, registry.create("spaces", record.space).genes, genome)
    return {head: round(scores[genome], 6), "best": arch}


def _trained(trained: TrainedNetworks, record: RunRecord) -> dict[str, object]:
    """Return the number of trained candidates, their setting, and the one with the best result, as JSON."""
    from nasctl import registry
    from nasctl.architectures import ids

    found: dict[str, object] = {"networks": len(trained.finished), "setting": trained.setting}
    found["unfinished"] = len(trained.records) - len(trained.finished)
    if best := trained.best:
        arch = ids.encode(record.space, registry.create("spaces", record.space).genes, best)
        found |= {"best": arch, **(trained.facts(best) or {})}
    return found


def _trained_text(trained: TrainedNetworks, facts: Mapping[str, object]) -> str:
    """Return the facts of `_trained` as one line."""
    from nasctl.system.terminal import plural

    best = f"; best {facts['best']}, {trained.sentence(trained.best)}" if trained.best else ""
    more = f", and {facts['unfinished']} not to the end" if facts["unfinished"] else ""
    number = plural(len(trained.finished), "candidate")
    return f"{number}{more} ({facts['setting']}){best}"


def _listed(value: object) -> object:
    """Return a value as it is printed: a list or a mapping as one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else value
