"""A genome in its space and setting, with the results of passes over its module, each computed once on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from nasctl.candidates.setting import RecordedData, Setting
from nasctl.data import TokenData, batch, check, sentences
from nasctl.errors import NasctlError, without_traceback
from nasctl.networks.graph import Network
from nasctl.problem.space import Genome, HasTrainedWeights, Input, SearchSpace

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nasctl.candidates.attention_pass import Attention
    from nasctl.candidates.feature_maps import FeatureMaps
    from nasctl.candidates.gradients import Weight
    from nasctl.candidates.per_sample_gradients import PerSampleGradients
    from nasctl.candidates.rectifier_codes import RectifierCodes
    from nasctl.candidates.shared_pass import Salience, SharedPass
    from nasctl.candidates.sign_codes import SignCodes
    from nasctl.networks.weights import Init


T = TypeVar("T")


class Candidate:
    """The argument of an objective: a genome in its space and setting.

    A pass over the module runs when an objective first reads one of its results, and its results or its error are kept
    for all objectives. Objectives declare the properties that they read as their `needs`, so that one pass computes no
    more than the objectives of a run read.

    Args:
        space: The space that the genome belongs to.
        genome: The genome, canonical.
        setting: The conditions that measured values depend on. Its data has to suit the input of the space.
        needs: The union of the `needs` of all objectives that read the candidate.
    """

    def __init__(self, space: SearchSpace, genome: Genome, setting: Setting, needs: frozenset[str]) -> None:
        self.space, self.genome, self.setting, self._needs = space, genome, setting, needs
        self._failures: dict[str, Exception] = {}  # by the name of the pass

    @cached_property
    def network(self) -> Network:
        """The network at full size, for costs such as latency."""
        return self.space.network(self.genome)

    @cached_property
    def scored(self) -> Network:
        """The network at the setting's fidelity, for modules and closed-form metrics."""
        return self.network if self._reduced is self.space else self._reduced.network(self.genome)

    @property
    def input(self) -> Input:
        """The input of `scored`."""
        (shape,) = self.scored.input_shapes
        return replace(self._reduced.input, shape=shape)

    def module(self, init: Init = "uniform") -> nn.Module:
        """Return a fresh module of `scored` in training mode, on the setting's device. The caller may change it.

        The setting's source of weights makes the module. Drawn weights depend on space, genome, fidelity and seed only.

        Args:
            init: The distribution of drawn weights of convolutions and linear layers: PyTorch's own "uniform",
                "normal" (N(0, 1), no bias) or "kaiming" (N(0, 2 / n) with n inputs of one output, no bias).

        Raises:
            NasctlError: The networks of the space have trained weights.
        """
        if isinstance(self.space, HasTrainedWeights):
            raise NasctlError("Cannot draw weights for a trained network. Use the accuracy, or another space.")
        # The source makes modules on the CPU whatever the device is, so that weights are the same everywhere.
        module = self.setting.weights.module(self.scored, self.genome, self.setting.seed, init)
        return module if self.setting.device == "cpu" else module.to(self.setting.device)

    def weights_of(self, module: nn.Module) -> Mapping[str, nn.Parameter]:
        """Return the weights of the convolutions and linear layers of a module of `scored`, by the parameter's name.

        These are all parameters that the module multiplies with activations, as in `gradients`.

        Raises:
            ValueError: The weights of a layer cannot be found.
        """
        from nasctl.networks.torch_functions import custom_layers, product_weights

        return product_weights(module, custom_layers(module, self.scored))

    def rectifier_codes(self, module: nn.Module, network: Network) -> RectifierCodes:
        """Return a recorder of the signs of the inputs of all rectifiers of a module that the caller made.

        Args:
            module: The module. Its next forward pass is recorded.
            network: The network of the module.
        """
        from nasctl.candidates.rectifier_codes import RectifierCodes

        return RectifierCodes(module, network)

    def magnitude_flow(self, module: nn.Module, ones: Tensor) -> float:
        """Return ``sum |w * dR/dw|`` of the linear network of weight magnitudes; see `magnitude_pass.magnitude_flow`.

        Args:
            module: A module of `scored`. The pass changes it, so use it for nothing else.
            ones: One example of ones, (1, ...) float64.

        Raises:
            ValueError: A layer is not linear; the message names the layer.
        """
        from nasctl.candidates.magnitude_pass import magnitude_flow

        return magnitude_flow(self.scored, module, ones)

    def batch(self, place: int = 0) -> tuple[Tensor, Tensor]:
        """Return examples of the setting's data with their labels, on the setting's device.

        Args:
            place: The number of the batch. Batches of different numbers have different examples.

        Returns:
            Images, (B, C, H, W), or tokens, (B, T), and labels: classes, (B,), or the next words, (B, T), if the
            network puts out a logit for each word at each place.

        Raises:
            NasctlError: The data is of another kind than the input of the space, or has too few examples.
            ValueError: The network puts out neither one row of logits nor one row at each place.
        """
        import torch

        setting, given, out = self.setting, self.input, self.scored.out_shape
        next_words = given.kind == "tokens" and out == (*given.shape, given.vocabulary)
        if len(out) != 1 and not next_words:
            raise ValueError(f"examples have one label each, and this network puts out {'x'.join(map(str, out))}")
        data = setting.data
        if isinstance(data, RecordedData):
            raise NasctlError(f"Cannot read examples of {data}: a record holds only the name. Give it with --data.")
        check(data, given.kind)
        drawn = setting.batch, setting.seed, place
        if isinstance(data, TokenData):
            classes = None if next_words else out[0]
            examples, labels = sentences(data, given.vocabulary, given.shape[0], classes, *drawn)
        else:
            examples, labels = batch(data, given.shape, out[0], *drawn)
        return torch.tensor(examples).to(setting.device), torch.tensor(labels).to(setting.device)

    @property
    def activations(self) -> Mapping[str, SignCodes]:
        """The signs of the inputs of every rectifier, by the rectifier's name.

        `nasctl.networks.layer_kinds.rectifiers` lists the classes. Functions such as `F.relu` count under the name of
        the layer that calls them.
        """
        return _found(self._shared, "activations")  # type: ignore[no-any-return]

    @property
    def gradients(self) -> Mapping[str, Weight]:
        """The weights of convolutions and linear layers with the gradient of the loss, by the parameter's name.

        The projections of attention, the weights of recurrent layers, and parameters that a layer multiplies with
        activations by functions such as `F.conv2d` are weights of linear layers. Weights that the loss does not depend
        on are left out.
        """
        return _found(self._shared, "gradients")  # type: ignore[no-any-return]

    @cached_property
    def second_gradients(self) -> Mapping[str, Weight]:
        """The weights of `gradients` with their gradients on the next batch."""
        from nasctl.candidates.shared_pass import shared_pass

        found = self._once(
            "second_gradients",
            lambda: shared_pass(self.module(), *self.batch(1), frozenset({"gradients"}), self.scored),
        )
        return _found(found, "gradients")  # type: ignore[no-any-return]

    @property
    def curvature(self) -> Mapping[str, Tensor]:
        """The product of the loss's Hessian and the weights of `gradients`, by the parameter's name.

        Rows and columns of the Hessian are those weights.
        """
        return _found(self._shared, "curvature")  # type: ignore[no-any-return]

    @property
    def saliences(self) -> Mapping[str, Salience]:
        """The outputs of convolutions and linear layers times the loss's gradients, by the layer's name."""
        return _found(self._shared, "saliences")  # type: ignore[no-any-return]

    @cached_property
    def samples(self) -> PerSampleGradients:
        """The gradients of single examples of the batch."""
        from nasctl.candidates.per_sample_gradients import PerSampleGradients

        return self._once("samples", lambda: PerSampleGradients(self.module(), *self.batch(), network=self.scored))

    def samples_of(self, module: nn.Module, running: bool = False) -> PerSampleGradients:
        """Return the gradients of single examples of the batch in a module that the caller made.

        Args:
            module: A module in training mode. The pass changes it, so use it for nothing else.
            running: Whether batch norms use their running statistics in place of the statistics of the batch.
        """
        from nasctl.candidates.per_sample_gradients import PerSampleGradients

        return PerSampleGradients(module, *self.batch(), running, self.scored)

    @cached_property
    def features(self) -> FeatureMaps:
        """The feature maps of the network's blocks on Gaussian noise, and the gains of gradients between the blocks."""
        from nasctl.candidates.feature_maps import FeatureMaps

        given = self.setting
        return self._once(
            "features",
            lambda: FeatureMaps(self.scored, self.module("kaiming"), given.batch, given.seed, given.device),
        )

    @cached_property
    def attention(self) -> Attention:
        """The statistics of a transformer's layers on the batch."""
        from nasctl.candidates.attention_pass import attention_pass

        weighed = "attention_gradients" in self._needs
        return self._once(
            "attention", lambda: attention_pass(self.scored, self.module(), self.batch()[0], weighed=weighed)
        )

    @property
    def attention_gradients(self) -> Mapping[str, Weight]:
        """The weights of a transformer's linear layers with the gradient of the sum of all outputs, by layer name."""
        if self.attention.weights is None:
            raise _undeclared("attention_gradients")
        return self.attention.weights

    @property
    def input_gradients(self) -> Tensor:
        """The gradient of the sum of all logits with respect to the examples of the batch, in the shape of the batch.

        Raises:
            NasctlError: The space takes tokens, which have no gradients.
        """
        if self.input.kind != "images":
            raise NasctlError("an objective needs gradients of the input, and tokens have none; leave it out")
        return _found(self._shared, "input_gradients")  # type: ignore[no-any-return]

    @cached_property
    def _reduced(self) -> SearchSpace:
        """The space at the setting's fidelity."""
        fidelity = self.setting.fidelity
        return self.space if fidelity.whole else self.space.reduced(fidelity)

    @cached_property
    def _shared(self) -> SharedPass:
        """The results of the pass that most metrics share."""
        from nasctl.candidates.shared_pass import shared_pass

        needs = self._needs if self.input.kind == "images" else self._needs - {"input_gradients"}
        return self._once("shared", lambda: shared_pass(self.module(), *self.batch(), needs, self.scored))

    def _once(self, name: str, work: Callable[[], T]) -> T:
        """Return the results of a pass. A failed pass does not run again: its error is raised for every reader.

        Raises:
            NasctlError: No objective declares the pass in its `needs`.
        """
        if name != "shared" and name not in self._needs:
            raise _undeclared(name)
        if name in self._failures:
            raise without_traceback(self._failures[name])
        try:
            return work()
        except Exception as failure:
            self._failures[name] = without_traceback(failure)
            raise


def _found(results: SharedPass, field: str) -> Any:
    """Return a field of the results of the shared pass.

    Raises:
        Exception: The error with which the field failed.
        NasctlError: No objective declares the field in its `needs`.
    """
    if field in results.failures:
        raise without_traceback(results.failures[field])
    if (value := getattr(results, field)) is None:
        raise _undeclared(field)
    return value


def _undeclared(name: str) -> NasctlError:
    """Return the error for an objective that reads a property which it does not declare."""
    return NasctlError(f"an objective uses candidate.{name} without {name!r} in its `needs`; add it there")
