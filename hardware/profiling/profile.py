"""Measurement of all blocks of search spaces, and of some whole networks, on this machine's CPU or a CUDA device."""

from __future__ import annotations

import hashlib
import platform
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
from nasctl.hardware.precision import TF32, Precision
from nasctl.hardware.profiling.network_call import network_call
from nasctl.hardware.profiling.timing import MEMORY, keep_memory, time_in_turn
from nasctl.hardware.profiling.timings import MAX_RELATIVE_ERROR, VISITS, Timings
from nasctl.hardware.runtimes import NetworkCall, load_runtime, runtime_version, runtimes_of
from nasctl.hardware.table import NOISE, LatencyTable
from nasctl.system.processor import host_processor

MAX_VISITS = 3 * VISITS  # visits after which a block or network counts as too noisy
# Name in `Timings` of a network without layers. Its latency is the overhead of a call, which is subtracted from blocks.
EMPTY_NETWORK = "a network that does nothing"
CALIBRATION_NETWORKS = 40  # whole networks of each space, to which the context terms are fitted
VALIDATION_NETWORKS = 40  # further networks of each space, with which predictions are compared
# How layers become integers; latency does not depend on the values of weights and inputs.
QUANTISATION = (
    "ONNX Runtime's static quantiser (QDQ), as `nasctl export --int8`: int8 weights, uint8 activations with ranges "
    "from random inputs; a block takes and returns the integers between it and its neighbours, channels last"
)
SETTING = ("device", "kind", "processor", "runtime", "threads", "precision", "batch", "method")  # fields of a table


@dataclass(frozen=True, slots=True)
class Host:
    """This machine as a device to measure, with the setting of its runtime."""

    name: str  # name of the device in its table
    runtime: str = "torch"
    torch_device: str = "cpu"
    threads: int = 1
    batch: int = 1  # examples per batch
    precision: Precision = "float32"
    seconds: float = 0.5  # total time of the repetitions of one block or network

    def table(self, command: str) -> LatencyTable:
        """Return a table without rows, with all facts that are known before any measurement.

        Args:
            command: Command line that makes the table.

        Raises:
            NasctlError: torch has no such device here, or the runtime is not installed, or does not support the device
                or the precision.
        """
        device = _available(self.torch_device)
        self._check_runtime(device)
        cuda = device.type == "cuda"
        tf32 = cuda and self.precision == "float32" and torch.backends.cudnn.allow_tf32
        return LatencyTable(
            device=self.name,
            kind="gpu" if cuda else "cpu",
            batch=self.batch,
            blocks={},
            processor=torch.cuda.get_device_name(device) if cuda else host_processor(),
            runtime=runtime_version(self.runtime),
            threads=self.threads,
            precision=TF32 if tf32 else self.precision,
            source={
                "data": "this project's own measurement: torch.utils.benchmark, "
                f"{self.seconds:g} s for each block in turn with others, evaluation mode, random weights and input",
                "system": f"{platform.system()} {platform.machine()}",
            }
            | ({"memory": MEMORY} if not cuda and keep_memory() else {})
            | ({"quantisation": QUANTISATION} if self.precision == "int8" else {}),
            command=command,
            date=date.today().isoformat(),
        )

    def call(self, network: Network, folder: Path, name: str, block: bool = False) -> NetworkCall:
        """Return a function that runs the network once on this machine.

        Args:
            network: A whole network, or a single block.
            folder: Folder for its ONNX file.
            name: Name of the network, unique in the folder.
            block: Whether it is a single block.
        """
        file = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.onnx"
        setting = (self.runtime, self.torch_device, self.threads, self.batch, self.precision)
        return network_call(network, *setting, file, block)

    def _check_runtime(self, device: torch.device) -> None:
        """Raise an error if the runtime is not installed, or does not support the device or the precision."""
        runtime = load_runtime(self.runtime)
        if device.type != "cpu" and not runtime.cuda:
            raise NasctlError(f"{runtime.title} is measured on the CPU; leave --torch-device out, or measure torch")
        if self.precision not in runtime.precisions:
            raise NasctlError(
                f"Cannot measure {runtime.title} in {self.precision}: it is measured in"
                f" {' and '.join(runtime.precisions)}. Give one of these, or"
                f" --runtime {' or '.join(runtimes_of(self.precision))}."
            )


