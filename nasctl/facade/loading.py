"""Functions of the library face that load plug-ins and architectures by name."""

from __future__ import annotations

from pathlib import Path

from nasctl import registry
from nasctl.architectures import ids
from nasctl.architectures.architecture import Architecture, architecture
from nasctl.candidates.objective import Objective
from nasctl.problem.defaults import DEFAULT_STORE
from nasctl.problem.space import SearchSpace
from nasctl.search.metrics import make_objective
from nasctl.store.store import Store
from nasctl.system.argument_types import check_arguments


def load_space(spec: str) -> SearchSpace:
    """Return a search space.

    Args:
        spec: A name with options, such as "nb201" or "nb201:channels=8".

    Raises:
        NasctlError: An argument has the wrong type, there is no such space, or it takes no such option.
    """
    check_arguments("load a space", load_space, locals())
    space: SearchSpace = registry.create("spaces", spec)
    return space


def load_objective(spec: str, space: str | None = None) -> Objective:
    """Return an objective.

    Args:
        spec: A name with options, such as "synflow" or "latency@gpu".
        space: Spec of the search space. A kind of device, such as "gpu", stands for the device whose table predicts
            this space best.

    Raises:
        NasctlError: An argument has the wrong type, there is no such objective or device, or it takes no such option.
    """
    check_arguments("load an objective", load_objective, locals())
    _, objective = make_objective(spec, space)
    return objective


def load_architecture(arch: str, space: str | None = None, store: str | Path = DEFAULT_STORE) -> Architecture:
    """Return an architecture: its genes, its network and its costs.

    Args:
        arch: An id, the beginning of one in the store, or a genome such as "0,3,1".
        space: Spec of the space of a genome, or of an id that the store cannot resolve.
        store: Path of the database file; it need not exist.

    Raises:
        NasctlError: An argument has the wrong type, there is no such architecture, or more than one.
    """
    check_arguments("load an architecture", load_architecture, locals())
    return architecture(*ids.resolve(arch, Store.reading(store), space))
