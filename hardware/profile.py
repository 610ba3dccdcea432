"""Measure the blocks of spaces, and some whole networks, on this machine's CPU or on a CUDA device."""

from __future__ import annotations

import fcntl
import platform
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.utils.benchmark import Timer

from nasctl.api import NasctlError, Network, SearchSpace, Span
from nasctl.evidence import usable
from nasctl.hardware.blocks import distinct_blocks, random_genomes
from nasctl.hardware.fit import FEWEST, FOLDS, accuracy, cross_predictions, fitted
from nasctl.hardware.model import features
from nasctl.hardware.schema import Row, Validation
from nasctl.hardware.table import LatencyTable

ROUND = 0.005  # seconds of one round of calls, or one call if that takes longer,
ROUNDS = 10  # and at least so many
NOISE = 0.1  # interquartile range over median, above which a timing is refused
ATTEMPTS = 3
NETWORKS = 20  # whole ones of each space that predictions are compared with
BLOCKS_HELD_OUT = f"blocks, for what the operator model covers beside the table's rows; {FOLDS} folds"
SETTING = ("device", "kind", "processor", "runtime", "threads", "precision", "batch", "method")


@dataclass(frozen=True, slots=True)
class Host:
    """Where modules run, and how."""

    name: str  # what users will call it
    torch_device: str = "cpu"
    threads: int = 1
    batch: int = 1
    seconds: float = 0.5  # that one block or network is repeated for

    def table(self, command: str) -> LatencyTable:
        """A table without rows, with all that is known before anything is measured.

        Raises:
            NasctlError: torch has no such device here.
        """
        device = _available(self.torch_device)
        cuda = device.type == "cuda"
        # torch's own default, which is left as it is: users get it too.
        short = cuda and torch.backends.cudnn.allow_tf32
        return LatencyTable(
            device=self.name,
            kind="gpu" if cuda else "cpu",
            batch=self.batch,
            blocks={},
            processor=torch.cuda.get_device_name(device) if cuda else _processor(),
            runtime=f"torch {torch.__version__}",
            threads=self.threads,
            precision="float32, TF32 in convolutions where the device has it" if short else "float32",
            source={
                "data": "this project's own measurement: torch.utils.benchmark, "
                f"{self.seconds:g} s for each block by itself, evaluation mode, random weights and input",
                "system": f"{platform.system()} {platform.machine()}",
            },
            command=command,
            date=date.today().isoformat(),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One thing more that was measured."""

    done: int
    total: int
    table: LatencyTable  # with all that is measured by now
    refused: tuple[str, ...]  # keys of blocks too noisy to be believed


def profile(spaces: Mapping[str, SearchSpace], host: Host, table: LatencyTable) -> Iterator[Step]:
    """Measure what the table lacks of every distinct block of the spaces, then whole networks of each space.

    Blocks are visited in random order, so that a slow drift of the machine becomes noise and not bias. While a block is
    refused, whole networks are left out: they could not be predicted.

    Args:
        spaces: By normal spec.
        host: Where to measure.
        table: With the rows measured before; `Host.table` makes an empty one.
    """
    spans = {key: span for space in spaces.values() for key, span in distinct_blocks(space).items()}
    missing = [key for key in spans if key not in table.blocks]
    total = len(missing) + NETWORKS * len(spaces)
    refused: tuple[str, ...] = ()
    order = np.random.default_rng(0).permutation(len(missing))
    for done, key in enumerate((missing[k] for k in order), 1):
        row = measure(spans[key].alone(), host)
        if row is None:
            refused += (key,)
        else:
            table = replace(table, blocks=dict(sorted({**table.blocks, key: row}.items())))
        yield Step(done, total, table, refused)
    if refused:
        return
    table = _modelled(table, spans)
    for number, (spec, space) in enumerate(spaces.items()):
        networks = [space.network(genome) for genome in islice(random_genomes(space, seed=1), NETWORKS)]
        measured: list[tuple[float, float]] = []
        for place, network in enumerate(networks, 1):
            row = measure(network, host)
            if row is not None:  # one that is too noisy says nothing about the table
                measured.append((table.latency(network), row.ms))
            yield Step(len(missing) + NETWORKS * number + place, total, table, refused)
        table = _validated(table, spec, measured)
    yield Step(total, total, table, refused)


def measure(network: Network, host: Host) -> Row | None:
    """Time a network in evaluation mode; None if every attempt was too noisy."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        module = network.module().eval().to(host.torch_device)
        inputs = [torch.randn(host.batch, *shape).to(host.torch_device) for shape in network.input_shapes]
    for _ in range(ATTEMPTS):
        row = timed(module, inputs, host.threads, host.seconds)
        if row.iqr <= NOISE * row.ms:
            return row
    return None


def timed(module: torch.nn.Module, inputs: list[torch.Tensor], threads: int, seconds: float) -> Row:
    """Median and interquartile range, in ms, over rounds of calls.

    `Timer.timeit` pins the threads, calls twice or more before every round to warm up, and waits for a CUDA device
    around it. `blocked_autorange` is not used because one round, whose range is 0, can be all that it measures.
    """
    timer = Timer("module(*inputs)", globals={"module": module, "inputs": inputs}, num_threads=threads)
    rounds: list[float] = []
    with torch.inference_mode():
        calls = max(1, round(ROUND / timer.timeit(1).median))
        while len(rounds) < ROUNDS or sum(rounds) * calls < seconds:
            rounds.append(timer.timeit(calls).median)
    low, median, high = np.percentile(rounds, [25, 50, 75]) * 1e3
    return Row(round(float(median), 6), round(float(high - low), 6), len(rounds))


@contextmanager
def alone() -> Iterator[None]:
    """Keep other profiles off this machine for the time being.

    Raises:
        NasctlError: One is running.
    """
    with (Path(tempfile.gettempdir()) / "nasctl-device-profile.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NasctlError(
                "another `nasctl device profile` is measuring on this machine; type the same command when it is done"
            ) from None
        yield


def _modelled(table: LatencyTable, spans: Mapping[str, Span]) -> LatencyTable:
    """The table with an operator model of its rows, and how well that predicts blocks that it has not seen."""
    keys = [key for key in spans if key in table.blocks]
    if len(keys) < FEWEST:
        return table
    samples = [features(spans[key].emission) for key in keys]
    ms = np.array([table.blocks[key].ms for key in keys])
    guesses = cross_predictions(samples, ms, keys)
    known = np.isfinite(guesses)
    table = replace(table, operators=fitted(samples, ms))
    return _with(table, accuracy(BLOCKS_HELD_OUT, guesses[known], ms[known])) if known.any() else table


def _validated(table: LatencyTable, spec: str, measured: list[tuple[float, float]]) -> LatencyTable:
    """The table with the error of sums over its rows against whole networks of a space."""
    if not measured:
        return table
    sums, times = np.array(measured).T
    found = accuracy(f"whole random networks of {spec}, measured alone after the blocks", sums, times)
    return replace(_with(table, found), spaces=tuple(sorted({*table.spaces, spec})))


def _with(table: LatencyTable, found: Validation) -> LatencyTable:
    """The table with one validation more, in place of an older one of the same; of whole networks first."""
    others = [one for one in table.validation if one.held_out != found.held_out]
    ordered = sorted([*others, found], key=lambda one: one.held_out == BLOCKS_HELD_OUT)
    return replace(table, validation=tuple(ordered))


def _available(name: str) -> torch.device:
    """The device of that name.

    Raises:
        NasctlError: torch has no such device here, or it cannot be timed.
    """
    device = usable(name)
    if device.type not in ("cpu", "cuda"):
        raise NasctlError(f"{name!r} cannot be timed yet; give --torch-device cpu or cuda:0")
    return device


def _processor() -> str:
    """The processor as the system names it, and the instructions that torch uses of it."""
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    name = found[1] if found else platform.processor() or platform.machine()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"
