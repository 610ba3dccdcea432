"""The comparison of a traced network with its module: outputs, parameters and multiply-accumulates."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from nasctl.api import NasctlError, Network

from .registry import Pattern

BATCHES = (1, 5)  # batch sizes of the comparison; tracing uses others
MESSAGE_LENGTH = 400  # characters of the longest refusal that a person still reads


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


def randomize(module: nn.Module, only_constant: bool = False) -> None:
    """Move trainable parameters and running statistics off their initial values, in place.

    Args:
        module: Any module.
        only_constant: Whether parameters that differ in their values already are kept, as deep networks need.
    """
    with torch.no_grad():
        for parameter in module.parameters():
            constant = bool((parameter == parameter.flatten()[0]).all()) if parameter.numel() else False
            if parameter.requires_grad and parameter.is_floating_point() and (constant or not only_constant):
                parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(0.1 * torch.randn_like(buffer))
            elif name.endswith("running_var"):
                buffer.mul_(torch.rand_like(buffer) + 0.5)


def example(shape: tuple[int, ...], batch: int, vocabulary: int = 0) -> Tensor:
    """Return a random input, (batch, *shape)."""
    return torch.randint(vocabulary, (batch, *shape)) if vocabulary else torch.randn(batch, *shape)


def reference_macs(module: nn.Module, shape: tuple[int, ...], vocabulary: int = 0) -> int | None:
    """Count with torch's FlopCounterMode the multiply-accumulates of one example.

    Attention and recurrent layers run as separate products, because the counter does not see their fused operators.
    With one example torch takes other paths, so larger batches tell what each example costs and what runs once.

    Returns:
        The number, or None if the products do not grow in proportion to the batch.
    """
    examples = (example(shape, batch, vocabulary) for batch in (3, 4, 6))
    first, second, third = (counted_flops(deepcopy(module), x)[""] // 2 for x in examples)
    each = second - first
    return first - 2 * each if third == second + 2 * each else None


def counted_flops(module: nn.Module, x: Tensor) -> dict[str, int]:
    """Return the floating-point operations that torch's FlopCounterMode sees, with fused operators off.

    Parameters need no gradients meanwhile, because functions with out= refuse those that do.

    Returns:
        The operations by the paths of submodules; the path "" stands for the whole module.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            without_fused = torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH)
            with without_fused[0], without_fused[1], FlopCounterMode(display=False) as counter:
                module(x)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for parameter in trained:
            parameter.requires_grad_(True)
    prefix = f"{type(module).__name__}."
    parts = {name.removeprefix(prefix): sum(one.values()) for name, one in counter.get_flop_counts().items()}
    return parts | {"": counter.get_total_flops()}


def expected_params(module: nn.Module) -> int:
    """Return the number of parameters, less frozen ones that belong to no layer of torch: those are constants."""
    layers = [one for one in module.modules() if type(one).__module__.startswith("torch.nn.modules")]
    inside = {id(parameter) for layer in layers for parameter in layer.parameters(recurse=False)}
    counted = (one for one in module.parameters() if one.requires_grad or id(one) in inside)
    return sum(parameter.numel() for parameter in counted)


def with_weights(network: Network, module: nn.Module) -> Iterator[nn.Module]:
    """Yield the network's module with the weights of the module that it was traced from, by several ways of matching.

    A value goes where the path is the same but for punctuation. What is left, parameters that belong to no layer, goes
    where the shape is the same and the path most alike; in further tries its beginning, and the last name in order.

    Raises:
        LookupError: The network has a value that the module has not.
    """
    for likeness in (_likeness, _same_beginning, _same_leaf):
        made = network.module().eval()
        new = _matched(made, module, likeness)
        made.load_state_dict({key: value.detach() for key, value in new.items()}, strict=False)
        yield made


def _matched(made: nn.Module, module: nn.Module, likeness: Callable[[str, str], Any]) -> dict[str, Tensor]:
    old, weights = dict(module.state_dict(keep_vars=True)), dict(made.named_parameters())
    # Constants of the network are not copied, so that the outputs test them.
    wanted = {key: value for key, value in made.state_dict().items() if key in weights or "running_" in key}
    new: dict[str, Tensor] = {}
    for key, value in wanted.items():
        names = (name for name in old if _plain(name) in (_plain(key), _plain(key).removeprefix("layer")))
        name = next((name for name in names if old[name].shape == value.shape), None)
        if name is not None:
            new[key] = old.pop(name)
    for key in [key for key in wanted if key not in new]:
        shape = wanted[key].shape
        fits = [name for name, value in old.items() if value.shape == shape and isinstance(value, nn.Parameter)]
        if not fits:
            raise LookupError(f"the network has {key} of shape {tuple(shape)}, which the module has not")
        new[key] = old.pop(max(fits, key=partial(likeness, key)))
    return new


