"""One network whose weights are mixtures of the slices of several choices, and which genes' choices are slices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from nasctl.errors import NasctlError
from nasctl.problem.space import Genome
from nasctl.problem.strategy_step import GeneKind
from nasctl.supernets.hull import DoesNotFit, Hull, sliced
from nasctl.supernets.slice_masks import SliceMasks

EXAMPLES = 4  # that choices are tried with

TOLERANCE = 1e-7  # distance of outputs over their spread, up to which they count as equal; in float64 rounding is less

DRAWN = 3  # random genomes that are tried in the end

Weights = Mapping[str, Tensor]  # tensors by slot


class Entanglement:
    """A network in which the choices of genes are mixed by masks on its weights; see `StepNetworks.entangled`.

    A gene is "sliced" if, for each of its choices, the network with the masks of that choice has the same outputs as
    the network of the choice. That is tried with random weights. It is "free" if its choices change no weights, as
    those of a resolution do.

    Layer norms over channels weigh channels by their mask in the mean and the variance, so that a masked channel does
    not count. TangleNAS takes the mean over all channels, which is not that of the smaller network.

    Args:
        hull: The shared weights.
        base: Genome of the largest network.
    """

    def __init__(self, hull: Hull, base: Genome) -> None:
        self.hull, self.base = hull, base
        self.reasons: dict[int, str] = {}  # why the choices of genes are no slices
        counts = [len(gene.choices) for gene in hull.networks.space.genes]
        several = [gene for gene, count in enumerate(counts) if count > 1]
        free = [gene for gene in several if self._is_free(gene)]
        alone = SliceMasks(hull, base, ())
        fitting = [gene for gene in several if gene not in free and self._fits(alone, gene)]
        trial = _Trial(hull, base)
        masks = SliceMasks(hull, base, fitting)
        together = all(trial.distance(masks, choices) <= TOLERANCE for choices in _covering(masks))
        found = fitting if together else [gene for gene in fitting if self._reproduces(trial, masks, gene)]
        self.masks = masks if found == fitting else SliceMasks(hull, base, found)
        self._check(trial)
        self.kinds: tuple[GeneKind, ...] = tuple(
            "sliced" if gene in found or count == 1 else "free" if gene in free else "other"
            for gene, count in enumerate(counts)
        )

    def genome(self, factors: Mapping[int, Tensor]) -> Genome:
        """Return the genome of the network that factors of all genes are masks of.

        Raises:
            NasctlError: A gene has factors though its choices are no slices, or a free gene has several choices.
        """
        choices = {}
        for gene, own in factors.items():
            kind, name = self.kinds[gene], self.hull.networks.space.genes[gene].name
            if kind == "other":
                raise NasctlError(f"Cannot entangle the choices of {name}: {self.reasons[gene]}. Give it no factors.")
            if kind == "free":
                choice = int(own.argmax())
                if own.detach().sum() != own[choice].detach():
                    raise NasctlError(
                        f"Cannot entangle the choices of {name}: they change no weights. Draw one choice."
                    )
                choices[gene] = choice
        return self.masks.changed(choices)

    def outputs(
        self, weights: Weights, factors: Mapping[int, Tensor], genome: Genome, inputs: Sequence[Tensor]
    ) -> Tensor:
        """Return the outputs of the network with masked weights.

        Args:
            weights: Shared weights by slot.
            factors: Factors of the choices of sliced genes.
            genome: Genome of the network, as `genome` returns it.
            inputs: Inputs of the network, at its resolution.
        """
        return _masked_outputs(self.masks, weights, factors, genome, inputs)

    def _is_free(self, gene: int) -> bool:
        """Return whether the choices of a gene change the network, but no weights."""
        hull, space = self.hull, self.hull.networks.space
        genomes = [_changed(self.hull, self.base, gene, choice) for choice in range(len(space.genes[gene].choices))]
        if not all(map(hull.fits, genomes)) or any(hull.cuts(one) != hull.cuts(self.base) for one in genomes):
            return False
        return any(space.network(one) != space.network(self.base) for one in genomes)

    def _fits(self, alone: SliceMasks, gene: int) -> bool:
        """Return whether the weights of a gene's choices are slices of those of the network."""
        try:
            for choice in range(len(self.hull.networks.space.genes[gene].choices)):
                alone.slices(alone.changed({gene: choice}))
        except (NasctlError, DoesNotFit) as reason:
            self.reasons[gene] = str(reason)
            return False
        return True

    def _reproduces(self, trial: _Trial, masks: SliceMasks, gene: int) -> bool:
        """Return whether masks of a gene's choices give the outputs of the networks with these choices."""
        for choice, value in enumerate(self.hull.networks.space.genes[gene].choices):
            if choice != self.base[gene] and trial.distance(masks, {gene: choice}) > TOLERANCE:
                self.reasons[gene] = f"the network with {value} is not a part of the largest one, with the same weights"
                return False
        return True

    def _check(self, trial: _Trial) -> None:
        """Check masks of several genes at once.

        Raises:
            NasctlError: The slices of genes depend on each other in a way that masks cannot say.
        """
        rng, genes = np.random.default_rng(0), self.hull.networks.space.genes
        for k in range(DRAWN + 1):
            drawn = {g: int(rng.integers(len(genes[g].choices))) if k else 0 for g in self.masks.genes}
            if trial.distance(self.masks, drawn) > TOLERANCE:
                raise NasctlError(
                    "Cannot entangle the choices of this space: a network that differs from the largest one in several"
                    f" genes, {self.masks.changed(drawn)}, is not a part of it. Choose another strategy."
                )


