"""A variant of a trained network, such as a quantised one, as a model to export."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from nasctl import registry
from nasctl.architectures.architecture import architecture
from nasctl.candidates.determinism import deterministic_torch
from nasctl.compression.compressed_space import CompressedSpace
from nasctl.compression.exit_outputs import ExitEvaluator
from nasctl.compression.exit_shares import expected, expected_error
from nasctl.compression.variant_accuracy import labelled_batches
from nasctl.export.header import CALIBRATION
from nasctl.export.model import Model
from nasctl.export.trained import random_examples
from nasctl.networks.early_exit import running_costs
from nasctl.networks.graph import Network
from nasctl.networks.quantized_layer import QuantizedLayer
from nasctl.problem.space import Genome
from nasctl.registry.version import __version__
from nasctl.training.evaluation import Result, accuracy_error
from nasctl.training.trained_weights import Facts


def compressed_model(spec: str, space: CompressedSpace, genome: Genome) -> Model:
    """Return a variant of a trained network with its weights.

    Args:
        spec: Spec of the space.
        space: The space.
        genome: The genome.
    """
    with deterministic_torch(1):  # as searches have it by default, so that biases have the same last digits
        return _model(spec, space, genome)


def _model(spec: str, space: CompressedSpace, genome: Genome) -> Model:
    base, described, data = space.base, architecture(spec, genome), space.calibration
    module = space.module(genome)
    facts = Facts(
        space=described.space,
        genome=genome,
        training=f"{registry.short_name(spec)} {base.name}",
        task="classes",
        class_names=base.class_names,
        mean=base.mean,
        deviation=base.deviation,
        data=base.data,
        recipe={CALIBRATION: str(data)},
        result=_result(space, genome, described.network),
        nasctl=__version__,
    )
    examples = random_examples(described.input, base.mean, base.deviation)
    rounds = any(isinstance(node.layer, QuantizedLayer) for node in described.network.nodes)
    return Model(described, module, examples, facts, rounds_inputs=rounds, data=data)


@torch.no_grad()
def _result(space: CompressedSpace, genome: Genome, network: Network) -> dict[str, dict[str, Any]]:
    """Return the result of a variant on all test and validation images of its data; a part without images is left out.

    The test part comes first: a search has not chosen the variant by it.
    """
    data, results = space.calibration, {}
    for part in ("test", "validation"):
        if not (size := data.size(part)):
            continue
        batches, labels = labelled_batches(space.base, data, part, size)
        run = space.evaluator(batches)
        outputs, expected = torch.cat(run(genome)), torch.cat(labels)
        share, number = float((outputs.argmax(1) == expected).double().mean()), len(expected)
        found = Result(float(cross_entropy(outputs, expected)), share, None, number, accuracy_error(share, number))
        results[part] = asdict(found)
        if isinstance(run, ExitEvaluator):
            results[part] |= _expected_macs(network, run.exits(genome))
    return results


def _expected_macs(network: Network, exits: Tensor) -> dict[str, Any]:
    """Return the shares of the images that leave at each exit, and the mean of their MACs with its standard error.

    Args:
        network: The network.
        exits: The number of the exit of each image, (N,).
    """
    costs = running_costs(network, lambda span: span.emission.macs)
    shares = [int(one) / len(exits) for one in exits.bincount(minlength=len(costs))]
    found = {"expected_macs": expected(shares, costs), "macs_error": expected_error(shares, costs, len(exits))}
    return {**found, "exit_shares": shares}


__all__ = ["compressed_model"]
