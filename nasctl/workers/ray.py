"""Workers that are actors of a Ray cluster."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from nasctl.candidates.setting import Setting
from nasctl.errors import NasctlError
from nasctl.system.ray_cluster import join_cluster, room
from nasctl.workers.worker import Answer, Message, Worker, WorkerHandle

SILENCE_LIMIT = 60.0  # seconds without any answer after which the backend checks that the cluster still has room


class Ray:
    """The backend of workers on a Ray cluster.

    Args:
        address: Address of the cluster. "" means the cluster that Ray knows here, or else a new one on this machine.
        workers: Number of workers; None for as many as the cluster has room for.
        setting: Gives the CPU threads of a worker, and whether a worker needs a GPU.
        memory: Memory limit of a candidate in bytes; None for no limit.

    Raises:
        NasctlError: Ray is not installed, the cluster cannot be reached, or it has no room for a worker.
    """

    def __init__(self, address: str, workers: int | None, setting: Setting, memory: int | None) -> None:
        self._ray, self._joined = join_cluster(address)
        self._resources = {"num_cpus": setting.threads, "num_gpus": int(setting.device != "cpu")}
        self._memory = memory
        most = self._room()
        if not most:
            self.close()
            takes = ", ".join(
                f"{number} {kind.removeprefix('num_').upper()}" for kind, number in self._resources.items()
            )
            raise NasctlError(f"the Ray cluster has no node with {takes}, which a worker takes; add one")
        self.gpus: Sequence[str] = [""] * (workers or most)  # Ray assigns GPUs itself
        self._last_answer = time.monotonic()

    def start(self, gpu: str) -> WorkerHandle:
        """Start an actor; see `Backend`."""
        actor = self._ray.remote(Worker).options(**self._resources, max_restarts=0)
        return _Actor(self._ray, actor.remote(self._memory))

    def wait(
        self, workers: Sequence[WorkerHandle], seconds: float | None
    ) -> list[tuple[WorkerHandle, Answer | EOFError]]:
        """Wait for answers; see `Backend`.

        Raises:
            NasctlError: No worker has answered for `SILENCE_LIMIT` seconds, and no node has room for one any more.
        """
        actors = {one.answer: one for one in workers if isinstance(one, _Actor)}
        ready, _ = self._ray.wait(list(actors), timeout=SILENCE_LIMIT if seconds is None else seconds)
        if ready:  # the first wait returns one answer, and more may be there
            ready, _ = self._ray.wait(list(actors), num_returns=len(actors), timeout=0)
            self._last_answer = time.monotonic()
        elif time.monotonic() - self._last_answer >= SILENCE_LIMIT and not self._room():
            raise NasctlError("no node that the Ray cluster still has could hold a worker; add one, and search again")
        return [(actors[one], self._received(one)) for one in ready]

    def close(self) -> None:
        """Leave the cluster, unless the process had joined it before."""
        if self._joined:
            self._ray.shutdown()

    def _room(self) -> int:
        """Return the number of workers that fit on the nodes; a worker cannot span two nodes."""
        return room(self._ray, self._resources["num_cpus"], self._resources["num_gpus"])

    def _received(self, answer: Any) -> Answer | EOFError:
        """Return the answer that a reference stands for, or EOFError if its worker is dead."""
        try:
            found: Answer = self._ray.get(answer)
        except self._ray.exceptions.RayActorError:
            return EOFError()
        except self._ray.exceptions.RayError as error:
            return NasctlError(f"a worker of the Ray cluster cannot make what is to be measured ({error})")
        return found


class _Actor:
    """The handle of a Ray actor."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self.answer: Any = None  # Ray's reference to the answer to the last message

    def send(self, message: Message) -> None:
        self.answer = self._actor.answer.remote(message)

    def stop(self) -> bool:
        return False  # Ray interrupts no method of an actor, so a training goes on from its last regular checkpoint

    def kill(self) -> None:
        self._ray.kill(self._actor)
