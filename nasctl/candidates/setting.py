"""The setting of measured values: data, fidelity, seed, torch device and threads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from nasctl.data import Data, source
from nasctl.problem.fidelity import Fidelity

if TYPE_CHECKING:
    from nasctl.problem.space import SearchSpace


SETTING = re.compile(r"data=(.*),fidelity=(.*),seed=(\d+),device=(.*),threads=(\d+)")

SETTING_PARTS = ("data", "fidelity", "weights seed", "torch device", "threads")

DEFAULT_DATA, NOISE, FULL = source("dead_leaves"), source("noise"), Fidelity()


@dataclass(frozen=True, slots=True)
class Setting:
    """What a measured value depends on besides the genome.

    Args:
        data: Where the examples come from.
        fidelity: Of the network that is scored, and how many examples and draws; full by default.
        seed: Of the weights and of the batch; not of the search, so that searches with other seeds share measurements.
        device: Where modules run, as torch names it.
        threads: Of torch on the CPU; sums come out different in their last digits with another number.
    """

    data: Data = DEFAULT_DATA
    fidelity: Fidelity = FULL
    seed: int = 0
    device: str = "cpu"
    threads: int = 1

    def __str__(self) -> str:
        return ",".join(f"{field.name}={getattr(self, field.name)}" for field in fields(self))

    @property
    def batch(self) -> int:
        """Examples in a batch."""
        return self.fidelity.batch

    def draws(self) -> Iterator[Setting]:
        """The setting of each draw of weights and examples; no two seeds have one in common."""
        repeats = self.fidelity.repeats
        return (replace(self, seed=self.seed * repeats + k) for k in range(repeats))


DEFAULT_SETTING = Setting()


def make_setting(
    space: SearchSpace, fidelity: str, data: str | None, seed: int, torch_device: str = "cpu", threads: int = 1
) -> Setting:
    """What measured values depend on, as a person put it.

    Raises:
        NasctlError: There is no such level of fidelity, or no such data for this space, or a text is too short.
    """
    from nasctl import data as examples
    from nasctl.problem.space import default_fidelity, levels

    chosen = Fidelity.parse(fidelity, levels(space)) if fidelity else default_fidelity(space)
    given = examples.default_source(space.input.kind) if data is None else examples.source(data)
    examples.check(given, space.input.kind)
    if isinstance(given, examples.TokenData):  # so that a text that is too short is refused before anything is written
        measured = space.reduced(chosen).input
        given.tokens(measured.vocabulary, measured.shape[0], 1, seed)
    return Setting(given, chosen, seed, torch_device, threads)
