"""The pass over a module that metrics share: one forward and up to two backward, however many objectives there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasctl.errors import NasctlError

RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU)  # whose units are on or off by the sign of what comes in

WORD = 8  # bytes that are compared at once


class SignCodes(NamedTuple):
    """Which units of one rectifier are on for each example: a bit a unit, 1/32 of what the activations take."""

    packed: np.ndarray  # (B, ceil(D / 64)) uint64, the last word filled up with zeros
    units: int  # D

    @classmethod
    def of(cls, inputs: Tensor) -> SignCodes:
        """The codes of a rectifier's input, (B, C, ...) or (B, D)."""
        # Channels go last because that is how they lie in memory: they are packed without being moved.
        on = (inputs > 0).movedim(1, -1).flatten(1).numpy(force=True)  # (B, D)
        packed = np.packbits(on, axis=1)
        padded = np.pad(packed, ((0, 0), (0, -packed.shape[1] % WORD)))
        return cls(padded.view(np.uint64), on.shape[1])

    def agreement(self) -> np.ndarray:
        """How many units are the same for two examples, (B, B) int64; exact."""
        differ = np.zeros((len(self.packed),) * 2, np.int64)
        for k, code in enumerate(self.packed):
            differ[k, k + 1 :] = np.bitwise_count(code ^ self.packed[k + 1 :]).sum(axis=1, dtype=np.int64)
        return self.units - differ - differ.T


class Weight(NamedTuple):
    """A parameter and the gradient of the loss with respect to it, of one shape."""

    value: Tensor
    gradient: Tensor


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the shared pass left behind; None is what nobody needed."""

    activations: Mapping[str, SignCodes] | None = None  # by the name of the rectifier
    gradients: Mapping[str, Weight] | None = None  # by the name of the parameter
    input_gradients: Tensor | None = None  # of the sum of all logits, in the shape of the batch


def shared_pass(module: nn.Module, examples: Tensor, labels: Tensor, needs: frozenset[str]) -> Evidence:
    """Run the module forward on the batch and backward as far as anyone needs it.

    What is not needed is not computed, and leaves the rest as it is to the last digit.

    Args:
        module: In training mode, so that batch norms use the statistics of this batch; it is spent afterwards.
        examples: (B, C, H, W) images, or (B, T) tokens.
        labels: (B,).
        needs: Which fields of the evidence to fill.

    Raises:
        ArithmeticError: The module puts out what is not finite, so nothing of it can be trusted.
    """
    codes: dict[str, SignCodes] = {}
    if "activations" in needs:
        for name, part in module.named_modules():
            if isinstance(part, RECTIFIERS):
                # On what comes in: what goes out may have overwritten it, and says less (h-swish).
                part.register_forward_pre_hook(partial(_note, codes, name))
    weighed, traced = "gradients" in needs, "input_gradients" in needs
    module.requires_grad_(weighed)
    if examples.ndim == 4:  # a third faster on CPUs, by the convolutions
        examples = examples.to(memory_format=torch.channels_last)
    examples = examples.detach().requires_grad_(traced)  # the caller's batch stays as it is
    logits = module(examples)
    if not torch.isfinite(logits).all():
        raise ArithmeticError("the outputs of the network are not finite")
    traces = torch.autograd.grad(logits.sum(), examples, retain_graph=weighed)[0] if traced else None
    gradients = _weights(module, F.cross_entropy(logits, labels)) if weighed else None
    return Evidence(codes if "activations" in needs else None, gradients, traces)


def usable(name: str) -> torch.device:
    """The device of a name such as "cpu" or "cuda:0".

    Raises:
        NasctlError: torch has no such device here.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise NasctlError(f"torch cannot use {name!r} here ({first}); give --torch-device cpu or cuda:0") from None
    return device


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Let torch use so many threads, and put the number back."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _weights(module: nn.Module, loss: Tensor) -> dict[str, Weight]:
    names, parameters = zip(*module.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {
        name: Weight(parameter.detach(), gradient)
        for name, parameter, gradient in zip(names, parameters, gradients, strict=True)
        if gradient is not None  # as it is where no path leads to the loss
    }


def _note(codes: dict[str, SignCodes], name: str, part: nn.Module, inputs: tuple[Tensor]) -> None:
    codes[name] = SignCodes.of(inputs[0].detach())
