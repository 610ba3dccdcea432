"""Sparse variants of a trained network: the share of the weights of each layer that are zero, or fewer channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from nasctl.api import BadOption, Reference
from nasctl.compression.channel_space import ChannelVariants
from nasctl.compression.compressed_space import Given, with_digest
from nasctl.compression.mask_options import METHODS, MaskMethod, MaskOptions
from nasctl.compression.mask_search import SCHEDULES, MaskSearch
from nasctl.compression.sparse_space import SparseVariants
from nasctl.compression.stored_masks import CURRENT_STORE, masks_folder
from nasctl.compression.variant_space import VariantSpace

__all__ = ["Sparse"]

SPARSITIES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95)

EPOCHS = 5  # of a search of masks

Known = TypeVar("Known", bound=str)

LEAST, MOST = 0.05, 0.999  # sparsities between which packed weights are smaller, and layers keep some


class Sparse(VariantSpace[SparseVariants | ChannelVariants]):
    """A trained network with pruned layers.

    Each convolution and linear layer has its sparsity as a gene. The weights of the largest scores are kept, with their
    trained values; biases stay. If pruning is structured, each group of channels that layers have in common has its
    sparsity as a gene, and the channels whose filters have the largest scores are kept. Batch norms behind pruned
    layers get the statistics of calibration images.

    Args:
        of: A training of nasctl by its name, or the path of its weights or of an export with weights; or FILE.py:NAME
            for a module of your own, which is trained.
        sparsities: Choices of the share of weights that are zero, or of channels that are removed, ascending.
        mask: Scores of weights: "magnitude", "random", "snip", "synflow", or "jackpot" for masks that are searched on
            the frozen weights, once for each sparsity.
        structured: Whether whole channels are removed, so that layers are smaller.
        seed: Seed of random scores, and of the order of images in a search of masks.
        recalibrate: Whether batch norms behind pruned layers get the statistics of calibration images.
        draws: Number of random masks for each sparsity, of which that of least loss on calibration images is used.
        epochs: Passes over the training part in a search of masks.
        schedule: Swaps of weights in a search of masks: "published" allows fewer and fewer, "shipped" all of them.
        data: Labelled images, of which 256 of the training part calibrate; those of the training by default.
        digest: Digest of network and data, which nasctl adds. A changed file is another space.

    References:
        Han et al., "Learning both weights and connections for efficient neural networks", NeurIPS 2015,
        arXiv:1506.02626. Lee et al., "SNIP: Single-shot network pruning based on connection sensitivity", ICLR 2019,
        arXiv:1810.02340. Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic
        flow", NeurIPS 2020, arXiv:2006.05467. Zhang et al., "Lottery jackpots exist in pre-trained models", IEEE TPAMI
        45 (12), 2023, arXiv:2104.08700. Farahani, "Random search as a baseline for sparse neural network architecture
        search", 2024, arXiv:2403.08265. Li et al., "Pruning filters for efficient ConvNets", ICLR 2017,
        arXiv:1608.08710.
    """

    def __init__(
        self,
        of: str,
        sparsities: tuple[float, ...] = SPARSITIES,
        mask: str = "magnitude",
        structured: bool = False,
        seed: int = 0,
        recalibrate: bool = True,
        draws: int = 1,
        epochs: int = EPOCHS,
        schedule: str = SCHEDULES[0],
        data: str = "",
        digest: str = "",
    ) -> None:
        _check_sparsities(sparsities)
        if seed < 0:
            raise BadOption(f"Cannot use seed={seed}: seeds are 0 or more. Give for example seed=1.")
        search = MaskSearch(epochs, _one_of("schedule", schedule, SCHEDULES), seed=seed)
        method = _one_of("mask", mask, METHODS)
        _check_method(method, structured, draws, search)
        given = Given.of(of, data, digest or with_digest({"of": of, "data": data})["digest"])
        folder = str(masks_folder(CURRENT_STORE.get()).absolute())
        options = MaskOptions(method, seed, recalibrate, draws, search, folder if method == "jackpot" else "")
        variants = ChannelVariants if structured else SparseVariants
        super().__init__(variants(given, tuple(sorted(map(float, sparsities), reverse=True)), options))

    @property
    def references(self) -> Mapping[str, Reference]:
        """The networks with one sparsity in all layers, and with the best weights overall; searches begin with them."""
        found = {
            f"uniform-{sparsity:g}": Reference(genome, f"sparsity {sparsity:g} everywhere")
            for sparsity, genome in self.variants.uniform().items()
        }
        return found | {
            f"overall-{sparsity:g}": Reference(
                genome, f"the weights of largest score overall, about {1 - sparsity:.0%}"
            )
            for sparsity, genome in self.variants.overall.items()
        }

    @property
    def preparation(self) -> str:
        """A sentence on the masks that are searched before the first candidates are measured; "" if none are."""
        return self.variants.preparation


def _one_of(option: str, value: str, known: Sequence[Known]) -> Known:
    """Return a value that is one of those known.

    Raises:
        BadOption: It is none of them.
    """
    for one in known:
        if one == value:
            return one
    raise BadOption(f"Cannot use {option}={value}. Give one of: {', '.join(f'{option}={one}' for one in known)}.")


def _check_method(method: MaskMethod, structured: bool, draws: int, search: MaskSearch) -> None:
    """Raise an error if an option says nothing of a method, or is out of range."""
    if search.epochs < 1 or draws < 1:
        raise BadOption(f"Cannot use epochs={search.epochs} and draws={draws}. Give 1 or more of each.")
    if draws > 1 and method != "random":
        raise BadOption(f"Cannot draw {draws} masks by {method}: it draws none. Leave draws out, or give mask=random.")
    if (search.epochs, search.schedule) != (EPOCHS, SCHEDULES[0]) and method != "jackpot":
        raise BadOption(f"Cannot search masks by {method}. Leave epochs and schedule out, or give mask=jackpot.")
    if structured and method == "jackpot":
        raise BadOption("Cannot search masks of channels: jackpots are masks of weights. Give another mask.")


def _check_sparsities(sparsities: Sequence[float]) -> None:
    """Raise an error if sparsities are none, not ascending, or out of range."""
    ordered = bool(sparsities) and list(sparsities) == sorted(set(sparsities))
    if not ordered or not all(one == 0 or LEAST <= one <= MOST for one in sparsities):
        raise BadOption(
            f"Cannot prune to sparsities={','.join(f'{one:g}' for one in sparsities)}: sparsities are 0, or from"
            f" {LEAST} to {MOST}, ascending. Give for example sparsities=0,0.5,0.9."
        )