@dataclass(frozen=True, slots=True)
class ProfileProgress:
    """The progress of a profile."""

    done: int  # visits that were made
    total: int  # visits that are needed at least
    noisy: int  # blocks and networks that need more visits because their timings disagree
    again: int = 0  # round in which only these are timed, from 1; 0 before
    rounds: int = 0  # such rounds at most


@dataclass(frozen=True, slots=True)
class TimingGroup:
    """Networks or blocks that are timed in turn with one another."""

    networks: Mapping[str, Network]  # whole networks or single blocks, by their name in `Timings`
    turn_length: int = 1  # how many of them run in one turn
    blocks: bool = False  # whether they are single blocks


class Profile:
    """The blocks and networks to measure for a table: distinct blocks of spaces, and whole networks of each space."""

    def __init__(self, spaces: Mapping[str, SearchSpace]) -> None:
        """Collect the blocks and networks.

        Args:
            spaces: Search spaces by normal spec.
        """
        self.blocks = {spec: distinct_blocks(space) for spec, space in spaces.items()}
        self.networks = {
            spec: {f"{spec} {genome}": space.network(genome) for genome in profiled_genomes(space)}
            for spec, space in spaces.items()
        }

    def measured(self, host: Host, timings: Timings, folder: Path) -> Iterator[ProfileProgress]:
        """Measure all blocks and networks, add their times to `timings`, and yield the progress.

        Everything is visited repeatedly in random order, so that a drift of the machine's speed becomes noise of
        single visits, not a bias of single blocks. Blocks are timed in turn with as many other blocks of their space
        as its networks have blocks, because alone they would find all their data in the nearest cache.

        Args:
            host: The machine and its setting.
            timings: Earlier timings, to which new ones are added.
            folder: Folder for ONNX files, which are expensive to make.
        """
        groups = []
        for spec, networks in self.networks.items():
            blocks = {EMPTY_NETWORK: empty_network(), **{key: span.alone() for key, span in self.blocks[spec].items()}}
            turn_length = round(median(len(network.spans) for network in networks.values()))
            groups += [TimingGroup(blocks, min(turn_length, len(blocks)), blocks=True), TimingGroup(networks)]
        yield from time_groups(groups, host, timings, folder)

    def too_noisy(self, timings: Timings) -> list[str]:
        """Return the sorted keys of the blocks whose median is too uncertain."""
        keys = {key for blocks in self.blocks.values() for key in blocks} | {EMPTY_NETWORK}
        return sorted(key for key in keys if timings.row(key) is None)

    def noise(self, timings: Timings) -> str:
        """Return a sentence about blocks and whole networks whose median is too uncertain; "" if there are none."""
        blocks = self.too_noisy(timings)
        networks = [name for one in self.networks.values() for name in one if timings.row(name) is None]
        if not blocks and not networks:
            return ""
        worst = max([*blocks, *networks], key=timings.relative_error)
        number = len({key for one in self.blocks.values() for key in one}), sum(map(len, self.networks.values()))
        return (
            f"{NOISE}, and noise was accepted: the errors of {len(blocks)} of {number[0]} blocks and "
            f"of {len(networks)} of {number[1]} whole networks are above {100 * MAX_RELATIVE_ERROR:g}%, up to "
            f"{100 * timings.relative_error(worst):.0f}% of {worst}."
        )

    def table(self, timings: Timings, empty: LatencyTable, accept_noise: bool = False) -> LatencyTable:
        """Return the table of all measurements.

        The context terms are fitted to the calibration networks, and the validation networks give the error of the
        table. Networks whose median is too uncertain are not used.

        Args:
            timings: Timings in which no block is too noisy.
            empty: The table without rows, from `Host.table`.
            accept_noise: Use blocks and networks whose median is too uncertain too, with a remark in the table.
        """
        spans = {key: span for blocks in self.blocks.values() for key, span in blocks.items()}
        rows = {key: row for key in sorted(spans) if (row := timings.row(key, accept_noise)) is not None}
        if (call := timings.row(EMPTY_NETWORK, accept_noise)) is not None:
            rows = {key: row._replace(ms=round(max(row.ms - call.ms, 0.0), 6)) for key, row in rows.items()}
        remarks = tuple(filter(None, [self.noise(timings)] * accept_noise))
        table = with_operators(replace(empty, blocks=rows, inferred=(*empty.inferred, *remarks)), spans)
        calibration: list[tuple[Network, float]] = []  # networks and their latencies in ms
        validation: dict[str, list[tuple[Network, float]]] = {}  # likewise, by spec
        for spec, networks in self.networks.items():
            rated = [(network, timings.row(name, accept_noise)) for name, network in networks.items()]
            half = len(rated) // 2
            calibration += [(network, row.ms) for network, row in rated[:half] if row is not None]
            validation[spec] = [(network, row.ms) for network, row in rated[half:] if row is not None]
        table = with_context(table, calibration)
        for spec, measured in validation.items():
            table = with_error(table, spec, measured)
        return table


