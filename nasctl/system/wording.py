"""Text for people: numbers with units, durations, singular and plural, and lines of a limited width."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

UNITS = {"bytes": "B", "MACs": "", "parameters": ""}  # units that take a prefix, and how they are written: 389.5 M

BOUND = "\N{NO-BREAK SPACE}"  # joins a number and its unit while lines are broken
MEASURE = re.compile(r"(?<=\d) (?=(?:[kMGT]?B?|ms|s|min|h|d|px|%)(?:[\s,.;:)]|$))")  # space of "308 M" or "23.1 ms"


def printable(text: str, besides: str = "") -> str:
    """Return text that is safe to print: the name of a file must not move the cursor, or hide the text after it.

    Args:
        text: Text from anywhere.
        besides: Characters that stay as they are, like all printable characters. Others are escaped.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in besides else c.encode("unicode_escape").decode() for c in text)


def prefix_power(value: float) -> int:
    """Return the power of 1,000 of the prefix that a number takes: 2 for 389.5 M, at most 4."""
    return min(4, max(0, int(math.log10(max(abs(value), 1)) // 3)))


def unit_text(power: int, unit: str) -> str:
    """Return a prefix and a unit as they follow a number: "M" for parameters, "MB" for bytes."""
    return f"{' kMGT'[power].strip()}{UNITS[unit]}"


def quantity(value: float, unit: str) -> str:
    """Return a number with its unit as people read it: "389.5 M", "14.5 MB", "23.1 ms"."""
    if unit not in UNITS:
        return f"{value:.4g} {unit}".strip()
    power = prefix_power(value)
    return f"{value / 1000**power:.4g} {unit_text(power, unit)}".strip()


def duration(seconds: float) -> str:
    """Return seconds as people read them: "42 s", "3 min 5 s", "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


def plural(number: int, one: str, several: str = "") -> str:
    """Return a number and the words that go with it: "1 epoch", "2,000 epochs", "1 network is left".

    Args:
        number: The number.
        one: Words after the number 1.
        several: Words after any other number; `one` with an "s" by default.
    """
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def listed(names: Sequence[str]) -> str:
    """Return one or more names as a sentence lists them: "a", "a and b", "a, b and c"."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def share_text(share: float, error: float, percent: bool = True) -> str:
    """Return a share with its standard error: "71.3% ± 1.2%", or "100.0% (87.5% to 100.0%)" at an end of the range.

    Where the share plus or minus the error would leave the range, Wilson's interval is written, of which the error is
    half the width.

    Args:
        share: The share, 0 to 1.
        error: Its standard error.
        percent: Whether it is written in per cent; else as "0.7130 ± 0.0120".
    """

    def text(value: float) -> str:
        return f"{100 * value:.1f}%" if percent else f"{value:.4f}"

    if (share - error >= 0 and share + error <= 1) or not math.isfinite(error):
        return f"{text(share)} \N{PLUS-MINUS SIGN} {text(error)}"
    middle = _wilson_middle(share, error)
    least, most = max(0.0, middle - error), min(1.0, middle + error)
    return f"{text(share)} ({text(least)} to {text(most)})"


def _wilson_middle(share: float, error: float) -> float:
    """Return the middle of Wilson's interval of one standard error, given half its width.

    With u = 1 / n of n examples, half the width h follows from h² (1 + u)² = p (1 - p) u + u² / 4, and the middle is
    (p + u / 2) / (1 + u).
    """
    a, b, c = error**2 - 0.25, 2 * error**2 - share * (1 - share), error**2
    if a >= 0:  # no interval is so wide
        return share
    u = (-b - math.sqrt(b**2 - 4 * a * c)) / (2 * a)
    return (share + u / 2) / (1 + u)


def wrapped(text: str, width: int) -> list[str]:
    """Break text into lines at spaces; at least one line is returned.

    A number stays on one line with its unit. A word that is wider than a line is broken after its commas and bars, as a
    genome is, and anywhere only if it has none.

    Args:
        text: Text; its own line breaks stay.
        width: Cells of a terminal in a line, at least 1.
    """
    lines: list[str] = []
    for part in text.split("\n"):
        here = ""
        for word in _words(MEASURE.sub(BOUND, part), width):
            # Pieces of one word follow each other without a space between them.
            if here and cells(here + word.rstrip(" ")) > width:
                lines.append(here.rstrip(" "))
                here = ""
            here += word
        lines.append(here.rstrip(" "))
    return [line.replace(BOUND, " ") for line in lines]


def _words(text: str, width: int) -> Iterator[str]:
    """Yield the words of a line, each with the spaces after it, and the pieces of words that are too wide."""
    for word in re.findall(r"^ +|[^ ]+ *", text):
        if cells(word.rstrip(" ")) <= width:
            yield word
            continue
        for piece in re.findall(r"[^,|;+~]*[,|;+~]*", word):
            while cells(piece.rstrip(" ")) > width:
                end = next(k for k in range(len(piece), 0, -1) if k == 1 or cells(piece[:k]) <= width)
                yield piece[:end]
                piece = piece[end:]
            if piece:
                yield piece


def cells(text: str) -> int:
    """Return the width of text in cells of a terminal; a Chinese character has two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
