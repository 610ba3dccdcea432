"""An objective that is optimised against its own direction, written "min:snip" or "max:params"."""

from __future__ import annotations

from typing import get_args

from nasctl.candidates.candidate import Candidate
from nasctl.candidates.objective import (
    ChecksApplicability,
    FilesTrainings,
    HasRemarks,
    HasSettingRemarks,
    HasSubstitutes,
    MaybeMonotone,
    Objective,
    VersionedByNetwork,
)
from nasctl.candidates.setting import Setting
from nasctl.networks.graph import Network
from nasctl.problem.searcher import Direction, Transform
from nasctl.problem.space import Input, SearchSpace


class ReversedObjective:
    """An objective with the values of another one and the opposite direction.

    Evidence on a family of spaces or on a task may contradict the direction of a metric: on some tasks the networks
    with the smallest `snip` are the best. Values are stored under the label of the other objective, so none is measured
    twice.

    Args:
        original: The objective that measures.
    """

    def __init__(self, original: Objective) -> None:
        self.original = original
        self.unit = original.unit
        self.direction: Direction = "min" if original.direction == "max" else "max"
        self.needs = original.needs
        self.version = original.version
        self.transform: Transform = original.transform
        # The promise is about values, not about which of them are better.
        self.monotone = isinstance(original, MaybeMonotone) and original.monotone
        if isinstance(original, HasSubstitutes):
            self.substitutes = original.substitutes

    def version_on(self, given: Input, example: Network) -> str:
        original = self.original
        return original.version_on(given, example) if isinstance(original, VersionedByNetwork) else self.version

    def inapplicable_reason(self, given: Input, example: Network) -> str:
        if not isinstance(self.original, ChecksApplicability):
            return ""
        return self.original.inapplicable_reason(given, example)

    def remarks(self, space: str, example: Network) -> list[str]:
        return self.original.remarks(space, example) if isinstance(self.original, HasRemarks) else []

    def setting_remarks(self, space: SearchSpace, setting: Setting) -> list[str]:
        original = self.original
        return original.setting_remarks(space, setting) if isinstance(original, HasSettingRemarks) else []

    def file_under(self, space: str, store: str) -> None:
        if isinstance(self.original, FilesTrainings):
            self.original.file_under(space, store)

    def __call__(self, candidate: Candidate) -> float:
        return self.original(candidate)


def parse_direction(spec: str) -> tuple[Direction | None, str]:
    """Split a spec into the direction that it asks for and the spec of the objective.

    "min:snip" gives "min" and "snip"; "snip:batch=2" gives None and itself.
    """
    head, colon, rest = spec.partition(":")
    for direction in get_args(Direction):
        if colon and head.strip() == direction:
            return direction, rest.strip()
    return None, spec


def measured_name(name: str) -> str:
    """Return the name under which values of an objective are stored: "snip" for "min:snip"."""
    return parse_direction(name)[1]
