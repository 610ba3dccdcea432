"""Methods `version_on` of objectives whose values changed on some networks only.

An objective takes one as its method: ``version_on = version_of_weights``.
"""

from __future__ import annotations

from nasctl.candidates.block_outputs import grouping_changed
from nasctl.candidates.objective import Objective
from nasctl.networks.graph import Network
from nasctl.problem.space import Input


def version_of_weights(objective: Objective, given: Input, example: Network) -> str:
    """Return the next version for encoders of tokens, as separable convolutions and head matrices count since then."""
    recurrent = any(getattr(node.layer, "recurrent", False) for node in example.nodes)
    return f"{int(objective.version) + 1}" if given.kind == "tokens" and not recurrent else objective.version


def version_of_blocks(objective: Objective, given: Input, example: Network) -> str:
    """Return the next version for networks whose blocks are other ones since names alone do not decide them."""
    return f"{int(objective.version) + 1}" if grouping_changed(example) else objective.version
