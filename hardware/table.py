"""Latency by look-up: what each block costs on a device, as measured there or fitted to what was measured there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from nasctl.api import Emission, MissingBlock, NasctlError, Network, UnknownName
from nasctl.hardware.in_network import within
from nasctl.hardware.operator_model import VERSION, features, predicted
from nasctl.hardware.tables_schema import KINDS, Kind, Method, Row, Validation, parsed, written
from nasctl.registry import device_file, names, normal
from nasctl.registry.old_names import old_key
from nasctl.system.files import read, write

LIMIT = 1 << 26  # bytes of a file


class Figure(NamedTuple):
    """What a block costs, and how that is known: "modelled" is by the operator model, for lack of a row."""

    ms: float
    origin: Literal["measured", "fitted", "modelled"]


@dataclass(frozen=True)
class LatencyTable:
    """Blocks of networks with their latency on one device, and where the figures come from."""

    device: str  # what users call it
    kind: Kind
    batch: int  # every figure is for one batch of this many examples
    blocks: Mapping[str, Row]  # by Emission.key
    method: Method = "measured"
    operators: Mapping[str, float] | None = None  # ms for one of each of `model.features`
    context: Mapping[str, float] = field(default_factory=dict)  # see `schema.CONTEXT`; empty: rows are what blocks cost
    overhead: float = 0.0  # ms that a network takes beside its blocks
    processor: str = ""
    runtime: str = ""  # "torch 2.13.0"
    threads: int | None = None  # None where the source does not say
    precision: str = "float32"
    source: Mapping[str, str] = field(default_factory=dict)
    inferred: tuple[str, ...] = ()  # what the source does not say and was concluded
    command: str = ""  # that made the table
    date: str = ""
    validation: tuple[Validation, ...] = ()  # of several on one space, the first is what people are shown

    @classmethod
    def load(cls, device: str) -> LatencyTable:
        """Load the table of a device that `nasctl device list` names, or of a file whose path ends in ".json".

        Raises:
            UnknownName: There is no such device.
            NasctlError: The file is missing or holds no latency table.
        """
        try:
            path = device_file(device)
        except UnknownName:
            raise UnknownName("device", device, [*KINDS, *names("devices")]) from None
        try:
            return cls(**parsed(read(path, LIMIT).decode()))
        except (OSError, UnicodeDecodeError) as error:
            reason = f"it cannot be read: {getattr(error, 'strerror', None) or error}"
        except NasctlError as error:
            reason = str(error)
        raise NasctlError(f"{path} is no latency table, {reason}; make one with `nasctl device profile`")

    def save(self, path: Path) -> None:
        """Write the table as JSON, whole or not at all.

        Raises:
            NasctlError: The file cannot be written.
        """
        write(path, written({field.name: getattr(self, field.name) for field in fields(self)}))

    @cached_property
    def digest(self) -> str:
        """Short hash of all that a latency follows from: other numbers, other digest."""
        figures = {key: row.ms for key, row in self.blocks.items()}
        model = None if self.operators is None else [VERSION, self.operators]
        content = json.dumps([self.batch, self.overhead, self.context, figures, model], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    @property
    def monotone(self) -> bool:
        """Whether a network with no smaller layer and no fewer of them is never faster.

        True where every figure comes from non-negative coefficients of `model.features`.
        """
        return self.method == "modelled"

    def accuracy(self, space: str | None = None) -> str:
        """The held-out error that people are shown: "0.8%, Spearman 0.9994, 1500 whole networks at 128 to 224 px".

        Args:
            space: That it is to be about if the table was validated there, as a person spells it.
        """
        first = (self.validated(space) if space else None) or next(iter(self.validation), None)
        if first is None:
            return "never validated"
        rank = "" if first.spearman is None else f", Spearman {first.spearman:.4f}"
        sums = ", which are sums and were not timed" if first.against == "sums" else ""
        return f"{first.mape:.1f}%{rank}, {first.number} {first.held_out.partition(';')[0]}{sums}"

    def validated(self, space: str) -> Validation | None:
        """How well the table predicts networks of a space, as a person spells it; None where nobody knows."""
        spec = normal("spaces", space)
        return next((one for one in self.validation if spec in one.spaces), None)

    @property
    def spaces(self) -> list[str]:
        """Normal specs of the spaces that it was validated on."""
        return sorted({space for one in self.validation for space in one.spaces})

    def latency(self, network: Network) -> float:
        """Sum over a network's blocks, and the overhead: ms for one batch.

        Raises:
            MissingBlock: The table lacks a block, and its operator model, if it has one, an operator of it.
        """
        known, total = self._known, self.overhead
        for span in network.spans:
            figure = known.get(span.emission.key)
            total += (self.block(span.emission) if figure is None else figure).ms
        return total

    def block(self, emission: Emission) -> Figure:
        """What one block costs in ms for one batch, and how that is known.

        Raises:
            MissingBlock: The table lacks it, and its operator model, if it has one, an operator of it.
        """
        if (known := self._known.get(emission.key)) is not None:
            return known
        row = self.blocks.get(emission.key) or self.blocks.get(old_key(emission.key))
        ms = predicted(self.operators or {}, features(emission)) if row is None else row.ms
        if ms is None:
            raise MissingBlock(self.device, emission.key)
        if self.context:
            ms = round(within(self.context, ms, features(emission)), 6)
        figure = Figure(ms, "modelled" if row is None else self.method)
        self._known[emission.key] = figure
        return figure

    @cached_property
    def _known(self) -> dict[str, Figure]:
        """By key: what was asked for so far."""
        return {}
