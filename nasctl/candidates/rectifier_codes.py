"""The signs of the inputs of all rectifiers of a module, recorded during a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import partial
from itertools import chain, count
from typing import Any

from torch import Tensor, nn

from nasctl.candidates.sign_codes import SignCodes
from nasctl.networks.graph import Network
from nasctl.networks.layer_kinds import is_custom, layer_title, rectifiers, switch_point
from nasctl.networks.node import attribute_name
from nasctl.networks.torch_functions import RectifierCall, RectifierWatch


class RectifierCodes:
    """A recorder of the units of rectifiers that are on: layers of torch.nn, and functions that custom layers call.

    Units inside recurrent layers do not count: they have a state at every step, and not one for each example.

    Args:
        module: The module of a network.
        network: The network, which knows the recurrent layers of plug-ins.

    Attributes:
        codes: The signs by the name of the rectifier, in the order in which the rectifiers run.
        failure: The reason why the units of a rectifier cannot be told apart by example; None if they can.
    """

    def __init__(self, module: nn.Module, network: Network | None) -> None:
        self.codes: dict[str, SignCodes] = {}
        self.failure: ValueError | None = None
        self._undo: list[Callable[[], None]] = [module.register_forward_pre_hook(self._start).remove]
        self._batch = 0
        nodes = network.nodes if network else ()
        recurrent = {attribute_name(node.name) for node in nodes if getattr(node.layer, "recurrent", False)}
        for name, child in module.named_children():
            if name not in recurrent:
                self._watch(name, child)

    def _start(self, part: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Note the number of examples, as a hook before the forward pass of the whole module."""
        self._batch = len(inputs[0])

    def _watch(self, name: str, part: nn.Module) -> None:
        """Record the rectifiers of a layer and of its parts."""
        if is_custom(part):
            self._watch_functions(name, part)
        elif isinstance(part, rectifiers()):
            # The hook reads the input, because the output may overwrite it, and has other signs (h-swish).
            self._undo.append(part.register_forward_pre_hook(partial(self._note_input, name)).remove)
        for child, inner in () if is_custom(part) else part.named_children():
            self._watch(f"{name}.{child}", inner)

    def _watch_functions(self, name: str, part: nn.Module) -> None:
        """Record the rectifier functions that a custom layer calls; its submodules call functions, too."""
        forward, note = part.forward, partial(self._note, name, part)

        def watched(*inputs: Any, **options: Any) -> Any:
            with RectifierWatch(note):
                return forward(*inputs, **options)

        part.forward = watched
        self._undo.append(partial(part.__dict__.pop, "forward"))

    def _note_input(self, name: str, part: nn.Module, inputs: tuple[Tensor]) -> None:
        self._note(name, part, RectifierCall(inputs[0], switch_point(part)))

    def _note(self, name: str, part: nn.Module, call: RectifierCall) -> None:
        """Note a call of a rectifier, or the failure if the examples are not in front."""
        if call.x.ndim < 2 or len(call.x) != self._batch:
            shape = "x".join(map(str, call.x.shape))
            reason = f"{layer_title(name, part)} rectifies values of shape {shape}, without the examples in front"
            self.failure = self.failure or ValueError(reason)
            return
        inputs = call.x.detach()
        self.codes[unused(name, self.codes)] = SignCodes.of(inputs - call.switch if call.switch else inputs)

    def close(self) -> None:
        """Stop recording."""
        for undo in self._undo:
            undo()


def unused(name: str, names: Container[str]) -> str:
    """Return the name if it is unused, else the name with "#2" and so on."""
    return next(one for one in chain([name], (f"{name}#{k}" for k in count(2))) if one not in names)
