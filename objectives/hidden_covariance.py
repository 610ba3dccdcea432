"""Hidden covariance: how differently the units of an untrained recurrent layer follow a text."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from nasctl.api import BadOption, Candidate, Direction, Input, Network, Transform

__all__ = ["HiddenCovariance"]

K = 1e-5
AXES = ("units", "sequences")


class HiddenCovariance:
    """``-sum log(v + k) + 1 / (v + k)`` over the eigenvalues v of the correlations of hidden states, with k = 1e-5.

    States are those that a recurrent layer has before each step, (B, T, H), of which the first are zeros. Correlations
    are between its units, (H, H), each a row of B T values. Uncorrelated units score -H, the most there is; a direction
    that states do not span costs 1e5, which is why searchers see -log10(-s). B T states span fewer than B T directions,
    so that should be well above H.

    Departures: eigenvalues of a symmetric matrix in double precision in place of those of a general one. The units are
    what the released code correlates; `axis=sequences` correlates the examples, (B, B), each a row of T H values.

    Args:
        layer: Which recurrent layer, counted from 1.
        axis: units or sequences.

    References:
        Serianni & Kalita, "Training-free neural architecture search for RNNs and transformers", ACL 2023,
        arXiv:2306.00288; `hidden_scores` and `jacobian_score` in `RNN_metrics.ipynb` of
        github.com/aaronserianni/training-free-nas.
    """

    unit = "nats"  # as of a divergence between the units and uncorrelated ones
    direction: Direction = "max"
    transform: Transform = "-log10(-s)"
    needs = frozenset({"module"})
    version = "1"

    def __init__(self, layer: int = 1, axis: str = "units") -> None:
        if layer < 1:
            raise BadOption(f"hidden_covariance counts recurrent layers from 1: there is no layer={layer}")
        if axis not in AXES:
            raise BadOption(f"hidden_covariance correlates {' or '.join(AXES)}, not axis={axis}")
        self._layer, self._axis = layer, axis

    def inapplicable_reason(self, given: Input, example: Network) -> str:
        """Why it says nothing of such networks; "" where it does."""
        number = len(_recurrent(example))
        if number == 0:
            return "it needs recurrent layers, and these networks have none"
        if number < self._layer:
            return f"it is about recurrent layer {self._layer}, and these networks have {number}"
        return ""

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: A row is constant and has no correlations, or the network has no such layer.
            ArithmeticError: A state is not finite.
        """
        names = _recurrent(candidate.scored)
        if len(names) < self._layer:
            raise ValueError(
                f"recurrent layers of the network at this fidelity: {len(names)}, so no layer {self._layer}"
            )
        states = _states(candidate.module().eval(), names[self._layer - 1], candidate.batch()[0])  # (B, T, H)
        if not np.isfinite(states).all():
            raise ArithmeticError("the hidden states are not finite")
        states = states.transpose(2, 0, 1) if self._axis == "units" else states
        rows = states.reshape(len(states), -1)
        if (np.ptp(rows, axis=1) == 0).any():
            raise ValueError("a unit or an example has one state always, and so no correlations")
        values = np.linalg.eigvalsh(np.corrcoef(rows)) + K
        return float(-(np.log(values) + 1 / values).sum())


def _recurrent(network: Network) -> list[str]:
    """The names that the recurrent layers have in the module: those of layers that say so of themselves."""
    return [node.name.replace(".", "_") for node in network.nodes if getattr(node.layer, "recurrent", False)]


class _SeenError(Exception):
    """What was looked for has been seen, so the rest of the network need not run."""


def _states(module: nn.Module, name: str, tokens: Tensor) -> np.ndarray:
    """The states of a layer before each step, (B, T, H), of which its outputs are those after each step."""
    found: list[Tensor] = []

    def keep(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.append(output)
        raise _SeenError

    module.get_submodule(name).register_forward_hook(keep)
    try:
        with torch.no_grad():
            module(tokens)
    except _SeenError:
        pass
    after = found[0].double().numpy(force=True)
    return np.concatenate([np.zeros_like(after[:, :1]), after[:, :-1]], axis=1)
