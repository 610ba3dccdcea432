"""Latency on a device, by its table of blocks."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, MissingBlock, Network, Transform
from nasctl.hardware.kinds import load_table

__all__ = ["Latency"]


class Latency:
    """The sum over the candidate's blocks of what each costs on the device, in ms for one batch of the table's size.

    References:
        Cai et al., "ProxylessNAS: Direct neural architecture search on target task and hardware", ICLR 2019,
        arXiv:1812.00332, section 3.3, has latency as such a sum.

    Args:
        device: A table of `nasctl device list`, or the path of one.
        called: What to call it in place of its own name.
    """

    unit = "ms"
    direction: Direction = "min"
    transform: Transform = "identity"
    needs = frozenset({"network"})

    def __init__(self, device: str, called: str = "") -> None:
        self.table = load_table(device)
        self.label = f"latency@{called or self.table.device}"  # what people see in place of the file's name
        self.unit = f"ms, batch {self.table.batch}"
        self.version = self.table.digest  # a table that is measured again gives new measurements
        self.monotone = self.table.monotone  # a network with no smaller layer is never faster

    def remarks(self, space: str, example: Network) -> list[str]:
        """What the table is, how far off it is, and where it was never checked."""
        table = self.table
        lines = [
            f"{table.device}: {table.processor}, {table.runtime or 'runtime not stated'}, batch {table.batch}, "
            f"{table.precision}, {table.method}; error on what was held out: {table.accuracy(space)}"
        ]
        if table.validated(space) is None:
            lines.append(f"NOT VALIDATED for {space}: take its figures as rough")
        if table.batch > 1:
            lines.append(f"NOT FOR ONE IMAGE: its figures are ms for a batch of {table.batch}")
        if not table.precision.startswith("float32"):
            lines.append(f"NOT IN FLOAT32, as networks are exported: it is of {table.precision or 'unknown precision'}")
        if table.method == "modelled":
            return lines
        try:
            modelled = sum(table.block(span.emission).origin == "modelled" for span in example.spans)
        except MissingBlock:
            return lines
        if modelled:
            lines.append(f"{modelled} of {len(example.spans)} blocks of a typical network are estimated from operators")
        return lines

    def __call__(self, candidate: Candidate) -> float:
        """Look up.

        Raises:
            MissingBlock: The table lacks a block of the candidate.
        """
        return float(self.table.latency(candidate.network))
