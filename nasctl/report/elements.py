"""HTML elements of the report: definition lists, tables and cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

import numpy as np

from nasctl.system.terminal import UNITS, quantity


def definition_list(pairs: Mapping[str, object], kind: str = "") -> str:
    """Return a definition list, of a class of the style sheet."""
    rows = "\n".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>" for name, value in pairs.items()
    )
    return f'<dl class="{kind}">\n{rows}\n</dl>'


def tabulated(heads: Iterable[str], rows: Iterable[str], kind: str = "", label: str = "") -> str:
    """Return a table in a part of the page that scrolls.

    Args:
        heads: Headings.
        rows: Finished rows.
        kind: Class of the table in the style sheet.
        label: Name of the table for screen readers.
    """
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    lines = ["<thead>", f"<tr>{head}</tr>", "</thead>", "<tbody>", *rows, "</tbody>"]
    around = f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label or "Table")}">'
    return "\n".join([f'{around}<table class="{kind}">', *lines, "</table></div>"])


def number_cell(value: float, unit: str) -> str:
    """Return a table cell with a number, and with all of its digits for sorting."""
    if not np.isfinite(value):
        return '<td data-value="">-</td>'
    text = quantity(value, unit) if unit in UNITS else f"{value:.6g}"
    return f'<td data-value="{float(value)!r}">{escape(text)}</td>'
