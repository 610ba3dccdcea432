"""A trained network with early exits: where images may leave, and how sure a classifier must be that they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nasctl.api import BadOption, Reference, thresholds_of
from nasctl.compression.channel_exits import ChannelExits
from nasctl.compression.compressed_space import Given, with_digest
from nasctl.compression.depth_exits import DepthExits
from nasctl.compression.exit_training import ExitTraining
from nasctl.compression.exits_space import ExitVariants, exits_folder
from nasctl.compression.variant_space import VariantSpace

__all__ = ["Exits"]

THRESHOLDS = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)

RATES = {"depth": 3e-3, "channels": 1e-3}  # peak learning rates of AdamW by kind

SHARES = (0.25, 0.5, 0.75)


class Exits(VariantSpace[ExitVariants]):
    """A trained network whose images leave at the first exit that is sure enough.

    An image leaves at an exit when the largest probability exceeds the exit's threshold, and later layers do not run
    for it. There are two kinds of exits. By depth, exits are classifiers between the blocks of the network, whose own
    layers are unchanged. By channels, the channels of each layer are divided over stages, as in S2DNAS: a stage reads
    the channels of earlier stages and never those of later ones, and a classifier follows each stage. The classifiers,
    and by channels all weights, learn from the training images once for all candidates. A candidate's module runs all
    stages, and chooses the logits of the exit at which each image leaves.

    Args:
        of: A training of nasctl by its name, or the path of its weights or of an export with weights; or FILE.py:NAME
            for a module of your own, which is trained.
        kind: "depth": exits between blocks. "channels": exits behind stages of channels.
        places: Places for exits by depth, which divide the MACs evenly.
        stages: Stages of channels.
        shares: Choices of the share of channels up to a stage, ascending, above 0 and below 1.
        thresholds: Choices of each threshold, descending, above 0 and below 1.
        hidden: Hidden units of each classifier by depth: channels of a 3x3 convolution in front of it; 0 for none.
        epochs: Passes over the training images: of the classifiers by depth, or of all weights by channels.
        seed: Seed of that training.
        data: Labelled images, from whose training part the classifiers learn; those of the training by default.
        digest: Digest of network and data, which nasctl adds. A changed file is another space.

    References:
        Teerapittayanon, McDanel & Kung, "BranchyNet: fast inference via early exiting from deep neural networks", ICPR
        2016, arXiv:1709.01686, with the largest probability in place of the entropy. Yuan et al., "S2DNAS: transforming
        static CNN model for dynamic inference via neural architecture search", ECCV 2020, arXiv:1911.07033.
    """

    default_cost = "expected_macs"

    def __init__(
        self,
        of: str,
        kind: str = "depth",
        places: int = 4,
        stages: int = 2,
        shares: tuple[float, ...] = SHARES,
        thresholds: tuple[float, ...] = THRESHOLDS,
        hidden: int = 32,
        epochs: int = 10,
        seed: int = 0,
        data: str = "",
        digest: str = "",
    ) -> None:
        if kind not in RATES:
            raise BadOption(f"Cannot use kind={kind}. Give kind={' or kind='.join(RATES)}.")
        least = {
            "places": (places, 1),
            "stages": (stages, 2),
            "hidden": (hidden, 0),
            "epochs": (epochs, 1),
            "seed": (seed, 0),
        }
        for name, (value, low) in least.items():
            if value < low:
                raise BadOption(f"Cannot use {name}={value}. Give {name}={low} or more.")
        _check("thresholds", thresholds[::-1])
        _check("shares", shares)
        if len(shares) < stages - 1:
            raise BadOption(
                f"Cannot divide channels over {stages} stages: {len(shares)} shares are too few. Give more."
            )
        given = Given.of(of, data, digest or with_digest({"of": of, "data": data})["digest"])
        if thresholds_of(given.base.network):
            raise BadOption(f"Cannot add exits to {of}: it has early exits already. Give the network without them.")
        training = ExitTraining(epochs, seed, RATES[kind])
        if kind == "depth":
            super().__init__(DepthExits(given, places, tuple(thresholds), hidden, training, exits_folder()))
        else:
            options = tuple(shares), tuple(thresholds), training, exits_folder()
            super().__init__(ChannelExits(given, stages, *options))

    @property
    def exits(self) -> ExitVariants:
        """The networks with early exits, as `HasExits` has them."""
        return self.variants

    @property
    def references(self) -> Mapping[str, Reference]:
        """The networks with one threshold at all exits, such as "all-0.9", which searches begin with."""
        return {
            f"all-{threshold:g}": Reference(genome, f"exits everywhere, each with the threshold {threshold:g}")
            for threshold, genome in self.variants.uniform().items()
        }


def _check(name: str, values: Sequence[float]) -> None:
    """Check that the choices of thresholds, from the last, or of shares ascend between 0 and 1.

    Raises:
        BadOption: They do not.
    """
    if not values or list(values) != sorted(set(values)) or not 0 < values[0] <= values[-1] < 1:
        example = "thresholds=0.9,0.7,0.5" if name == "thresholds" else "shares=0.25,0.5,0.75"
        order = "descend" if name == "thresholds" else "ascend"
        raise BadOption(f"Cannot use these {name}: they are above 0 and below 1, and {order}. Give {example}.")
