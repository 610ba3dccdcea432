"""`nasctl pareto pick`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from nasctl.commands import json_option, run_option, store_option
from nasctl.commands.pareto import newest_named

if TYPE_CHECKING:
    from nasctl.analysis.percentiles import Rank
    from nasctl.analysis.pick import Rule
    from nasctl.problem.searcher import Evaluation
    from nasctl.store.run_record import RunRecord


@click.command("pick")
@run_option
@click.option(
    "--closest",
    is_flag=True,
    help="The network nearest to the best of every objective, each scaled to its range on the front.",
)
@click.option(
    "--knee",
    is_flag=True,
    help="The knee of the front, where giving up a little of one objective stops to gain much of another.",
)
@click.option(
    "--under",
    multiple=True,
    metavar="BOUND",
    help='Only networks within a bound, such as "latency@gpu<=30". Without a rule, the recommended one of these: within'
    " an upper bound, the one with the best quality. Repeatable.",
)
@click.option(
    "--best",
    metavar="NAME",
    help="The best network in one objective. In this and the other rules, trained (or accuracy) means the validation"
    " accuracy of the trained candidates.",
)
@click.option(
    "--near",
    multiple=True,
    metavar="WISH",
    help="The network nearest to wished values, better or worse: latency@gpu=20,params=4M.",
)
@click.option(
    "--order",
    multiple=True,
    metavar="NAMES",
    help="The best network in the first objective, then in the second, ...: synflow,macs.",
)
@click.option(
    "--tolerance",
    default="0%",
    show_default=True,
    metavar="PERCENT",
    help="With --order: distance from the best value that still counts as the best, in per cent of the range on the"
    " front.",
)
@store_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    run: str | None,
    closest: bool,
    knee: bool,
    under: tuple[str, ...],
    best: str | None,
    near: tuple[str, ...],
    order: tuple[str, ...],
    tolerance: str,
    store: str,
    as_json: bool,
) -> None:
    """Pick one network of a run, and give the reason.

    Without a rule it is the recommended network: within a bound, the one with the best quality, which is the validation
    accuracy if networks of the run are trained, and the score of the run otherwise. In a run without a bound it is the
    one closest to the best of every objective.
    """
    import json

    from nasctl import registry
    from nasctl.analysis.percentiles import Percentiles
    from nasctl.analysis.pick_trained import asked_word, choose
    from nasctl.architectures import ids
    from nasctl.store.store import Store
    from nasctl.system.terminal import definitions, say
    from nasctl.training.accuracies import trained_networks

    rule = _rule(closest, knee, best, near, order, tolerance)
    name, record = (opened := Store.reading(store)).run(run)
    visited = opened.evaluations(name)
    trained = trained_networks(opened, record.space, (one.genome for one in visited))
    word = asked_word([*under, *near, *order, best or ""], record)
    with newest_named(opened, name, run):
        found = choose(opened, name, visited, rule, under, trained, word)
    chosen = found.chosen
    standings = Percentiles(record, visited).standings(chosen)
    arch = ids.encode(record.space, registry.create("spaces", record.space).genes, chosen.genome)
    given = ctx.get_parameter_source("store") is ParameterSource.COMMANDLINE
    there = trained.finished.get(chosen.genome) if trained else None
    weights = f" --weights {there.name} --format python,onnx" if there else ""
    export = f"nasctl export --arch {arch}{weights}" + (f" --store {shlex.quote(store)}" if given else "")
    if knee:
        say("note: --knee picks the knee of the front; the network nearest to the best of all is --closest now")
    if as_json:
        result = {"run": name, "id": arch, "genome": chosen.genome, "values": chosen.values, "front": found.front}
        more = {"trained": trained.facts(chosen.genome)} if trained else {}
        standing = {key: str(one) for key, one in standings.items()}
        click.echo(json.dumps({**result, "standing": standing, "why": found.why, "export": export, **more}))
        return
    values = _values(record, chosen, standings)
    if trained and there:
        values["trained"] = f"{trained.sentence(chosen.genome)}; training {there.name} on {trained.setting}"
    among = f"{found.front} on the front" if word is None else f"{found.front} trained and non-dominated candidates"
    why = f"{found.why}; of {among} of run {name}" if rule or word else f"{found.why}; of run {name}"
    definitions({"id": arch, **values, **_compared(standings), "why": why, "export": export})


def _values(record: RunRecord, chosen: Evaluation, standings: Mapping[str, Rank]) -> dict[str, str]:
    """Return each value with its unit and its standing: "163 M, smaller than 80%"."""
    from nasctl.system.terminal import quantity

    found = {}
    for key, column in record.columns.items():
        value = quantity(chosen.values[key], column.unit) if key in chosen.values else ""
        failed = f"failed: {chosen.errors.get(key)}"
        found[key] = f"{value}, {standings[key].short}" if key in standings else value or failed
    return found


def _compared(standings: Mapping[str, Rank]) -> dict[str, str]:
    """Return the line that says with what values are compared: "l2_norm, snip with 300 random networks ..."."""
    groups: dict[str, list[str]] = {}
    for name, one in standings.items():
        groups.setdefault(one.others, []).append(name)
    return {"compared": "; ".join(f"{', '.join(names)} with {others}" for others, names in groups.items())}


def _rule(
    closest: bool, knee: bool, best: str | None, near: tuple[str, ...], order: tuple[str, ...], tolerance: str
) -> Rule | None:
    """Return the rule that the options ask for; None without one.

    Raises:
        NasctlError: The options ask for several rules, or give a tolerance without an order.
    """
    from nasctl.analysis import pick as rules
    from nasctl.errors import NasctlError

    given = {
        "--closest": closest,
        "--knee": knee,
        "--best": best is not None,
        "--near": bool(near),
        "--order": bool(order),
    }
    asked = [option for option, there in given.items() if there]
    if len(asked) > 1:
        raise NasctlError(f"{' and '.join(asked)} are different rules; give one of them")
    if tolerance != "0%" and not order:
        raise NasctlError("--tolerance belongs to --order; give that too, or leave it out")
    if near:
        return rules.by_wish(near)
    if order:
        return rules.by_order(order, tolerance)
    if best is not None:
        return rules.by_best(best)
    if knee:
        return rules.by_knee
    return rules.by_closest if closest else None
