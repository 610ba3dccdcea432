"""Training by several processes: a process group of torch, and the one function that every process runs.

All processes make the same steps, each on its share of every batch, and add gradients up in one flat tensor per step.
"""

from __future__ import annotations

import itertools
import os
import signal
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, Self, TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import PrefixStore

from nasctl.candidates.determinism import usable_device
from nasctl.errors import NasctlError
from nasctl.store.store import Store
from nasctl.system.signals import stop_asked, uninterrupted
from nasctl.training.batches import usual_workers
from nasctl.training.events import Event, Ranks, RanksLost, TrainingDiverged
from nasctl.training.labelled import TrainingData
from nasctl.training.recipe import Recipe
from nasctl.training.training import Trained, Training, Work, run_training

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store as Meeting  # a class that torch.distributed has without declaring it

Done = TypeVar("Done")

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}  # libraries that add tensors up, by kind of device

PATIENCE = timedelta(minutes=30)  # longest wait for the slowest process, which may be writing a checkpoint

LOST = (
    "Cannot train on: another process of this training has ended. Give the same command again to continue from the last"
    " checkpoint."
)


class JointQuestion(Protocol):
    """The fields of a training's question that its processes need."""

    @property
    def recipe(self) -> Recipe:
        """The recipe."""

    @property
    def threads(self) -> int:
        """Threads of torch in each process."""

    @property
    def torch_device(self) -> str:
        """The torch device of each process."""

    @property
    def world(self) -> int:
        """Number of processes."""


