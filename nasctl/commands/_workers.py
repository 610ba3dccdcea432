"""Options that choose workers and limit what a candidate may take."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from nasctl.commands._groups import OptionGroup
from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from nasctl.workers import WorkerOptions


@dataclass(frozen=True)
class WorkerChoice:
    """Workers as a user asks for them on the command line; a field is empty or None where its option is not given.

    Args:
        workers: A number of workers, or "auto".
        gpus: GPUs separated by commas.
        cluster: "ray" or "ray:ADDRESS".
        candidate_time: Time limit of a candidate, such as "5m".
        candidate_memory: Memory limit of a candidate, such as "4GB".
    """

    workers: str | None = None
    gpus: str = ""
    cluster: str = ""
    candidate_time: str | None = None
    candidate_memory: str | None = None

    def options(self, threads: int) -> WorkerOptions:
        """Return the options of workers that use `threads` threads each.

        Raises:
            NasctlError: A value is malformed, options exclude each other, a GPU does not exist, or Ray is not
                installed.
        """
        from nasctl.workers import WorkerOptions

        if self.cluster and not re.fullmatch("ray(:.+)?", self.cluster):
            raise NasctlError(f"no cluster is called {self.cluster!r}; write ray, or ray:ADDRESS")
        if self.cluster and self.gpus:
            raise NasctlError("a Ray cluster hands out its GPUs itself; give --torch-device cuda:0 in place of --gpus")
        if self.cluster and find_spec("ray") is None:
            raise NasctlError("--cluster ray needs Ray, which is not installed: pip install 'nasctl[ray]'")
        number = self._number(threads)
        seconds = None if self.candidate_time is None else duration(self.candidate_time)
        memory = None if self.candidate_memory is None else size(self.candidate_memory)
        return WorkerOptions(number, visible_gpus(self.gpus) if self.gpus else (), self.cluster, seconds, memory)

    def torch_device(self, asked: str) -> str:
        """Return the torch device that modules run on, given the one asked for.

        A worker with a GPU of its own sees no other, so the device is "cuda:0" in each.

        Raises:
            NasctlError: Both options name a device, and not the same.
        """
        if self.gpus and asked not in ("cpu", "cuda:0"):
            raise NasctlError("--gpus and --torch-device both say where modules run; leave one out")
        return "cuda:0" if self.gpus else asked

    def clamped(self, threads: int, budget: int) -> tuple[WorkerChoice, list[str]]:
        """Return the choice without workers that would only wait, and a sentence if there are fewer workers.

        A worker beside GPUs or on a cluster is not limited by the cores of this machine.

        Args:
            threads: Threads of each worker.
            budget: Candidates to measure.

        Raises:
            NasctlError: The number of workers is malformed.
        """
        asked = self._number(threads)
        if asked is None:
            return self, []
        limits = {budget: f"the budget is {budget}"}
        if not (self.gpus or self.cluster):
            room = max(1, cores() // threads)
            each = f", and each worker takes {threads}" if threads > 1 else ""
            limits.setdefault(room, f"this machine lends {cores()} cores{each}")
        least = min(limits)
        if asked <= least:
            return self, []
        sentence = f"{least} worker{'s' if least > 1 else ''} in place of {asked}: {limits[least]}"
        return replace(self, workers=str(least)), [] if self.workers == "auto" else [sentence]

    def _number(self, threads: int) -> int | None:
        if self.workers == "auto" and not (self.gpus or self.cluster):
            return max(1, cores() // threads)
        if self.workers in (None, "auto"):
            return None
        if not re.fullmatch("[1-9][0-9]{0,3}", self.workers):
            raise NasctlError(f"{self.workers!r} is no number of workers; write one such as 4, or auto")
        return int(self.workers)


worker_group = OptionGroup(
    "workers",
    "Workers",
    WorkerChoice,
    (
        click.option("--workers", metavar="N", help="Worker processes that run modules, or auto.  [default: 1]"),
        click.option("--gpus", default="", metavar="LIST", help="GPUs to spread workers over, such as 0,1; one each."),
        click.option("--cluster", default="", metavar="ray[:ADDRESS]", help="Run modules on a Ray cluster instead."),
        click.option(
            "--candidate-time", metavar="TIME", help="Time after which a candidate fails: 60 (seconds), 5m or 1h."
        ),
        click.option("--candidate-memory", metavar="SIZE", help="Memory above which a candidate fails: 500MB or 4GB."),
    ),
)


def cores() -> int:
    """Return the number of cores that this process may use, by its affinity and its container."""
    from joblib import cpu_count

    return int(cpu_count())


def visible_gpus(text: str) -> tuple[str, ...]:
    """Return the GPUs of a list such as "0,1", as CUDA_VISIBLE_DEVICES names them.

    Raises:
        NasctlError: There is no such GPU, or one is named twice.
    """
    import torch

    there = [str(number) for number in range(torch.cuda.device_count())]
    known = dict(zip(there, os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(there)).split(","), strict=False))
    chosen = [number.strip() for number in text.split(",")]
    if not there:
        raise NasctlError("torch finds no GPU here; leave --gpus out")
    if len(set(chosen)) < len(chosen) or not known.keys() >= set(chosen):
        raise NasctlError(f"the GPUs here are {', '.join(there)}, not {text!r}; give --gpus those to use, each once")
    return tuple(known[number] for number in chosen)


def duration(text: str) -> float:
    """Return the seconds of a time such as "90", "5m" or "2h".

    Raises:
        NasctlError: The text is not a time above 0.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(s|m|min|h)?", text.strip(), re.ASCII)
    if not match or not float(match[1]):
        raise NasctlError(f"{text!r} is no time limit; write 90 (seconds), 5m or 2h")
    return float(match[1]) * {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}[match[2]]


def size(text: str) -> int:
    """Return the bytes of a size such as "500MB" or "4GB".

    Raises:
        NasctlError: The text is not a size above 0.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?) ?([MG])B?", text.strip(), re.ASCII | re.IGNORECASE)
    if not match or not float(match[1]):
        raise NasctlError(f"{text!r} is no amount of memory; write 500MB or 4GB")
    return int(float(match[1]) * {"M": 10**6, "G": 10**9}[match[2].upper()])
