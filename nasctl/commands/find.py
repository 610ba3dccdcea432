"""The command `nasctl find`: from bounds to one exported network."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nasctl.commands import device_option, json_option, search, store_option
from nasctl.commands import export as export_command
from nasctl.commands._complete import complete
from nasctl.commands._groups import GroupedCommand, OptionGroup
from nasctl.commands._setting import fidelity_option
from nasctl.commands._trainings import GOES_ON
from nasctl.commands._types import Count, OutputPath
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from nasctl.analysis.recommendation import Recommendation
    from nasctl.analysis.space_choice import SpaceChoice
    from nasctl.analysis.space_fit import BoundsQuestion
    from nasctl.store.run_record import RunRecord

BUDGET = 150  # candidates, half of what `search` evaluates: minutes on a laptop
FORMATS = ("python", "onnx")


@dataclass(frozen=True)
class Wanted:
    """Bounds as a user types them; None where there is none.

    Args:
        latency: Bound on the latency on each device, in ms or with a unit.
        params: Bound on the parameters.
        macs: Bound on the multiply-accumulates for one example.
        memory: Bound on the peak memory of activations, in bytes or with a unit.
        size: Bound on the bytes of the weights, or with a unit.
    """

    latency: str | None = None
    params: str | None = None
    macs: str | None = None
    memory: str | None = None
    size: str | None = None

    def constraints(self, devices: tuple[str, ...]) -> tuple[str, ...]:
        """Return the bounds as constraints.

        Raises:
            NasctlError: Nothing is bounded, or a latency without a device.
        """
        if self.latency is not None and not devices:
            raise NasctlError(
                "Cannot hold --latency: it depends on the device. Name one with --device; `nasctl device list` lists"
                " them."
            )
        names = [f"latency@{one}" for one in devices] if len(devices) > 1 else ["latency"]
        bounds = [f"{name}<={self.latency}" for name in names] if self.latency is not None else []
        others = {"params": self.params, "macs": self.macs, "memory": self.memory, "size": self.size}
        bounds += [f"{name}<={value}" for name, value in others.items() if value is not None]
        if not bounds:
            raise NasctlError("say what must hold: --latency 20ms with --device NAME, --params 5M, --macs 300M, ...")
        return tuple(bounds)


wanted_group = OptionGroup(
    "wanted",
    "What must hold",
    Wanted,
    (
        click.option("--latency", metavar="MS", help="Most milliseconds on each device: 20, 20ms or 0.02s."),
        click.option("--params", metavar="N", help="Most parameters: 5M."),
        click.option("--macs", metavar="N", help="Most multiply-accumulates for one example: 300M."),
        click.option("--memory", metavar="BYTES", help="Most memory of activations for one example: 2MB."),
        click.option("--size", metavar="BYTES", help="Most storage of the weights in float32: 4MB."),
    ),
)


effort_group = OptionGroup(
    "effort",
    "Effort",
    dict,
    (
        click.option(
            "--budget",
            default=BUDGET,
            show_default=True,
            type=Count(1),
            metavar="N",
            help="Distinct candidates to evaluate.",
        ),
        click.option(
            "--time", "limit", metavar="TIME", help="Time after which the search stops: 90 (seconds), 5m or 2h."
        ),
        click.option(
            "--trainings", type=Count(1), metavar="N", help="Train N networks on --data, and export a trained one."
        ),
        click.option("--recipe", metavar="FILE", help="Recipe of the trainings; see nasctl train."),
        click.option("--epochs", type=Count(1), metavar="N", help="Epochs of a training.  [default: of the recipe]"),
        fidelity_option,
        click.option("--workers", metavar="N", help="Worker processes that run modules, or auto.  [default: 1]"),
        click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the searcher."),
    ),
)


@click.command(cls=GroupedCommand, groups=(wanted_group, effort_group))
@device_option
@wanted_group
@click.option(
    "--data",
    metavar="SOURCE",
    help="Your data: a folder or zip of images by class, an .npz, ... Classes and image size follow from it.",
    shell_complete=complete("data"),
)
@click.option(
    "--space",
    "spaces",
    multiple=True,
    metavar="SPEC",
    help="Search space to choose from. Repeatable, or A,B.  [default: all that suit the data and the devices]",
    shell_complete=complete("spaces"),
)
@effort_group
@click.option(
    "-o", "--output", type=OutputPath(), metavar="FOLDER/", help="Folder of the exported files.  [default: this folder]"
)
@click.option("--force", is_flag=True, help="Overwrite exported files.")
@store_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    wanted: Wanted,
    effort: dict[str, Any],
    devices: tuple[str, ...],
    data: str | None,
    spaces: tuple[str, ...],
    output: Path | None,
    force: bool,
    store: str,
    as_json: bool,
) -> None:
    """Find a network within bounds, and export it.

    The command chooses a search space with its width and resolution, searches it, recommends one network and exports
    it as Python source and ONNX. It prints the commands that do the same step by step. The same command resumes a
    search that was stopped.
    """
    import json

    from nasctl import registry
    from nasctl.analysis.space_choice import choose, option_words
    from nasctl.analysis.space_fit import BoundsQuestion
    from nasctl.hardware.kinds import load_table
    from nasctl.hardware.tables_schema import KINDS
    from nasctl.system.terminal import say

    if effort["trainings"] is not None and data is None:
        raise NasctlError("Cannot train without data. Name it with --data: digits, or a folder of images by class.")
    devices = tuple(registry.listed(devices))
    for device in devices:
        if device not in KINDS:
            load_table(device)  # a device that does not exist is the first thing to say
    question = BoundsQuestion(devices, wanted.constraints(devices), data)
    choice = choose(question, spaces)
    say(*_choice_sentences(choice, question))
    at = ("--store", store) if ctx.get_parameter_source("store") is ParameterSource.COMMANDLINE else ()
    steps = [
        ("space", "fit", choice.base, *option_words(choice.question)),
        ("search", choice.fit.spec, *option_words(choice.question), *_effort_words(effort), *at),
    ]
    ctx.meta[GOES_ON] = True  # the network is exported here
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        if code := _call(ctx, search.command, "search", steps[1][1:]):
            ctx.exit(code)
    found = _recommended(store, ctx.meta[search.RUN], data or "")
    say("", *found.sentences())
    steps.append(("pareto", "pick", "--run", found.run, *at))
    steps.append(("export", *found.words, "--format", ",".join(FORMATS), "--force", *_folder(output), *at))
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        paths, code = _export(ctx, found, output, force, at)
    if code:
        ctx.exit(code)
    lines = [shlex.join(["nasctl", *words]) for words in steps]
    say("", "the same step by step:", *(f"  {line}" for line in lines))
    if as_json:
        click.echo(json.dumps({**found.facts(), "files": list(map(str, paths)), "commands": lines}))


@dataclass(frozen=True)
class Found:
    """The network that the command ends with.

    Attributes:
        run: Name of the run.
        record: Its record.
        recommended: The recommended network.
        arch: Its id.
        training: Name of its training; "" for an untrained network.
        data: Path of the data of the training as the user typed it; "" if it has a name.
    """

    run: str
    record: RunRecord
    recommended: Recommendation
    arch: str
    training: str = ""
    data: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """The words that name the network to `nasctl export`."""
        data = ("--data", self.data) if self.data else ()
        return (self.arch, *(("--weights", self.training, *data) if self.training else ()))

    def sentences(self) -> Iterator[str]:
        """Yield the line with the values of the network, which the search has recommended with its reason."""
        from nasctl.system.terminal import quantity

        values, columns = self.recommended.chosen.values, self.record.columns
        yield f"{self.arch}: {', '.join(f'{name} {quantity(v, columns[name].unit)}' for name, v in values.items())}"

    def facts(self) -> dict[str, Any]:
        """Return what --json prints of the network."""
        chosen = self.recommended.chosen
        training = {"training": self.training} if self.training else {}
        return {
            "run": self.run,
            "space": self.record.space,
            "id": self.arch,
            "genome": chosen.genome,
            "values": chosen.values,
            "why": self.recommended.why,
            **training,
        }


def _choice_sentences(choice: SpaceChoice, question: BoundsQuestion) -> Iterator[str]:
    """Yield sentences on the chosen space, and on what follows from the data."""
    from nasctl import registry
    from nasctl.hardware.kinds import load_table, whose_processor

    spec, bounds = choice.fit.spec, " and ".join(question.texts)
    share = f"{100 * choice.fit.share:.3g}%" if choice.fit.within.any() else "none"
    yield f"space {spec}: {share} of {len(choice.fit.within)} random networks hold {bounds}"
    if choice.fit.side:
        yield f"  its networks take images of {choice.fit.side}x{choice.fit.side} pixels"
    if choice.others:
        listed = ", ".join(f"{one.spec} ({one.mean_macs / 1e6:.4g} M)" for one in choice.others[:3])
        yield f"  its networks within the bounds have {choice.fit.mean_macs / 1e6:.4g} M MACs on average; also {listed}"
    yield from (f"  {reason}" for reason in choice.passed)
    if not choice.fit.within.any():
        yield (
            f"Warning: networks within {bounds} are rare in {spec}, so the search has almost no choice. Relax a bound,"
            " or take another device."
        )
    for asked, meant in zip(question.devices, choice.question.devices, strict=True):
        if asked != meant:
            whose = whose_processor(asked, load_table(meant))
            yield f"  {whose or f'{asked} stands for {meant}, whose table is the best of its kind for this space'}"
    classes = registry.options("spaces", spec).get("classes")
    if question.data is not None and classes is not None:
        yield f"  classes={classes} follows from {question.data}"


def _effort_words(effort: dict[str, Any]) -> Iterator[str]:
    """Yield the words of the options that the command passes on to the search."""
    for name, value in (
        ("budget", effort["budget"]),
        ("trainings", effort["trainings"]),
        ("recipe", effort["recipe"]),
        ("epochs", effort["epochs"]),
        ("fidelity", effort["fidelity"] or None),
        ("time", effort["limit"]),
        ("workers", effort["workers"]),
        ("seed", effort["seed"] or None),
    ):
        if value is not None:
            yield from (f"--{name}", str(value))


def _recommended(store: str, name: str, data: str) -> Found:
    """Return the recommended network of a run on data that the user named.

    Raises:
        NasctlError: No network of the run holds the bounds.
    """
    from nasctl import registry
    from nasctl.analysis.recommendation import recommend
    from nasctl.architectures import ids
    from nasctl.data import is_path
    from nasctl.store.store import Store
    from nasctl.training.accuracies import trained_networks

    opened = Store.reading(store)
    run, record = opened.run(name)
    visited = opened.evaluations(run)
    found = recommend(opened, run, record, visited)
    if found is None:
        raise NasctlError(f"no network of run {run} holds the bounds; give a larger --budget, or relax a bound")
    genes = registry.create("spaces", record.space).genes
    training = ""
    if any(one.startswith("trained") for one in record.columns):
        trained = trained_networks(opened, record.space, (one.genome for one in visited))
        training = trained.finished[found.chosen.genome].name if trained else ""
    arch, path = ids.encode(record.space, genes, found.chosen.genome), data if data and is_path(data) else ""
    return Found(run, record, found, arch, training, path)


def _export(
    ctx: click.Context, found: Found, output: Path | None, force: bool, at: tuple[str, ...]
) -> tuple[list[Path], int]:
    """Export a network, unless its files are there from before, and return their paths and the exit code."""
    from nasctl.export.export import destinations
    from nasctl.system.terminal import say

    trained = bool(found.training)
    paths = destinations(found.training or found.arch, FORMATS, output, force=True, trained=trained)
    while missing := [name for name, path in paths.items() if force or not path.exists()]:
        words = (*found.words, "--format", ",".join(missing), *_folder(output), *at, *(("--force",) if force else ()))
        try:
            return list(paths.values()), _call(ctx, export_command.command, "export", words)
        except NasctlError:
            # The same command, typed twice, writes the same files. Each turn finds fewer of them missing.
            if force or not any(paths[name].exists() for name in missing):
                raise
    say("its files are there already; --force writes them again")
    for path in paths.values():
        click.echo(path)
    return list(paths.values()), 0


def _folder(output: Path | None) -> tuple[str, ...]:
    return () if output is None else ("-o", f"{output}/")


def _call(ctx: click.Context, command: click.Command, name: str, words: Sequence[str]) -> int:
    """Run another command in this process, and return its exit code."""
    try:
        with command.make_context(name, list(words), parent=ctx) as inner:
            command.invoke(inner)
    except click.exceptions.Exit as done:
        return done.exit_code
    return 0
