"""The kinds of functions that custom layers call. The module imports torch only when it meets a custom layer."""

from __future__ import annotations

from typing import Literal

from nasctl.networks.layer_kinds import OWN_LAYERS, OWN_MODULES
from nasctl.networks.node import Node

FunctionKind = Literal["norm", "rectifier", "attention", "batch statistics"]


def calls_functions(node: Node, kind: FunctionKind) -> bool:
    """Return whether a custom layer calls functions of a kind, such as `F.group_norm`.

    Args:
        node: The layer. Layers of torch.nn and of nasctl do not count.
        kind: The kind; "batch statistics" are norms by the statistics of the batch.
    """
    if type(node.layer) in OWN_LAYERS or type(node.layer).__module__ in OWN_MODULES:
        return False
    if kind == "rectifier" and getattr(node.layer, "recurrent", False):
        return False  # the rectifiers inside recurrent layers have no unit for each example
    from nasctl.networks.torch_functions import ATTENTION, NORMS, node_facts

    facts = node_facts(node)
    if kind in ("norm", "attention"):
        return bool(facts.functions & (NORMS if kind == "norm" else ATTENTION))
    return facts.rectifies if kind == "rectifier" else facts.batch_statistics
