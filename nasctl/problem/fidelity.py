"""Fidelities: the cost at which a metric is computed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

from nasctl.errors import BadOption


@dataclass(frozen=True, slots=True)
class Fidelity:
    """The cost at which a metric is computed: bounds on the network, and the number of examples and draws.

    The first two fields bound the network. None is no bound.
    """

    size: int | None = None  # the largest height and width of images, or length of sequences
    cells: int | None = None  # the most cells or blocks in a stage, if a space repeats them
    batch: int = 64  # the number of examples
    repeats: int = 1  # the number of draws of weights and examples whose values are averaged

    def __str__(self) -> str:
        return ",".join(f"{name}={value}" for name, value in asdict(self).items() if value is not None)

    @property
    def whole(self) -> bool:
        """Whether the network is the network at full size."""
        return self.size is None and self.cells is None

    @classmethod
    def parse(cls, text: str, levels: Mapping[str, Fidelity]) -> Fidelity:
        """Read a fidelity: a level, bounds such as "size=64,cells=1,batch=32,repeats=3", or a level and then bounds.

        Fields that the text leaves out are as in the level, or as in the level "full" if the text names none.

        Args:
            text: The text that the user typed.
            levels: The named fidelities of a space, with "full" among them.

        Raises:
            BadOption: The text is no fidelity.
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