class _Trial:
    """Random weights and examples, with which networks are compared."""

    def __init__(self, hull: Hull, base: Genome) -> None:
        self._hull = hull
        generator = torch.Generator().manual_seed(0)

        def drawn(shape: Sequence[int]) -> Tensor:
            return torch.randn(tuple(shape), generator=generator, dtype=torch.float64)

        # Larger than initial weights, so that products such as attention scores are not all alike.
        self.weights = {
            name: 1.5 * drawn(slot.shape) / prod(slot.shape[1:]) ** 0.5
            if len(slot.shape) > 1
            else 0.5 * drawn(slot.shape)
            for name, slot in hull.slots.items()
        }
        networks = hull.networks
        shape, read = networks.space.network(base).input_shapes[0], networks.space.input
        if read.kind == "images":
            self.inputs: tuple[Tensor, ...] = (drawn((EXAMPLES, *shape)),)
        else:
            words = torch.randint(read.vocabulary or 1, (EXAMPLES, *shape), generator=generator)
            hidden = torch.arange(shape[0]).expand(EXAMPLES, -1) % 3 == 0
            self.inputs = (words,) if networks.task == "classes" else (words, hidden)

    @torch.no_grad()
    def distance(self, masks: SliceMasks, choices: Mapping[int, int]) -> float:
        """Return how far the outputs of masks of single choices are from those of the network with these choices."""
        networks, genome = self._hull.networks, masks.changed(choices)
        factors = {
            gene: torch.eye(len(networks.space.genes[gene].choices), dtype=torch.float64)[choice]
            for gene, choice in choices.items()
        }
        views = {name: sliced(self.weights[slot], cut) for name, slot, cut in self._hull.cuts(genome)}
        with _evaluating(networks.module(genome)) as module:
            expected = functional_call(module, {**_exact_buffers(module), **views}, self.inputs)
        with _evaluating(networks.module(masks.base)):
            found = _masked_outputs(masks, self.weights, factors, masks.base, self.inputs)
        distance = (found - expected).norm() / (expected - expected.mean(0)).norm()
        return float(distance) if distance.isfinite() else float("inf")


