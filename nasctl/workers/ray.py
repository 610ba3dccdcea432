"""Workers that are actors of a Ray cluster."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from typing import Any

from nasctl.candidates.setting import Setting
from nasctl.errors import NasctlError
from nasctl.workers.worker import Answer, Message, Worker, WorkerHandle

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}

PATIENCE = 60.0  # seconds in which nobody answers, after which the cluster may have no room for workers any more


class Ray:
    """A cluster, one of this machine alone unless there is another.

    Args:
        address: Of the cluster; "" for the one that is known here, or else a new one.
        workers: How many; None for as many as there is room for.
        setting: Says what a worker takes: threads, and a GPU if it computes on one.
        memory: Bytes that a candidate may take; None for no limit.

    Raises:
        NasctlError: Ray is not installed, cannot be reached, or has no room for a worker.
    """

    def __init__(self, address: str, workers: int | None, setting: Setting, memory: int | None) -> None:
        try:
            import ray
        except ImportError:
            raise NasctlError("--cluster needs Ray, which is not installed: pip install 'nasctl[ray]'") from None
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        # Nothing that is not private keeps it from printing what it hears of nodes, pages of it, to standard output.
        ray._private.worker._worker_logs_enabled = False
        self._ray, self._joined = ray, not ray.is_initialized()
        if self._joined:
            try:
                # A cluster that is begun here needs no dashboard; one that is joined has what it has.
                ray.init(address or None, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())[:200]
                raise NasctlError(f"no Ray cluster can be used here ({reason}); give --cluster ray:ADDRESS") from error
        self._takes = {"num_cpus": setting.threads, "num_gpus": int(setting.device != "cpu")}
        self._memory = memory
        room = self._room()
        if not room:
            self.close()
            takes = ", ".join(f"{number} {what.removeprefix('num_').upper()}" for what, number in self._takes.items())
            raise NasctlError(f"the Ray cluster has no node with {takes}, which a worker takes; add one")
        self.places: Sequence[str] = [""] * (workers or room)
        self._heard = time.monotonic()

    def hire(self, place: str) -> WorkerHandle:
        actor = self._ray.remote(Worker).options(**self._takes, max_restarts=0)
        return _Actor(self._ray, actor.remote(self._memory))

    def wait(
        self, workers: Sequence[WorkerHandle], seconds: float | None
    ) -> list[tuple[WorkerHandle, Answer | EOFError]]:
        talking = {one.answer: one for one in workers if isinstance(one, _Actor)}
        ready, _ = self._ray.wait(list(talking), timeout=PATIENCE if seconds is None else seconds)
        if ready:  # and others at the same time, perhaps
            ready, _ = self._ray.wait(list(talking), num_returns=len(talking), timeout=0)
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard >= PATIENCE and not self._room():
            raise NasctlError("no node that the Ray cluster still has could hold a worker; add one, and search again")
        return [(talking[one], self._received(one)) for one in ready]

    def close(self) -> None:
        if self._joined:
            self._ray.shutdown()

    def _room(self) -> int:
        """How many workers there is room for; none of them reaches over two nodes."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        kinds = {"CPU": self._takes["num_cpus"], "GPU": self._takes["num_gpus"]}
        return sum(min(int(node.get(kind, 0) // takes) for kind, takes in kinds.items() if takes) for node in nodes)

    def _received(self, answer: Any) -> Answer | EOFError:
        try:
            found: Answer = self._ray.get(answer)
        except self._ray.exceptions.RayActorError:
            return EOFError()
        except self._ray.exceptions.RayError as error:
            return NasctlError(f"a worker of the Ray cluster cannot make what is to be measured ({error})")
        return found


class _Actor:
    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self.answer: Any = None  # Ray's reference to that of the last message

    def send(self, message: Message) -> None:
        self.answer = self._actor.answer.remote(message)

    def kill(self) -> None:
        self._ray.kill(self._actor)
