"""The function `nasctl.export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nasctl import registry
from nasctl.architectures import ids
from nasctl.defaults import DEFAULT_STORE
from nasctl.store.store import Store


def export(
    arch: str,
    *,
    formats: str | Sequence[str] = (),
    output: str | Path | None = None,
    space: str | None = None,
    store: str | Path = DEFAULT_STORE,
    seed: int = 0,
    force: bool = False,
) -> dict[str, Path]:
    """Write an architecture to files that run without nasctl, as `nasctl export` does.

    Each file is run and compared with nasctl's module before it is kept. The network is untrained.

    Args:
        arch: An id, the beginning of one in the store, or a genome such as "0,3,1".
        formats: "python", "torch", "pt2", "onnx" or "json", or several; by default what the suffix of `output` says,
            else "python".
        output: A file, or an existing folder; by default a file in the working directory that is named after the id.
        space: Spec of the space of a genome, or of an id that the store cannot resolve.
        store: Path of the database file; it need not exist.
        seed: Seed of the initial weights.
        force: Whether to overwrite existing files.

    Returns:
        The path of each file, by format.

    Raises:
        NasctlError: The architecture or a format does not exist, a file exists, or an exported file does not compute
            what the module computes.
    """
    from nasctl.export import export as files

    asked = registry.split([formats] if isinstance(formats, str) else formats)
    spec, genome = ids.resolve(arch, Store.reading(store), space)
    whole = ids.encode(spec, registry.create("spaces", spec).genes, genome)
    paths = files.destinations(whole, asked, None if output is None else Path(output), force)
    files.export(files.model(spec, genome, seed), paths, force)
    return paths
