"""The devices that a training is shared among, as a user asks for them, and the choice of a launcher."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from nasctl.errors import NasctlError
from nasctl.training.distributed import Done, JointJob, TorchrunPlace, run_under_torchrun, torchrun_place
from nasctl.training.events import Event
from nasctl.training.local_ranks import train_in_processes
from nasctl.training.ray_ranks import train_on_ray


@dataclass(frozen=True)
class Devices:
    """Devices, or processes, that train one network together.

    Args:
        processes: Number of processes; None for one, or for one on each GPU.
        gpus: GPUs of this machine, one process each, as CUDA_VISIBLE_DEVICES names them.
        cluster: "ray" or "ray:ADDRESS" for processes on a Ray cluster; "" for processes of this machine.
        torch_device: The torch device that a user asks for.
        place: The place of this process if torchrun has started it.

    Raises:
        NasctlError: The fields exclude each other, or Ray is not installed.
    """

    processes: int | None = None
    gpus: tuple[str, ...] = ()
    cluster: str = ""
    torch_device: str = "cpu"
    place: TorchrunPlace | None = None

    def __post_init__(self) -> None:
        if self.place and (self.processes or self.gpus or self.cluster):
            raise NasctlError("torchrun has started the processes already; leave out --processes, --gpus and --cluster")
        if self.gpus and self.processes:
            raise NasctlError("--gpus starts a process for each GPU; leave --processes out")
        if self.gpus and self.torch_device not in ("cpu", "cuda:0"):
            raise NasctlError("--gpus and --torch-device both say where to train; leave one out")
        if self.cluster:
            self._check_cluster()
        elif (self.processes or 1) > 1 and self.torch_device != "cpu":
            raise NasctlError("--processes is for CPUs; for GPUs, give --gpus 0,1 in place of it and of --torch-device")
        if self.place and self.place.local_world > 1 and ":" in self.torch_device:
            raise NasctlError("torchrun gives each process a GPU of its own; give --torch-device cuda, or cpu")

    @classmethod
    def asked(
        cls, processes: int | None = None, gpus: tuple[str, ...] = (), cluster: str = "", torch_device: str = "cpu"
    ) -> Devices:
        """Return the devices of these options, or of torchrun if it has started this process; see the class."""
        return cls(processes, gpus, cluster, torch_device, torchrun_place())

    @property
    def world(self) -> int:
        """Number of processes that train together."""
        return self.place.world if self.place else len(self.gpus) or self.processes or 1

    @property
    def reports(self) -> bool:
        """Whether this process reports the training to the user: of several of torchrun, the first one does."""
        return self.place is None or self.place.rank == 0

    @property
    def trained_on(self) -> str:
        """The torch device of this process, or of each process that it starts."""
        if self.place and self.torch_device == "cuda":
            return f"cuda:{self.place.local_rank}"
        return "cuda:0" if self.gpus else self.torch_device  # a process that is started sees no GPU but its own

    def train(self, job: JointJob[Done], follow: Callable[[Event], object] = lambda event: None) -> Done:
        """Carry out a training on these devices.

        Args:
            job: The training, with `world` and `trained_on` of these devices.
            follow: Called with each event.

        Raises:
            NasctlError: As the job; or a process has died.
            KeyboardInterrupt: A signal asked to stop; a checkpoint is written before.
        """
        job.check()
        if self.cluster:
            return train_on_ray(job, self.cluster.partition(":")[2], follow)
        if self.gpus:
            return train_in_processes(job, self.gpus, follow)
        if self.world == 1:
            return job.carry_out(follow)
        if self.place:
            return run_under_torchrun(job, self.place, follow)
        return train_in_processes(job, ("",) * self.world, follow)

    def _check_cluster(self) -> None:
        if not re.fullmatch("ray(:.+)?", self.cluster):
            raise NasctlError(f"no cluster is called {self.cluster!r}; write ray, or ray:ADDRESS")
        if self.gpus:
            raise NasctlError("a Ray cluster hands out its GPUs itself; give --torch-device cuda:0 in place of --gpus")
        if not self.processes:
            raise NasctlError("say by how many processes of the Ray cluster to train: --processes 4")
        if find_spec("ray") is None:
            raise NasctlError("--cluster ray needs Ray, which is not installed: pip install 'nasctl[ray]'")


__all__ = ["Devices"]
