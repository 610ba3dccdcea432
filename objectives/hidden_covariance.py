"""Hidden covariance: correlations between the hidden states of an untrained recurrent layer."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from nasctl.api import BadOption, Candidate, Direction, Input, Network, Transform, layer_kind, version_of_layers

__all__ = ["HiddenCovariance"]

OFFSET = 1e-5  # added to eigenvalues, so that the logarithm and the inverse of 0 stay finite
AXES = ("units", "sequences")  # rows of the correlation matrix


class HiddenCovariance:
    """Score ``-sum log(v + k) + 1 / (v + k)`` of the correlations of hidden states, with k = 1e-5.

    The values v are the eigenvalues of the correlation matrix. The hidden states, (B, T, H), are the states of a
    recurrent layer before each step, so the first states are zeros. Correlations are between the units of the layer,
    (H, H), and each unit is a row of B T values. Uncorrelated units reach the maximum score -H. A direction that the
    states do not span costs 1e5, so searchers see -log10(-s). B T states span fewer than B T directions, so B T should
    be well above H.

    Differences from the released code: eigenvalues are computed for a symmetric matrix instead of a general one. The
    released code correlates units. With `axis=sequences` this class correlates the examples instead, (B, B), and each
    example is a row of T H values.

    Args:
        layer: Number of the recurrent layer, counted from 1.
        axis: Rows of the correlation matrix, "units" or "sequences".

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
    version_on = version_of_layers

    def __init__(self, layer: int = 1, axis: str = "units") -> None:
        if layer < 1:
            raise BadOption(f"layer must be at least 1, got {layer} (option of hidden_covariance)")
        if axis not in AXES:
            raise BadOption(f"axis must be {' or '.join(AXES)}, got {axis!r} (option of hidden_covariance)")
        self._layer, self._axis = layer, axis

    def inapplicable_reason(self, given: Input, example: Network) -> str:
        """Return the reason why the objective does not apply to such networks, or "" if it applies."""
        number = len(_recurrent_names(example))
        if number == 0:
            return "it needs recurrent layers, and these networks have none"
        if number < self._layer:
            return f"it is about recurrent layer {self._layer}, and these networks have {number}"
        return ""

    def __call__(self, candidate: Candidate) -> float:
        """Score the candidate.

        Raises:
            ValueError: A row is constant and has no correlations, the network has no such layer, or the layer is a
                stack of layers or runs in both directions.
            ArithmeticError: A state is not finite.
        """
        names = _recurrent_names(candidate.scored)
        if len(names) < self._layer:
            raise ValueError(
                f"the network has {len(names)} recurrent layers at this fidelity, so it has no layer {self._layer}"
            )
        states = _hidden_states(candidate.module().eval(), names[self._layer - 1], candidate.batch()[0])  # (B, T, H)
        if not np.isfinite(states).all():
            raise ArithmeticError("the hidden states are not finite")
        states = states.transpose(2, 0, 1) if self._axis == "units" else states
        rows = states.reshape(len(states), -1)
        if (np.ptp(rows, axis=1) == 0).any():
            raise ValueError("the states of a unit or of an example are constant, so they have no correlations")
        values = np.linalg.eigvalsh(np.corrcoef(rows)) + OFFSET
        return float(-(np.log(values) + 1 / values).sum())


def _recurrent_names(network: Network) -> list[str]:
    """Return the module names of recurrent layers: those of torch, and layers whose attribute `recurrent` is true."""
    return [
        node.name.replace(".", "_")
        for node in network.nodes
        if getattr(node.layer, "recurrent", False) or layer_kind(node) == "recurrent"
    ]


class _StatesCapturedError(Exception):
    """A signal that stops the forward pass once the states are captured."""


def _hidden_states(module: nn.Module, name: str, tokens: Tensor) -> np.ndarray:
    """Return the states of a layer before each step, (B, T, H): zeros, then the outputs of all steps but the last."""
    found: list[Tensor] = []

    def capture(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.append(output)
        raise _StatesCapturedError

    part = module.get_submodule(name)
    if isinstance(part, nn.RNNBase) and (part.num_layers > 1 or part.bidirectional or not part.batch_first):
        raise ValueError(
            f"{name} ({type(part).__name__}) shows only the states of its last layer, in both directions; give each"
            " layer and direction a module of its own, with batch_first=True"
        )
    part.register_forward_hook(capture)
    try:
        with torch.no_grad():
            module(tokens)
    except _StatesCapturedError:
        pass
    after = found[0].double().numpy(force=True)
    return np.concatenate([np.zeros_like(after[:, :1]), after[:, :-1]], axis=1)
