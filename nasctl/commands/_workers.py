"""Options that say who runs modules, and what a candidate may take."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nasctl.errors import NasctlError

if TYPE_CHECKING:
    from nasctl.workers import WorkerOptions

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

OPTIONS = (
    click.option("--workers", metavar="N", help="Worker processes that run modules, or auto.  [default: 1]"),
    click.option("--gpus", default="", metavar="LIST", help="GPUs to spread workers over, such as 0,1; one on each."),
    click.option("--cluster", default="", metavar="ray[:ADDRESS]", help="Run modules on a Ray cluster instead."),
    click.option("--candidate-time", metavar="TIME", help="What takes longer has failed: 60 (seconds), 5m or 1h."),
    click.option("--candidate-memory", metavar="SIZE", help="What takes more memory has failed: 500MB or 4GB."),
)
threads_option = click.option(
    "--threads",
    default=1,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="Of torch in each worker; the last digits of values depend on it.",
)


def crew_options(command: Decorated) -> Decorated:
    """Give a command the options that `crew` and `place` read, but for `threads`."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def crew(
    workers: str | None, threads: int, gpus: str, cluster: str, candidate_time: str | None, candidate_memory: str | None
) -> WorkerOptions:
    """Who runs modules, as a person put it.

    Raises:
        NasctlError: One of the options makes no sense, or there is no such GPU, or no Ray.
    """
    from nasctl.workers import WorkerOptions

    if cluster and not re.fullmatch("ray(:.+)?", cluster):
        raise NasctlError(f"no cluster is called {cluster!r}; write ray, or ray:ADDRESS")
    if cluster and gpus:
        raise NasctlError("a Ray cluster hands out its GPUs itself; give --torch-device cuda:0 in place of --gpus")
    if cluster and find_spec("ray") is None:
        raise NasctlError("--cluster ray needs Ray, which is not installed: pip install 'nasctl[ray]'")
    number = None
    if workers == "auto" and not (gpus or cluster):
        from joblib import cpu_count  # those that the process may use, by its affinity and its container

        number = max(1, cpu_count() // threads)
    elif workers not in (None, "auto"):
        if not re.fullmatch("[1-9][0-9]{0,3}", workers):
            raise NasctlError(f"{workers!r} is no number of workers; write one such as 4, or auto")
        number = int(workers)
    seconds = None if candidate_time is None else duration(candidate_time)
    memory = None if candidate_memory is None else size(candidate_memory)
    return WorkerOptions(number, _gpus(gpus) if gpus else (), cluster, seconds, memory)


def place(torch_device: str, gpus: str) -> str:
    """Where modules run, as torch names it: a worker with a GPU of its own sees no other.

    Raises:
        NasctlError: Both options say where, and not the same.
    """
    if gpus and torch_device not in ("cpu", "cuda:0"):
        raise NasctlError("--gpus and --torch-device both say where modules run; leave one out")
    return "cuda:0" if gpus else torch_device


def _gpus(text: str) -> tuple[str, ...]:
    """Those GPUs as CUDA_VISIBLE_DEVICES names them.

    Raises:
        NasctlError: There is none of that number.
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
    """A time in seconds, as a person put it.

    Raises:
        NasctlError: It is none.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(s|m|min|h)?", text.strip(), re.ASCII)
    if not match or not float(match[1]):
        raise NasctlError(f"{text!r} is no time limit; write 90 (seconds), 5m or 2h")
    return float(match[1]) * {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}[match[2]]


def size(text: str) -> int:
    """A size in bytes, as a person put it.

    Raises:
        NasctlError: It is none.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?) ?([MG])B?", text.strip(), re.ASCII | re.IGNORECASE)
    if not match or not float(match[1]):
        raise NasctlError(f"{text!r} is no amount of memory; write 500MB or 4GB")
    return int(float(match[1]) * {"M": 10**6, "G": 10**9}[match[2].upper()])
