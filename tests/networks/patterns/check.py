"""The comparison of a traced network with its module: outputs, parameters and multiply-accumulates."""

from __future__ import annotations

import os.path
import re
import warnings
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from nasctl.api import NasctlError, Network

from .registry import Pattern

BATCHES = (1, 5)  # batch sizes of the comparison; tracing uses others


@dataclass(frozen=True)
class Outcome:
    """The result of one comparison, with a reason unless it is exact."""

    status: Literal["exact", "refused", "wrong", "crashed"]
    reason: str = ""


def make_module(pattern: Pattern) -> nn.Module:
    """Return a pattern's module in evaluation mode, with values for which no two weights are equal by chance."""
    torch.manual_seed(0)
    module = pattern.make().eval()
    randomize(module)
    return module


def randomize(module: nn.Module) -> None:
    """Move trainable parameters and running statistics off their constant initial values, in place."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad and parameter.is_floating_point():
                parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(0.1 * torch.randn_like(buffer))
            elif name.endswith("running_var"):
                buffer.mul_(torch.rand_like(buffer) + 0.5)


def example(shape: tuple[int, ...], batch: int, vocabulary: int = 0) -> Tensor:
    """Return a random input, (batch, *shape)."""
    return torch.randint(vocabulary, (batch, *shape)) if vocabulary else torch.randn(batch, *shape)


def reference_macs(module: nn.Module, x: Tensor) -> int:
    """Count with torch's FlopCounterMode the multiply-accumulates of one example.

    Attention and recurrent layers run as separate products, because the counter does not see their fused operators.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        without_fused = torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH)
        with without_fused[0], without_fused[1], FlopCounterMode(display=False) as counter:
            deepcopy(module)(x)
    return counter.get_total_flops() // 2


def with_weights(network: Network, module: nn.Module) -> nn.Module:
    """Return the network's module with the weights and buffers of the module that it was traced from.

    A value goes where the path is the same but for punctuation; a parameter that belongs to no layer goes to a value
    with the same last name and shape and the longest common beginning of the path.

    Raises:
        LookupError: The network has a value that the module has not.
    """
    made = network.module().eval()
    old = {key: value for key, value in module.state_dict(keep_vars=True).items()}
    plain = {_plain(key): key for key in old}
    new, left = {}, dict(old)
    # The network's own constants are compared by the outputs: only weights and statistics are copied.
    wanted = {key: value for key, value in made.state_dict().items() if key in dict(made.named_parameters()) or "running_" in key}
    for key in wanted:
        source = plain.get(_plain(key)) or plain.get(_plain(key).removeprefix("layer"))
        if source is not None and old[source].shape == wanted[key].shape:
            new[key] = old[source]
            left.pop(source, None)
    for key in [key for key in wanted if key not in new]:
        leaf = key.rpartition(".")[2]
        fits = [name for name, value in left.items() if value.shape == wanted[key].shape and isinstance(value, nn.Parameter)]
        best = max(fits, key=lambda name: _likeness(name, key, leaf), default=None)
        if best is None:
            raise LookupError(f"the network has {key} of shape {tuple(wanted[key].shape)}, which the module has not")
        new[key] = left.pop(best)
    made.load_state_dict({key: value.detach() for key, value in new.items()}, strict=False)
    return made


def _plain(key: str) -> str:
    return re.sub(r"\W", "_", key)


def _likeness(name: str, key: str, leaf: str) -> tuple[bool, int]:
    return name.rpartition(".")[2] == leaf, len(os.path.commonprefix([_plain(name), _plain(key)]))


def compare(pattern: Pattern) -> Outcome:
    """Trace a pattern's module and compare the network with it."""
    module = make_module(pattern)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = Network.from_module(module, pattern.shape)
    except NasctlError as error:
        text = str(error)
        return Outcome("crashed", f"not one sentence: {text!r}") if "\n" in text or not text else Outcome("refused", text)
    except Exception as error:
        return Outcome("crashed", f"{type(error).__name__}: {error}".partition("\n")[0])
    after = module.state_dict()
    if module.training or any(not _same(value, after[key]) for key, value in before.items()):
        return Outcome("wrong", "tracing changed the module")
    return compare_outputs(pattern, module, network)


def compare_outputs(pattern: Pattern, module: nn.Module, network: Network) -> Outcome:
    """Compare a traced network with its module on two batch sizes, then parameters and multiply-accumulates."""
    try:
        made = with_weights(network, module)
    except LookupError as error:
        return Outcome("wrong", str(error))
    for batch in BATCHES:
        x = example(pattern.shape, batch, pattern.vocabulary)
        with torch.no_grad():
            try:
                right = deepcopy(module)(x.clone())
            except Exception as error:
                return Outcome("wrong", f"the module itself fails at batch {batch}: {error}".partition("\n")[0])
            found = made(x.clone())
        difference = describe_difference(found, right)
        if difference:
            return Outcome("wrong", f"outputs at batch {batch}: {difference}")
    params = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    params -= pattern.unused
    if network.params != params:
        return Outcome("wrong", f"{network.params} parameters instead of {params}")
    macs = reference_macs(module, example(pattern.shape, 1, pattern.vocabulary)) + pattern.uncounted
    return Outcome("exact") if network.macs == macs else Outcome("wrong", f"{network.macs} MACs instead of {macs}")


def describe_difference(found: Tensor, right: object) -> str:
    """Return how an output differs from the right one, or an empty text if it is equal up to rounding."""
    if not isinstance(right, Tensor):
        return f"the module returns a {type(right).__name__}"
    if found.shape != right.shape or found.dtype != right.dtype:
        return f"{tuple(found.shape)} {found.dtype} instead of {tuple(right.shape)} {right.dtype}"
    if not found.is_floating_point():
        return "" if torch.equal(found, right) else "other integers"
    scale = float(right.abs().nan_to_num(0, 0, 0).max())
    if torch.allclose(found, right, rtol=1e-4, atol=1e-5 * max(scale, 1e-6), equal_nan=True):
        return ""
    return f"differ by {float((found - right).abs().max()):.3g} at a scale of {scale:.3g}"


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num()) if one.is_floating_point() else torch.equal(one, other)
