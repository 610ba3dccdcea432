"""A candidate for objectives that declare arithmetic on the network alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nasctl.candidates.candidate import Candidate
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nasctl.networks.weights import Init


class ArithmeticCandidate(Candidate):
    """A candidate without a module and without examples, which shares the results of another one.

    Objectives that declare neither are computed for thousands of networks, for example to find the range of a cost, and
    their values are filed without the data and the seed of weights. An objective that builds a module would make a
    search endless, and its values would be filed under a wrong label.

    Args:
        whole: The candidate. Both share all computed properties.
        needs: The `needs` of the objective.
    """

    __slots__ = ("_declared",)  # beside the dictionary of attributes, which both share

    def __init__(self, whole: Candidate, needs: frozenset[str]) -> None:
        self.__dict__ = whole.__dict__
        self._declared = needs

    def module(self, init: Init = "uniform") -> nn.Module:
        """Refuse to make a module.

        Raises:
            NasctlError: Always; the objective does not declare a module.
        """
        raise self._undeclared("a module")

    def batch(self, place: int = 0) -> tuple[Tensor, Tensor]:
        """Refuse to draw examples.

        Raises:
            NasctlError: Always; the objective does not declare a module.
        """
        raise self._undeclared("a batch of examples")

    def _undeclared(self, what: str) -> NasctlError:
        named = ", ".join(sorted(self._declared)) or "nothing"
        return NasctlError(
            f"Cannot make {what} for a metric whose `needs` name {named}: it is computed for thousands of networks as"
            ' arithmetic. Add "module" to its `needs`, or the property of the candidate that it reads.'
        )
