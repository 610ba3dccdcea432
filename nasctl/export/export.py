"""Export of an architecture as files that run without nasctl, each compared with the module before it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from nasctl import registry
from nasctl.architectures.architecture import architecture
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.setting import Setting
from nasctl.errors import NasctlError, UnknownName
from nasctl.export.formats import FORMATS
from nasctl.export.model import Model
from nasctl.problem.space import Genome, Input
from nasctl.system.files import replacement

CALIBRATION = 32  # examples of the batch from which batch norms take their statistics
COMPARED = 3  # examples on which the module and a file are compared
TOLERANCE = 1e-4  # relative difference allowed; other orders of summation in float32 stay below 1e-6


@dataclass(frozen=True)
class Difference:
    """Difference between the outputs of an exported file and of the module."""

    absolute: float  # largest absolute difference
    relative: float  # the same, relative to the largest absolute output


def model(spec: str, genome: Genome, seed: int = 0) -> Model:
    """Return an architecture with nasctl's initial weights, and with the batch-norm statistics of a batch of noise.

    With torch's initial statistics (mean 0, variance 1) the activations of an untrained network vanish, its output is
    the bias of the classifier, and a comparison of outputs would test nothing else. With the statistics of a batch,
    every layer changes the output. Training overwrites the statistics. The compared examples belong to that batch: on
    others, the statistics of a deep network with attention differ so much that rounding errors grow.

    Args:
        spec: Spec of the search space.
        genome: The genome to export.
        seed: Seed of the initial weights and of the batch of noise.
    """
    candidate = Candidate(registry.create("spaces", spec), genome, Setting(seed=seed), frozenset())
    made, described = candidate.module(), architecture(spec, genome)
    examples = _random_inputs(described.input, CALIBRATION, seed)
    _calibrate(made, examples)
    return Model(described, made.eval(), examples[:COMPARED])


def destinations(arch: str, formats: Sequence[str], output: Path | None = None, force: bool = False) -> dict[str, Path]:
    """Return the path of each format's file, checked before any work is done.

    Args:
        arch: The id, which names the files if `output` does not.
        formats: Names of formats; if empty, the format with the suffix of `output`, else python.
        output: A folder, or a file, whose suffix is replaced if there are several formats.
        force: Whether existing files may be overwritten.

    Raises:
        UnknownName: A format does not exist.
        NasctlError: A file exists, or the suffix of `output` is of no format.
    """
    folder = output is None or output.is_dir()
    by_suffix = {one.suffix: name for name, one in FORMATS.items()}
    for name in formats:
        if name not in FORMATS:
            raise UnknownName("format", name, list(FORMATS))
    if not formats and output is not None and not folder and output.suffix not in ("", *by_suffix):
        raise NasctlError(f"{str(output)!r} has the suffix of no format; add --format {'|'.join(FORMATS)}")
    suffix = "" if output is None or folder else output.suffix
    chosen = dict.fromkeys(formats or [by_suffix.get(suffix, "python")])
    paths = {}
    for name in chosen:
        if output is None or folder:
            # A Python file gets a name that can be imported.
            stem = arch.replace("-", "_").replace(".", "_") if name == "python" else arch
            paths[name] = (output or Path()) / f"{stem}{FORMATS[name].suffix}"
        elif len(chosen) == 1:
            paths[name] = output
        else:
            stem = output.stem if output.suffix in by_suffix else output.name
            paths[name] = output.with_name(f"{stem}{FORMATS[name].suffix}")
        _check_free(paths[name], force)
    return paths


def export(exported: Model, paths: Mapping[str, Path], force: bool = False) -> dict[str, Difference]:
    """Write each format, run it and compare it with the module; all files appear together, or none appears.

    Args:
        exported: The architecture with its weights.
        paths: The path of each format's file.
        force: Whether existing files may be overwritten.

    Raises:
        NasctlError: A file cannot be written or run, or its output differs from the module's.
    """
    differences = {}
    with ExitStack() as stack:
        # Drafts are created first, so that a folder without permission to write is found before the work. A draft has
        # the suffix of its format, because formats are run from their drafts.
        drafts = {
            name: stack.enter_context(replacement(path, "give another file with -o", FORMATS[name].suffix))
            for name, path in paths.items()
        }
        for name, draft in drafts.items():
            try:
                FORMATS[name].write(exported, draft)
                found = FORMATS[name].run(exported, draft)
            except NasctlError:
                raise
            except Exception as error:  # torch, onnx and modules of plug-ins may raise anything
                reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
                whose = exported.architecture.id
                raise NasctlError(f"{whose} cannot be exported as {name} ({reason}); try another --format") from error
            differences[name] = _check_difference(name, difference(exported.outputs, found))
        for path in paths.values():
            _check_free(path, force)  # another process may have written it meanwhile
    return differences


def difference(expected: Tensor, found: Tensor) -> Difference:
    """Return the difference between two outputs; infinite if their shapes differ."""
    if expected.shape != found.shape:
        return Difference(float("inf"), float("inf"))
    largest = float((expected - found).abs().max())
    return Difference(largest, largest / max(float(expected.abs().max()), torch.finfo(torch.float32).tiny))


def _check_difference(name: str, found: Difference) -> Difference:
    """Return the difference if it is small enough."""
    if not found.relative <= TOLERANCE:  # True for NaN too
        raise NasctlError(
            f"cannot export as {name}: the file's output differs from the module's by {found.relative:.2g} of the "
            f"largest output, and {TOLERANCE:g} is allowed; nothing was written; try another --format"
        )
    return found


def _check_free(path: Path, force: bool) -> None:
    """Raise an error if a file must not be written at this path."""
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "no file"
        raise NasctlError(f"{str(path)!r} is {what}; give the name of a file with -o")
    if not force and (path.exists() or path.is_symlink()):
        raise NasctlError(f"{str(path)!r} exists; add --force to overwrite it, or give another file with -o")


def _calibrate(module: nn.Module, batch: Tensor) -> None:
    """Set the running statistics of every batch norm to the statistics of this batch."""
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # the running statistics average over all batches, here one
    with torch.no_grad():
        module.train()(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _random_inputs(wanted: Input, batch: int, seed: int) -> Tensor:
    """Draw images from N(0, 1), (B, C, H, W), or tokens uniformly, (B, T)."""
    generator = torch.Generator().manual_seed(seed)
    if wanted.kind == "tokens":
        return torch.randint(wanted.vocabulary, (batch, *wanted.shape), generator=generator)
    return torch.randn((batch, *wanted.shape), generator=generator)
