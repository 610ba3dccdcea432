"""Latency tables: the latency of each block on a device, measured there or fitted to measurements from there."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from nasctl.api import Emission, MissingBlock, NasctlError, Network, Span, UnknownDevice, UnknownName
from nasctl.hardware.estimation import estimate, priced_as
from nasctl.hardware.idle import live_spans, unavoidable_spans
from nasctl.hardware.in_network import latency_in_network
from nasctl.hardware.operator_model import VERSION, features, predict_latency
from nasctl.hardware.places import Places, row_at
from nasctl.hardware.precision import integer_bits
from nasctl.hardware.quantized_blocks import most_bits, too_wide, widened_emission
from nasctl.hardware.tables_schema import KINDS, Idle, Kind, Method, Row, Validation, parse, serialize
from nasctl.registry import device_file, names, normal
from nasctl.registry.old_names import old_key
from nasctl.system.files import read, write

FLOAT_BITS = 32

NOT_STATED = "not stated"  # the runtime of a table whose source does not state it
NOISE = "The machine was not quiet"  # how a remark in `inferred` on noise during the measurement begins
LIMIT = 1 << 26  # bytes of a file: 64 MiB


class BlockLatency(NamedTuple):
    """The latency of one block, and where it comes from."""

    ms: float  # for one batch
    # "modelled": no row exists, and the operator model or rows of the same operator nearby priced the block;
    # "free": the table has no figure, and the block does no work; "idle": the table ignores idle blocks.
    origin: Literal["measured", "fitted", "modelled", "free", "idle"]


@dataclass(frozen=True)
class LatencyTable:
    """The latencies of blocks on one device, and their provenance.

    The latency of a network is the sum over its blocks plus the overhead. A block is priced by the row of its place in
    the network, else by the row of the block, else by the operator model if it covers the block's operators, else by
    `estimation.estimate`.
    """

    device: str  # name that users type
    kind: Kind
    batch: int  # examples per batch; every latency is for one batch of this size
    blocks: Mapping[str, Row]  # by emission key
    places: Places = field(default_factory=dict)  # rows that hold at one place of a network only
    idle: Idle | None = None  # blocks without influence on the output; None if the fit saw none, or did not say
    method: Method = "measured"
    operators: Mapping[str, float] | None = None  # operator model: ms per unit of each of `operator_model.features`
    context: Mapping[str, float] = field(default_factory=dict)  # by `CONTEXT`; empty if rows hold inside networks
    overhead: float = 0.0  # ms per network, in addition to its blocks
    processor: str = ""
    runtime: str = ""  # with its version, such as "torch 2.13.0"
    threads: int | None = None  # None if the source does not say
    precision: str = "float32"
    source: Mapping[str, str] = field(default_factory=dict)  # provenance: a description, and digests of files
    inferred: tuple[str, ...] = ()  # sentences about facts that the source does not state and that were inferred
    command: str = ""  # command line that made the table
    date: str = ""  # ISO 8601
    validation: tuple[Validation, ...] = ()  # the first one of a search space is shown to users

    @classmethod
    def load(cls, device: str) -> LatencyTable:
        """Load the table of a device of `nasctl device list`, or of a file whose path ends in ".json".

        Raises:
            UnknownDevice: No device has that name.
            NasctlError: The file is missing or is not a latency table.
        """
        try:
            path = device_file(device)
        except UnknownName:
            files = [file] if os.path.isfile(file := f"{device}.json") else []
            raise UnknownDevice(device, [*KINDS, *names("devices"), *files]) from None
        try:
            return cls(**parse(read(path, LIMIT).decode()))
        except OSError as error:
            reason = f"it cannot be read: {error.strerror}"
        except UnicodeDecodeError as error:
            reason = f"it cannot be read: {error}"
        except NasctlError as error:
            reason = str(error)
        raise NasctlError(f"{path} is no latency table, {reason}; make one with `nasctl device profile`")

    def save(self, path: Path) -> None:
        """Write the table as JSON, atomically.

        Raises:
            NasctlError: The file cannot be written.
        """
        write(path, serialize({field.name: getattr(self, field.name) for field in fields(self)}))

    @cached_property
    def digest(self) -> str:
        """Return a short hash of everything that determines predicted latencies."""
        figures = {key: row.ms for key, row in self.blocks.items()}
        model = None if self.operators is None else [VERSION, self.operators]
        facts: list[object] = [self.batch, self.overhead, self.context, figures, model]
        if self.places or self.idle == "ignore":  # so that tables without them keep the digest that runs have stored
            at = {place: {key: row.ms for key, row in rows.items()} for place, rows in self.places.items()}
            # Of two ways to ignore idle blocks, this is the second: blocks that every network runs have their price.
            facts += [at, 2 if self.idle == "ignore" else False]
        content = json.dumps(facts, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    @property
    def runtime_text(self) -> str:
        """Return the runtime, or "runtime not stated"."""
        text = self.runtime.strip()
        return "runtime not stated" if text in ("", NOT_STATED) else text

    @property
    def noise(self) -> list[str]:
        """Return the sentences of `inferred` on noise during the measurement; none if the machine was quiet."""
        return [sentence for sentence in self.inferred if sentence.startswith(NOISE)]

    @property
    def noise_note(self) -> str:
        """Return a clause on noise during the measurement, to stand behind an error; "" if the machine was quiet."""
        return f"; {NOISE.lower()}, so latencies may be too high" if self.noise else ""

    @property
    def monotone(self) -> bool:
        """Return whether a network with no smaller and no fewer layers than another is never faster.

        True if every latency comes from non-negative coefficients of `operator_model.features`.
        """
        return self.method == "modelled"

    def accuracy(self, space: str | None = None, timed: bool = False) -> str:
        """Return the held-out error for users: "0.8%, Spearman 0.9994, 1500 whole networks at 128 to 224 px".

        Args:
            space: Spec of the space whose validation is preferred; without one there, the first validation is used.
            timed: Use the validation of `shown_validation` that was made on timings.
        """
        first = self.shown_validation(space, timed)
        if first is None:
            return "never validated"
        rank = "" if first.spearman is None else f", Spearman {first.spearman:.4f}"
        held_out = first.held_out.partition(";")[0]
        note = ", single blocks" if first.against == "blocks" and "blocks" not in held_out else ""
        if first.against == "sums":
            note = ", which nobody timed" if "sums" in held_out else ", which are sums and were not timed"
        return f"{first.mape:.1f}%{rank}, {first.number} {held_out}{note}"

    def shown_validation(self, space: str | None = None, timed: bool = False) -> Validation | None:
        """Return the validation that users are shown, or None if there is none.

        Args:
            space: Spec of the space whose validation is preferred; without one there, the first validation is used.
            timed: Return only a validation on timings, of the space if one is given; whole networks before blocks.
        """
        if not timed:
            return (self.validated(space) if space else None) or next(iter(self.validation), None)
        found = self.validation if space is None else self._validations(space)
        return next((one for kind in ("networks", "blocks") for one in found if one.against == kind), None)

    def validated(self, space: str) -> Validation | None:
        """Return the first validation on a space, given by its spec, or None if there is none.

        The number of classes does not matter: it changes one layer, whose share of the latency is small.
        """
        return next(iter(self._validations(space)), None)

    def _validations(self, space: str) -> list[Validation]:
        """Return the validations on a space, given by its spec, for any number of classes."""
        spec = normal("spaces", space)
        specs = {spec, re.sub(r"classes=\d+,?", "", spec).rstrip(",:")}
        return [one for one in self.validation if specs & set(one.spaces)]

    @property
    def spaces(self) -> list[str]:
        """Return the normal specs of the spaces that the table was validated on, sorted."""
        return sorted({space for one in self.validation for space in one.spaces})

    def latency(self, network: Network) -> float:
        """Return the latency of a network in ms for one batch: the sum over its blocks, plus the overhead.

        Raises:
            MissingBlock: `block` cannot price a block.
        """
        if self.places or self.idle == "ignore":
            return sum((self.block(span.emission, span.name).ms for span in self.priced_spans(network)), self.overhead)
        known, total = self._known, self.overhead
        for span in network.spans:
            figure = known.get((span.emission.key, ""))
            total += (self.block(span.emission) if figure is None else figure).ms
        return total

    def priced_spans(self, network: Network) -> Sequence[Span]:
        """Return the blocks of a network that add to its latency: all, or those that are not idle.

        If all are idle, because the output does not depend on the input, what every network runs adds to the latency.
        A runtime may compute such a network once, but no table says so, and a figure that is too high misleads less
        than 0 ms.
        """
        if self.idle != "ignore":
            return network.spans
        return live_spans(network) or unavoidable_spans(network)

    def block_latencies(self, network: Network) -> tuple[BlockLatency, ...]:
        """Return the latency and origin of each block of a network, in the order of its spans.

        Raises:
            MissingBlock: `block` cannot price a block.
        """
        priced = {span.name for span in self.priced_spans(network)}
        return tuple(
            self.block(span.emission, span.name) if span.name in priced else BlockLatency(0.0, "idle")
            for span in network.spans
        )

    def unpriced_keys(self, network: Network) -> list[str]:
        """Return the emission keys of the blocks that the table cannot price, each once, in the order of the spans."""
        spans = self.priced_spans(network)
        return list(dict.fromkeys(span.emission.key for span in spans if self.missing(span.emission, span.name)))

    def missing(self, emission: Emission, name: str = "") -> bool:
        """Return whether `block` cannot price a block."""
        try:
            self.block(emission, name)
        except MissingBlock:
            return True
        return False

    def block(self, emission: Emission, name: str = "") -> BlockLatency:
        """Return the latency of one block in ms for one batch, and its origin.

        Args:
            emission: The block.
            name: Name of the block in its network, which is its place; "" for the block at no certain place.

        Raises:
            MissingBlock: The block has no row, no operator model covers it, and no row of the same operator is near.
        """
        emission = priced_as(emission)
        at = (emission.key, name if self.places else "")
        if (known := self._known.get(at)) is not None:
            return known
        row = row_at(self.places, name, emission.key) if self.places else None
        row = row or self.blocks.get(emission.key) or self.blocks.get(old_key(emission.key))
        if row is None and (widened := widened_emission(emission)) is not None:
            if (bits := integer_bits(self.precision) or FLOAT_BITS) < most_bits(emission):
                raise MissingBlock(self.device, too_wide(emission, bits))
            return self.block(widened, name)
        ms = predict_latency(self.operators or {}, features(emission)) if row is None else row.ms
        free = False
        if ms is None:
            if (estimated := estimate(self.operators or {}, self.blocks, emission)) is None:
                raise MissingBlock(self.device, emission.key)
            ms, free, _ = estimated
        if self.context and not free:
            ms = round(latency_in_network(self.context, ms, features(emission)), 6)
        figure = BlockLatency(ms, "free" if free else "modelled" if row is None else self.method)
        self._known[at] = figure
        return figure

    def estimates(self, networks: Iterable[Network]) -> dict[str, str]:
        """Return how blocks are estimated that have no row and that the operator model does not cover.

        Args:
            networks: The networks whose blocks are looked up.

        Returns:
            A clause for users, by emission key, in the order of the networks.
        """
        found: dict[str, str] = {}
        spans = (span for network in networks for span in self.priced_spans(network))
        for emission in dict.fromkeys(priced_as(span.emission) for span in spans):
            emission = widened_emission(emission) or emission
            rows = (self.blocks, *self.places.values())
            known = any(key in one for one in rows for key in (emission.key, old_key(emission.key)))
            if known or predict_latency(self.operators or {}, features(emission)) is not None:
                continue
            if (estimated := estimate(self.operators or {}, self.blocks, emission)) is not None:
                found[emission.key] = estimated.how
        return found

    @cached_property
    def _known(self) -> dict[tuple[str, str], BlockLatency]:
        """Cache the latencies of blocks that were looked up, by emission key and, if places matter, by name."""
        return {}
