"""Runtimes that execute networks on this machine, to be timed there: one file each, found by its name.

The name of a runtime is that of its file, of its distribution, and the value of `--runtime`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Protocol

from nasctl.errors import NasctlError, UnknownName

if TYPE_CHECKING:
    from nasctl.hardware.precision import Precision
    from nasctl.hardware.profiling.timed_network import TimedNetwork

NetworkCall = Callable[[], object]


class Runtime(Protocol):
    """A runtime. The `__all__` of its module holds its one class, which is created without arguments."""

    @property
    def title(self) -> str:
        """Return the name of the runtime in sentences, such as "ONNX Runtime"."""
        ...

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Return the precisions that it computes in."""
        ...

    @property
    def cuda(self) -> bool:
        """Return whether it runs on CUDA devices too, and not on the CPU alone."""
        ...

    def call(self, timed: TimedNetwork, torch_device: str, threads: int) -> NetworkCall:
        """Return a function that runs a network once, in evaluation mode, with random weights and input.

        Args:
            timed: The network, or block.
            torch_device: Device of torch; "cpu" unless `cuda`.
            threads: Threads of the runtime; the caller sets those of torch.
        """
        ...


def runtime_names() -> list[str]:
    """Return the names of all runtimes, sorted; some may not be installed."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load_runtime(name: str) -> Runtime:
    """Return the runtime of that name.

    Raises:
        UnknownName: No runtime has that name.
        NasctlError: It is not installed.
    """
    if name not in runtime_names():
        raise UnknownName("runtime", name, runtime_names())
    runtime_version(name)
    return _made(name)


def runtimes_of(precision: str) -> list[str]:
    """Return the names of the runtimes that compute in a precision, sorted; some may not be installed."""
    return [name for name in runtime_names() if precision in _made(name).precisions]


def runtime_version(name: str) -> str:
    """Return the name of a runtime with its version, such as "torch 2.13.0".

    Raises:
        NasctlError: It is not installed.
    """
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        raise NasctlError(
            f"Cannot measure with {name}: it is not installed. Install it with `pip install 'nasctl[{name}]'`."
        ) from None


def _made(name: str) -> Runtime:
    module = import_module(f"{__name__}.{name}")
    (public,) = module.__all__
    made: Runtime = getattr(module, public)()
    return made


__all__ = ["NetworkCall", "Runtime", "load_runtime", "runtime_names", "runtime_version", "runtimes_of"]
