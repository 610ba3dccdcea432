"""Takes an architecture away as files that run without nasctl, each compared with the module before it is kept."""

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

CALIBRATION, COMPARED = 32, 3  # examples
TOLERANCE = 1e-4  # relative; float32 with other orders of summation stays two digits below it


@dataclass(frozen=True)
class Difference:
    """How far the outputs of an exported file lie from the module's."""

    absolute: float  # the largest
    relative: float  # to the largest output


def model(spec: str, genome: Genome, seed: int = 0) -> Model:
    """An architecture with nasctl's initial weights of a seed, and batch-norm statistics of a batch of noise.

    An untrained network with torch's initial statistics (mean 0, variance 1) lets its activations vanish, and its
    output is the classifier's bias whatever comes before it: a comparison would compare nothing else. With the
    statistics of a batch every layer shows in the output. Training overwrites them. Examples of that batch are what is
    compared: in a deep network with attention the statistics of others differ so much that rounding errors grow.
    """
    candidate = Candidate(registry.create("spaces", spec), genome, Setting(seed=seed), frozenset())
    made, described = candidate.module(), architecture(spec, genome)
    noise = _noise(described.input, CALIBRATION, seed)
    _calibrate(made, noise)
    return Model(described, made.eval(), noise[:COMPARED])


def destinations(arch: str, formats: Sequence[str], output: Path | None = None, force: bool = False) -> dict[str, Path]:
    """Where each format goes, checked before any work is done.

    Args:
        arch: The id, which names the files if `output` does not.
        formats: What to write; if none is given, what the suffix of `output` stands for, else python.
        output: A file; its suffix is replaced if there are several formats. Or a folder.
        force: Whether existing files may be written over.

    Raises:
        UnknownName: There is no such format.
        NasctlError: A file exists, or the output does not say what it is.
    """
    folder = output is None or output.is_dir()
    by_suffix = {one.suffix: name for name, one in FORMATS.items()}
    for name in formats:
        if name not in FORMATS:
            raise UnknownName("format", name, list(FORMATS))
    if not formats and output is not None and not folder and output.suffix not in ("", *by_suffix):
        raise NasctlError(f"{str(output)!r} does not say what to write; add --format {'|'.join(FORMATS)}")
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
    """Write each format, run it and compare it; the files appear together, after all have passed, or not at all.

    Raises:
        NasctlError: A file cannot be written, cannot be run, or computes something else.
    """
    differences = {}
    with ExitStack() as stack:
        # Every draft is made before the work, so that a folder that takes none is found early.
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
            except Exception as error:  # whatever torch, onnx and a plug-in's own modules raise
                reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
                whose = exported.architecture.id
                raise NasctlError(f"{whose} cannot be exported as {name} ({reason}); try another --format") from error
            differences[name] = _checked(name, difference(exported.outputs, found))
        for path in paths.values():
            _check_free(path, force)  # it may have come into being meanwhile
    return differences


def difference(expected: Tensor, found: Tensor) -> Difference:
    """The largest difference between two outputs of one shape."""
    if expected.shape != found.shape:
        return Difference(float("inf"), float("inf"))
    largest = float((expected - found).abs().max())
    return Difference(largest, largest / max(float(expected.abs().max()), torch.finfo(torch.float32).tiny))


def _checked(name: str, found: Difference) -> Difference:
    if not found.relative <= TOLERANCE:  # nor NaN
        raise NasctlError(
            f"the {name} export computes something else than the module: they differ by {found.relative:.2g} of the "
            f"largest output, where {TOLERANCE:g} is allowed; nothing was written, and another --format may do"
        )
    return found


def _check_free(path: Path, force: bool) -> None:
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "no file"
        raise NasctlError(f"{str(path)!r} is {what}; give the name of a file with -o")
    if not force and (path.exists() or path.is_symlink()):
        raise NasctlError(f"{str(path)!r} exists; add --force to write over it, or give another file with -o")


def _calibrate(module: nn.Module, batch: Tensor) -> None:
    """Give every batch norm the statistics of this batch as its running ones."""
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # an average over all batches seen, which is this one
    with torch.no_grad():
        module.train()(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _noise(wanted: Input, batch: int, seed: int) -> Tensor:
    """Images from N(0, 1), (B, C, H, W), or tokens drawn uniformly, (B, T)."""
    generator = torch.Generator().manual_seed(seed)
    if wanted.kind == "tokens":
        return torch.randint(wanted.vocabulary, (batch, *wanted.shape), generator=generator)
    return torch.randn((batch, *wanted.shape), generator=generator)
