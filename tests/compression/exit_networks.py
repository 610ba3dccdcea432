"""A small space of networks with early exits, and a latency table of their blocks."""

from export.trained_file import write_trained

from nasctl import registry
from nasctl.hardware.table import LatencyTable
from nasctl.hardware.tables_schema import Row

CLASSES = tuple("0123456789")

OPTIONS = "places=3,hidden=0,epochs=1,thresholds=0.9,0.5,0.2"


def exits_spec(folder, options=OPTIONS):
    """Train a small network on digits, and return the spec of a space of its exits."""
    path = folder / "digits.safetensors"
    write_trained(path, steps=20, class_names=CLASSES)
    return f"exits:of={path},{options}"


def exits_table(spec, folder):
    """Return the path of a latency table with a row for each block: 1 ms, 2 ms, and so on; and 0.5 ms of overhead."""
    space = registry.create("spaces", spec)
    spans = space.network((1,) * len(space.genes)).spans[:-1]
    path = folder / "table.json"
    LatencyTable(
        "table", "cpu", 1, {span.emission.key: Row(1.0 + k) for k, span in enumerate(spans)}, overhead=0.5
    ).save(path)
    return path