def _plain(key: str) -> str:
    return re.sub(r"\W", "_", key)


def _same_leaf(key: str, name: str) -> bool:
    return name.rpartition(".")[2] == key.rpartition(".")[2]


def _same_beginning(key: str, name: str) -> tuple[bool, int]:
    return _same_leaf(key, name), _common(_plain(key), _plain(name))


def _likeness(key: str, name: str) -> tuple[bool, int, int]:
    """Return whether two paths end with one name, and how many characters they have in common at either end."""
    return *_same_beginning(key, name), _common(_plain(key)[::-1], _plain(name)[::-1])


def _common(one: str, other: str) -> int:
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))


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
        readable = text and "\n" not in text and "http" not in text and len(text) < MESSAGE_LENGTH
        return Outcome("refused", text) if readable else Outcome("crashed", f"no sentence: {text!r}")
    except Exception as error:
        return Outcome("crashed", f"{type(error).__name__}: {error}".partition("\n")[0])
    after = module.state_dict()
    if module.training or any(not _same(value, after[key]) for key, value in before.items()):
        return Outcome("wrong", "tracing changed the module")
    return compare_outputs(pattern, module, network)


def compare_outputs(pattern: Pattern, module: nn.Module, network: Network) -> Outcome:
    """Compare a traced network with its module on two batch sizes, then parameters and multiply-accumulates."""
    inputs = [example(pattern.shape, batch, pattern.vocabulary) for batch in BATCHES]
    used = deepcopy(module)
    outputs = [_result(deepcopy(module), x) for x in inputs]
    if any(describe_difference(_result(used, x), right) for x, right in zip(inputs, outputs, strict=True)):
        return Outcome("wrong", "the module gives another output after other calls")
    if difference := differing_outputs(network, module, inputs, outputs):
        return Outcome("wrong", difference)
    params = expected_params(module) - pattern.unused
    if network.params != params:
        return Outcome("wrong", f"{network.params} parameters instead of {params}")
    macs = reference_macs(module, pattern.shape, pattern.vocabulary)
    if macs is None:
        return Outcome("wrong", f"{network.macs} MACs, but products over the batch have no number for one example")
    macs += pattern.uncounted
    return Outcome("exact") if network.macs == macs else Outcome("wrong", f"{network.macs} MACs instead of {macs}")


def differing_outputs(network: Network, module: nn.Module, inputs: list[Tensor], outputs: list[object]) -> str:
    """Return how the outputs of a network with a module's weights differ from the right ones; empty if they do not."""
    try:
        for made in with_weights(network, module):
            found = [describe_difference(_result(made, x), right) for x, right in zip(inputs, outputs, strict=True)]
            if not any(found):
                return ""
    except LookupError as error:
        return str(error)
    return next(f"outputs at batch {len(x)}: {one}" for x, one in zip(inputs, found, strict=True) if one)


def _result(module: nn.Module, x: Tensor) -> object:
    """Return what a module returns, or a text if it fails."""
    with torch.no_grad():
        try:
            return module(x.clone())
        except Exception as error:
            return f"{type(error).__name__}: {error}"


def describe_difference(found: object, right: object) -> str:
    """Return how a result differs from the right one, or an empty text if it is equal up to rounding."""
    if not isinstance(right, Tensor) or not isinstance(found, Tensor):
        both_fail = isinstance(right, str) and isinstance(found, str)
        return "" if both_fail else f"{_described(found)} instead of {_described(right)}"
    if found.shape != right.shape or found.dtype != right.dtype:
        return f"{tuple(found.shape)} {found.dtype} instead of {tuple(right.shape)} {right.dtype}"
    if not found.is_floating_point():
        return "" if torch.equal(found, right) else "other integers"
    scale = float(right.abs().nan_to_num(0, 0, 0).max())
    if torch.allclose(found, right, rtol=1e-4, atol=1e-5 * max(scale, 1e-6), equal_nan=True):
        return ""
    return f"differ by {float((found - right).abs().max()):.3g} at a scale of {scale:.3g}"


def _described(result: object) -> str:
    return result if isinstance(result, str) else f"a {type(result).__name__}"


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num()) if one.is_floating_point() else torch.equal(one, other)
