"""Synchronous successive halving of trainings: rungs, and the promotion of networks from one rung to the next."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nasctl.errors import NasctlError
from nasctl.prediction.promotion import promote
from nasctl.store.store import Store
from nasctl.store.training_table import TrainingRecord


@dataclass(frozen=True)
class Rung:
    """A rung: a number of steps after which networks are compared.

    Attributes:
        number: Number of the rung, from 1.
        of: Number of rungs.
        step: Steps of a training at the end of the rung.
        steps: Steps of the whole training.
    """

    number: int
    of: int
    step: int
    steps: int

    @property
    def last(self) -> bool:
        """True for the rung that trains networks to the end."""
        return self.number == self.of


@dataclass(frozen=True)
class RungResult:
    """The outcome of a rung.

    Attributes:
        rung: The rung.
        records: Rows of the trainings that took part, by their place in the shortlist.
        promoted: Places that go on, ascending; of the last rung, those that are finished.
    """

    rung: Rung
    records: Mapping[int, TrainingRecord]
    promoted: tuple[int, ...]


def rungs(number: int, steps: int, shortest: int, eta: int | None, wanted: int | None = None) -> tuple[Rung, ...]:
    """Return the rungs of a shortlist, at steps / eta^k steps, rounded up.

    By default there are as many rungs as leave at least `eta` networks to train to the end, so that a front is left
    and not one network, but at least two.

    Args:
        number: Number of networks, N.
        steps: Steps of the whole training.
        shortest: Least number of steps of the first rung.
        eta: Each rung keeps one network of `eta`, rounded up; None trains all networks to the end.
        wanted: Number of rungs, in place of the default.

    Raises:
        NasctlError: The first rung would be shorter.

    References:
        Jamieson & Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016,
        arXiv:1502.07943.
    """
    if eta is None or (number < 2 and wanted is None):
        return (Rung(1, 1, steps, steps),)
    halvings, left = 0, number
    while math.ceil(left / eta) >= eta:
        left, halvings = math.ceil(left / eta), halvings + 1
    longest = 0  # halvings after which the first rung is still long enough
    while steps >= shortest * eta ** (longest + 1):
        longest += 1
    asked = max(1, halvings) + 1 if wanted is None else wanted
    least = 2 if wanted is None else wanted
    if longest < least - 1:
        first = math.ceil(steps / eta ** (least - 1))
        raise NasctlError(
            f"Cannot halve by {eta} over {least} rungs: the first rung would have {first:,} of {steps:,} steps, and"
            f" networks compare after {shortest:,}, an epoch beyond the warm-up. Give more --epochs, fewer --rungs, a"
            " shorter warmup or a smaller --halving."
        )
    count = min(asked, longest + 1)
    return tuple(Rung(k, count, math.ceil(steps / eta ** (count - k)), steps) for k in range(1, count + 1))


def halve(
    names: Sequence[str],
    costs: np.ndarray,
    ladder: Sequence[Rung],
    eta: int,
    store: Store,
    run: Callable[[int, Rung], object],
    follow: Callable[[RungResult], object] = lambda result: None,
) -> tuple[int, ...]:
    """Train a shortlist rung by rung, and return the places of the networks that were trained to the end.

    A rung begins when all networks of the rung before are through, so the outcome depends neither on the order nor on
    the time of the trainings. Results of rungs are read from the store. The same call therefore continues after a kill,
    and ends in the same networks.

    A network goes on by its non-dominated rank in validation error (of words, validation loss) and costs, then as the
    one that is farthest from those that go on. A diverged training does not go on. A training that had gone further
    before, without a result at this rung, goes on without taking the place of another one.

    Args:
        names: Names of the trainings, (N,).
        costs: Costs of the networks, to be minimised, (N, C).
        ladder: The rungs, as `rungs` returns them.
        eta: One network of `eta` goes on, rounded up.
        store: The store with the rows of the trainings.
        run: Trains the network of a place up to a rung, and files its result; a diverged one is filed as such.
        follow: Called after each rung.
    """
    alive = tuple(range(len(names)))
    for rung in ladder:
        for k in alive:
            known = _records(store, names).get(k)
            if known is None or not _done(known, rung):
                run(k, rung)
        found = _records(store, names)
        if rung.last:
            alive = tuple(k for k in alive if found[k].state == "finished")
        else:
            alive = _promoted(alive, found, costs, rung, eta, store)
        follow(RungResult(rung, _records(store, names), alive))
    return alive


def rung_loss(record: TrainingRecord, rung: Rung) -> float:
    """Return the validation error of a training at a rung, or of words the loss; NaN if there is none."""
    result = record.rungs.get(str(rung.step), {})
    return 1 - result["accuracy"] if result.get("accuracy") is not None else float(result.get("loss", math.nan))


def _promoted(
    alive: Sequence[int],
    found: Mapping[int, TrainingRecord],
    costs: np.ndarray,
    rung: Rung,
    eta: int,
    store: Store,
) -> tuple[int, ...]:
    """Return the places that go on after a rung, and file the state of the others."""
    # A training without a result at the rung went past it before: it was finished, or stopped by hand.
    free = [k for k in alive if found[k].state != "diverged" and str(rung.step) not in found[k].rungs]
    rivals = [k for k in alive if k not in free]
    points = np.array([[rung_loss(found[k], rung), *costs[k]] for k in rivals]).reshape(len(rivals), 1 + costs.shape[1])
    keep = math.ceil(len(rivals) / eta)
    better = promote(points[np.isfinite(points).all(axis=1)], keep)
    whole = [k for k, row in zip(rivals, points, strict=True) if np.isfinite(row).all()]
    chosen = sorted([*free, *(whole[place] for place in better.tolist())])
    for k in set(rivals) - set(chosen):
        stopped = f"stopped at rung {rung.number}"
        if found[k].state not in ("finished", "diverged", stopped):
            store.file_training(replace(found[k], state=stopped))
    return tuple(chosen)


def _done(record: TrainingRecord, rung: Rung) -> bool:
    """Return True if a training needs no steps for a rung."""
    if record.state == "diverged":
        return True
    return not rung.last and (record.state == "finished" or str(rung.step) in record.rungs)


def _records(store: Store, names: Sequence[str]) -> dict[int, TrainingRecord]:
    """Return the rows of trainings by their place."""
    places = {name: place for place, name in enumerate(names)}
    return {places[one.name]: one for one in store.trainings() if one.name in places}


__all__ = ["Rung", "RungResult", "halve", "rung_loss", "rungs"]
