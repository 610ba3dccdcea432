"""The training of a supernet: its folder beside the store, its log, and the weights that it ends in."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nasctl.errors import NasctlError
from nasctl.registry.version import __version__
from nasctl.supernets import trained_supernet
from nasctl.supernets.folder import supernets_folder
from nasctl.supernets.learned_choices import learned
from nasctl.supernets.learner import SupernetLearner
from nasctl.supernets.problem import SupernetProblem
from nasctl.supernets.question import Supernet
from nasctl.supernets.validation import validation_examples
from nasctl.system.wording import plural, quantity
from nasctl.training import checkpoint
from nasctl.training.batches import steps_per_epoch
from nasctl.training.distributed import JointJob
from nasctl.training.event_log import EventLog
from nasctl.training.events import Checkpointed, Evaluated, Event, Outcome, Ranks, TrainingDiverged
from nasctl.training.folder import TrainingFolder
from nasctl.training.labelled import TrainingData
from nasctl.training.loop import train
from nasctl.training.training import Work
from nasctl.training.training_log import read_log


@dataclass(frozen=True)
class SupernetSession:
    """A session of a supernet's training.

    Attributes:
        folder: The folder of the supernet.
        session_steps: Steps of this session; 0 if the training had been finished before.
    """

    folder: Path
    session_steps: int


@dataclass(frozen=True)
class SupernetJob(JointJob[SupernetSession]):
    """The training of a supernet as it is sent to the processes that carry it out."""

    training: Supernet

    def carry_out(self, follow: Callable[[Event], object], ranks: Ranks | None = None) -> SupernetSession:
        """Carry out one process's part of the training; see `run_supernet`."""
        return run_supernet(self.training, self.data, self.store, self.work, follow, ranks=ranks, until=self.until)


class SupernetLog(EventLog):
    """The log of a supernet's training, which also names the networks that are judged, and counts seconds.

    Args:
        supernet: The question.
        data: Its data.
        folder: Its folder.
        work: How the training is carried out.
        follow: Called with each event after it is written.
    """

    def __init__(
        self,
        supernet: Supernet,
        data: TrainingData,
        folder: TrainingFolder,
        work: Work,
        follow: Callable[[Event], object],
    ) -> None:
        logs = {folder.log: ""} | ({} if work.log is None else {work.log: supernet.name})
        epoch = steps_per_epoch(data, supernet.recipe.batch)
        event_files = folder.tensorboard if work.tensorboard else None
        super().__init__(supernet.name, logs, event_files, supernet.recipe.epochs * epoch, epoch, follow)
        self._own = folder.log
        self._note, self._learners = work.note, list[SupernetLearner]()
        self._has_said_untrained = False
        self.results: dict[str, dict[str, dict[str, Any]]] = {}  # of the last step, by part and network

    @property
    def learner(self) -> SupernetLearner:
        """The trained state."""
        return self._learners[-1]

    @property
    def judged(self) -> dict[str, list[int]]:
        """Genomes of the networks that are judged, by name."""
        return {name: list(genome) for name, genome in self.learner.judged.items()}

    def make_learner(self, problem: SupernetProblem, ranks: Ranks) -> SupernetLearner:
        """Return the trained state of the problem, and say how large it is."""
        is_first = not self._learners
        if not is_first:  # after a divergence: two of them would take twice the memory
            self._learners.clear()
            gc.collect()  # its caches refer to it
        found = SupernetLearner(problem, ranks)
        found.on_untrained = self._say_untrained
        if is_first:
            self._note(size_text(found))
        self._learners.append(found)
        return found

    def _say_untrained(self, names: Sequence[str]) -> None:
        """Say once that some networks are not judged."""
        if not self._has_said_untrained:
            self._has_said_untrained = True
            self._note(
                f"not judged while no step has reached some of their weights: {', '.join(names)}; --epochs and"
                " --share entangled reach more"
            )

    def event(self, event: Event) -> None:
        """Write an event."""
        if isinstance(event, Evaluated) and event.step == self._steps:
            self.results.setdefault(event.part, {})[event.subnet] = asdict(event.result)
        super().event(event)

    def _open(self, step: int) -> None:
        if step and self._own.exists():
            self._before = seconds_of(read_log(self._own), step)
        super()._open(step)
        self.write("judged", step=step, networks=self.judged)

    def _write_checkpoint(self, event: Checkpointed) -> None:
        self.write("checkpoint", step=event.step, seconds=round(self.seconds, 3))