def empty_network() -> Network:
    """Return a network without layers, which returns its input."""
    net = Builder((1, 1, 1))
    return net.build(*net.inputs)


def profiled_genomes(space: SearchSpace) -> list[Genome]:
    """Return the genomes of the whole networks that a profile of the space measures."""
    return distinct_genomes(space, CALIBRATION_NETWORKS + VALIDATION_NETWORKS, seed=1)


def time_groups(groups: Sequence[TimingGroup], host: Host, timings: Timings, folder: Path) -> Iterator[ProfileProgress]:
    """Time everything `VISITS` times, then up to `MAX_VISITS` times what is still too uncertain.

    Args:
        groups: Networks and blocks to time.
        host: The machine and its setting.
        timings: Earlier timings, to which new ones are added.
        folder: Folder for ONNX files, which are expensive to make.
    """
    random = np.random.default_rng()  # Unseeded, so that a resumed profile does not repeat the order of the last one.
    every = sorted({name for group in groups for name in group.networks})
    total = VISITS * len(every)
    for number in range(1, MAX_VISITS + 1):
        for group in groups:
            due = [name for name in group.networks if _is_due(timings, name, number)]
            order = [due[k] for k in random.permutation(len(due))]
            for start in range(0, len(order), group.turn_length):
                names = order[start : start + group.turn_length]
                if len(names) < group.turn_length:  # Others fill up the turn; their extra visits count too.
                    others = sorted(group.networks.keys() - set(names))
                    names += random.choice(others, group.turn_length - len(names), replace=False).tolist()
                calls = [host.call(group.networks[name], folder, name, group.blocks) for name in names]
                seconds = host.seconds / VISITS * len(calls)
                times = time_in_turn(calls, host.threads, seconds, host.torch_device.startswith("cuda"))
                timings.add({name: round(ms, 6) for name, ms in zip(names, times, strict=True)})
                done = sum(min(timings.number(name), VISITS) for name in every)
                noisy = sum(timings.noisy(name) for name in every)
                yield ProfileProgress(done, total, noisy, max(0, number - VISITS), MAX_VISITS - VISITS)


def _is_due(timings: Timings, name: str, number: int) -> bool:
    """Return whether a block or network needs a visit in a round; rounds are numbered from 1."""
    return timings.number(name) < number if number <= VISITS else timings.row(name) is None


def _available(name: str) -> torch.device:
    """Return the torch device of that name.

    Raises:
        NasctlError: torch has no such device here, or it cannot be timed.
    """
    device = usable_device(name)
    if device.type not in ("cpu", "cuda"):
        raise NasctlError(f"{name!r} cannot be timed yet; give --torch-device cpu or cuda:0")
    return device
