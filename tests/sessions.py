"""Processes of a session, as Linux lists them."""

from pathlib import Path


def members(session):
    """Return the numbers of the processes that still run in the session of a leading process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, leader = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(leader) == session and state != "Z":
            found.append(int(path.parent.name))
    return found
