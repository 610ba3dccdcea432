"""`nasctl pareto pick`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from nasctl.commands import json_option, run_option, store_option

if TYPE_CHECKING:
    from nasctl.analysis.pick import Rule


@click.command("pick")
@run_option
@click.option(
    "--closest",
    is_flag=True,
    help="The network nearest to the best of every objective, each scaled to its range on the front.  [default]",
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
    help='Only networks within a bound, such as "latency@gpu<=30". Of these the best in the first objective without a'
    " bound, unless another rule is given too; repeatable.",
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
    """Pick one network of the front of a run, and give the reason."""
    import json

    from nasctl import registry
    from nasctl.analysis.pick import pick as picked
    from nasctl.analysis.pick_trained import asked_word, with_accuracy
    from nasctl.architectures import ids
    from nasctl.store.store import Store
    from nasctl.system.terminal import definitions, quantity, say
    from nasctl.training.accuracies import trained_networks

    rule = _rule(closest, knee, under, best, near, order, tolerance)
    name, record = (opened := Store.reading(store)).run(run)
    visited = opened.evaluations(name)
    trained = trained_networks(opened, record.space, (one.genome for one in visited))
    word = asked_word([*under, *near, *order, best or ""], record)
    if word is None:
        found = picked(record, visited, rule, under)
    else:
        found = picked(*with_accuracy(record, visited, trained, word), rule, under)
    chosen = found.chosen
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
        click.echo(json.dumps({**result, "why": found.why, "export": export, **more}))
        return
    values = {
        key: quantity(chosen.values[key], column.unit) if key in chosen.values else f"failed: {chosen.errors.get(key)}"
        for key, column in record.columns.items()
    }
    if trained and there:
        values["trained"] = f"{trained.sentence(chosen.genome)}; training {there.name} on {trained.setting}"
    among = f"{found.front} on the front" if word is None else f"{found.front} trained and non-dominated candidates"
    why = f"{found.why}; of {among} of run {name}"
    definitions({"id": arch, **values, "why": why, "export": export})


def _rule(
    closest: bool,
    knee: bool,
    under: tuple[str, ...],
    best: str | None,
    near: tuple[str, ...],
    order: tuple[str, ...],
    tolerance: str,
) -> Rule:
    """Return the rule that the options ask for.

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
    if best is not None or (under and not asked):
        return rules.by_best(best, under)
    return rules.by_knee if knee else rules.by_closest