@dataclass(frozen=True)
class JointJob(ABC, Generic[Done]):
    """Something that several processes train together, as it is sent to them; `Done` is what a process returns.

    Args:
        training: The question.
        data: Its data.
        store: Path of the store. Only the first process opens it.
        work: How the training is carried out.
        until: Number of steps after which it pauses; None for the end.
    """

    training: JointQuestion
    data: TrainingData
    store: str
    work: Work = field(default_factory=Work)
    until: int | None = None

    @abstractmethod
    def carry_out(self, follow: Callable[[Event], object], ranks: Ranks | None = None) -> Done:
        """Carry out one process's part of the training.

        Args:
            follow: Called with each event.
            ranks: The place of the process; None if it trains alone.
        """

    def check(self) -> None:
        """Raise a `NasctlError` if the processes are more than the examples of a batch."""
        batch, world = min(self.training.recipe.batch, self.data.size("train")), self.training.world
        if batch < world:
            raise NasctlError(
                f"Cannot share a batch of {batch} examples among {world} processes. Give a larger batch, or fewer"
                " processes."
            )

    def sharing_cores(self, processes: int) -> Self:
        """Return the job with a default number of data workers for several processes on one machine."""
        if self.work.workers is not None or not (usual := usual_workers(self.data)):
            return self
        return replace(self, work=replace(self.work, workers=max(1, usual // processes)))

    def portable(self) -> Self:
        """Return the job as it can be pickled: without the function that shows sentences."""
        return replace(self, work=replace(self.work, note=silent))

    def noting(self, send: Callable[[Noted], object]) -> Self:
        """Return the job with sentences for a user sent as messages."""
        return replace(self, work=replace(self.work, note=lambda sentence: send(Noted(sentence))))

    def report(self, message: Event | Noted, follow: Callable[[Event], object]) -> None:
        """Report a message of the first process to the user."""
        if isinstance(message, Noted):
            self.work.note(message.sentence)
        else:
            follow(message)


@dataclass(frozen=True)
class Job(JointJob[Trained]):
    """The training of one network as it is sent to the processes that carry it out."""

    training: Training

    def carry_out(self, follow: Callable[[Event], object], ranks: Ranks | None = None) -> Trained:
        """Carry out one process's part of the training; see `run_training`."""
        return run_training(
            self.training, self.data, Store(self.store), self.work, follow, ranks=ranks, until=self.until
        )


@dataclass(frozen=True)
class Noted:
    """A sentence for the user from the first process."""

    sentence: str


def silent(sentence: str) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Ended:
    """The end of one process of a training.

    Attributes:
        kind: "done"; "stopped" on request; "diverged"; "refused" for an error that a user can mend; "unexpected" for
            any other error; "lost" if the process could not go on without another one; "died" without a message.
        text: The message of an error, or the reason of a death.
        trained: What the first process returned.
        trace: The traceback of an unexpected error.
    """

    kind: Literal["done", "stopped", "diverged", "refused", "unexpected", "lost", "died"]
    text: str = ""
    trained: Any = None
    trace: str = ""


def run_rank(
    job: JointJob[Done], rank: int, store: Meeting, follow: Callable[[Event], object], stop: Callable[[], bool]
) -> Done:
    """Carry out one process's part of a training; every launcher calls this function in every process.

    Args:
        job: The training.
        rank: Number of the process, from 0.
        store: Store of torch by which the processes find each other.
        follow: Called with each event.
        stop: Returns whether this process was asked to stop.

    Raises:
        RanksLost: Another process has ended.
        NasctlError: As `run_training`.
        KeyboardInterrupt: A process was asked to stop. All processes then stop after the same step.
    """
    training = job.training
    with process_group(training.torch_device, rank, training.world, store) as reduce:
        return job.carry_out(follow, Ranks(rank, training.world, reduce, stop))


@contextmanager
def process_group(device_name: str, rank: int, world: int, store: Meeting) -> Iterator[Callable[[Tensor], None]]:
    """Join the processes, and yield the function that adds a tensor up over them, in place.

    Raises:
        NasctlError: torch cannot use the device, or has no library for such sums.
        RanksLost: Another process has ended before it joined. The function raises it too.
    """
    device = usable_device(device_name)
    if not distributed.is_available():
        raise NasctlError("Cannot train by several processes: this torch is built without torch.distributed")
    bound = device if device.type == "cuda" else None
    try:
        with _quiet_stdout():
            distributed.init_process_group(
                BACKENDS[device.type], timeout=PATIENCE, world_size=world, rank=rank, store=store, device_id=bound
            )
    except RuntimeError as error:
        raise RanksLost(LOST) from error

    def reduce(flat: Tensor) -> None:
        moved = flat.to(device)
        try:
            distributed.all_reduce(moved)
        except RuntimeError as error:
            raise RanksLost(LOST) from error
        if moved is not flat:
            flat.copy_(moved)

    yield reduce
    distributed.destroy_process_group()  # not after an error, because it might wait for the other processes


def ended(work: Callable[[], object]) -> Ended:
    """Call a function that trains, and return how it ended."""
    try:
        return Ended("done", trained=work())
    except KeyboardInterrupt:
        return Ended("stopped")
    except RanksLost as error:
        return Ended("lost", str(error))
    except TrainingDiverged as error:
        return Ended("diverged", str(error))
    except NasctlError as error:
        return Ended("refused", str(error))
    except Exception as error:  # the parent reports it, and has no other way to learn of it
        return Ended("unexpected", f"{type(error).__name__}: {error}", trace=traceback.format_exc())


def result_of(endings: Mapping[int, Ended]) -> Any:
    """Return what the first process returned, or raise the error that explains how all processes ended.

    Args:
        endings: The end of each process, by its number.

    Raises:
        NasctlError: A process could not go on, or died.
        TrainingDiverged: The training has diverged.
        KeyboardInterrupt: All processes stopped on request.
        RuntimeError: An error that nasctl did not foresee.
    """
    if (first := endings[0].trained) is not None:
        return first
    by_kind = {one.kind: one for _, one in sorted(endings.items(), reverse=True)}  # of a kind, the first process
    if found := by_kind.get("diverged"):
        raise TrainingDiverged(found.text)
    if found := by_kind.get("refused"):
        raise NasctlError(found.text)
    if found := by_kind.get("unexpected"):
        error = RuntimeError(f"a process of the training failed ({found.text})")
        error.add_note(found.trace)
        raise error
    if by_kind.get("died"):
        rank = next(rank for rank, one in sorted(endings.items()) if one.kind == "died")
        raise RanksLost(
            f"Cannot train on: process {rank + 1} of {len(endings)} {endings[rank].text}. Give the same command again"
            " to continue from the last checkpoint."
        )
    if by_kind.get("stopped"):
        raise KeyboardInterrupt
    raise RanksLost(LOST)


def death(code: int | None) -> str:
    """Return how a process died, as a verb with its object, by its exit code."""
    if code is None or code >= 0:
        return f"has ended by itself (exit code {code})"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was ended by {name}{', perhaps for lack of memory' if -code == signal.SIGKILL else ''}"


@dataclass(frozen=True)
class TorchrunPlace:
    """The place of this process among those that torchrun has started.

    Args:
        rank: Number of the process.
        world: Number of processes on all machines.
        local_rank: Number of the process on this machine, which is the number of its GPU.
        local_world: Number of processes on this machine.
    """

    rank: int
    world: int
    local_rank: int
    local_world: int = 1


def torchrun_place(environment: Mapping[str, str] = os.environ) -> TorchrunPlace | None:
    """Return the place that torchrun has given this process, or None if torchrun has not started it.

    Raises:
        NasctlError: The environment is not as torchrun sets it.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    if not environment.keys() >= set(names):
        return None
    try:
        rank, world, local = (int(environment[name]) for name in names[:3])
        here = int(environment.get("LOCAL_WORLD_SIZE", "1"))
    except ValueError:
        rank, world, local, here = -1, 0, -1, 0
    if not (0 <= rank < world and local >= 0 and here >= 1):
        shown = " ".join(f"{name}={environment[name]}" for name in names[:3])
        raise NasctlError(
            f"Cannot read the place of this process: {shown[:99]} is not as torchrun sets it. Unset them."
        )
    return TorchrunPlace(rank, world, local, here)


def run_under_torchrun(job: JointJob[Done], place: TorchrunPlace, follow: Callable[[Event], object]) -> Done:
    """Carry out the part of a training that falls to this process of torchrun; see `run_rank`.

    All processes must be given the same trainings in the same order.
    """
    with uninterrupted():  # a signal stops all processes after the same step, once they have agreed on it
        if job.training.torch_device != "cpu":
            torch.cuda.set_device(usable_device(job.training.torch_device))
        # Processes that torchrun has started again find the store with the addresses of the former ones.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = PrefixStore(f"nasctl/{attempt}/{next(_numbers)}", _torchrun_store())
        return run_rank(job.sharing_cores(place.local_world), place.rank, store, follow, stop_asked)


_numbers = itertools.count()  # numbers of the trainings of this process


@cache
def _torchrun_store() -> Meeting:
    """Return the store by which processes of torchrun find each other."""
    from torch.distributed.rendezvous import rendezvous

    store: Meeting = next(rendezvous("env://", timeout=PATIENCE))[0]
    return store


@contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Send what libraries in C++ print on standard output to nowhere inside the block: gloo reports its connections."""
    with open(os.devnull, "w") as nowhere:
        kept = os.dup(1)
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


__all__ = [
    "Ended",
    "Job",
    "JointJob",
    "Noted",
    "TorchrunPlace",
    "death",
    "ended",
    "process_group",
    "result_of",
    "run_rank",
    "run_under_torchrun",
    "silent",
    "torchrun_place",
]
