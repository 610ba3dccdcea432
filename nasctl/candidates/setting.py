"""The setting of measured values: data, fidelity, seed, torch device, threads and weights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nasctl import data as examples
from nasctl.candidates.weights_source import DrawnWeights, WeightsSource
from nasctl.data import Data
from nasctl.errors import NasctlError
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.space import Genome, Input, SearchSpace, default_fidelity, levels

if TYPE_CHECKING:
    from torch import nn

    from nasctl.networks.graph import Network
    from nasctl.networks.weights import Init

# The name of a data file may contain anything, so the pattern relies on the order of the fields behind it.
TEXT = re.compile(r"data=(.*),fidelity=(.*),seed=(\d+),device=(.*),threads=(\d+)(?:,weights=([^,]+))?")

# The groups of the pattern, by the names that tables and reports show.
PARTS = ("data", "fidelity", "weights seed", "torch device", "threads", "weights")

DEFAULT_DATA = examples.default_source("images")

FULL = Fidelity()

DRAWN = DrawnWeights()


@dataclass(frozen=True, slots=True)
class RecordedData:
    """Data of which only the identity is known, from the text of a recorded setting."""

    identity: str

    def __str__(self) -> str:
        return self.identity


@dataclass(frozen=True, slots=True)
class RecordedWeights:
    """A source of weights of which only the identity is known, from the text of a recorded setting."""

    identity: str

    def __str__(self) -> str:
        return self.identity

    def module(self, network: Network, genome: Genome, seed: int, init: Init) -> nn.Module:
        """Refuse to build a module.

        Raises:
            NasctlError: Always, because only the identity of the weights is known.
        """
        raise NasctlError(f"Cannot load the weights {self}: a record holds only their name. Give their source.")


@dataclass(frozen=True, slots=True)
class Setting:
    """The conditions that a measured value depends on besides space and genome.

    Args:
        data: The source of the examples.
        fidelity: The size of the scored network, the number of examples and the number of draws; full by default.
        seed: The seed of drawn weights and of the batch. The search has a seed of its own, so searches with different
            seeds share measurements.
        device: The torch device that modules run on.
        threads: Threads of torch on the CPU. Sums differ in their last digits between numbers of threads.
        weights: The source of the weights of modules; drawn by default.

    Raises:
        ValueError: The text of `weights` has a comma, or is empty.
    """

    data: Data = DEFAULT_DATA
    fidelity: Fidelity = FULL
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    weights: WeightsSource = DRAWN

    def __post_init__(self) -> None:
        if not str(self.weights) or "," in str(self.weights):
            raise ValueError(f"Cannot file values under the weights {str(self.weights)!r}: remove the commas.")

    def __str__(self) -> str:
        text = f"data={self.data},fidelity={self.fidelity},seed={self.seed},device={self.device},threads={self.threads}"
        # Values that were stored before there were other sources of weights keep their label.
        return text if self.weights == DRAWN else f"{text},weights={self.weights}"

    @classmethod
    def parse(cls, text: str) -> Setting:
        """Read a setting from its text; `str` of the result is the text.

        The text names data, and weights that are not drawn, by their identity, so neither can be opened from it. Use
        `dataclasses.replace` to put in data and weights that can.

        Raises:
            NasctlError: The text is not a setting.
        """
        found = parts(text)
        fidelity = Fidelity.parse(found["fidelity"], {"full": FULL})
        weights: WeightsSource = RecordedWeights(found["weights"]) if "weights" in found else DRAWN
        seed, threads = int(found["weights seed"]), int(found["threads"])
        return cls(RecordedData(found["data"]), fidelity, seed, found["torch device"], threads, weights)

    @property
    def batch(self) -> int:
        """The number of examples in a batch."""
        return self.fidelity.batch

    def draws(self) -> Iterator[Setting]:
        """Yield the setting of each draw of weights and examples. Draws of two seeds never share a seed."""
        repeats = self.fidelity.repeats
        return (replace(self, seed=self.seed * repeats + k) for k in range(repeats))

    def suited_to(self, given: Input) -> Setting:
        """Return the setting with the default data of an input in place of the default images.

        Args:
            given: The input of the networks to measure.
        """
        return replace(self, data=examples.default_source(given.kind)) if self.data == DEFAULT_DATA else self


DEFAULT_SETTING = Setting()


def parts(text: str) -> dict[str, str]:
    """Split the text of a setting into its fields, by the names that tables and reports show.

    Drawn weights, the default, are left out.

    Raises:
        NasctlError: The text is not a setting.
    """
    if (match := TEXT.fullmatch(text)) is None:
        raise NasctlError(f"Cannot read the setting {text!r}: another version of nasctl wrote it.")
    return {name: part for name, part in zip(PARTS, match.groups(), strict=True) if part is not None}


def make_setting(
    space: SearchSpace, fidelity: str, data: str | None, seed: int, torch_device: str = "cpu", threads: int = 1
) -> Setting:
    """Make the setting of a space from the texts that a user typed.

    Args:
        space: The space to measure.
        fidelity: A level of the space, or bounds; "" for the default level.
        data: A name or path of data; None for the default data of the space.
        seed: The seed of drawn weights and of the batch.
        torch_device: The torch device that modules run on.
        threads: Threads of torch on the CPU.

    Raises:
        NasctlError: The level or the data does not exist, or the data cannot give examples of this space.
    """
    chosen = Fidelity.parse(fidelity, levels(space)) if fidelity else default_fidelity(space)
    given = examples.default_source(space.input.kind) if data is None else examples.source(data)
    examples.check(given, space.input.kind)
    if isinstance(given, examples.TokenData):  # so that a text that is too short is refused before anything is written
        measured = space.reduced(chosen).input
        given.tokens(measured.vocabulary, measured.shape[0], 1, seed)
    return Setting(given, chosen, seed, torch_device, threads)
