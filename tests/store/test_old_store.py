"""A store written before nasctl had packages opens, shows and resumes as it did then; `old/make.py` made it."""

import gzip
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from nasctl.cli import cli
from nasctl.store.store import Store

OLD = Path(__file__).parent / "old"
sys.path.insert(0, str(OLD))
from make import BUDGETS, LONGER, SEARCHES, SHOWN  # noqa: E402

TABLES = ("text", "genome", "measurement", "visit")
SAID = json.loads((OLD / "said.json").read_text())


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The store as it was left, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    Path("nasctl.db").write_bytes(gzip.decompress((OLD / "store.db.gz").read_bytes()))
    return tmp_path / "nasctl.db"


def nasctl(*words):
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done


def shown(key):
    return [json.loads(nasctl(*words, SAID["names"][key], "--json").stdout) for words in SHOWN]


def comparable(content, then, *without):
    """What was said then of what is said now: a later nasctl may say more. Scores, means of logarithms, are rounded.

    Args:
        content: JSON of now, or of then.
        then: JSON of then.
        without: Keys that may differ.
    """
    if isinstance(content, list):
        assert len(content) == len(then)
        return [comparable(one, other) for one, other in zip(content, then, strict=True)]
    score = {key: round(one, 9) if isinstance(one, float) else one for key, one in content["score"].items()}
    return {key: content[key] for key in then if key not in without} | {"score": score}


def rows():
    store = Store.reading("nasctl.db")
    with store.database.reading() as database:
        return {name: database.execute(f"SELECT * FROM {name}").fetchall() for name in TABLES}


@pytest.mark.parametrize("key", SEARCHES)
def test_it_shows_what_it_showed(key, store):
    before = store.read_bytes()
    for said, then in zip(shown(key), SAID["shown"][key], strict=True):
        assert comparable(said, then) == comparable(then, then)
    assert json.loads(nasctl("runs", "list", "--json").stdout) == SAID["list"]
    assert store.read_bytes() == before


@pytest.mark.parametrize("key", SEARCHES)
def test_the_same_command_replays_a_run_and_measures_nothing(key, store):
    before, known = rows(), Store.reading("nasctl.db").evaluations(SAID["names"][key])
    done = nasctl("search", *SEARCHES[key].split(), f"--budget={BUDGETS[key]}", "--json")
    assert json.loads(done.stdout)["run"] == SAID["names"][key]
    assert rows() == before
    assert Store.reading("nasctl.db").evaluations(SAID["names"][key]) == known
    (said, front), (then, front_then) = shown(key), SAID["shown"][key]
    assert comparable(front, front_then) == comparable(front_then, front_then)
    # The versions are those of the nasctl that ran it last.
    assert comparable(said, then, "versions") == comparable(then, then, "versions")


def test_a_larger_budget_goes_on_as_it_would_have_gone_on_then(store):
    """Its objectives need no module, so its values are equal to the last digit on every processor."""
    nasctl("search", *SEARCHES["costs"].split(), f"--budget={LONGER}")
    (said, front), (then, front_then) = shown("costs"), SAID["costs resumed"]
    assert comparable(front, front_then) == comparable(front_then, front_then)
    assert said["candidates"] == LONGER
    assert comparable(said, then, "versions", "seconds") == comparable(then, then, "versions", "seconds")


@pytest.mark.parametrize("key", ["image", "tokens"])
def test_what_is_measured_next_is_filed_under_the_labels_of_then(key, store):
    """Values of modules may differ in the last digits, so what counts is where they are filed."""
    before = rows()
    nasctl("search", *SEARCHES[key].split(), f"--budget={BUDGETS[key] + 1}")
    after = rows()
    assert after["text"][: len(before["text"])] == before["text"]
    # The machines of the costs and of the metric, and a size that scores read, are the only new texts.
    new = [text for _, text in after["text"][len(before["text"]) :]]
    assert ["numpy threads" in text for text in new if text != "depth v1"] == [True, True]
    assert "depth v1" in new
    assert len(after["visit"]) == len(before["visit"]) + 1
    found = Store.reading("nasctl.db").evaluations(SAID["names"][key])
    assert found[-1].errors == {}


def test_what_failed_can_be_measured_again(store):
    done = nasctl("runs", "retry", SAID["names"]["failed"], "--json")
    (row,) = json.loads(done.stdout)["objectives"]
    assert (row["objective"], row["tried"]) == ("ntk_cond", 1)
    # The kernel is nearly regular, so another processor may find a value.
    assert row["errors"] in ([], SAID["shown"]["failed"][0]["errors"])
