"""Latency on a device, looked up block by block in a latency table."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Input, MissingBlock, Network, SearchSpace, Transform
from nasctl.hardware.kinds import example_networks, load_table, whose_processor
from nasctl.hardware.masked_layers import has_masked_layers
from nasctl.hardware.quantized_blocks import has_quantized_layers, has_quantized_rows
from nasctl.hardware.skill import rank_weakness
from nasctl.hardware.table import INTEGER_BITS

__all__ = ["Latency"]

ON_ZEROS = (  # what zeros among weights change
    "THE SAME FOR ALL: runtimes multiply with zeros too, so each candidate has the latency of the given network; leave"
    " this objective out, or remove whole channels with structured=yes"
)


class Latency:
    """Sum of the latencies of the candidate's blocks on a device, in ms for one batch of the table's size.

    A table of floating-point numbers without rows of quantised layers prices a variant of a trained network as the
    given network, whose blocks it knows: variants have other blocks, because their norms are folded. Variants with
    zeros among their weights have the latency of the given network in every table, because runtimes multiply with zeros
    too.

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
        self._floats = self.table.precision not in INTEGER_BITS and not has_quantized_rows(self.table.blocks)
        self.monotone = self.table.monotone  # True if enlarging a layer never lowers the latency

    def version_on(self, given: Input, example: Network) -> str:
        """Return the version of values on networks like the example: variants were priced by their own blocks once."""
        return f"{self.version}-given" if self._floats and has_quantized_layers(example) else self.version

    def remarks(self, space: str, example: Network) -> list[str]:
        """Return the provenance and held-out error of the table, and warnings about its limits."""
        table, error = self.table, self.table.validated(space)
        where = " on other networks" if error is None and table.validation else ""
        lines = [
            f"{table.device}: {table.processor.strip() or 'processor not stated'}, "
            f"{table.runtime_text}, batch {table.batch}, "
            f"{table.precision}, {table.method}; held-out error{where}: {table.accuracy(space)}"
        ]
        lines += filter(None, [whose_processor(self.called, table)])
        if error is None:
            lines.append(
                f"NOT VALIDATED for {space}: latencies are rough estimates; `nasctl device list --space {space}"
                f" --validated` lists tables that were, and `nasctl device adapt {table.device}` corrects this one by"
                " five networks that you time"
            )
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
        quantized, masked = has_quantized_layers(example), has_masked_layers(example)
        example = self._priced(space, example)
        if quantized:
            lines.append(self._on_bits(example))
        lines += [ON_ZEROS] if masked else []
        if table.batch > 1:
            lines.append(f"NOT FOR ONE IMAGE: latencies are ms for a batch of {table.batch}")
        if not table.precision.startswith("float32"):
            lines.append(
                f"NOT IN FLOAT32: the table holds {table.precision or 'unknown precision'}, "
                "but networks are exported in float32"
            )
        lines += self._estimates([example] if quantized or masked else [example, *example_networks(space)])
        if table.method == "modelled":
            return lines
        try:
            modelled = sum(figure.origin == "modelled" for figure in table.block_latencies(example))
        except MissingBlock:
            return lines
        if modelled:
            lines.append(f"{modelled} of {len(example.spans)} blocks of a typical network are estimated from operators")
        return lines

    def _on_bits(self, priced: Network) -> str:
        """Return what bits of layers change, given the network that is priced for a quantised one."""
        if has_quantized_layers(priced):
            return (
                "NO FASTER WITH FEWER BITS: a quantised layer without a row of its own has the latency of its"
                f" {self.table.precision or 'unquantised'} row"
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
            MissingBlock: The table lacks a block of the candidate.
        """
        return float(self.table.latency(self._priced(candidate.space, candidate.network)))

    def _priced(self, space: SearchSpace | str, network: Network) -> Network:
        """Return the network whose latency a candidate has: the given one of variants as fast as it, or its own."""
        if not (self._floats and has_quantized_layers(network)) and not has_masked_layers(network):
            return network
        from nasctl.compression.compressed_space import given_network

        return given_network(space) or network