def run_supernet(
    supernet: Supernet,
    data: TrainingData,
    store: Path | str,
    work: Work | None = None,
    follow: Callable[[Event], object] = lambda event: None,
    *,
    ranks: Ranks | None = None,
    until: int | None = None,
) -> SupernetSession:
    """Train a supernet from its newest checkpoint; a finished one is only read.

    Its folder beside the store has checkpoints, log and, after the last step, the weights. Of several ranks, the first
    one writes the folder.

    Args:
        supernet: The question.
        data: Its data.
        store: Path of the store.
        work: How the training is carried out.
        follow: Called with each event.
        ranks: The place of this process among those that train together.
        until: Number of steps after which the training pauses with a checkpoint; None for the end.

    Raises:
        NasctlError: Another process has the training, its folder belongs to another question, the networks cannot be
            trained on the data, their weights cannot be shared, or a file cannot be written.
        TrainingDiverged: The training has diverged for the second time.
        KeyboardInterrupt: A signal asked to stop; a checkpoint is written before.
    """
    work, place = work or Work(), ranks or Ranks()
    assert (supernet.data, supernet.world) == (str(data), place.world)
    folder = TrainingFolder(supernets_folder(store) / supernet.name)
    problem = supernet.problem(data, work)
    if place.rank:  # perhaps on another machine, without the folder
        steps = 0
        if not place.shared(b""):
            steps = train(problem, folder.path, follow, ranks=place, until=until, learner=SupernetLearner).step
        return SupernetSession(folder.path, steps)
    with folder.held(supernet.spec):
        finished = _is_whole(folder.weights)
        place.shared(b"finished" if finished else b"")
        if finished:
            checkpoint.keep_newest(folder.path)  # a kill may have come between weights and deletion
            return SupernetSession(folder.path, 0)
        with SupernetLog(supernet, data, folder, work, follow) as log:
            _train(problem, folder, log, place, until, lambda outcome: _facts(supernet, data, log, outcome))
            return SupernetSession(folder.path, log.session_steps)


def _train(
    problem: SupernetProblem,
    folder: TrainingFolder,
    log: SupernetLog,
    ranks: Ranks,
    until: int | None,
    facts: Callable[[Outcome], trained_supernet.SupernetFacts],
) -> None:
    """Train, and after the last step write the weights and tidy the folder."""
    try:
        outcome = train(problem, folder.path, log.event, ranks=ranks, until=until, learner=log.make_learner)
    except TrainingDiverged as failure:
        log.write("failed", reason=str(failure), seconds=round(log.seconds, 3))
        raise
    except NasctlError:
        if not log.opened:
            folder.clear()  # the networks cannot be trained, so there is nothing to resume
        raise
    if outcome.finished:
        examples, _ = log.learner.calibration_examples
        held_out = validation_examples(problem.data, problem.seed)
        hull = log.learner.weights.hull
        trained_supernet.write(folder.weights, outcome.state, examples, facts(outcome), held_out, hull)
        log.write("finished", step=outcome.step, seconds=round(log.seconds, 3))
        checkpoint.keep_newest(folder.path)


def _facts(
    supernet: Supernet, data: TrainingData, log: SupernetLog, outcome: Outcome
) -> trained_supernet.SupernetFacts:
    """Return the facts that are stored with the weights."""
    chosen, probabilities = learned(log.learner.strategy)
    return trained_supernet.SupernetFacts(
        space=supernet.space,
        share=supernet.share,
        strategy=supernet.known_strategy,
        seed=supernet.seed,
        steps=outcome.steps,
        task=supernet.task,
        class_names=data.class_names,
        mean=data.mean,
        deviation=data.deviation,
        data=supernet.data,
        recipe=supernet.recipe.asdict(),
        result=log.results,
        nasctl=__version__,
        name=supernet.name,
        judged=log.judged,
        chosen=chosen,
        probabilities=probabilities,
    )


def size_text(learner: SupernetLearner) -> str:
    """Return the size of a supernet and of its networks: "4.2 M parameters in 161 tensors, networks of ... MACs"."""
    context, tensors = learner.context, learner.weights.tensors
    least, most = (quantity(context.macs(one), "MACs") for one in (context.smallest, context.largest))
    params = quantity(sum(one.numel() for one in tensors.values()), "parameters")
    size = f"{params} parameters in {plural(len(tensors), 'tensor')}, for networks of {least} to {most} MACs"
    return size if learner.weights.hull.is_complete else f"{size}; networks with still other layers are left out"


def seconds_of(entries: list[dict[str, Any]], step: int | None = None) -> float:
    """Return the seconds of a training up to a step, or up to its last entry, from the entries of its log."""
    known = [one for one in entries if "seconds" in one and (step is None or one.get("step", 0) <= step)]
    return float(known[-1]["seconds"]) if known else 0.0


def _is_whole(weights: Path) -> bool:
    """Return whether a file of weights can be read. One that cannot is written anew from the last checkpoint."""
    try:
        trained_supernet.TrainedSupernet(weights)
    except NasctlError:
        return False
    return True


__all__ = ["SupernetJob", "SupernetLog", "SupernetSession", "run_supernet", "seconds_of", "size_text"]
