"""The table that stands for a kind of device, and names that are no device."""

import pytest

from nasctl import registry
from nasctl.analysis.space_choice import _with_devices
from nasctl.analysis.space_fit import BoundsQuestion
from nasctl.api import NasctlError, UnknownDevice
from nasctl.hardware import kinds
from nasctl.hardware.distinct_blocks import distinct_blocks
from nasctl.hardware.kinds import best_device, best_table, load_table, whose_processor
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row, Validation
from nasctl.search.metrics import make_objective

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


def measured(name, processor, spec=TINY, **changes):
    space = registry.create("spaces", TINY)
    validation = (Validation("x", (registry.normal("spaces", spec),), "networks", 20, 9.0, 0.0, 0.9, 0.8),)
    rows = {key: Row(1.0, 0.1, 6) for key in distinct_blocks(space)}
    return LatencyTable(name, "cpu", 1, rows, processor=processor, validation=validation, **changes)


@pytest.fixture
def here(monkeypatch, tmp_path):
    monkeypatch.setattr(kinds, "host_processor", lambda: "My CPU (AVX2)")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_cpu_is_this_machine_if_it_has_a_table(here):
    other = best_device("cpu", TINY)
    assert not other.endswith(".json")
    measured("far", "Another CPU (AVX2)").save(here / "far.json")
    measured("elsewhere", "My CPU (AVX2)", "nbmacro").save(here / "elsewhere.json")
    measured("fit", "My CPU (AVX2)", method="fitted").save(here / "fit.json")
    measured("integers", "My CPU (AVX2)", precision="int8").save(here / "integers.json")
    (here / "broken.json").write_text('{\n "schema": 2')
    (here / "notes.json").write_text("[]")
    assert best_device("cpu", TINY) == other
    measured("laptop", "My CPU (AVX2)").save(here / "laptop.json")
    assert best_device("cpu", TINY) == "laptop.json"
    assert load_table("cpu", TINY).device == "laptop"
    assert best_device("gpu", "nb201") == "2080ti-b256-nb201"  # other kinds are never files


def test_bounds_on_cpu_hold_for_the_table_of_the_current_folder(here):
    measured("laptop", "My CPU (AVX2)").save(here / "mine.json")
    meant = _with_devices(BoundsQuestion(("cpu",), ("latency<=1s",)), TINY)
    assert meant.devices == ("mine.json",)  # a name that a search finds; "laptop" is none


def test_a_search_says_whose_processor_cpu_is(here):
    _, found = make_objective("latency@cpu", "nb201")
    space = registry.create("spaces", "nb201")
    lines = found.remarks("nb201", space.network((1,) * 6))
    (line,) = (one for one in lines if one.startswith("NOT THIS MACHINE"))
    assert "cpu is silver-4210r-nb201, a table of Intel Xeon Silver 4210R, and this machine has My CPU (AVX2)" in line
    measured("laptop", "My CPU (AVX2)").save(here / "laptop.json")
    name, found = make_objective("latency@cpu", TINY)
    assert (name, found.table.device) == ("latency@cpu", "laptop")
    lines = found.remarks(TINY, registry.create("spaces", TINY).network((1,) * 6))
    assert "cpu is laptop, the table of this machine's processor" in lines
    assert whose_processor("gpu", measured("x", "y")) == ""


def test_a_search_says_that_a_table_is_of_a_machine_that_was_not_quiet(here):
    remark = "The machine was not quiet, and noise was accepted: the errors of 1 of 5 blocks are above 5%."
    measured("laptop", "My CPU (AVX2)", inferred=("Float32 is taken.", remark)).save(here / "laptop.json")
    network = registry.create("spaces", TINY).network((1,) * 6)
    for device in ("cpu", "laptop.json"):
        first = make_objective(f"latency@{device}", TINY)[1].remarks(TINY, network)[0]
        assert "held-out error: 9.0%, Spearman 0.9000, 20 x; the machine was not quiet, so latencies may be" in first
    measured("laptop", "My CPU (AVX2)").save(here / "laptop.json")
    assert not any("not quiet" in line for line in make_objective("latency@cpu", TINY)[1].remarks(TINY, network))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pixel5", "did you mean 'pixel6', 'pixel4' or 'pixel1'?"),
        ("raspi5", "did you mean 'raspi4-fbnet' or 'raspi4-nb201'?"),
        ("V100-B64", "did you mean 'v100-b64'"),
        ("gpuu", "did you mean 'gpu'?"),
        ("jetson", "`nasctl device list --all` names all."),
    ],
)
def test_an_unknown_device_names_the_nearest_and_how_to_make_a_table(name, said):
    with pytest.raises(UnknownDevice) as caught:
        LatencyTable.load(name)
    text = str(caught.value)
    assert f"no device is called {name!r}; {said}" in text
    assert all(f"`nasctl device {command}`" in text for command in ("profile", "kit", "adapt"))
    assert len(text) < 350


def test_a_device_without_its_ending_names_the_file(here):
    measured("a", "My CPU (AVX2)").save(here / "a.json")
    with pytest.raises(UnknownDevice, match=r"no device is called 'a'; did you mean 'a.json'\? To make"):
        LatencyTable.load("a")
    with pytest.raises(UnknownDevice, match="no device is called 'b'; `nasctl device list --all`"):
        LatencyTable.load("b")
