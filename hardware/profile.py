"""Measure the blocks of spaces, and some whole networks, on this machine's CPU or on a CUDA device."""

from __future__ import annotations

import fcntl
import platform
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import torch
from torch.utils.benchmark import Timer

from nasctl.api import NasctlError, Network, SearchSpace, Span
from nasctl.evidence import usable
from nasctl.hardware.blocks import distinct_blocks, distinct_genomes
from nasctl.hardware.making import with_context, with_error, with_operators
from nasctl.hardware.runtimes import Call, Precision, Runtime, call, named
from nasctl.hardware.schema import Row
from nasctl.hardware.table import LatencyTable

ROUND = 0.005  # seconds of one round of calls, or one call if that takes longer,
ROUNDS = 10  # and at least so many
NOISE = 0.1  # interquartile range over median, above which a timing is refused
ATTEMPTS = 3
STRETCH = 20  # blocks between two looks at whether the machine still is what it was
CALIBRATION = 40  # whole networks of each space, from which follows what blocks cost within them,
NETWORKS = 40  # and other ones, which predictions are compared with
SETTING = ("device", "kind", "processor", "runtime", "threads", "precision", "batch", "method")


@dataclass(frozen=True, slots=True)
class Host:
    """Where modules run, and how."""

    name: str  # what users will call it
    runtime: Runtime = "torch"
    torch_device: str = "cpu"
    threads: int = 1
    batch: int = 1
    precision: Precision = "float32"
    seconds: float = 0.5  # that one block or network is repeated for

    def table(self, command: str) -> LatencyTable:
        """A table without rows, with all that is known before anything is measured.

        Raises:
            NasctlError: torch has no such device here, or the runtime is not for it.
        """
        device = _available(self.torch_device)
        if self.runtime == "onnxruntime" and device.type != "cpu":
            raise NasctlError("ONNX Runtime is measured on the CPU; leave --torch-device out, or measure torch")
        if self.runtime == "onnxruntime" and self.precision != "float32":
            raise NasctlError("ONNX Runtime is measured in float32; leave --precision out, or measure torch")
        cuda = device.type == "cuda"
        # torch's own default, which is left as it is: users get it too.
        short = cuda and self.precision == "float32" and torch.backends.cudnn.allow_tf32
        return LatencyTable(
            device=self.name,
            kind="gpu" if cuda else "cpu",
            batch=self.batch,
            blocks={},
            processor=torch.cuda.get_device_name(device) if cuda else _processor(),
            runtime=named(self.runtime),
            threads=self.threads,
            precision="float32, TF32 in convolutions where the device has it" if short else self.precision,
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

    Blocks are visited in random order, so that a slow drift of the machine becomes noise and not bias, and one of them
    again and again: where it has moved, so has the machine, and what was measured since does not count. From half of
    the networks follows what a block costs within a network, and the other half says how good that is. While a block is
    refused, whole networks are left out: they could not be predicted.

    Args:
        spaces: By normal spec.
        host: Where to measure.
        table: With the rows measured before; `Host.table` makes an empty one.
    """
    spans = {key: span for space in spaces.values() for key, span in distinct_blocks(space).items()}
    missing = [key for key in spans if key not in table.blocks]
    total = len(missing) + (CALIBRATION + NETWORKS) * len(spaces)
    order = [missing[k] for k in np.random.default_rng(0).permutation(len(missing))]
    refused: tuple[str, ...] = ()
    for start in range(0, len(order), STRETCH):
        for step in _stretch(order[start : start + STRETCH], spans, host, table):
            table = step.table
            yield replace(step, done=start + step.done, total=total, refused=refused + step.refused)
        refused += step.refused
    if not refused:
        yield from _networks(spaces, spans, host, table, len(missing), total)


def _stretch(keys: Sequence[str], spans: Mapping[str, Span], host: Host, table: LatencyTable) -> Iterator[Step]:
    """Measure some blocks, and all of them again if the machine is not at the end what it was when it began."""
    anchor = next(iter(table.blocks), None)
    if anchor not in spans:
        anchor = None
    for _again in range(ATTEMPTS):
        found, refused = table, tuple[str, ...]()
        for done, key in enumerate(keys, 1):
            row = measure(spans[key].alone(), host)
            if row is None:
                refused += (key,)
            else:
                found = replace(found, blocks=dict(sorted({**found.blocks, key: row}.items())))
            yield Step(done, len(keys), found, refused)
        again = None if anchor is None else measure(spans[anchor].alone(), host)
        if anchor is None or (again is not None and abs(again.ms / table.blocks[anchor].ms - 1) <= NOISE):
            return
    yield Step(len(keys), len(keys), table, tuple(keys))


def _networks(
    spaces: Mapping[str, SearchSpace],
    spans: Mapping[str, Span],
    host: Host,
    table: LatencyTable,
    done: int,
    total: int,
) -> Iterator[Step]:
    """Measure whole networks: some that say what blocks cost within one, others that say how good that is."""
    table = replace(table, validation=())  # older ones were of another model and context
    table = with_operators(table, spans)
    known: list[tuple[Network, float]] = []  # with what each took, in ms
    fresh: dict[str, list[tuple[Network, float]]] = {spec: [] for spec in spaces}
    for spec, space in spaces.items():
        genomes = distinct_genomes(space, CALIBRATION + NETWORKS, seed=1)
        for place, network in enumerate(map(space.network, genomes)):
            row = measure(network, host)
            if row is not None:  # one that is too noisy says nothing about the table
                (known if place < len(genomes) // 2 else fresh[spec]).append((network, row.ms))
            done += 1
            yield Step(done, total, table, ())
    table = with_context(table, known)
    for spec, measured in fresh.items():
        table = with_error(table, spec, measured)
    yield Step(total, total, table, ())


def measure(network: Network, host: Host) -> Row | None:
    """Time a network in evaluation mode; None if every attempt was too noisy."""
    run = call(network, host.runtime, host.torch_device, host.threads, host.batch, host.precision)
    for _ in range(ATTEMPTS):
        row = timed(run, host.threads, host.seconds)
        if row.iqr <= NOISE * row.ms:
            return row
    return None


def timed(run: Call, threads: int, seconds: float) -> Row:
    """Median and interquartile range, in ms, over rounds of calls.

    `Timer.timeit` pins the threads, calls twice or more before every round to warm up, and waits for a CUDA device
    around it. `blocked_autorange` is not used because one round, whose range is 0, can be all that it measures.
    """
    timer = Timer("run()", globals={"run": run}, num_threads=threads)
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
    path = Path(tempfile.gettempdir()) / "nasctl-device-profile.lock"
    try:
        lock = path.open("w")
    except OSError as error:
        raise NasctlError(f"{path} cannot be opened ({error.strerror}); remove it, or set TMPDIR") from None
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NasctlError(
                "another `nasctl device profile` is measuring on this machine; type the same command when it is done"
            ) from None
        yield


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
