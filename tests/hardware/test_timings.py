"""The file of a profile's timings survives kills and failing writes."""

import json
import subprocess
import sys

import pytest

from nasctl.api import NasctlError
from nasctl.hardware.profiling.timings import VISITS, Timings

SETTING = {"device": "here", "batch": 1}
RECORDED = [{"a": 1.5, "b": 2.25}, {"a": 1.75}, {"b": 3.0}]
# Files may not grow beyond a limit: the kernel fails the write halfway, as on a full disk.
LIMITED = """
import resource, sys
from pathlib import Path
from nasctl.errors import NasctlError
from nasctl.hardware.profiling.timings import Timings
path, limit, visit = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    timings = Timings(path, {"device": "here", "batch": 1})
    timings.add({"a": visit})
except NasctlError as error:
    sys.exit(str(error))
"""


def recorded(path):
    timings = Timings(path, SETTING)
    for visit in RECORDED:
        timings.add(visit)
    return path.read_text()


def limited(path, limit):
    """Open the file and add a visit in a process whose files may have so many bytes."""
    done = subprocess.run([sys.executable, "-c", LIMITED, path, str(limit), "9.5"], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    return done.stderr


def numbers(path):
    timings = Timings(path, SETTING)
    return timings.number("a"), timings.number("b")


def test_a_write_that_fails_while_the_file_is_opened_loses_nothing(tmp_path):
    path = tmp_path / "visits.jsonl"
    torn = recorded(path) + '{"a": 1.2'
    path.write_text(torn)
    said = limited(path, 40)
    assert path.read_text() == torn
    assert "cannot be written (File too large); free some space, or name another file with -o" in said
    assert [one.name for one in tmp_path.iterdir()] == ["visits.jsonl"]
    assert numbers(path) == (2, 2)


@pytest.mark.parametrize("written", [1, 5, 10])
def test_an_append_that_fails_costs_its_own_line_only(tmp_path, written):
    path = tmp_path / "visits.jsonl"
    before = recorded(path)
    said = limited(path, len(before) + written)
    assert "make room and type the same command again" in said
    assert path.read_text() == before + '{"a": 9.5}'[:written]
    assert numbers(path) == (2, 2)
    assert path.read_text() == before


def test_a_kill_at_any_byte_costs_one_line_at_most(tmp_path):
    path = tmp_path / "visits.jsonl"
    text = recorded(path)
    head, *lines = text.splitlines(keepends=True)
    for length in range(len(text) + 1):
        path.write_text(text[:length])
        complete = text[:length].count("\n")
        timings = Timings(path, SETTING)
        kept = [json.loads(line) for line in lines[: max(complete - 1, 0)]]
        assert timings.number("a") == sum("a" in visit for visit in kept)
        assert path.read_text() == (head + "".join(lines[: complete - 1]) if complete else head)
        timings.add({"a": 7.0})
        assert Timings(path, SETTING).number("a") == timings.number("a")


def test_a_complete_file_is_not_rewritten(tmp_path):
    path = tmp_path / "visits.jsonl"
    recorded(path)
    before = path.stat()
    assert numbers(path) == (2, 2)
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_another_setting_and_an_unreadable_file_are_refused(tmp_path):
    path = tmp_path / "visits.jsonl"
    text = recorded(path)
    with pytest.raises(NasctlError, match="has the batch 1, not 2; name another file with -o, or add --force"):
        Timings(path, SETTING | {"batch": 2})
    path.write_bytes(b"\xff\n")
    with pytest.raises(NasctlError, match="is not a file of timings; add --force to begin anew"):
        Timings(path, SETTING)
    with pytest.raises(NasctlError, match="cannot be used"):
        Timings(tmp_path, SETTING)
    assert text.startswith('{"device": "here"')


def test_a_figure_is_known_when_its_own_error_is_small():
    def row(*ms):
        timings = Timings()
        for one in ms:
            timings.add({"x": one})
        return timings.row("x")

    assert row(*[1.0] * (VISITS - 1)) is None
    assert row(*[1.0] * VISITS) == (1.0, 0.0, VISITS)
    uneven = [0.9, 1.1] * (VISITS // 2)  # a range of .2 over the root of the visits
    assert row(*uneven) is None
    assert row(*uneven * 4).ms == pytest.approx(1)
    assert row(*[0.01, 0.02] * VISITS).n == 2 * VISITS  # microseconds, which no network notices
