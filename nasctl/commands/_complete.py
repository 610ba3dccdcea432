"""Completion of values in the shell: plug-ins, devices, runs and ids, without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from nasctl.problem.defaults import DEFAULT_STORE

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

Kind = Literal[
    "spaces",
    "objectives",
    "searchers",
    "strategies",
    "devices",
    "data",
    "runs",
    "ids",
    "supernets",
    "trainings",
    "weights",
]

INHERITED = ("accuracy", "loss", "score")  # objectives of a supernet, such as accuracy@NAME

RUNS = 3  # newest runs whose ids are offered

Complete = Callable[["click.Context", "click.Parameter", str], "list[CompletionItem]"]


def complete(kind: Kind) -> Complete:
    """Return the function that completes a value, as `shell_complete` of `click` takes it.

    Args:
        kind: Plug-ins of a kind, runs of the store, ids of the candidates of its runs, or supernets, trainings or both
            beside it.
    """

    def found(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            return list(_items(kind, ctx, param, incomplete))
        except Exception:  # a shell that completes shows nothing else
            return []

    return found


def _items(kind: Kind, ctx: click.Context, param: click.Parameter, incomplete: str) -> Iterable[CompletionItem]:
    """Yield the names that begin as the value does. Of a list such as "params,ma" the last name is completed."""
    from click.shell_completion import CompletionItem

    begun, comma, last = incomplete.rpartition(",") if getattr(param, "multiple", False) else ("", "", incomplete)
    names = _names(kind, _store(ctx), last)
    for name in dict.fromkeys(names):
        if name.startswith(last):
            yield CompletionItem(f"{begun}{comma}{name}")
    if kind in ("spaces", "devices", "data", "trainings", "weights"):
        yield CompletionItem(incomplete, type="file")  # a space, a table, data or weights may be a file


def _names(kind: Kind, store: str, begun: str) -> Iterable[str]:
    """Return the names of a kind."""
    if kind in ("runs", "ids"):
        return _in_store(kind, store)
    if kind in ("supernets", "trainings", "weights"):
        return _beside_store(kind, store)
    base, at, _ = begun.partition("@")
    if kind == "objectives" and at and base in INHERITED:
        return [f"{base}@{name}" for name in _beside_store("supernets", store)]
    return _plugins(kind)


def _beside_store(kind: str, store: str) -> list[str]:
    """Return the names of the supernets, of the trainings or of both beside a store, sorted."""
    from nasctl.supernets.folder import supernets_folder
    from nasctl.training.folder import trainings_folder

    folders = [supernets_folder(store)] if kind != "trainings" else []
    folders += [trainings_folder(store)] if kind != "supernets" else []
    return sorted(path.parent.name for one in folders for path in one.glob("*/training.json"))


def _plugins(kind: str) -> Iterable[str]:
    from nasctl.hardware.tables_schema import KINDS
    from nasctl.registry import plugins
    from nasctl.registry.aliases import ALIASES

    aliases = (alias.replace("_", "-") for others in ALIASES.get(kind, {}).values() for alias in others)
    return [*(KINDS if kind == "devices" else ()), *plugins.available(kind), *aliases]


def _store(ctx: click.Context) -> str:
    """Return the path of the store of a command that is being typed."""
    import os

    values: dict[str, Any] = ctx.params
    return str(values.get("store") or os.environ.get("NASCTL_STORE") or DEFAULT_STORE)


def _in_store(kind: str, path: str) -> Iterator[str]:
    """Yield the names of runs, newest first, or the ids of networks on the fronts of the newest runs."""
    from nasctl.store.store import Store

    store = Store.reading(path)
    runs = store.runs()
    if kind == "runs":
        yield from (one.name for one in runs)
        return
    from nasctl import registry
    from nasctl.architectures import ids
    from nasctl.pareto.losses import front

    for run in runs[:RUNS]:
        if run.record.space.partition(":")[0] in registry.trusted("spaces"):  # code that was not named never runs
            genes = registry.create("spaces", run.record.space).genes
            found = front(store.evaluations(run.name), run.record.goals, run.record.constraints)
            yield from (ids.encode(run.record.space, genes, one.genome) for one in found)
