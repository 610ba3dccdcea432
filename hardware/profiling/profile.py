"""Measure the blocks of spaces, and some whole networks, on this machine's CPU or on a CUDA device."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from statistics import median

import numpy as np
import torch

from nasctl.api import Builder, Genome, NasctlError, Network, SearchSpace
from nasctl.candidates.determinism import usable_device
from nasctl.hardware.distinct_blocks import distinct_blocks, distinct_genomes
from nasctl.hardware.fitting.measured import with_context, with_error, with_operators
from nasctl.hardware.profiling.runtimes import NetworkCall, Precision, Runtime, call, named
from nasctl.hardware.profiling.timing import MEMORY, in_turn, keep_memory
from nasctl.hardware.profiling.timings import VISITS, Timings
from nasctl.hardware.table import LatencyTable

MOST = 3 * VISITS  # that a thing gets before it counts as too noisy
RUN = "a network that does nothing"  # what `Timings` calls it; each block that runs by itself costs as much more
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
                f"{self.seconds:g} s for each block in turn with others, evaluation mode, random weights and input",
                "system": f"{platform.system()} {platform.machine()}",
            }
            | ({"memory": MEMORY} if not cuda and keep_memory() else {}),
            command=command,
            date=date.today().isoformat(),
        )

    def call(self, network: Network, folder: Path, name: str) -> NetworkCall:
        """A function that runs the network here once.

        Args:
            network: A whole one, or a single block.
            folder: Where to keep a file of it.
            name: Of the network among all whose files are there.
        """
        file = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.onnx"
        return call(network, self.runtime, self.torch_device, self.threads, self.batch, self.precision, file)


@dataclass(frozen=True, slots=True)
class Step:
    """How far measuring is."""

    done: int  # visits
    total: int  # that are needed at the least
    noisy: int  # things that will need more


@dataclass(frozen=True, slots=True)
class Part:
    """Things that are timed in the same way."""

    networks: Mapping[str, Network]  # by what `Timings` calls them: whole networks, or single blocks
    company: int = 1  # how many of them in turn


class Profile:
    """All that has to be measured for a table: the distinct blocks of spaces, and whole networks of each space."""

    def __init__(self, spaces: Mapping[str, SearchSpace]) -> None:
        """Find them.

        Args:
            spaces: By normal spec.
        """
        self.blocks = {spec: distinct_blocks(space) for spec, space in spaces.items()}
        self.networks = {
            spec: {f"{spec} {genome}": space.network(genome) for genome in used_genomes(space)}
            for spec, space in spaces.items()
        }

    def measured(self, host: Host, visits: Timings, folder: Path) -> Iterator[Step]:
        """Measure; `visits` grows.

        All are visited again and again in random order, so that a drift of the machine's speed becomes noise of single
        visits and no bias of single blocks. Blocks are timed in turn with as many others of their space as its networks
        have blocks, because alone they would find all that they need in the nearest cache.

        Args:
            host: Where to measure.
            visits: With what was measured before.
            folder: For files of networks that are expensive to make.
        """
        parts = []
        for spec, networks in self.networks.items():
            blocks = {RUN: nothing(), **{key: span.alone() for key, span in self.blocks[spec].items()}}
            company = round(median(len(network.spans) for network in networks.values()))
            parts += [Part(blocks, min(company, len(blocks))), Part(networks)]
        yield from visited(parts, host, visits, folder)

    def refused(self, visits: Timings) -> list[str]:
        """Keys of the blocks that are not known well enough."""
        keys = {key for blocks in self.blocks.values() for key in blocks} | {RUN}
        return sorted(key for key in keys if visits.row(key) is None)

    def table(self, visits: Timings, empty: LatencyTable) -> LatencyTable:
        """The table of all that was measured.

        From half of the networks follows what a block costs within one, and the other half says how good that is. A
        network that is not known well enough says nothing about the table.

        Args:
            visits: Of which no block is refused.
            empty: As `Host.table` makes it.
        """
        spans = {key: span for blocks in self.blocks.values() for key, span in blocks.items()}
        rows = {key: row for key in sorted(spans) if (row := visits.row(key)) is not None}
        if (run := visits.row(RUN)) is not None:
            rows = {key: row._replace(ms=round(max(row.ms - run.ms, 0.0), 6)) for key, row in rows.items()}
        table = with_operators(replace(empty, blocks=rows), spans)
        known: list[tuple[Network, float]] = []  # with what each took, in ms
        fresh: dict[str, list[tuple[Network, float]]] = {}
        for spec, networks in self.networks.items():
            times = [(network, visits.row(name)) for name, network in networks.items()]
            cut = len(times) // 2
            known += [(network, row.ms) for network, row in times[:cut] if row is not None]
            fresh[spec] = [(network, row.ms) for network, row in times[cut:] if row is not None]
        table = with_context(table, known)
        for spec, others in fresh.items():
            table = with_error(table, spec, others)
        return table


def nothing() -> Network:
    """A network that hands its input on."""
    net = Builder((1, 1, 1))
    return net.build(*net.inputs)


def used_genomes(space: SearchSpace) -> list[Genome]:
    """Of the whole networks that a profile of the space measures."""
    return distinct_genomes(space, CALIBRATION + NETWORKS, seed=1)


def visited(parts: Sequence[Part], host: Host, visits: Timings, folder: Path) -> Iterator[Step]:
    """Time all things of all parts, as often as it takes to know them well enough, or at most `MOST` times more."""
    random = np.random.default_rng()  # a run that goes on must not repeat the order of the one before
    things = sorted({name for part in parts for name in part.networks})
    total = VISITS * len(things)
    for most in range(1, MOST + 1):
        for part in parts:
            due = [name for name in part.networks if _due(visits, name, most)]
            order = [due[k] for k in random.permutation(len(due))]
            for start in range(0, len(order), part.company):
                names = order[start : start + part.company]
                if len(names) < part.company:  # others keep it company
                    others = sorted(part.networks.keys() - set(names))
                    names += random.choice(others, part.company - len(names), replace=False).tolist()
                calls = [host.call(part.networks[name], folder, name) for name in names]
                seconds = host.seconds / VISITS * len(calls)
                found = in_turn(calls, host.threads, seconds, host.torch_device.startswith("cuda"))
                visits.add({name: round(ms, 6) for name, ms in zip(names, found, strict=True)})
                done = sum(min(visits.number(name), VISITS) for name in things)
                yield Step(done, total, sum(visits.noisy(name) for name in things))


def _due(visits: Timings, name: str, most: int) -> bool:
    """Whether a thing is to be visited in a round, of which there were so many, this one included."""
    return visits.number(name) < most if most <= VISITS else visits.row(name) is None


def _available(name: str) -> torch.device:
    """The device of that name.

    Raises:
        NasctlError: torch has no such device here, or it cannot be timed.
    """
    device = usable_device(name)
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
