"""Methods `version_on` of objectives whose values changed on some networks only.

An objective takes one as its method: ``version_on = version_of_weights``.
"""

from __future__ import annotations

from nasctl.candidates.block_outputs import grouping_changed
from nasctl.candidates.objective import Objective
from nasctl.networks.graph import Network
from nasctl.networks.layer_kinds import OWN_MODULES
from nasctl.problem.space import Input

SPACES = "nasctl.spaces."  # modules of the shipped spaces, on whose few layers no value changed


def version_of_layers(objective: Objective, given: Input, example: Network) -> str:
    """Return the next version for networks with layers that are not nasctl's own, such as traced ones.

    Since then convolutions, norms and rectifiers of every class count, and so do functions of torch.
    """
    return _next_version(objective) if _has_other_layers(example) else objective.version


def version_of_weights(objective: Objective, given: Input, example: Network) -> str:
    """Return the next version for encoders of tokens too, as separable convolutions and head matrices count since."""
    recurrent = any(getattr(node.layer, "recurrent", False) for node in example.nodes)
    encoder = given.kind == "tokens" and not recurrent
    return _next_version(objective) if encoder else version_of_layers(objective, given, example)


def version_of_blocks(objective: Objective, given: Input, example: Network) -> str:
    """Return the next version for networks whose blocks are other ones too, since names alone do not decide them."""
    return _next_version(objective) if grouping_changed(example) else version_of_layers(objective, given, example)


def _next_version(objective: Objective) -> str:
    return f"{int(objective.version) + 1}"


def _has_other_layers(network: Network) -> bool:
    """Return whether some layer is neither nasctl's own nor a shipped space's."""
    homes = {type(node.layer).__module__ for node in network.nodes} - OWN_MODULES
    return any(not home.startswith(SPACES) for home in homes)
