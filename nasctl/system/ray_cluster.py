"""The connection to a Ray cluster."""

from __future__ import annotations

import logging
import os
from typing import Any

from nasctl.errors import NasctlError

ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}  # unless set by the user


def join_cluster(address: str) -> tuple[Any, bool]:
    """Return the module `ray`, connected to a cluster, and whether this call has connected it.

    Args:
        address: Address of the cluster. "" means the cluster that Ray knows here, or else a new one on this machine.

    Raises:
        NasctlError: Ray is not installed, or the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError:
        raise NasctlError("--cluster needs Ray, which is not installed: pip install 'nasctl[ray]'") from None
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Only this private switch keeps Ray from printing pages of messages about its nodes to standard output.
    ray._private.worker._worker_logs_enabled = False
    joined = not ray.is_initialized()
    if joined:
        try:
            # A new cluster needs no dashboard. The option has no effect on a cluster that runs already.
            ray.init(address or None, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise NasctlError(f"no Ray cluster can be used here ({reason}); give --cluster ray:ADDRESS") from error
    return ray, joined


def room(ray: Any, cpus: int, gpus: int) -> int:
    """Return the number of workers with these resources that fit on the nodes; a worker cannot span two nodes."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    needs = {"CPU": cpus, "GPU": gpus}
    return sum(min(int(node.get(kind, 0) // need) for kind, need in needs.items() if need) for node in nodes)
