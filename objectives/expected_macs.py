"""Expected multiply-accumulates of a network with early exits: the mean over validation images."""

from __future__ import annotations

from nasctl.api import Candidate, Direction, Network, SearchSpace, Setting, Transform, running_costs
from nasctl.compression.exit_shares import ExitShares, expected
from nasctl.supernets.inherited_quality import DEFAULT_IMAGES

__all__ = ["ExpectedMACs"]


class ExpectedMACs:
    """Mean multiply-accumulates of an image, which leaves a network at the first exit that is sure enough.

    The mean is that over validation images of the data of the search: the sum over the exits of the share of images
    that leave there, times the MACs of all layers that have run by then, the classifiers of earlier exits included.
    `macs` is the sum over all layers, as of an image that leaves at the last exit.

    References:
        Yuan et al., "S2DNAS: transforming static CNN model for dynamic inference via neural architecture search", ECCV
        2020, arXiv:1911.07033: the average cost.

    Args:
        images: Validation images on which it is counted where images leave; give `accuracy` the same.
        split: Shares of the parts of the data, joined by "-"; "" for those of the network's training.
        split_seed: Seed of the split; -1 for that of the network's training.
    """

    unit = "MACs"
    direction: Direction = "min"
    transform: Transform = "identity"
    needs = frozenset({"network", "trained_weights"})

    def __init__(self, images: int = DEFAULT_IMAGES, split: str = "", split_seed: int = -1) -> None:
        self._shares = ExitShares(images, split, split_seed)
        self.version = self._shares.version

    def wrong_space(self, space: SearchSpace) -> str:
        """Return why the objective says nothing of a space; "" if its networks have early exits."""
        return self._shares.wrong_space(space, "macs")

    def wrong_setting(self, setting: Setting) -> str:
        """Return why the objective says nothing in the setting of a search, with a remedy; "" if it does."""
        return self._shares.wrong_setting(setting)

    def remarks(self, space: str, example: Network) -> list[str]:
        """Return the MACs of the given network, and the images that decide."""
        return self._shares.remarks(
            space, lambda network: running_costs(network, lambda span: span.emission.macs), "MACs"
        )

    def setting_remarks(self, space: SearchSpace, setting: Setting) -> list[str]:
        """Return a warning if the given network has learned from validation images, or if that cannot be known."""
        return self._shares.setting_remarks(space, setting)

    def __call__(self, candidate: Candidate) -> float:
        """Return the mean multiply-accumulates of an image.

        Raises:
            NasctlError: The space has no exits, or the data is not at hand, has no labels or other classes.
        """
        costs = running_costs(candidate.network, lambda span: span.emission.macs)
        return expected(self._shares(candidate), costs)
