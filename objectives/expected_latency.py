"""Expected latency of a network with early exits on a device, looked up in a latency table."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Network, SearchSpace, Setting, Span, Transform, running_costs
from nasctl.compression.exit_shares import ExitShares, expected
from nasctl.hardware.kinds import load_table, whose_processor
from nasctl.supernets.inherited_quality import DEFAULT_IMAGES

__all__ = ["ExpectedLatency"]


class ExpectedLatency:
    """Mean latency of an image, which leaves a network at the first exit that is sure enough, in ms.

    The mean is that over validation images of the data of the search: the sum over the exits of the share of images
    that leave there, times the latencies of all blocks that have run by then. Each stage that runs adds the table's
    overhead of a network once. The choice among exits is taken to cost nothing.

    Args:
        device: Name of a table in `nasctl device list`, or path of a table.
        called: Name of the device to show instead of the table's own.
        images: Validation images on which it is counted where images leave; give `accuracy` the same.
        split: Shares of the parts of the data, joined by "-"; "" for those of the network's training.
        split_seed: Seed of the split; -1 for that of the network's training.
    """

    unit = "ms"
    direction: Direction = "min"
    transform: Transform = "identity"
    needs = frozenset({"network", "trained_weights"})

    def __init__(
        self, device: str, called: str = "", images: int = DEFAULT_IMAGES, split: str = "", split_seed: int = -1
    ) -> None:
        self.table, self.called = load_table(device), called
        self._shares = ExitShares(images, split, split_seed)
        options = f":{self._shares.options}" if self._shares.options else ""
        self.label = f"expected_latency@{called or self.table.device}{options}"  # shown instead of the objective's spec
        self.unit = f"ms, batch {self.table.batch}"
        self.version = f"{self.table.digest}-{self._shares.version}"

    def wrong_space(self, space: SearchSpace) -> str:
        """Return why the objective says nothing of a space; "" if its networks have early exits."""
        return self._shares.wrong_space(space, f"latency@{self.called or self.table.device}")

    def wrong_setting(self, setting: Setting) -> str:
        """Return why the objective says nothing in the setting of a search, with a remedy; "" if it does."""
        return self._shares.wrong_setting(setting)

    def remarks(self, space: str, example: Network) -> list[str]:
        """Return the provenance and held-out error of the table, how blocks are priced, and the images that decide."""
        table = self.table
        lines = [
            f"{table.device}: {table.processor.strip() or 'processor not stated'}, {table.runtime_text}, batch"
            f" {table.batch}, {table.precision}, {table.method}; held-out error on other networks:"
            f" {table.accuracy(space)}{table.noise_note}"
        ]
        lines += filter(None, [whose_processor(self.called, table)])
        lines.append(
            f"NOT VALIDATED for {space}: latencies are sums over blocks of the stages that run, which no runtime was"
            " timed with"
        )
        if table.batch > 1:
            lines.append(
                f"NOT FOR ONE IMAGE: latencies are ms for a batch of {table.batch}, of which all images would have to"
                " leave together"
            )
        return [*lines, *self._shares.remarks(space, self._costs, "ms")]

    def setting_remarks(self, space: SearchSpace, setting: Setting) -> list[str]:
        """Return a warning if the given network has learned from validation images, or if that cannot be known."""
        return self._shares.setting_remarks(space, setting)

    def __call__(self, candidate: Candidate) -> float:
        """Return the mean latency of an image in ms.

        Raises:
            MissingBlock: The table lacks a block of the candidate.
            NasctlError: The space has no exits, or the data is not at hand, has no labels or other classes.
        """
        return expected(self._shares(candidate), self._costs(candidate.network))

    def _costs(self, network: Network) -> list[float]:
        """Return the latency of an image that leaves at each exit, in ms, (exits,)."""
        priced = {span.name for span in self.table.priced_spans(network)}

        def cost(span: Span) -> float:
            return self.table.block(span.emission, span.name).ms if span.name in priced else 0.0

        found = running_costs(network, cost)
        return [one + (stage + 1) * self.table.overhead for stage, one in enumerate(found)]
