"""Export of an architecture as files that run without nasctl, each compared with the module before it is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from nasctl import registry
from nasctl.architectures.architecture import architecture
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.setting import Setting
from nasctl.errors import NasctlError, UnknownName
from nasctl.export.accuracy import ExportedAccuracy, compare_on_labels
from nasctl.export.difference import Difference, check_difference, difference
from nasctl.export.formats import FORMATS
from nasctl.export.int8 import INT8, INT8_SUFFIX, QuantisedFile, quantise
from nasctl.export.model import Model, Runner
from nasctl.problem.space import Genome, Input
from nasctl.system.files import folder_replacement, replacement, room_error
from nasctl.training.labelled import TrainingData

CALIBRATION = 32  # examples of the batch from which batch norms take their statistics
ROOM = 1 << 20  # bytes that a file may take beside its weights, such as for source and graph
EXISTS = "exists; add --force to overwrite it (force=True in Python),"  # part of a message
COMPARED = 3  # examples on which the module and a file are compared


@dataclass(frozen=True)
class ExportedFile:
    """The outputs of an exported file beside the module's.

    Attributes:
        difference: Largest difference on random examples, and on the validation examples where there are any; None if
            the file cannot be run on this system.
        accuracy: Right answers on the validation examples; None if they were not at hand.
        unrun: What was checked of a file that cannot be run on this system; "" if it was run.
    """

    difference: Difference | None
    accuracy: ExportedAccuracy | None = None
    unrun: str = ""


@dataclass(frozen=True)
class Exported:
    """The files of an export.

    Attributes:
        paths: Path of each file by format, with that of the int8 file under "int8".
        files: Comparison of each file with the module, by format.
        int8: Comparison of the int8 file with the float32 file, if there is one.
    """

    paths: dict[str, Path]
    files: Mapping[str, ExportedFile]
    int8: QuantisedFile | None = None


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


def destinations(
    arch: str,
    formats: Sequence[str],
    output: Path | None = None,
    force: bool = False,
    trained: bool = False,
    int8: bool = False,
) -> dict[str, Path]:
    """Return the path of each format's file, checked before any work is done.

    Args:
        arch: The id or the name of the training, which names the files if `output` does not.
        formats: Names of formats; if empty, the format with the suffix of `output`, else python.
        output: A folder, or a file, whose suffix is replaced if there are several formats.
        force: Whether existing files may be overwritten.
        trained: Whether the network is trained. A Python file then needs the weights of the torch format beside it.
        int8: Whether an int8 ONNX file is written, beside the float32 one that it is compared with.

    Raises:
        UnknownName: A format does not exist.
        NasctlError: A file exists, the converter of a format is not installed, or the suffix of `output` is of no
            format.
    """
    by_suffix = {one.suffix: name for name, one in FORMATS.items()}
    folder = output is None or (output.is_dir() and not _is_package(output))
    for name in formats:
        if name not in FORMATS:
            raise UnknownName("format", name, list(FORMATS))
    if not formats and output is not None and not folder and output.suffix not in ("", *by_suffix):
        raise NasctlError(f"{str(output)!r} has the suffix of no format; add --format {'|'.join(FORMATS)}")
    suffix = "" if output is None or folder else output.suffix
    chosen = dict.fromkeys(formats or (["onnx"] if int8 and suffix == "" else [by_suffix.get(suffix, "python")]))
    if trained and "python" in chosen:
        chosen |= {"torch": None}
    if int8:
        chosen |= {"onnx": None, INT8: None}
    paths = {}
    for name in chosen:
        _check_installed(name)
        if output is None or folder:
            # A Python file gets a name that can be imported.
            stem = arch.replace("-", "_").replace(".", "_") if name == "python" else arch
            paths[name] = (output or Path()) / f"{stem}{_suffix(name)}"
        elif len(chosen) == 1:
            paths[name] = output
        else:
            stem = output.stem if output.suffix in by_suffix else output.name
            paths[name] = output.with_name(f"{stem}{_suffix(name)}")
        _check_free(name, paths[name], force)
    return paths


def export(
    exported: Model, paths: Mapping[str, Path], force: bool = False, data: TrainingData | None = None
) -> Exported:
    """Write each format, run it and compare it with the module; all files appear together, or none appears.

    Args:
        exported: The architecture with its weights.
        paths: The path of each format's file; that of `INT8` needs "onnx" too.
        force: Whether existing files may be overwritten.
        data: Labelled data, on whose validation part trained networks are compared; it is needed for `INT8`.

    Raises:
        NasctlError: A file cannot be written or run, or its output differs from the module's.
    """
    int8 = None
    with ExitStack() as stack:
        # Drafts are created first, so that a folder without permission to write is found before the work. A draft has
        # the suffix of its format, because formats are run from their drafts.
        drafts = {name: stack.enter_context(_draft(name, path)) for name, path in paths.items()}
        runners, found = dict[str, Runner](), dict[str, ExportedFile]()
        for name, draft in drafts.items():
            if name == INT8:
                continue
            with _explained(exported, name, draft, paths[name]):
                FORMATS[name].write(exported, draft)
                runner = FORMATS[name].load(exported, draft)
                computed = None if runner is None else difference(exported.outputs, runner(exported.examples))
            if runner is None or computed is None:
                found[name] = ExportedFile(None, unrun=FORMATS[name].unrun)
                continue
            steps = exported.rounds_inputs and not FORMATS[name].same_kernels
            if not steps or data is None:  # a median, and a share of answers, need the examples of the data
                check_difference(name, computed, steps)
            runners[name], found[name] = runner, ExportedFile(computed)
        if data is not None:
            for name, (largest, accuracy) in compare_on_labels(exported, data, runners).items():
                steps = exported.rounds_inputs and not FORMATS[name].same_kernels
                check_difference(name, largest, steps, accuracy.changed / accuracy.total)
                both = [one for one in (found[name].difference, largest) if one is not None]
                found[name] = ExportedFile(max(both, key=lambda one: one.relative), accuracy)
        if INT8 in drafts and data is not None:
            with _explained(exported, INT8, drafts[INT8], paths[INT8]):
                int8 = quantise(exported, data, drafts["onnx"], drafts[INT8])
        for name, path in paths.items():
            _check_free(name, path, force)  # another process may have written it meanwhile
    return Exported(dict(paths), found, int8)


@contextmanager
def _explained(exported: Model, name: str, draft: Path, path: Path) -> Iterator[None]:
    """Turn every error of a library into one sentence: torch, onnx and modules of plug-ins may raise anything.

    Args:
        exported: The architecture.
        name: The format.
        draft: The file that the block writes.
        path: The name that the file will have.
    """
    try:
        yield
    except NasctlError:
        raise
    except Exception as error:
        if no_room := room_error(draft, ROOM + sum(one.nbytes for one in exported.module.state_dict().values())):
            raise NasctlError(
                f"{path} cannot be written ({no_room.strerror}); free some space, or give another file with -o"
            ) from error
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        whose = exported.architecture.id
        raise NasctlError(f"{whose} cannot be exported as {name} ({reason}); try another --format") from error


def _suffix(name: str) -> str:
    return INT8_SUFFIX if name == INT8 else FORMATS[name].suffix


def _draft(name: str, path: Path) -> AbstractContextManager[Path]:
    """Return the context manager of the draft of a format's file."""
    if name != INT8 and FORMATS[name].folder:
        return folder_replacement(path, "give another name with -o")
    beside = "" if name == INT8 else FORMATS[name].beside
    return replacement(path, "give another file with -o", _suffix(name), beside)


