"""The fidelity that a metric is computed at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from nasctl.errors import BadOption


@dataclass(frozen=True, slots=True)
class Fidelity:
    """What a metric is computed on: bounds on the network in place of the real one, and how much of it is looked at.

    The first two bound the network, and None bounds nothing.
    """

    size: int | None = None  # height and width of images, length of sequences
    cells: int | None = None  # cells or blocks in a stage, where a space repeats them
    batch: int = 64  # examples
    repeats: int = 1  # draws of weights and examples over which the mean is taken

    def __str__(self) -> str:
        given = {bound.name: getattr(self, bound.name) for bound in fields(self)}
        return ",".join(f"{name}={value}" for name, value in given.items() if value is not None)

    @property
    def whole(self) -> bool:
        """Whether it is the real network that is looked at."""
        return self.size is None and self.cells is None

    @classmethod
    def parse(cls, text: str, levels: Mapping[str, Fidelity]) -> Fidelity:
        """Read the name of a level, bounds such as "size=64,cells=1,batch=32,repeats=3", or a level and what differs.

        Without a level, what is left out is as in the full one.

        Raises:
            BadOption: It is none of these.
        """
        pieces = text.split(",")
        level = levels[pieces.pop(0)] if pieces[0] in levels else levels["full"]
        found: dict[str, int] = {}
        for piece in pieces:
            name, _, value = piece.partition("=")
            least = 2 if name == "batch" else 1  # metrics compare examples with one another
            known = name in {bound.name for bound in fields(cls)} and re.fullmatch("[0-9]{1,6}", value)
            if not known or int(value) < least:
                raise BadOption(
                    f"{text!r} is no fidelity; write {', '.join(levels)}, or bounds such as size=64,batch=32"
                )
            found[name] = int(value)
        return replace(level, **found)
