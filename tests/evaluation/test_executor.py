"""Results of an executor come in the order in which genomes were handed in."""

import random
from itertools import permutations

import pytest

from nasctl.evaluation.executor import in_order
from nasctl.store.measurements import Measurement


class Shuffling:
    """An executor for so many genomes at once, whose results come in a given order."""

    def __init__(self, room, choose=lambda waiting: waiting[0]):
        self.room, self.choose = room, choose
        self.waiting, self.log = [], []

    @property
    def full(self):
        return len(self.waiting) >= self.room

    def submit(self, genome, labels):
        assert not self.full
        self.log.append(("in", genome))
        self.waiting.append((genome, labels))

    def result(self):
        genome, labels = self.choose(self.waiting)
        self.waiting.remove((genome, labels))
        self.log.append(("out", genome))
        return genome, measurements(genome, labels)


def measurements(genome, labels):
    return {label: Measurement(10.0 * genome[0], None, 0.0) for label in labels.values()}


def asked(number, without=()):
    return [((k,), {} if k in without else {"metric": f"label {k}"}) for k in range(number)]


def test_genomes_are_handed_in_no_earlier_than_need_be():
    looked = []

    def lacking():
        for genome, labels in asked(4):
            looked.append(genome[0])
            yield genome, labels

    found = in_order(Shuffling(1), lacking(), None)
    assert looked == []
    for k in range(4):
        assert next(found) == ((k,), measurements((k,), {"metric": f"label {k}"}))
        assert looked == list(range(k + 1))
    assert next(found, None) is None


@pytest.mark.parametrize("order", permutations(range(4)))
def test_every_order_of_results_gives_the_same(order):
    executor = Shuffling(4, lambda waiting: min(waiting, key=lambda one: order[one[0][0]]))
    kept = {}
    found = list(in_order(executor, asked(4), kept.__setitem__))
    assert found == [(genome, measurements(genome, labels)) for genome, labels in asked(4)]
    # Kept is what was done while an earlier one was not.
    early = {(k,) for k in range(4) if any(order[j] > order[k] for j in range(k))}
    assert kept == {genome: measured for genome, measured in found if genome in early}


def test_a_genome_that_lacks_nothing_is_not_handed_in_and_waits_for_its_turn():
    executor = Shuffling(2)
    kept = {}
    found = list(in_order(executor, asked(6, without=(1, 3, 5)), kept.__setitem__))
    assert found == [((k,), measurements((k,), {"metric": f"label {k}"}) if k % 2 == 0 else {}) for k in range(6)]
    assert executor.log == [("in", (0,)), ("in", (2,)), ("out", (0,)), ("in", (4,)), ("out", (2,)), ("out", (4,))]
    assert kept == {}


def test_nothing_to_measure_asks_no_executor():
    assert list(in_order(None, [], None)) == []
    assert list(in_order(None, asked(3, without=range(3)), None)) == [((k,), {}) for k in range(3)]


@pytest.mark.parametrize("room", [1, 2, 3, 7])
def test_what_is_done_before_its_turn_is_kept_and_nothing_else(room):
    rng = random.Random(room)
    executor = Shuffling(room, rng.choice)
    kept, seen = [], []
    for genome, _ in in_order(executor, asked(30), lambda genome, measured: kept.append((genome, measured))):
        seen.append(genome)
        outside = [entry for entry in executor.log if entry[0] == "out"]
        assert ("out", genome) in outside
        assert len(executor.waiting) <= room
    assert seen == [(k,) for k in range(30)]
    done = [genome for way, genome in executor.log if way == "out"]
    early = [genome for place, genome in enumerate(done) if any(other < genome for other in done[place + 1 :])]
    assert [genome for genome, _ in kept] == early
    assert all(measured == measurements(genome, {"metric": f"label {genome[0]}"}) for genome, measured in kept)
    assert (room == 1) == (not kept)


def test_an_error_of_the_executor_ends_it():
    class Broken(Shuffling):
        def result(self):
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(in_order(Broken(2), asked(3), None))
