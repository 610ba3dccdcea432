"""The command `nasctl export`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from nasctl.commands import json_option, store_option, word_or_option
from nasctl.commands._complete import complete
from nasctl.commands._types import OutputPath

if TYPE_CHECKING:
    from nasctl.export.export import Exported, ExportedFile
    from nasctl.export.model import Model


@click.command()
@click.argument("arch_word", metavar="[ARCH]", required=False, shell_complete=complete("ids"))
@click.option(
    "--arch",
    metavar="ID",
    shell_complete=complete("ids"),
    help="An id, its unique beginning, or a genome such as 0,3,1; --weights may name it too.",
)
@click.option(
    "--weights",
    metavar="NAME",
    shell_complete=complete("weights"),
    help="Name of a training of the store, its unique beginning, or a file of trained weights; or name or file of a"
    " supernet, whose network --arch is exported.",
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="FORMAT",
    help="python: source that needs torch (and Pillow, if trained); torch: state dict; pt2: torch.export; onnx (a file "
    "for each stage, if there are early exits); json: a description; tflite, openvino, executorch, coreml: need the "
    "extra of nasctl of that name. May be repeated or separated by commas.  [default: the format of the suffix of -o, "
    "else python]",
)
@click.option(
    "-o",
    "--output",
    type=OutputPath(),
    metavar="FILE",
    help="File to write, or a folder; with several formats its suffix is replaced.  [default: the id or the training]",
)
@click.option(
    "--data",
    metavar="DATA",
    help="Data of the training, on whose validation images files are compared.  [default: looked for by its name]",
)
@click.option("--int8", is_flag=True, help="Also write an int8 ONNX file, and compare it with the float32 one.")
@click.option("--space", metavar="SPEC", help="Search space of a genome, or of an id that the store cannot resolve.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of initial weights.")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@store_option
@json_option
def command(as_json: bool, formats: tuple[str, ...], arch_word: str | None, arch: str | None, **options: Any) -> None:
    """Export ARCH, an id or a genome such as 0,3,1, as files that run without nasctl.

    The network is untrained, unless --weights gives it the weights of a training or its share of a supernet's, with
    batch-norm statistics calibrated for it. Each file is run and compared with nasctl's module before it is kept. The
    paths of the files go to stdout, the comparison to stderr.

    A trained network of images takes pixels from 0 to 255: all files but those of Python normalise them inside, float32
    (N, C, H, W). Their metadata hold the names of the classes and the size of the images. `python net.py photo.jpg`
    prints the classes of a photo, with the weights in net.pt.
    """
    import json

    from nasctl.export.request import ExportRequest
    from nasctl.networks import flop_count
    from nasctl.system.terminal import say

    if arch_word is not None:
        arch = word_or_option("arch", arch_word, arch)
    model, exported = ExportRequest(arch, formats, **options).run(say)
    for sentence in _sentences(model, exported):
        click.echo(sentence, err=True)
    macs = model.architecture.network.macs
    counted = flop_count.compare_counts(model.module, model.examples[:1], macs)
    click.echo(counted.sentence(), err=True)
    if as_json:
        operators = None if counted.fvcore is None else counted.fvcore.operators
        counts = {"macs": macs, "fvcore": operators, "torch": counted.torch}
        click.echo(json.dumps({**_facts(model, exported), **counts}))
        return
    for path in exported.paths.values():
        click.echo(path)


def _sentences(model: Model, exported: Exported) -> Iterator[str]:
    """Yield the weights' origin and the comparison of each file."""
    from nasctl.export.header import calibrated_elsewhere, result_sentences

    if model.trained is not None:
        result = "; ".join(result_sentences(model.trained.result)) or "without a result"
        data = f"trained on {model.trained.data}" if model.trained.data else "trained on data that is not known"
        if calibration := calibrated_elsewhere(model.trained):
            data += f", calibrated and judged on {calibration}"
        yield f"weights of {model.trained.training}, {data}: {result}"
    else:
        yield "the weights are untrained: train the network with nasctl train, and export it with --weights TRAINING"
    for name, file in exported.files.items():
        if (found := file.difference) is None:
            yield f"{name}: not run: {file.unrun}"
            continue
        compared = (
            f"largest difference from the module {found.absolute:.2g}, {found.relative:.2g} of the largest output"
        )
        yield f"{name}: {compared}" + (f"; {_accuracy(model, file)}" if file.accuracy else "")
    if exported.int8 is not None:
        yield from exported.int8.sentences()


def _accuracy(model: Model, file: ExportedFile) -> str:
    """Return the accuracy of a file on the validation part beside that of the module."""
    from nasctl.system.wording import share_text

    found = file.accuracy
    assert found is not None
    what = "images" if model.architecture.input.kind == "images" else "words"
    accuracy = share_text(found.accuracy, found.error, percent=False)
    share = f"{found.right:,} of {found.total:,} validation {what} right ({accuracy})"
    if not found.changed:
        return f"{share}, as the module"
    why = "values that are rounded to another step" if model.rounds_inputs else "ties within rounding errors"
    return f"{share}, the module {found.expected:,}; {found.changed} answers differ, {why}"


def _facts(model: Model, exported: Exported) -> dict[str, Any]:
    """Return what --json prints, but for the counts of MACs."""
    from dataclasses import asdict

    files: dict[str, Any] = {name: {"path": str(path)} for name, path in exported.paths.items()}
    for name, file in exported.files.items():
        files[name] |= asdict(file.difference) if file.difference else {"unrun": file.unrun}
        if file.accuracy is not None:
            files[name] |= {"accuracy": asdict(file.accuracy)}
    if exported.int8 is not None:
        files["int8"] |= asdict(exported.int8)
    training = {} if model.trained is None else {"training": model.trained.training, "result": model.trained.result}
    return {"id": model.architecture.id, "space": model.architecture.space, "files": files, **training}
