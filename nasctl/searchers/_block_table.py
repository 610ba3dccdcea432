"""Block tables: CSV files with a score for each choice of each gene."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nasctl.api import BadOption, Gene

MAX_BYTES = 1 << 26  # maximum size of a table

FORM = 'its header is "gene,choice" and names of objectives, such as gene,choice,accuracy'


def read_block_table(path: str, genes: Sequence[Gene], objectives: Sequence[str]) -> Mapping[str, np.ndarray]:
    """Return the columns of a block table, each with the scores of all choices, gene after gene, (D,).

    Args:
        path: CSV file with a row for each choice of each gene. Its columns are "gene", "choice" and one for each
            objective that the table is about, in the objective's unit. Choices are spelled as the space lists them.
        genes: Genes of the space, (G,).
        objectives: Names of the objectives of the search.

    Raises:
        BadOption: The file is no such table, lacks a choice, or has a column that is no objective of the search.
    """
    names, scores = _rows(Path(path))
    if unknown := [name for name in names if name not in objectives]:
        raise BadOption(
            f"{path} has the column {unknown[0]!r}, which is no objective of this search"
            f" ({', '.join(objectives)}); rename or remove the column"
        )
    wanted = [(gene.name, str(choice)) for gene in genes for choice in gene.choices]
    if missing := [place for place in wanted if place not in scores]:
        raise BadOption(f"{path} has no score of choice {missing[0][1]!r} of gene {missing[0][0]!r}; add a row for it")
    if strange := [place for place in scores if place not in set(wanted)]:
        raise BadOption(
            f"{path} has choice {strange[0][1]!r} of gene {strange[0][0]!r}, which this space does not have; give a"
            " table of this space"
        )
    columns = np.array([scores[place] for place in wanted]).T
    return dict(zip(names, columns, strict=True))


def _rows(path: Path) -> tuple[list[str], dict[tuple[str, str], list[float]]]:
    """Return the objectives of a file, and their scores by gene and choice.

    Raises:
        BadOption: The file is no block table.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadOption(f"Cannot read {path}: it has more than 64 MiB. Give a block table; {FORM}.")
        content = path.read_text(encoding="utf-8")
        header, *lines = [line for line in csv.reader(io.StringIO(content, newline="")) if line]
        scores = {(line[0], line[1]): [float(cell) for cell in line[2:]] for line in lines}
    except (OSError, UnicodeDecodeError) as error:
        raise BadOption(f"Cannot read the block table {path}: {error}. Give a CSV file; {FORM}.") from None
    except (ValueError, IndexError, csv.Error):
        raise BadOption(f"{path} is no block table; {FORM}") from None
    whole = len(scores) == len(lines) and all(len(row) == len(header) - 2 for row in scores.values())
    finite = all(math.isfinite(score) for row in scores.values() for score in row)
    if header[:2] != ["gene", "choice"] or not header[2:] or len(set(header)) < len(header) or not (whole and finite):
        raise BadOption(f"{path} is no block table with one finite score for each choice; {FORM}")
    return header[2:], scores
