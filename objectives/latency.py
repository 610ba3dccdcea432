"""Latency on a device, looked up block by block in a latency table."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Input, MissingBlock, Network, SearchSpace, Transform
from nasctl.hardware.kinds import example_networks, load_table, where_validated, whose_processor
from nasctl.hardware.masked_layers import has_masked_layers
from nasctl.hardware.precision import integer_bits
from nasctl.hardware.quantized_blocks import (
    has_quantized_layers,
    has_quantized_rows,
    most_bits,
    too_wide,
    widest_emission,
)
from nasctl.hardware.skill import rank_weakness

__all__ = ["Latency"]

ON_ZEROS = (  # what zeros among weights change
    "THE SAME FOR ALL: runtimes multiply with zeros too, so each candidate has the latency of the given network; leave"
    " this objective out, or remove whole channels with structured=yes"
)


class Latency:
    """Sum of the latencies of the candidate's blocks on a device, in ms for one batch of the table's size.

    A table without rows of quantised layers prices a variant of a trained network as the given network, whose blocks it
    knows: variants have other blocks, because their norms are folded. A table of integers does so for variants whose
    layers have at most its bits, and refuses others. If such a table lacks the given network's blocks, its rows of
    single layers price the variant's layers. Variants with zeros among their weights have the latency of the given
    network in every table, because runtimes multiply with zeros too.

    References:
        Cai et al., "ProxylessNAS: Direct neural architecture search on target task and hardware", ICLR 2019,
        arXiv:1812.00332, section 3.3, which models latency as such a sum.

    Args:
        device: Name of a table in `nasctl device list`, or path of a table.
        called: Name of the device to show instead of the table's own.
    """

    unit = "ms"
    direction: Direction = "min"
    transform: Transform = "identity"
    needs = frozenset({"network"})

    def __init__(self, device: str, called: str = "") -> None:
        self.table, self.called = load_table(device), called
        self.label = f"latency@{called or self.table.device}"  # shown instead of the objective's spec
        self.unit = f"ms, batch {self.table.batch}"
        self.version = self.table.digest  # stored values are not reused after the table changes
        self._bits = integer_bits(self.table.precision)  # None if the table is one of floating-point numbers
        self._own_rows = has_quantized_rows(self.table.blocks)
        self.monotone = self.table.monotone  # True if enlarging a layer never lowers the latency

    def version_on(self, given: Input, example: Network) -> str:
        """Return the version of values on networks like the example: variants were priced by their own blocks once."""
        return f"{self.version}-given" if not self._own_rows and has_quantized_layers(example) else self.version

    def remarks(self, space: str, example: Network) -> list[str]:
        """Return the provenance and held-out error of the table, and warnings about its limits."""
        table, error = self.table, self.table.validated(space)
        where = " on other networks" if error is None and table.validation else ""
        lines = [
            f"{table.device}: {table.processor.strip() or 'processor not stated'}, "
            f"{table.runtime_text}, batch {table.batch}, "
            f"{table.precision}, {table.method}; held-out error{where}: {table.accuracy(space)}{table.noise_note}"
        ]
        lines += filter(None, [whose_processor(self.called, table)])
        if error is None:
            lines.append(f"NOT VALIDATED for {space}: latencies are rough estimates; {where_validated(table, space)}")
        elif weakness := rank_weakness(error):
            lines.append(f"NOT BETTER THAN CHANCE: {weakness}")
        if table.idle == "count":
            lines.append(
                "WITHOUT IDLE OPERATIONS: the table's networks were timed with operations that nasctl leaves out; "
                "latencies are those of the networks that nasctl builds"
            )
        if table.idle == "ignore":
            lines.append(
                "IDLE OPERATIONS COST NOTHING: the table takes operations without influence on the output as left out; "
                "a runtime that executes them takes longer; networks whose output does not depend on the input are "
                "priced as what every network runs"
            )
        is_variant = has_quantized_layers(example) or has_masked_layers(example)
        given, example = example, self._priced(space, example)
        if is_variant:
            lines.append(self._on_variants(given, example))
        if table.batch > 1:
            lines.append(f"NOT FOR ONE IMAGE: latencies are ms for a batch of {table.batch}")
        if not table.precision.startswith("float32"):
            how = "`nasctl export --int8` exports them so" if self._bits == 8 else "networks are exported in float32"
            lines.append(f"NOT IN FLOAT32: the table holds {table.precision or 'unknown precision'}; {how}")
        lines += self._estimates([example] if is_variant else [example, *example_networks(space)])
        if table.method == "modelled":
            return lines
        try:
            modelled = sum(figure.origin == "modelled" for figure in table.block_latencies(example))
        except MissingBlock:
            return lines
        if modelled:
            lines.append(f"{modelled} of {len(example.spans)} blocks of a typical network are estimated from operators")
        return lines

    def _on_variants(self, network: Network, priced: Network) -> str:
        """Return what bits or zeros of layers change, given a variant and the network that is priced for it."""
        if has_masked_layers(network):
            return ON_ZEROS
        if has_quantized_layers(priced):
            return (
                "NO FASTER WITH FEWER BITS: a quantised layer without a row of its own has the latency of its"
                f" {self.table.precision or 'unquantised'} row"
            )
        if self._bits is not None:
            return (
                f"THE SAME FOR ALL: the table holds {self.table.precision}, so candidates of at most {self._bits} bits"
                f" have the latency of the given network in {self.table.precision}, and wider ones fail; leave this"
                " objective out"
            )
        return (
            f"THE SAME FOR ALL: the table holds {self.table.precision or 'unknown precision'}, so each candidate has"
            " the latency of the given network; leave this objective out"
        )

    def _estimates(self, examples: list[Network]) -> list[str]:
        """Return how the blocks of networks are priced that the table has no figure of, a line for each way."""
        keys_of: dict[str, list[str]] = {}
        for key, how in self.table.estimates(examples).items():
            keys_of.setdefault(how, []).append(key)
        return [
            f"ESTIMATED: {self.table.device} has no figure of {keys[0]}"
            f"{f' and {len(keys) - 1} other blocks' if keys[1:] else ''}; {how}"
            for how, keys in keys_of.items()
        ]

    def __call__(self, candidate: Candidate) -> float:
        """Return the latency of the candidate in ms.

        Raises:
            MissingBlock: The table lacks a block of the candidate, or holds integers of fewer bits.
        """
        priced = self._priced(candidate.space, candidate.network)
        if priced is not candidate.network and self._bits is not None:
            widest = widest_emission(candidate.network)
            if most_bits(widest) > self._bits:
                raise MissingBlock(self.table.device, too_wide(widest, self._bits))
        return float(self.table.latency(priced))

    def _priced(self, space: SearchSpace | str, network: Network) -> Network:
        """Return the network whose latency a candidate has: the given one of variants as fast as it, or its own."""
        masked = has_masked_layers(network)
        if not masked and (self._own_rows or not has_quantized_layers(network)):
            return network
        from nasctl.compression.compressed_space import given_network

        given = given_network(space)
        if given is None or (not masked and self._bits is not None and not self._has_rows(given)):
            return network
        return given

    def _has_rows(self, network: Network) -> bool:
        """Return whether the table was measured or fitted with each block of a network."""
        try:
            return all(figure.origin != "modelled" for figure in self.table.block_latencies(network))
        except MissingBlock:
            return False
