"""Latency by look-up: what each block costs on a device, as measured there or fitted to what was measured there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from nasctl.api import Emission, MissingBlock, NasctlError, Network
from nasctl.hardware.model import VERSION, features, predicted
from nasctl.hardware.schema import Kind, Method, Row, Validation, parsed, written
from nasctl.registry import device_file, normal


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
    blocks: Mapping[str, Row]  # by Emission.key; those of a fitted table are its operator model's own figures
    method: Method = "measured"
    operators: Mapping[str, float] | None = None  # ms for one of each of `model.features`
    overhead: float = 0.0  # ms that a network takes beside its blocks
    processor: str = ""
    runtime: str = ""  # "torch 2.13.0"
    threads: int | None = None  # None where the source does not say
    precision: str = "float32"
    source: Mapping[str, str] = field(default_factory=dict)
    inferred: tuple[str, ...] = ()  # what the source does not say and was concluded
    command: str = ""  # that made the table
    date: str = ""
    spaces: tuple[str, ...] = ()  # normal specs of the spaces that `validation` is about
    validation: tuple[Validation, ...] = ()  # the first is what people are shown beside the device's name

    @classmethod
    def load(cls, device: str) -> LatencyTable:
        """The table of a device that `nasctl device list` names, or a file whose path ends in ".json".

        Raises:
            UnknownName: There is no such device.
            NasctlError: The file is missing or not such a table.
        """
        path = device_file(device)
        try:
            return cls(**parsed(path.read_text()))
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
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            draft.write_text(written({field.name: getattr(self, field.name) for field in fields(self)}))
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise NasctlError(f"{path} cannot be written ({error.strerror}); name another file") from None

    @cached_property
    def digest(self) -> str:
        """Short hash of all that a latency follows from: other numbers, other digest."""
        figures = {key: row.ms for key, row in self.blocks.items()}
        model = None if self.operators is None else [VERSION, self.operators]
        content = json.dumps([self.batch, self.overhead, figures, model], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    @property
    def monotone(self) -> bool:
        """Whether a network with no smaller layer and no fewer of them is never faster.

        True of a fitted table, whose every figure comes from non-negative coefficients of `model.features`.
        """
        return self.method == "fitted" and self.operators is not None

    @property
    def accuracy(self) -> str:
        """The held-out error that people are shown: "0.8%, Spearman 0.9994, 1500 whole networks at 128 to 224 px"."""
        if not self.validation:
            return "never validated"
        first = self.validation[0]
        rank = "" if first.spearman is None else f", Spearman {first.spearman:.4f}"
        return f"{first.mape:.1f}%{rank}, {first.number} {first.held_out.partition(';')[0]}"

    def covers(self, space: str) -> bool:
        """Whether `validation` is about this space, as a person spells it; warn where it is not."""
        return normal("spaces", space) in self.spaces

    def latency(self, network: Network) -> float:
        """Sum over a network's blocks, and the overhead: ms for one batch.

        Raises:
            MissingBlock: The table lacks a block, and its operator model, if it has one, an operator of it.
        """
        known, total = self._known, self.overhead
        for span in network.spans:
            ms = known.get(span.emission.key)
            total += self.block(span.emission).ms if ms is None else ms
        return total

    def block(self, emission: Emission) -> Figure:
        """What one block costs in ms for one batch, and how that is known.

        Raises:
            MissingBlock: The table lacks it, and its operator model, if it has one, an operator of it.
        """
        if (row := self.blocks.get(emission.key)) is not None:
            return Figure(row.ms, self.method)
        ms = self._known.get(emission.key)
        if ms is None:
            ms = None if self.operators is None else predicted(self.operators, features(emission))
            if ms is None:
                raise MissingBlock(self.device, emission.key)
            self._known[emission.key] = ms
        return Figure(ms, "modelled")

    @cached_property
    def _known(self) -> dict[str, float]:
        """By key: the rows, and what the operator model was asked for so far."""
        return {key: row.ms for key, row in self.blocks.items()}
