"""A network with its slices of a supernet's weights as a model to export."""

from __future__ import annotations

from dataclasses import asdict

from nasctl import registry
from nasctl.architectures.architecture import architecture
from nasctl.errors import NasctlError
from nasctl.export.model import Model
from nasctl.export.trained import random_examples
from nasctl.problem.space import Genome
from nasctl.supernets.subnets import check_space, subnet_state
from nasctl.supernets.trained_supernet import TrainedSupernet
from nasctl.supernets.validation import KEPT, evaluate_subnet, stored_batches
from nasctl.training.trained_weights import Facts


def inherited_model(supernet: TrainedSupernet, asked: tuple[str, Genome] | None) -> Model:
    """Return a network with its slices of a supernet's weights, and with batch-norm statistics calibrated for it.

    Args:
        supernet: The supernet.
        asked: Spec and genome of the architecture that the user named, if any.

    Raises:
        NasctlError: No architecture is named, it is no network of the supernet's space, or the supernet's training has
            not reached its weights.
    """
    if asked is None:
        raise NasctlError(f"Cannot export the supernet {supernet.name}: it has many networks. Give one with --arch ID.")
    spec, genome = asked
    check_space(supernet, registry.create("spaces", spec), spec)
    facts = supernet.facts
    genome = supernet.space.canonical(genome)
    described = architecture(facts.space, genome)
    try:
        state = subnet_state(supernet, genome)
    except NasctlError as error:
        raise NasctlError(
            f"Cannot export {described.id} with the weights of supernet {supernet.name}: {error}."
        ) from None
    module = described.network.module()
    module.load_state_dict(state)
    result = {}
    if supernet.validation is not None:
        result["validation"] = asdict(evaluate_subnet(supernet, genome, stored_batches(supernet, KEPT)))
    origin = Facts(
        space=described.space,
        genome=genome,
        training=f"supernet {supernet.name}",
        task=facts.task,
        class_names=facts.class_names,
        mean=facts.mean,
        deviation=facts.deviation,
        data=facts.data,
        recipe=facts.recipe,
        result=result,
        nasctl=facts.nasctl,
    )
    return Model(described, module.eval(), random_examples(described.input, facts.mean, facts.deviation), origin)


__all__ = ["inherited_model"]
