"""The JSON form of a predictor of accuracy, schema 1: its fields, their types and bounds, and how it is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from nasctl.errors import NasctlError
from nasctl.prediction.structure import VERSION
from nasctl.system import typed_json

SCHEMA = 1  # version of the JSON form; raised whenever older files would be misread
LARGEST = 10**300  # largest magnitude of a number
LIMIT = 1 << 28  # largest size of a file, bytes

Number = Annotated[float, Meta(ge=-LARGEST, le=LARGEST, description="a number")]
Share = Annotated[float, Meta(ge=0, description="a number of at least 0")]
Count = Annotated[int, Meta(ge=0, description="a whole number of at least 0")]
GenomeList = Annotated[tuple[Count, ...], Meta(description="a list of whole numbers, one for each gene")]
Interval = tuple[Number, Number, Number]  # a figure with the bounds of its 95% interval


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Agreement of a score with labels that took no part in a fit; None where a score orders nothing."""

    kendall: Interval | None
    spearman: Interval | None
    top: Interval | None  # share of the best tenth by label that is in the best tenth by score


class HeldOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the predictor and simpler scores reach on labels that took no part in a fit."""

    networks: Count
    how: str  # how the labels were kept apart
    figures: Mapping[str, Figures]  # by score: "predictor", "params", "macs", "log_rank(...)"


class MetricFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What identifies the values of a metric."""

    version: str


class LabelledRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A labelled network. Other features follow from its genome."""

    genome: GenomeList
    label: Number
    error: Share | None  # standard error of the label; None if it is unknown
    metrics: tuple[Number | None, ...]  # values in the order of the file's metrics; None where one failed


class SampledRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A network without a label, whose metrics help to scale those of others."""

    genome: GenomeList
    metrics: tuple[Number | None, ...]


class PredictorFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All fields of the file beside its schema."""

    nasctl: str  # version that wrote the file
    command: str  # command line that wrote the file
    space: str  # spec with every option
    column: str  # what the labels are, such as "test_acc_200_cifar10"
    source: str  # where the labels come from
    direction: Literal["max", "min"]  # "min" if lower labels are better
    setting: str | None  # setting of the metrics; None if every metric is arithmetic on the network
    metrics: Mapping[str, MetricFacts]  # by the spec of the objective
    structure: tuple[str, ...]  # names of the features of the structure
    structure_version: str
    model: str  # names of the models whose mean predicts, joined by "+"
    seed: Count
    widening: Share  # factor on predicted deviations
    compared: Mapping[str, Number]  # Kendall's tau of the models in the cross-validation that chose one
    held_out: HeldOut
    labelled: tuple[LabelledRow, ...]
    unlabelled: tuple[SampledRow, ...]


def parse(text: str) -> PredictorFile:
    """Return the content of a file, checked.

    Raises:
        NasctlError: The text is not a predictor; the message is a clause without the name of the file.
    """
    content = typed_json.fields(text, SCHEMA)
    found = typed_json.convert(content, PredictorFile)
    values = {
        "labelled": [row.metrics for row in found.labelled],
        "unlabelled": [row.metrics for row in found.unlabelled],
    }
    for field, rows in values.items():
        for place, row in enumerate(rows):
            if len(row) != len(found.metrics):
                where = f"'{field}': [{place}]: 'metrics'"
                raise typed_json.refusal(where, row, f"a list of {len(found.metrics)} numbers")
    if found.structure_version != VERSION:
        raise NasctlError(
            f"it was fitted to version {found.structure_version} of the features of the structure, and this nasctl has"
            f" version {VERSION}"
        )
    return found


def serialize(file: PredictorFile) -> str:
    """Return the text that `parse` reads, with one line for each network."""
    content = {"schema": SCHEMA, **msgspec.to_builtins(file)}
    return "{\n" + ",\n".join(f" {json.dumps(name)}: {_spread(value)}" for name, value in content.items()) + "\n}\n"


def _spread(value: object) -> str:
    """Return a value as JSON, with one line for each item of a list or an object."""
    if isinstance(value, Mapping) and value:
        return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n }"
    if isinstance(value, list | tuple) and value:
        return "[\n" + ",\n".join(f"  {json.dumps(one)}" for one in value) + "\n ]"
    return json.dumps(value)
