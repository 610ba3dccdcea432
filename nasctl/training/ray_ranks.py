"""Training by processes of a Ray cluster: actors that form a process group of torch.

Ray's own trainer, `ray.train`, needs pandas, pyarrow, tensorboardX and more beside Ray. Nothing of it would be used but
the start of processes, so plain actors do that here.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasctl.errors import NasctlError
from nasctl.system.ray_cluster import join_cluster, room
from nasctl.system.signals import stop_asked, stop_if_asked, uninterrupted
from nasctl.training.distributed import PATIENCE, Done, Ended, JointJob, Noted, ended, result_of, run_rank
from nasctl.training.events import Event

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store as Meeting

GRACE = 30.0  # seconds that processes have for a checkpoint after another one has ended

TICK = 0.5  # seconds between two looks at the processes

START = 120.0  # seconds after which a process that has not started makes the training give up


def train_on_ray(job: JointJob[Done], address: str, follow: Callable[[Event], object] = lambda event: None) -> Done:
    """Carry out a training by actors of a Ray cluster.

    The first process runs on this machine, because it writes the folder of the training and the store. The others run
    wherever Ray has room. Files of the data have to be there under the same path.

    Args:
        job: The training; its `world` is the number of actors.
        address: Address of the cluster; "" for the one that Ray knows here, or else a new one on this machine.
        follow: Called with each event of the first process.

    Raises:
        NasctlError: As `run_training`; or Ray is not installed, the cluster has no room, or a process has died.
        KeyboardInterrupt: A signal asked to stop.
    """
    job.check()
    with uninterrupted():
        ray, joined = join_cluster(address)
        watch = None
        try:
            watch = _Watch(ray, job, follow)
            watch.wait()
            found: Done = result_of(watch.endings)
            return found
        except KeyboardInterrupt:
            stop_if_asked()
            raise
        finally:
            if watch:
                watch.close()
            if joined:
                ray.shutdown()


class _Watch:
    """The actors of a training, and what this process knows of them.

    Attributes:
        endings: The end of each actor that has ended, by its number.
    """

    def __init__(self, ray: Any, job: JointJob[Any], follow: Callable[[Event], object]) -> None:
        self._ray, self._job, self._follow = ray, job, follow
        self._begun = self._told = self._stopping = False
        self._deadline = float("inf")  # value of `time.monotonic()` at which actors are killed
        self.endings: dict[int, Ended] = {}
        self._actors: list[Any] = []
        world, cpus, gpus = job.training.world, job.training.threads, int(job.training.torch_device != "cpu")
        most = room(ray, cpus, gpus)
        if most < world:
            takes = f"{cpus} CPU" + (f" and {gpus} GPU" if gpus else "")
            raise NasctlError(
                f"Cannot train by {world} processes: the Ray cluster has room for {most} with {takes} each. Give fewer"
                " --processes, or add a node."
            )
        kind = ray.remote(_Rank)
        resources = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": 0, "max_concurrency": 3}
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        try:
            self._actors.append(kind.options(**resources, scheduling_strategy=here).remote(0, world))
            place = self._get(self._actors[0].serve.remote(), START)
            self._actors += [kind.options(**resources).remote(rank, world) for rank in range(1, world)]
            reference = ray.put(job.portable())
            self._runs = {one.run.remote(reference, place, os.getcwd()): rank for rank, one in enumerate(self._actors)}
        except NasctlError:
            self.close()
            raise

    def wait(self) -> None:
        """Wait until all actors have ended."""
        while len(self.endings) < len(self._actors):
            try:
                left = [run for run, rank in self._runs.items() if rank not in self.endings]
                done, _ = self._ray.wait(left, num_returns=len(left), timeout=TICK)
                self._pass_events_on()
                for run in done:
                    self._end(self._runs[run], self._received(run))
                self._end_overdue(left)
            except KeyboardInterrupt:  # outside the command line, where signals are not kept back
                self._stopping = True
            if (self._stopping or stop_asked()) and not self._told:
                self._told = True
                for one in self._actors:
                    one.stop.remote()

    def close(self) -> None:
        """Kill the actors."""
        for one in self._actors:
            self._ray.kill(one)

    def _pass_events_on(self) -> None:
        """Report the events that the first actor has noted; if it is dead, `wait` learns of that."""
        with suppress(self._ray.exceptions.RayError):
            for event in self._ray.get(self._actors[0].events.remote(), timeout=START):
                self._begun = True
                self._job.report(event, self._follow)

    def _end(self, rank: int, message: Ended) -> None:
        self.endings[rank] = message
        if message.kind not in ("done", "stopped") or rank == 0:
            self._deadline = min(self._deadline, time.monotonic() + (GRACE if self._begun else 0.0))

    def _end_overdue(self, runs: list[Any]) -> None:
        """Give up actors that have not ended in time after another one."""
        if time.monotonic() >= self._deadline:
            for run in runs:
                self.endings.setdefault(self._runs[run], Ended("lost"))

    def _received(self, run: Any) -> Ended:
        """Return how an actor has ended."""
        try:
            found: Ended = self._ray.get(run)
        except self._ray.exceptions.RayActorError:
            return Ended("died", "of the Ray cluster has died, perhaps with its node or for lack of memory")
        except self._ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())[:200]
            return Ended("refused", f"Cannot send the training to a process of the Ray cluster: {reason}")
        return found

    def _get(self, reference: Any, seconds: float) -> Any:
        """Return the answer of an actor that is starting.

        Raises:
            NasctlError: It cannot start.
        """
        try:
            return self._ray.get(reference, timeout=seconds)
        except self._ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())[:200]
            raise NasctlError(
                f"Cannot start the first process on this machine of the Ray cluster ({reason}). Free some of its CPUs"
                " or GPUs, or train on a machine that has them."
            ) from error


class _Rank:
    """An actor that carries out one part of a training.

    Args:
        rank: Number of the process.
        world: Number of processes.
    """

    def __init__(self, rank: int, world: int) -> None:
        self._rank, self._world = rank, world
        self._stop = threading.Event()
        self._events: deque[Event | Noted] = deque()
        self._store: Meeting | None = None

    def serve(self) -> tuple[str, int]:
        """Open the store by which the processes find each other, and return its address and a port that was free."""
        import ray
        from torch.distributed import TCPStore  # type: ignore[attr-defined]  # it is there without declaration

        address = ray.util.get_node_ip_address()
        store = TCPStore(address, 0, is_master=True, wait_for_workers=False, timeout=PATIENCE)
        self._store = store
        return address, store.port

    def run(self, job: JointJob[Any], place: tuple[str, int], folder: str) -> Ended:
        """Carry out the part of this process.

        Args:
            job: The training.
            place: Address and port of the store.
            folder: Working folder of the command, which relative paths start from.
        """
        from torch.distributed import TCPStore  # type: ignore[attr-defined]  # it is there without declaration

        if Path(folder).is_dir():
            os.chdir(folder)
        if self._rank == 0:
            job = job.noting(self._events.append)
        follow: Callable[[Event], object] = (lambda event: None) if self._rank else self._events.append

        def work() -> object:
            store = self._store or TCPStore(*place, is_master=False, timeout=PATIENCE)
            return run_rank(job, self._rank, store, follow, self._stop.is_set)

        return ended(work)

    def stop(self) -> None:
        """Note a stop request."""
        self._stop.set()

    def events(self) -> list[Event | Noted]:
        """Return events and sentences since the last call."""
        return [self._events.popleft() for _ in range(len(self._events))]


__all__ = ["train_on_ray"]
