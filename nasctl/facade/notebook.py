"""HTML of tables and facts, as notebooks show results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

RIGHT = ' style="text-align: right"'


def table_html(columns: Sequence[str], rows: Sequence[Sequence[str]], bold: int | None = None) -> str:
    """Return an HTML table whose first column is text and whose further columns are numbers.

    Args:
        columns: Headings, (C,).
        rows: Cells as text, (R, C).
        bold: Place of the row that is bold; None for no row.
    """
    head = "".join(f"<th{RIGHT if k else ''}>{escape(text)}</th>" for k, text in enumerate(columns))
    lines = [f"<table><thead><tr>{head}</tr></thead><tbody>"]
    for place, row in enumerate(rows):
        before, after = ("<b>", "</b>") if place == bold else ("", "")
        cells = (f"<td{RIGHT if k else ''}>{before}{escape(text)}{after}</td>" for k, text in enumerate(row))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</tbody></table>"])


def definitions_html(pairs: Mapping[str, str]) -> str:
    """Return paragraphs, each with a bold word and a text."""
    return "".join(f"<p><b>{escape(key)}</b> {escape(text)}</p>" for key, text in pairs.items())
