"""A network with masked weights, whose layer norms do not count masked channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from nasctl.networks.graph import Network
from nasctl.supernets.hull import NamedCut, sliced

Weights = Mapping[str, Tensor]  # tensors by slot

Terms = Mapping[str, Sequence[tuple[Tensor, bool]]]  # by slot, factors of its mask and whether each varies in the slot


@dataclass(frozen=True)
class MaskedNetwork:
    """A network and its masked weights.

    Layer norms over channels weigh channels by their mask in the mean and the variance, so that a masked channel does
    not count. TangleNAS takes both over all channels, so that masks of a narrow network do not give the narrow network.

    Attributes:
        network: The network.
        module: Its module, with parameters on the meta device.
        slots: Slots of its weights.
        views: Its masked weights, and other tensors, by their names in the module.
        channels: Masks of the gains of norms by their names in the module, (channels,), without those that are equal
            for all channels.
    """

    network: Network
    module: nn.Module
    slots: tuple[str, ...]
    views: Mapping[str, Tensor]
    channels: Mapping[str, Tensor]

    @classmethod
    def of(
        cls,
        network: Network,
        module: nn.Module,
        cuts: Iterable[NamedCut],
        weights: Weights,
        terms: Terms,
        given: Mapping[str, Tensor] | None = None,
    ) -> MaskedNetwork:
        """Return a network with slices of shared weights times masks.

        Args:
            network: The network.
            module: Its module.
            cuts: Its slices.
            weights: The shared weights.
            terms: The masks.
            given: Other tensors of the module by name.
        """
        views, channels = dict(given or {}), dict[str, Tensor]()
        slots = []
        for name, slot, cut in cuts:
            own, factors = sliced(weights[slot], cut), terms.get(slot, ())
            slots.append(slot)
            views[name] = own * _product(one for one, _ in factors).to(own.dtype) if factors else own
            if own.ndim == 1 and any(varies for _, varies in factors):
                channels[name] = _product(one for one, varies in factors if varies)
        return cls(network, module, tuple(slots), views, channels)

    def outputs(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the outputs of the network for inputs of its resolution."""
        with _weighted_norms(self.module, self.channels):
            found: Tensor = functional_call(self.module, dict(self.views), tuple(inputs))
        return found


def _product(factors: Iterable[Tensor]) -> Tensor:
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
        centred = x - (x * shares).sum(-1, keepdim=True)  # in float32 or more, also of x in bfloat16
        spread = (centred.square() * shares).sum(-1, keepdim=True)
        normalised: Tensor = centred * (spread + part.eps).rsqrt() * part.weight
        return normalised if part.bias is None else normalised + part.bias

    return hook


__all__ = ["MaskedNetwork", "Terms", "Weights"]
