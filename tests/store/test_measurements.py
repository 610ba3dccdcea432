"""The ledger of a space: measurements are filed once, replaced where they failed, and returned as evaluations."""

from contextlib import suppress

import pytest

from nasctl.problem.searcher import Evaluation
from nasctl.store.measurements import Measurement, evaluation, genome_of, genome_text
from nasctl.store.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_a_genome_is_a_text_of_numbers():
    assert genome_text((3, 0, 12)) == "3,0,12"
    assert genome_of("3,0,12") == (3, 0, 12)


def test_what_is_filed_is_known_to_every_ledger_of_the_space_and_to_no_other(store):
    loss, size = Measurement(2.5, None, 0.25), Measurement(None, "ValueError: none", 4.0)
    store.ledger("chain", ["loss", "size"]).file((0, 1), {"loss": loss, "size": size})
    same = store.ledger("chain", ["size", "more", "loss"])
    assert same.known((0, 1), ["loss", "size", "more"]) == {"loss": loss, "size": size}
    assert same.known((0, 1), ["size"]) == {"size": size}
    assert same.known((0, 1), []) == same.known((1, 0), ["loss"]) == {}
    assert store.ledger("chain", ["loss"]).known((0, 1), ["loss", "size"]) == {"loss": loss}
    assert store.ledger("chain:depth=3", ["loss"]).known((0, 1), ["loss"]) == {}


def test_what_was_filed_first_stays(store):
    ledger = store.ledger("chain", ["loss", "size"])
    first, later = Measurement(1.0, None, 0.1), Measurement(2.0, None, 0.2)
    ledger.file((0, 1), {"loss": first})
    ledger.file((0, 1), {"loss": later, "size": later})
    assert ledger.known((0, 1), ["loss", "size"]) == {"loss": first, "size": later}
    assert store.genomes("chain") == [(0, 1)]


def test_only_failures_are_replaced(store):
    ledger = store.ledger("chain", ["loss", "size"])
    value, failure = Measurement(1.0, None, 0.1), Measurement(None, "MemoryError: ", 0.2)
    ledger.file((0, 0), {"loss": failure})
    ledger.file((0, 1), {"loss": failure, "size": value})
    ledger.replace((0, 1), {"loss": Measurement(2.0, None, 0.3), "size": Measurement(9.0, None, 0.9)})
    assert ledger.known((0, 1), ["loss", "size"]) == {"loss": Measurement(2.0, None, 0.3), "size": value}
    assert ledger.known((0, 0), ["loss"]) == {"loss": failure}
    again = Measurement(None, "OSError: ", 0.4)
    ledger.replace((0, 0), {"loss": again})
    assert ledger.known((0, 0), ["loss"]) == {"loss": again}


def test_every_value_keeps_the_machine_that_it_was_measured_on(store):
    here, there = (Measurement(1.0, None, 0.1, machine) for machine in ("Intel (AVX512)", "AMD (AVX2)"))
    failure = Measurement(None, "MemoryError: ", 0.2, "Intel (AVX512)")
    ledger = store.ledger("chain", ["loss", "size", "depth"])
    ledger.file((0, 1), {"loss": here, "size": failure, "depth": Measurement(3.0, None, 0.1)})
    ledger.replace((0, 1), {"size": there, "loss": there})
    known = Store(store.path).ledger("chain", ["loss", "size", "depth"]).known((0, 1), ["loss", "size", "depth"])
    assert known == {"loss": here, "size": there, "depth": Measurement(3.0, None, 0.1, "")}


def test_a_transaction_that_failed_leaves_no_machine_behind(store, monkeypatch):
    ledger = store.ledger("chain", ["loss"])
    measured = {"loss": Measurement(1.0, None, 0.1, "Intel")}
    with suppress(ZeroDivisionError), store.database.writing():
        ledger._file((0, 1), measured)
        raise ZeroDivisionError
    ledger.file((0, 1), measured)
    assert ledger.known((0, 1), ["loss"]) == measured


def test_an_evaluation_has_values_and_errors_by_objective():
    found = {
        "loss v1": Measurement(2.5, None, 0.1),
        "size v1": Measurement(None, "ValueError: none", 0.1),
        "other v1": Measurement(3.5, None, 0.1),
    }
    labels = {"loss": "loss v1", "size": "size v1", "missing": "missing v1"}
    assert evaluation((0, 1), labels, found) == Evaluation((0, 1), {"loss": 2.5}, {"size": "ValueError: none"})
