"""The docstring of an exported Python file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from nasctl.architectures.architecture import Architecture
from nasctl.networks.early_exit import thresholds_of
from nasctl.networks.graph import Network
from nasctl.registry.version import __version__
from nasctl.system.wording import plural, share_text
from nasctl.training.trained_weights import Facts

CALIBRATION = "calibration data"  # in the recipe of a variant of a trained network: the identity of the data


def header(architecture: Architecture, trained: Facts | None, predicts: bool, weights_name: str) -> str:
    """Return the docstring of the Python file.

    Args:
        architecture: The architecture.
        trained: Facts of the training; None for an untrained network.
        predicts: Whether the file can classify image files.
        weights_name: Name of the file with the trained weights.
    """
    facts = architecture.facts()
    shape = "x".join(map(str, facts["input"]))
    needs = "torch and Pillow, and nothing else" if predicts else "torch and nothing else"
    network = f"Network {architecture.id}{' with trained weights' if trained else ''}"
    lines = [
        f"{network}, written by nasctl {__version__}; it needs {needs}.",
        "",
        f"Space       {architecture.space}",
        f"Genome      {','.join(map(str, architecture.genome))}",
        *([f"Native      {architecture.native}"] if architecture.native else []),
        f"Input       {shape} ({architecture.input.kind})",
        f"Parameters  {facts['params']:,}",
        f"MACs        {facts['macs']:,} for one example: multiply-accumulates of convolutions and matrix products",
    ]
    lines += _exits(architecture.network)
    lines += _untrained(architecture) if trained is None else [*_trained(trained), *_use(trained, predicts)]
    if trained is not None:
        lines += ["", f"The weights are in {weights_name}, a state dict of `Net`, beside this file."]
    return "\n".join([*lines, ""])


def _exits(network: Network) -> Iterator[str]:
    """Yield the thresholds of early exits, and how they were chosen."""
    if thresholds := thresholds_of(network):
        listed = ", ".join(f"{one:g}" for one in thresholds)
        yield f"Exits       at probabilities above {listed}; the last exit has no threshold"
        yield "            An image leaves at the first exit whose largest probability is above its threshold. Later"
        yield "            stages do not run for it. A search chooses thresholds on validation images."


def result_sentences(result: dict[str, Any]) -> Iterator[str]:
    """Yield the result of a training on each part of its data, such as "0.934 ± 0.006 on 180 validation images"."""
    for part, found in result.items():
        examples = plural(found["examples"], f"{part} example") if "examples" in found else ""
        if found.get("accuracy") is not None:
            macs = ""
            if "expected_macs" in found:
                macs = f", {found['expected_macs']:,.0f} ± {found['macs_error']:,.0f} expected MACs"
            share = share_text(found["accuracy"], found["error"], percent=False)
            yield f"accuracy {share} on {examples}{macs}"
        elif found.get("perplexity") is not None:
            yield f"perplexity {found['perplexity']:.4g} on {examples}"


def calibrated_elsewhere(trained: Facts) -> str:
    """Return the identity of the data that calibrated a network and judged it; "" if it is that of its training."""
    found = str(trained.recipe.get(CALIBRATION, ""))
    return "" if found == trained.data else found


def _trained(trained: Facts) -> Iterator[str]:
    yield f"Training    {trained.training} by nasctl {trained.nasctl}, which learned {trained.task}"
    yield f"Data        {trained.data or 'not known'}"
    if calibration := calibrated_elsewhere(trained):
        yield f"Calibration {calibration}, with the results below"
    for sentence in result_sentences(trained.result):
        what, _, rest = sentence.partition(" ")
        yield f"{what.capitalize():<11} {rest}"


def _use(trained: Facts, predicts: bool) -> Iterator[str]:
    """Yield what the file does when it is run, and how it is used from Python."""
    yield ""
    if predicts:
        yield "Run the file on images to print their most probable classes, or import it:"
        yield ""
        yield '    predict("photo.jpg")  # [(class, probability), ...], the most probable class first'
        yield ""
        yield "Images are turned upright, cropped in the middle, resized bicubically to `SIZE` and normalised with"
        yield "`MEAN` and `DEVIATION`, as in training. `logits` takes a batch of pixels from 0 to 255. `Net` itself"
        yield "takes normalised images."
    elif trained.mean:
        yield "`logits` takes a batch of pixels from 0 to 255 and normalises it with `MEAN` and `DEVIATION`, as in"
        yield "training. `Net` itself takes normalised images."
    else:
        yield "`load()` returns the network with its trained weights. It takes numbers of words. The words themselves"
        yield "are in the data of the training, so there is no function that predicts text."


def _untrained(architecture: Architecture) -> Iterator[str]:
    yield ""
    yield "`Net()` has weights as torch draws them. Load the weights of `nasctl export --format torch` with"
    yield ""
    yield "    net = Net()"
    yield f"    net.load_state_dict(torch.load({json.dumps(architecture.id + '.pt')}, weights_only=True))"
    yield ""
    yield "Those are untrained too: nasctl's initial weights of a seed, with the batch-norm statistics of one batch of"
    yield "noise in place of torch's 0 and 1, so that every layer changes the output. Training overwrites both."
