"""The training loop: steps, evaluations, checkpoints, divergence and stop requests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nasctl.candidates.determinism import deterministic_torch, seeded_globals, usable_device
from nasctl.errors import NasctlError
from nasctl.system.signals import uninterrupted
from nasctl.training import checkpoint as checkpoints
from nasctl.training.batches import steps_per_epoch, train_batches
from nasctl.training.checkpoint import Checkpoint
from nasctl.training.divergence import DivergenceRule
from nasctl.training.evaluation import Result
from nasctl.training.events import (
    Checkpointed,
    Diverged,
    Evaluated,
    Event,
    LearningProblem,
    Outcome,
    Ranks,
    RanksLost,
    Resumed,
    StepDone,
    TrainingDiverged,
)
from nasctl.training.learner import WISHES, Learner, Learns
from nasctl.training.optimiser import rates

if TYPE_CHECKING:
    from nasctl.training.labelled import Part

LAG = 10  # steps between two readings of losses from a GPU, which wait for it

HALVINGS = 1  # times that a diverged training goes back


def train(
    problem: LearningProblem,
    folder: Path,
    on_event: Callable[[Event], object] = lambda event: None,
    *,
    ranks: Ranks | None = None,
    until: int | None = None,
    learner: Callable[[Any, Ranks], Learns] = Learner,
) -> Outcome:
    """Train a network to the end, or continue a training that a kill or a stop request has ended.

    The same problem ends in the same bits, however often it was ended, on the same kind of device with the same number
    of threads.

    Args:
        problem: The network, the data and the recipe.
        folder: Folder of the checkpoints; it is created.
        on_event: Called with each event, in the training thread.
        ranks: The place of this process among those that train together.
        until: Number of steps after which the training pauses with a checkpoint; the last one if None.
        learner: Makes the trained state of the problem.

    Raises:
        NasctlError: The network cannot be trained, the folder has a checkpoint of another training, or a checkpoint
            cannot be written.
        TrainingDiverged: The training has diverged for the second time.
        RanksLost: Another process of the training has ended; a checkpoint is written before, if this is the first one.
        KeyboardInterrupt: A signal asked to stop; a checkpoint is written before.
    """
    usable_device(problem.device)
    with _reproducible(problem):
        return Trainer(problem, folder, on_event, ranks or Ranks(), learner).run(until)


class Trainer:
    """A training in progress; see `train`.

    Args:
        problem: The network, the data and the recipe.
        folder: Folder of the checkpoints.
        on_event: Called with each event.
        ranks: The place of this process among those that train together.
        learner: Makes the trained state of the problem.
    """

    def __init__(
        self,
        problem: LearningProblem,
        folder: Path,
        on_event: Callable[[Event], object],
        ranks: Ranks,
        learner: Callable[[Any, Ranks], Learns] = Learner,
    ) -> None:
        self._make_learner = learner
        self._problem, self._folder, self._on_event, self._ranks = problem, folder, on_event, ranks
        self._epoch = steps_per_epoch(problem.data, problem.recipe.batch)  # steps
        self._whole = min(problem.recipe.batch, problem.data.size("train"))  # examples of a step, over all ranks
        self.steps = problem.recipe.epochs * self._epoch
        self._rates = rates(problem.recipe, self.steps, self._epoch)
        self.step, self.halvings = 0, 0
        self._consistent = True  # False while a step changes the state
        self._saved_at = time.monotonic()
        self._read_at = time.perf_counter()
        self._evaluated = -1  # the step of the last evaluation
        self._begin()
        self._lag = 1 if self.learner.device.type == "cpu" else LAG

    def run(self, until: int | None = None) -> Outcome:
        """Train, and return the outcome; see `train`."""
        started, end = time.monotonic(), self.steps if until is None else min(until, self.steps)
        if not self._ranks.rank:
            self._folder.mkdir(parents=True, exist_ok=True)
        if found := self._shared(lambda: checkpoints.newest(self._folder, self._problem.identity)):
            self._restore(found)
            self._on_event(Resumed(found.step, checkpoints.path_of(self._folder, found.step), found.versions))
        try:
            while self.step < end:
                self._train_to(end)
            if self.step not in checkpoints.steps(self._folder):
                self._save()
            parts: tuple[Part, ...] = ("validation", "test") if self.step == self.steps else ("validation",)
            results = {part: result for part in parts if (result := self._evaluate(part)) is not None}
        except (KeyboardInterrupt, RanksLost):
            self._save_at_end()
            raise
        if any(not result.loss < float("inf") for result in results.values()):
            raise self._failure("the loss of the trained network is not finite")
        seconds = time.monotonic() - started
        return Outcome(results, self.learner.state, self.step, self.steps, self.halvings, seconds)

    def _begin(self) -> None:
        """Make the module with its initial weights."""
        recipe = self._problem.recipe
        vars(self).pop("learner", None)  # after a divergence: two would take twice the memory
        self.learner = self._make_learner(self._problem, self._ranks)
        self._rule = DivergenceRule(self.learner.harmless_loss, round(recipe.warmup * self._epoch))
        self._pending: list[tuple[Tensor, Tensor | None]] = []  # losses of steps that are done and not read
        self._wishes = torch.zeros(WISHES, device=self.learner.device)  # of all ranks in these steps: to stop, to save
        self.step = 0

    def _train_to(self, end: int) -> None:
        """Train up to a step, or until the training has gone back."""
        problem, rank, world = self._problem, self._ranks.rank, self._ranks.world
        recipe = problem.recipe
        batches = train_batches(
            problem.data, recipe.batch, problem.seed, self.step, problem.workers, rank, world, self.learner.halves
        )
        self._read_at = time.perf_counter()
        while self.step < end:
            if self._evaluate_epoch():
                return
            try:
                given, labels = next(batches)
            except NasctlError:  # such as a vanished file
                self._save_at_end()
                if self._ranks.stop():  # the signal has ended the processes that decode examples too
                    raise KeyboardInterrupt from None
                raise
            with uninterrupted(), _explained(recipe.batch):
                self._step(given, labels)
            if self._after_step(self.step % recipe.recovery == 0 or self.step == end):
                return

    def _step(self, given: Tensor, labels: Tensor) -> None:
        """Train on a batch."""
        ranks, rate = self._ranks, self._rate(self.step)
        # Only the first rank's clock counts. A wish takes effect where all ranks read the sums.
        wishes = (0.0, 0.0) if ranks.world == 1 else (float(ranks.stop()), float(not ranks.rank and self._late()))
        self._consistent = False
        try:
            self._pending.append(self.learner.step(given, labels, self.step, rate, wishes))
        except RanksLost:
            self._consistent = True
            raise
        if ranks.world > 1:
            self._wishes += self.learner.wishes
        self.step += 1
        self._consistent = True

    def _late(self) -> bool:
        """Return whether the last checkpoint is older than the recipe wants."""
        minutes = self._problem.recipe.checkpoint
        return minutes > 0 and time.monotonic() - self._saved_at >= 60 * minutes

    def _after_step(self, due: bool) -> bool:
        """Read losses, save, and stop, where it is time for that; return True if the training had to go back.

        Args:
            due: Whether a checkpoint is due by the number of steps.

        Raises:
            KeyboardInterrupt: A rank of several was asked to stop.
        """
        late = self._ranks.world == 1 and self._late()
        if not (len(self._pending) >= self._lag or due or late):
            return False
        if self._ranks.world > 1:
            stop, late = (self._wishes > 0).tolist()
            self._wishes.zero_()
        else:
            stop = False
        back = self._read_losses()
        if (due or late) and not back:
            self._save()
        if stop:
            raise KeyboardInterrupt
        return back

    def _save_at_end(self) -> None:
        """Write a checkpoint before an error or a stop request ends the training, where the state allows it."""
        # Several ranks cannot go back together here. Losses that are not read yet might ask for that.
        if self._consistent and (self._ranks.world == 1 or not self._pending):
            with uninterrupted():
                if not self._read_losses():
                    self._save()

    def _shared(self, find: Callable[[], Checkpoint | None]) -> Checkpoint | None:
        """Return the checkpoint that the first rank finds, on every rank."""
        found = None if self._ranks.rank else find()
        if self._ranks.world == 1:
            return found
        return checkpoints.unpacked(self._ranks.shared(checkpoints.packed(found)))

    def _evaluate_epoch(self) -> bool:
        """Evaluate the validation part at the end of an epoch, and return True if the training had to go back before.

        The recipe says after how many epochs.
        """
        every = self._problem.recipe.evaluate
        if not every or not self.step or self.step % (every * self._epoch) or self.step == self._evaluated:
            return False
        if self._read_losses():
            return True
        if self._problem.data.size("validation"):
            self._evaluate("validation")
            self._read_at = time.perf_counter()
        return False

    def _evaluate(self, part: Part) -> Result | None:
        """Evaluate a part, over all ranks; None for a part without examples, and before there is a result."""
        ranks = self._ranks
        if not self._problem.data.size(part):
            return None
        results = self.learner.evaluate(part, ranks.reduce if ranks.world > 1 else None, ranks.stop)
        self._evaluated = self.step
        for name, result in results.items():
            self._on_event(Evaluated(part, result, self.step, self.step / self._epoch, name))
        return next(iter(results.values()), None)

    def _read_losses(self) -> bool:
        """Read the losses of the last steps, report them, and return True if the training had to go back."""
        if not self._pending:
            return False
        with uninterrupted():  # a step whose loss the rule has not seen would be missing after a resumption
            losses = torch.stack([loss for loss, _ in self._pending]).tolist()
            correct = [None if one is None else float(one) for _, one in self._pending]
            self._pending.clear()
            now, first = time.perf_counter(), self.step - len(losses)
            speed = self._whole * len(losses) / max(1e-9, now - self._read_at)
            self._read_at = now
            done, bad = [], None
            for step, loss, right in zip(range(first, self.step), losses, correct, strict=True):
                if self._rule.diverged(step, loss):
                    bad = step, loss
                    break
                accuracy = None if right is None else right / self._whole
                epoch = step // self._epoch + 1
                done.append(StepDone(step + 1, self.steps, epoch, loss, accuracy, speed, self._rate(step)))
            for event in done:
                self._on_event(event)
            if bad:
                self._go_back(*bad)
        return bad is not None

    def _rate(self, step: int) -> float:
        """Return the learning rate of a step, halved after a divergence."""
        return float(self._rates[step]) * 0.5**self.halvings

    def _go_back(self, step: int, loss: float) -> None:
        """Continue from the last recovery point at half the rate, or stop if the training has done so before.

        Raises:
            TrainingDiverged: The training has diverged before.
        """
        if self.halvings >= HALVINGS:
            raise self._failure(f"it has diverged at step {step + 1} (loss {loss:.3g}) for the second time")
        recovery = self._problem.recipe.recovery
        target = step // recovery * recovery  # a function of the losses alone, so that a resumed training does the same
        self._consistent = False
        identity = self._problem.identity
        found = self._shared(lambda: checkpoints.at(self._folder, target, identity)) if target else None
        if found is not None:
            self._restore(found)
        else:
            target = 0
            self._begin()
        self.halvings += 1
        self._evaluated = -1
        self._consistent = True
        self._on_event(Diverged(step + 1, loss, target, 0.5**self.halvings))
        if self._ranks.rank == 0:
            checkpoints.delete_after(self._folder, target)
        self._save()

    def _failure(self, reason: str) -> TrainingDiverged:
        recipe = self._problem.recipe
        clip = "" if recipe.clip and recipe.clip <= 1 else ", or clip to 1"
        return TrainingDiverged(
            f"Cannot train this network further: {reason}. Lower rate in the recipe (it is {recipe.rate:g}){clip}."
        )

    def _restore(self, found: Checkpoint) -> None:
        """Set the state of a checkpoint."""
        self.learner.load(found)
        self._rule.restore(found.tensors["losses/recent"].tolist())
        self._pending.clear()
        self.step, self.halvings = found.step, found.halvings

    def _save(self) -> None:
        """Write a checkpoint; the first rank does it for all."""
        self._saved_at = time.monotonic()
        if self._ranks.rank:
            return
        tensors = {**self.learner.tensors(), "losses/recent": torch.from_numpy(self._rule.recent)}
        state = Checkpoint(self._problem.identity, self.step, self.halvings, tensors, self.learner.scaler_state())
        with uninterrupted():
            path = checkpoints.write(self._folder, state)
            checkpoints.tidy(self._folder, self._problem.recipe.recovery)
        self._on_event(Checkpointed(path, self.step))


@contextmanager
def _explained(batch: int) -> Iterator[None]:
    """Turn errors of torch that a user can mend into errors with a remedy."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise NasctlError(
            f"Cannot train with batches of {batch}: the memory of the device is too small. Lower batch in the recipe."
        ) from None
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise NasctlError(
            "Cannot train with one example a step: a batch norm needs the statistics of several. Raise batch in the"
            " recipe."
        ) from None


@contextmanager
def _reproducible(problem: LearningProblem) -> Iterator[None]:
    """Run the block with deterministic arithmetic, and leave the global generators as they were."""
    if torch.device(problem.device).type == "cpu":
        with deterministic_torch(problem.threads), seeded_globals(0):
            yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic with this workspace alone
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with deterministic_torch(problem.threads), seeded_globals(0):
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


__all__ = ["Trainer", "train"]
