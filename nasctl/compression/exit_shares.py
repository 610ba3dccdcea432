"""Shares of images that leave at each exit of a network, on the validation images of a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

from nasctl.compression.variant_accuracy import VariantAccuracy
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from nasctl.candidates.candidate import Candidate
    from nasctl.candidates.setting import Setting
    from nasctl.networks.graph import Network
    from nasctl.problem.space import SearchSpace


@dataclass(frozen=True)
class ExitShares:
    """The shares of images that leave at each exit; `VariantAccuracy` with equal options is of the same images.

    Args:
        images: Validation images, spread evenly over the validation part; all are taken if there are fewer.
        split: Shares of the parts of the data, "0.8-0.1-0.1"; "" for those of the network's training.
        split_seed: Seed of the split; -1 for that of the network's training.
    """

    images: int
    split: str = ""
    split_seed: int = -1

    @property
    def version(self) -> str:
        """Text that differs wherever values on the same data differ."""
        return self._accuracy.version

    @property
    def options(self) -> str:
        """The options as a spec spells them, without those at their defaults; "" if all are."""
        from nasctl.supernets.inherited_quality import DEFAULT_IMAGES

        given = {"images": self.images, "split": self.split, "split_seed": self.split_seed}
        usual = {"images": DEFAULT_IMAGES, "split": "", "split_seed": -1}
        return ",".join(f"{key}={value}" for key, value in given.items() if value != usual[key])

    def wrong_space(self, space: SearchSpace, instead: str) -> str:
        """Return why the networks of a space have no shares of exits; "" if they have.

        Args:
            space: The space.
            instead: The objective for networks without early exits.
        """
        from nasctl.compression.exits_space import HasExits

        return "" if isinstance(space, HasExits) else f"its networks have no early exits; use {instead}"

    def wrong_setting(self, setting: Setting) -> str:
        """Return why shares cannot be measured in a setting, with a remedy; "" if they can."""
        return self._accuracy.wrong_setting(setting)

    def remarks(self, spec: str, costs: Callable[[Network], Sequence[float]], unit: str) -> list[str]:
        """Return the cost of the given network of a space, and how exact means over images are.

        Args:
            spec: Spec of the space.
            costs: Returns the cost of an image that leaves at each exit of a network.
            unit: Unit of the cost.
        """
        from nasctl import registry

        (whole,) = costs(registry.create("spaces", spec).base.network)
        most = 0.5 * whole / sqrt(self.images)  # of costs that are 0 and `whole`, half of the images each
        return [
            f"mean over up to {self.images:,} validation images of --data, standard error at most about"
            f" \u00b1{most:,.3g} {unit}; the given network has {whole:,.4g} {unit}"
        ]

    def setting_remarks(self, space: SearchSpace, setting: Setting) -> list[str]:
        """Return a warning if the given network has learned from validation images, or if that cannot be known."""
        return self._accuracy.setting_remarks(space, setting)

    def __call__(self, candidate: Candidate) -> list[float]:
        """Return the share of images that leave at each exit of a candidate, (exits,).

        Raises:
            NasctlError: The space has no exits, or the data is not at hand, has no labels or other classes.
        """
        from nasctl.compression.exit_outputs import ExitEvaluator

        run, _ = self._accuracy.evaluator(candidate)
        if not isinstance(run, ExitEvaluator):
            raise NasctlError("Cannot count where images leave: the networks have no early exits. Use macs.")
        exits = run.exits(candidate.genome)
        counts = exits.bincount(minlength=_number(candidate))
        return [int(one) / len(exits) for one in counts]

    @property
    def _accuracy(self) -> VariantAccuracy:
        return VariantAccuracy(self.images, self.split, self.split_seed)


def expected(shares: Sequence[float], costs: Sequence[float]) -> float:
    """Return the mean cost of an image.

    Args:
        shares: Share of the images that leave at each exit, (exits,).
        costs: Cost of an image that leaves there, (exits,).
    """
    return sum(share * cost for share, cost in zip(shares, costs, strict=True))


def expected_error(shares: Sequence[float], costs: Sequence[float], images: int) -> float:
    """Return the standard error of the mean cost of an image, by the variance over the images.

    Args:
        shares: Share of the images that leave at each exit, (exits,).
        costs: Cost of an image that leaves there, (exits,).
        images: Number of the images.
    """
    mean = expected(shares, costs)
    return sqrt(expected(shares, [(cost - mean) ** 2 for cost in costs]) / images)


def _number(candidate: Candidate) -> int:
    """Return the number of exits of a candidate."""
    from nasctl.networks.early_exit import thresholds_of

    return len(thresholds_of(candidate.network)) + 1


__all__ = ["ExitShares", "expected", "expected_error"]
