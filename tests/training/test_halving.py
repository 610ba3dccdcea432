"""Successive halving: the lengths of rungs, who goes on, and the same outcome after every interruption."""

from dataclasses import replace

import numpy as np
import pytest

from nasctl.errors import NasctlError
from nasctl.store.store import Store
from nasctl.store.training_table import TrainingRecord
from nasctl.training.halving import halve, rungs

NAMES = [f"t-{k}" for k in range(9)]
ACCURACIES = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
COSTS = np.array([[9.0], [1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [7.0], [8.0]])
LADDER = rungs(9, 90, 10, 3)


def result(accuracy):
    return {"loss": 1 - accuracy, "accuracy": accuracy, "perplexity": None, "examples": 100, "error": 0.01}


class Trainer:
    """Trains nothing: files the result of a network at a rung, and raises after a number of trainings."""

    def __init__(self, store, limit=None, diverging=(), accuracies=(ACCURACIES, ACCURACIES)):
        self.store, self.limit, self.diverging, self.calls = store, limit, diverging, []
        self.accuracies = accuracies  # at each rung, by place

    def __call__(self, place, rung):
        if self.limit is not None and len(self.calls) == self.limit:
            raise KeyboardInterrupt
        self.calls.append((place, rung.number))
        new = TrainingRecord(NAMES[place], "space", (place,), {"place": place})
        known = next((one for one in self.store.trainings() if one.name == NAMES[place]), new)
        accuracy = result(float(self.accuracies[rung.number - 1][place]))
        state, parts = "unfinished", {**known.result, "validation": accuracy}
        if place in self.diverging:
            state = "diverged"
        elif rung.last:
            state, parts = "finished", {**parts, "test": accuracy}
        else:
            parts["rungs"] = {**known.rungs, str(rung.step): accuracy}
        self.store.file_training(replace(known, state=state, result=parts))


def run(store, **options):
    trainer, said = Trainer(store, **options), []
    done = halve(NAMES, COSTS, LADDER, 3, store, trainer, said.append)
    return done, trainer.calls, said


def rows(store):
    return {one.name: (one.state, one.result) for one in store.trainings()}


@pytest.mark.parametrize(
    ("number", "eta", "wanted", "steps"),
    [
        (16, None, None, [900]),
        (16, 3, None, [300, 900]),  # 16, 6: another rung would leave two networks
        (16, 2, None, [113, 225, 450, 900]),  # 16, 8, 4, 2
        (27, 3, None, [100, 300, 900]),  # 27, 9, 3
        (4, 3, None, [300, 900]),
        (1, 3, None, [900]),
        (16, 3, 3, [100, 300, 900]),
        (1000, 3, None, [34, 100, 300, 900]),  # before 34 steps another rung would be too short
    ],
)
def test_rungs_are_at_powers_of_the_factor(number, eta, wanted, steps):
    found = rungs(number, 900, 30, eta, wanted)
    assert [rung.step for rung in found] == steps
    assert [rung.number for rung in found] == list(range(1, len(steps) + 1))
    assert [rung.last for rung in found] == [False] * (len(steps) - 1) + [True]


@pytest.mark.parametrize(("steps", "wanted"), [(60, None), (900, 5)])
def test_a_first_rung_that_is_too_short_is_refused(steps, wanted):
    with pytest.raises(NasctlError, match="the first rung would have "):
        rungs(16, steps, 30, 3, wanted)


def test_those_that_go_on_are_the_best_of_their_costs(tmp_path):
    done, calls, said = run(store := Store(tmp_path / "s.db"))
    # None has a better accuracy than 0 or lower costs than 1; every other one is dominated by 1, 2 first of all.
    assert done == (0, 1, 2)
    assert calls == [(k, 1) for k in range(9)] + [(0, 2), (1, 2), (2, 2)]
    assert [one.promoted for one in said] == [(0, 1, 2), (0, 1, 2)]
    states = [rows(store)[name][0] for name in NAMES]
    assert states == ["finished"] * 3 + ["stopped at rung 1"] * 6


def test_each_rung_promotes_by_its_own_results_and_spreads_over_the_costs(tmp_path):
    costs = np.array([[8.0], [6.0], [5.0], [3.5], [1.0], [7.0], [3.0]])
    errors = np.array(
        [
            [0.10, 0.20, 0.30, 0.40, 0.50, 0.35, 0.70],
            [0.30, np.nan, 0.25, 0.28, 0.45, np.nan, np.nan],
            [np.nan, np.nan, 0.90, np.nan, 0.80, np.nan, np.nan],
        ]
    )
    ladder, store, said = rungs(7, 80, 10, 2), Store(tmp_path / "s.db"), []
    trainer = Trainer(store, accuracies=1 - errors)
    done = halve(NAMES[:7], costs, ladder, 2, store, trainer, said.append)
    # Rung 1 has the front 0 to 4, and four places, half of seven rounded up: the ends 0 and 4, then 2, which is
    # farthest from them, then 3, because 1 is nearer to 2. At rung 2, network 2 dominates 0; 2 and 4 are the ends.
    assert [one.promoted for one in said] == [(0, 2, 3, 4), (2, 4), (2, 4)]
    assert trainer.calls == [*((k, 1) for k in range(7)), *((k, 2) for k in (0, 2, 3, 4)), (2, 3), (4, 3)]
    states = {name: state.removeprefix("stopped at ") for name, (state, _) in rows(store).items()}
    assert [states[name] for name in NAMES[:7]] == [
        *("rung 2", "rung 1", "finished", "rung 2", "finished", "rung 1", "rung 1")
    ]
    # Results of later rungs change no decision of a former one.
    assert halve(NAMES[:7], costs, ladder, 2, store, trainer) == done == (2, 4)


def test_every_interruption_ends_in_the_same_rows(tmp_path):
    run(whole := Store(tmp_path / "whole.db"))
    for limit in range(12):
        store = Store(tmp_path / f"{limit}.db")
        with pytest.raises(KeyboardInterrupt):
            run(store, limit=limit)
        done, calls, _ = run(store)
        assert done == (0, 1, 2)
        assert len(calls) <= 12 - limit + 3  # finished ones are read again
        assert rows(store) == rows(whole)


def test_a_finished_halving_trains_nothing_but_reads_the_last_rung(tmp_path):
    store = Store(tmp_path / "s.db")
    run(store)
    assert run(store)[:2] == ((0, 1, 2), [(0, 2), (1, 2), (2, 2)])


def test_a_diverged_network_leaves_its_place_to_another(tmp_path):
    store = Store(tmp_path / "s.db")
    done, _, _ = run(store, diverging=(0,))
    assert done == (1, 2, 3)
    assert rows(store)["t-0"][0] == "diverged"
    assert run(store, diverging=(0,))[0] == (1, 2, 3)


def test_a_training_that_was_finished_before_takes_no_place(tmp_path):
    store = Store(tmp_path / "s.db")
    store.file_training(TrainingRecord("t-8", "space", (8,), {"place": 8}, "finished", {"validation": result(0.1)}))
    done, calls, _ = run(store)
    assert done == (0, 1, 2, 8)
    assert (8, 1) not in calls


def test_a_training_that_is_past_a_rung_without_a_result_goes_on(tmp_path):
    store = Store(tmp_path / "s.db")
    done, _, _ = run(Store(tmp_path / "whole.db"))

    class Ahead(Trainer):
        def __call__(self, place, rung):
            if place == 8 and not rung.last:  # it is evaluated where it is, which is at no rung
                row = TrainingRecord("t-8", "space", (8,), {"place": 8}, "unfinished", {"validation": result(0.1)})
                self.store.file_training(row)
                return
            super().__call__(place, rung)

    found = halve(NAMES, COSTS, LADDER, 3, store, Ahead(store))
    assert 8 not in done
    assert set(found) == {*done, 8}
    assert store.training("t-8").state == "finished"


def test_a_network_that_was_stopped_and_finished_later_stays_finished(tmp_path):
    store = Store(tmp_path / "s.db")
    run(store)
    stopped = store.training("t-5")
    store.file_training(replace(stopped, state="finished"))
    assert run(store)[0] == (0, 1, 2)
    assert store.training("t-5").state == "finished"


def test_words_are_compared_by_their_loss(tmp_path):
    store = Store(tmp_path / "s.db")
    for k, loss in enumerate([3.0, 1.0, 2.0]):
        found = {"loss": loss, "accuracy": None, "perplexity": np.exp(loss), "examples": 10, "error": 0.1}
        row = TrainingRecord(NAMES[k], "space", (k,), {}, "unfinished", {"validation": found, "rungs": {"30": found}})
        store.file_training(row)
    ladder = rungs(3, 90, 10, 3)
    said = []
    with pytest.raises(KeyboardInterrupt):
        halve(NAMES[:3], np.empty((3, 0)), ladder, 3, store, Trainer(store, limit=0), said.append)
    assert [one.promoted for one in said] == [(1,)]
