"""The function `nasctl.export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nasctl.problem.defaults import DEFAULT_STORE


def export(
    arch: str | None = None,
    *,
    formats: str | Sequence[str] = (),
    output: str | Path | None = None,
    space: str | None = None,
    store: str | Path = DEFAULT_STORE,
    seed: int = 0,
    force: bool = False,
    weights: str | Path | None = None,
    data: str | Path | None = None,
    int8: bool = False,
) -> dict[str, Path]:
    """Write an architecture to files that run without nasctl, as `nasctl export` does.

    Each file is run and compared with nasctl's module before it is kept. The network is untrained unless `weights` are
    given.

    Args:
        arch: An id, the beginning of one in the store, or a genome such as "0,3,1". It may be left out with `weights`.
        formats: "python", "torch", "pt2", "onnx", "json", "openvino", "tflite", "executorch" or "coreml", or several;
            by default what the suffix of `output` says, else "python". The last four need the extra of nasctl of that
            name.
        output: A file, or an existing folder; by default a file in the working directory that is named after the id.
        space: Spec of the space of a genome, or of an id that the store cannot resolve.
        store: Path of the database file; it need not exist.
        seed: Seed of the initial weights.
        force: Whether to overwrite existing files.
        weights: Name of a training of the store, its unique beginning, or the path of trained weights.
        data: Path or name of the training's data, on whose validation part the files are compared; by default looked
            for.
        int8: Whether to write an int8 ONNX file beside the float32 one, as "int8".

    Returns:
        The path of each file, by format. A Core ML package is a folder, and an OpenVINO model has its weights in a
        .bin file beside it.

    Raises:
        NasctlError: An argument has the wrong type, the architecture or a format does not exist, a format's converter
            is not installed, a file exists, the weights are of another network, or an exported file does not compute
            what the module computes.
    """
    from nasctl.export.request import ExportRequest
    from nasctl.system.argument_types import check_arguments

    check_arguments("export", export, locals())

    request = ExportRequest(
        arch=arch,
        formats=(formats,) if isinstance(formats, str) else tuple(formats),
        output=None if output is None else Path(output),
        space=space,
        store=store,
        seed=seed,
        force=force,
        weights=None if weights is None else str(weights),
        data=None if data is None else str(data),
        int8=int8,
    )
    _, exported = request.run(lambda _: None)
    return exported.paths