def _covering(masks: SliceMasks) -> Iterator[dict[int, int]]:
    """Yield choices of genes such that each choice of each gene is in one, where another choice does not idle it."""
    genes = masks.hull.networks.space.genes
    left = {gene: [one for one in range(len(genes[gene].choices)) if one != masks.base[gene]] for gene in masks.genes}
    while any(left.values()):
        choices = {gene: own[0] for gene, own in left.items() if own}
        genome = masks.changed(choices)
        seen = [gene for gene, choice in choices.items() if genome[gene] == choice]
        if not seen or genome == masks.base:  # the choices that are left have no effect
            return
        yield choices
        for gene in seen:
            left[gene].pop(0)


def entanglement_of(hull: Hull, base: Genome) -> Entanglement:
    """Return the entanglement of a hull's largest network, which is made once."""
    if hull not in _MADE:
        _MADE[hull] = Entanglement(hull, base)
    return _MADE[hull]


_MADE: WeakKeyDictionary[Hull, Entanglement] = WeakKeyDictionary()


def _masked_outputs(
    masks: SliceMasks, weights: Weights, factors: Mapping[int, Tensor], genome: Genome, inputs: Sequence[Tensor]
) -> Tensor:
    """Return the outputs of a genome's network with masked weights; see `Entanglement.outputs`."""
    module = masks.hull.networks.module(genome)
    device = next(iter(weights.values())).device
    made = masks.masks(factors, device)
    views, channels = dict[str, Tensor](), dict[str, Tensor]()
    for name, slot, cut in masks.hull.cuts(genome):
        own = sliced(weights[slot], cut)
        terms = made.get(slot, [])
        if terms:
            whole = _product([one for one, _ in terms])
            views[name] = own * whole.to(own.dtype)
            varying = [one for one, varies in terms if varies]
            if own.ndim == 1 and varying:
                channels[name] = _product(varying)
        else:
            views[name] = own
    if next(iter(views.values())).dtype == torch.float64:
        views |= _exact_buffers(module)
    with _weighted_norms(module, channels):
        found: Tensor = functional_call(module, views, tuple(inputs))
    return found


def _exact_buffers(module: nn.Module) -> dict[str, Tensor]:
    """Return the constants of a module in float64."""
    return {name: one.double() for name, one in module.named_buffers() if one.is_floating_point()}


def _product(factors: Sequence[Tensor]) -> Tensor:
    """Return the product of tensors that broadcast."""
    first, *others = factors
    for one in others:
        first = first * one
    return first


@contextmanager
def _weighted_norms(module: nn.Module, channels: Mapping[str, Tensor]) -> Iterator[None]:
    """Let layer norms weigh channels by the masks of their gains inside the block."""
    with ExitStack() as stack:
        for path, part in module.named_modules() if channels else ():
            weight = channels.get(f"{path}.weight")
            if isinstance(part, nn.LayerNorm) and weight is not None:
                stack.callback(part.register_forward_hook(_weighted(weight)).remove)
        yield


def _weighted(channels: Tensor) -> Callable[[nn.LayerNorm, Any, Tensor], Tensor]:
    """Return a hook that gives a layer norm's output with weighted mean and variance."""
    shares = channels / channels.sum()

    def hook(part: nn.LayerNorm, given: Any, found: Tensor) -> Tensor:
        (x,) = given
        centred = x - (x * shares).sum(-1, keepdim=True)
        spread = (centred.square() * shares).sum(-1, keepdim=True)
        normalised: Tensor = centred * (spread + part.eps).rsqrt() * part.weight
        return normalised if part.bias is None else normalised + part.bias

    return hook


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """Let a module be in evaluation mode inside the block, so that nothing is dropped at random."""
    training = [one for one in module.modules() if one.training]
    module.eval()
    try:
        yield module
    finally:
        for one in training:
            one.training = True


def _changed(hull: Hull, base: Genome, gene: int, choice: int) -> Genome:
    return hull.networks.space.canonical((*base[:gene], choice, *base[gene + 1 :]))


__all__ = ["Entanglement", "entanglement_of"]
