"""The protocol of objectives, and the protocols of their optional members."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np

from nasctl.candidates.candidate import Candidate
from nasctl.candidates.setting import Setting
from nasctl.networks.graph import Network
from nasctl.problem.sampling import unseen
from nasctl.problem.searcher import Direction, Transform
from nasctl.problem.space import Genome, Input, SearchSpace

ARITHMETIC = frozenset({"network", "scored"})  # needs for which no module is built
EXAMPLES = 8  # networks of a space that decide on a version: a layer may be a choice of one gene


def closed_form(objective: Objective) -> bool:
    """Return whether an objective is arithmetic on the network, and therefore free of budget."""
    return objective.needs <= ARITHMETIC


class Objective(Protocol):
    """One number about a candidate, in its natural unit and direction.

    An objective may also implement `HasLabel`, `HasRemarks`, `ChecksApplicability`, `ChecksSpace`, `ChecksSetting`,
    `HasSubstitutes`, `FilesTrainings`, `HasSharedWeights`, `VersionedByNetwork` and `MaybeMonotone`.
    """

    unit: str  # printed behind the number: "ms", "MACs", "log10"
    direction: Direction
    # The properties of a candidate that the objective reads: "network", "scored", "module", "activations", "gradients",
    # "input_gradients", "second_gradients", "curvature", "saliences", "samples", "features", "attention",
    # "attention_gradients"; or "training" if it trains the candidate, "trained_weights" if it needs those of the space.
    needs: frozenset[str]
    version: str  # part of the label of stored values: change it whenever values change
    transform: Transform  # applied to the value before a searcher sees it

    def __call__(self, candidate: Candidate) -> float:
        """Return the score of a candidate. Raise an exception if there is none; never return a substitute."""
        ...


@runtime_checkable
class HasLabel(Protocol):
    """An objective that is shown under a label in place of its spec, such as "latency@gpu"."""

    label: str


@runtime_checkable
class HasRemarks(Protocol):
    """An objective with facts to show beside its values, such as a latency table's held-out error."""

    def remarks(self, space: str, example: Network) -> list[str]:
        """Return one sentence per fact.

        Args:
            space: Spec of the space.
            example: A network of the space.
        """
        ...


@runtime_checkable
class HasSettingRemarks(Protocol):
    """An objective with facts that depend on the setting of a search too, such as doubts about its data."""

    def setting_remarks(self, space: SearchSpace, setting: Setting) -> list[str]:
        """Return one sentence per fact.

        Args:
            space: The space.
            setting: The setting.

        Raises:
            NasctlError: The setting is not one in which the objective can be measured on the space.
        """
        ...


@runtime_checkable
class ChecksApplicability(Protocol):
    """An objective that does not apply to some networks."""

    def inapplicable_reason(self, given: Input, example: Network) -> str:
        """Return why the objective does not apply to networks like the example; "" if it applies.

        Args:
            given: The input of the networks.
            example: A network of the space.
        """
        ...


@runtime_checkable
class ChecksSpace(Protocol):
    """An objective that was fitted on one search space and says nothing of others."""

    def wrong_space(self, space: SearchSpace) -> str:
        """Return why the objective says nothing of a space; "" if it was fitted on the space."""
        ...


@runtime_checkable
class ChecksSetting(Protocol):
    """An objective that was fitted to measurements in one setting and says nothing in others."""

    def wrong_setting(self, setting: Setting) -> str:
        """Return why the objective says nothing in the setting of a search, with a remedy; "" if it does."""
        ...


@runtime_checkable
class FilesTrainings(Protocol):
    """An objective that trains candidates, and files the trainings in the store of the search."""

    def file_under(self, space: str, store: str) -> None:
        """Set where trainings are filed. A search calls this method before its first candidate.

        Args:
            space: Spec of the space, with every default written out.
            store: Path of the store.
        """
        ...


@runtime_checkable
class HasSharedWeights(Protocol):
    """An objective that measures candidates with the weights of a supernet."""

    shared_weights: str  # name of the supernet, as `nasctl export --weights` takes it; "" for no supernet


@runtime_checkable
class VersionedByNetwork(Protocol):
    """An objective whose values changed on some networks only, so that stored values of the others stay valid."""

    def version_on(self, given: Input, example: Network) -> str:
        """Return the version of the values on networks like the example, in place of `version`.

        Args:
            given: The input of the networks.
            example: A network of the space.
        """
        ...


def version_on(objective: Objective, space: SearchSpace) -> str:
    """Return the version of an objective's values on a space: one that any of a few networks has beside `version`."""
    if not isinstance(objective, VersionedByNetwork):
        return objective.version
    failures, built = list[Exception](), 0
    for raw in unseen(space, np.random.default_rng(0), EXAMPLES):
        try:
            example = _network(space, space.canonical(raw))
        except Exception as failure:  # the code of a user may raise anything, and the search reports these candidates
            failures.append(failure)
            continue
        built += 1
        if (found := objective.version_on(space.input, example)) != objective.version:
            return found
    if failures and not built:
        raise failures[0]
    return objective.version


def _network(space: SearchSpace, genome: Genome) -> Network:
    """Return a network of a space; the last ones are kept, as each of many objectives asks for the same few."""
    try:
        hash(space)
    except TypeError:  # a plug-in's space that defines equality and no hash
        return space.network(genome)
    return _kept_network(space, genome)  # type: ignore[arg-type]  # it has a hash


@lru_cache(maxsize=2 * EXAMPLES)
def _kept_network(space: SearchSpace, genome: Genome) -> Network:
    return space.network(genome)


@runtime_checkable
class HasSubstitutes(Protocol):
    """An objective in closed form that some networks have no value of, and other objectives to use for these."""

    substitutes: Sequence[str]  # specs of the other objectives, the closest first


@runtime_checkable
class MaybeMonotone(Protocol):
    """An objective that can promise to be monotone.

    The promise is that a network in which no layer is smaller and none is missing never has a lower value.
    """

    monotone: bool