def _is_package(path: Path) -> bool:
    """Return whether a path is that of a format whose files are folders."""
    return any(one.folder and one.suffix == path.suffix for one in FORMATS.values())


def _check_installed(name: str) -> None:
    """Raise an error if the converter or the runtime of a format is not installed."""
    if name != INT8 and not FORMATS[name].installed:
        extra = FORMATS[name].extra
        raise NasctlError(
            f"Cannot export as {name}: its converter is not installed. Install it with `pip install 'nasctl[{extra}]'`."
        )


def _check_free(name: str, path: Path, force: bool) -> None:
    """Raise an error if the file of a format must not be written at this path."""
    if name != INT8 and FORMATS[name].beside:
        _check_path_free(path.with_suffix(FORMATS[name].beside), force)
    if name != INT8 and FORMATS[name].folder and path.is_dir() and (path / FORMATS[name].marker).is_file():
        if not force:
            raise NasctlError(f"{str(path)!r} {EXISTS} or give another name with -o")
        return
    _check_path_free(path, force)


def _check_path_free(path: Path, force: bool) -> None:
    """Raise an error if a file must not be written at this path."""
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "no file"
        raise NasctlError(f"{str(path)!r} is {what}; give the name of a file with -o")
    if not force and (path.exists() or path.is_symlink()):
        raise NasctlError(f"{str(path)!r} {EXISTS} or give another file with -o")


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
