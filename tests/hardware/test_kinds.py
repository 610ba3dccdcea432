"""The table that stands for a kind of device."""

import pytest

from nasctl import registry
from nasctl.api import NasctlError
from nasctl.hardware import kinds
from nasctl.hardware.distinct_blocks import distinct_blocks
from nasctl.hardware.kinds import best_table
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row, Validation

TINY = "nb201:channels=4,cells=1,resolution=8"


def test_a_kind_stands_for_its_best_table(monkeypatch):
    space = registry.create("spaces", TINY)
    rows = {key: Row(1.0) for key in distinct_blocks(space)}

    def known(device, against, mape, spec, **changes):
        validation = (Validation("x", (registry.normal("spaces", spec),), against, 20, mape, 0.0, 0.9, 0.8),)
        facts = {"kind": "cpu", "batch": 1, "blocks": rows, "validation": validation, **changes}
        return LatencyTable(device, **facts)

    tables = {
        "a": known("a", "networks", 3.0, TINY),
        "b": known("b", "networks", 2.0, TINY),
        "c": known("c", "sums", 1.0, TINY),
        "d": known("d", "networks", 0.5, "mbconv"),
        "e": known("e", "networks", 0.1, TINY, kind="gpu"),
        "f": known("f", "networks", 0.1, "nbmacro", kind="mobile", blocks={}),
    }
    monkeypatch.setattr(kinds, "trusted", lambda kind: sorted(tables))
    monkeypatch.setattr(LatencyTable, "load", tables.__getitem__)
    assert best_table("cpu", TINY).device == "b"
    for name in "abc":
        del tables[name]
    assert best_table("cpu", TINY).device == "d"  # it was not validated there, but has the blocks
    with pytest.raises(NasctlError, match="no table of the kind 'mobile' knows the blocks of nb201"):
        best_table("mobile", TINY)
