"""The check that custom layers do not mix the examples of a batch."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from nasctl.networks.layer_kinds import is_custom, layer_title

TOLERANCE = 1e-3  # of the largest value: float32 sums of other batch sizes differ by some 1e-6


class MixingCheck:
    """The first rows of the outputs of a module's custom layers, compared with their outputs for the first example.

    The layers of torch.nn mix no examples, apart from batch norms. A custom layer may do anything.

    Args:
        module: The module. Its next forward pass is the one to compare with.
    """

    def __init__(self, module: nn.Module) -> None:
        self._rows: dict[str, list[Tensor]] = {}
        self._parts = {name: child for name, child in module.named_children() if any(map(is_custom, child.modules()))}
        self._hooks = [
            part.register_forward_hook(partial(_keep_row, self._rows, name)) for name, part in self._parts.items()
        ]

    def check(self, module: nn.Module, examples: Tensor) -> None:
        """Run the module on the first example alone, and compare.

        Raises:
            ValueError: The output of a custom layer depends on other examples; the message names the first one.
        """
        if not self._parts:
            return
        with torch.no_grad():
            module(examples[:1])
        for hook in self._hooks:
            hook.remove()
        for name, (together, *alone) in self._rows.items():
            largest = float(together.abs().max()) if together.numel() else 0.0
            if any(float((one - together).abs().max()) > TOLERANCE * largest for one in alone):
                title = layer_title(name, self._parts[name])
                raise ValueError(
                    f"{title} mixes the examples of a batch or draws random numbers, so no example has a gradient of"
                    " its own"
                )


def _keep_row(rows: dict[str, list[Tensor]], name: str, part: nn.Module, inputs: object, output: object) -> None:
    """Keep the first example of a layer's output, as a forward hook."""
    if isinstance(output, Tensor) and output.is_floating_point():
        rows.setdefault(name, []).append(output[:1].detach().clone())
