"""A genome in its space, with evidence about it computed when first asked for, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from nasctl.candidates.setting import RecordedData, Setting
from nasctl.data import TokenData, batch, check, sentences
from nasctl.errors import NasctlError, without_traceback
from nasctl.networks.graph import Network
from nasctl.problem.space import Genome, Input, SearchSpace

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nasctl.candidates.attention_pass import Attention
    from nasctl.candidates.feature_maps import FeatureMaps
    from nasctl.candidates.gradients import Weight
    from nasctl.candidates.per_sample_gradients import PerSampleGradients
    from nasctl.candidates.shared_pass import Salience, SharedPass
    from nasctl.candidates.sign_codes import SignCodes
    from nasctl.networks.weights import Init


T = TypeVar("T")


class Candidate:
    """What an objective is given.

    Args:
        space: The space that the genome belongs to.
        genome: The genome, canonical.
        setting: What measured values depend on besides.
        needs: All that the objectives of the run need, so that one pass can gather it.
    """

    def __init__(self, space: SearchSpace, genome: Genome, setting: Setting, needs: frozenset[str]) -> None:
        self.space, self.genome, self.setting, self._needs = space, genome, setting, needs
        self._failures: dict[str, Exception] = {}  # of passes, by their names

    @cached_property
    def network(self) -> Network:
        """The real network, which costs are about."""
        return self.space.network(self.genome)

    @cached_property
    def scored(self) -> Network:
        """The network at the setting's fidelity, which modules and closed-form metrics are about."""
        return self.network if self._reduced is self.space else self._reduced.network(self.genome)

    @property
    def input(self) -> Input:
        """What `scored` takes."""
        (shape,) = self.scored.input_shapes
        return replace(self._reduced.input, shape=shape)

    def module(self, init: Init = "uniform") -> nn.Module:
        """A fresh module of `scored` in training mode, the caller's to change.

        Its weights depend on space, genome, fidelity and seed alone.

        Args:
            init: What weights of convolutions and linear layers are drawn from: PyTorch's own "uniform", "normal"
                (N(0, 1), no bias) or "kaiming" (N(0, 2 / n) with n inputs of one output, no bias).
        """
        # The source makes modules on the CPU whatever the device, so that weights are the same everywhere.
        module = self.setting.weights.module(self.scored, self.genome, self.setting.seed, init)
        return module if self.setting.device == "cpu" else module.to(self.setting.device)

    def batch(self, place: int = 0) -> tuple[Tensor, Tensor]:
        """Examples and their labels, as the setting says: images, (B, C, H, W), or tokens, (B, T).

        Labels are those of classes, (B,), or, where the network puts out a logit for each word at each place, the words
        that come next, (B, T). What is neither image nor token, such as (B, D) vectors, is drawn from N(0, 1).

        Args:
            place: Number of the batch: the next one has other examples.

        Raises:
            NasctlError: The data is of another kind, or has too few examples.
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
        """Which units of every rectifier are on (ReLU, ReLU6, h-swish, swish, GELU), by the rectifier's name."""
        return _found(self._evidence, "activations")  # type: ignore[no-any-return]

    @property
    def gradients(self) -> Mapping[str, Weight]:
        """The weights of convolutions and linear layers that the loss depends on, each with its gradient, by name."""
        return _found(self._evidence, "gradients")  # type: ignore[no-any-return]

    @cached_property
    def second_gradients(self) -> Mapping[str, Weight]:
        """The same weights with their gradients on the next batch."""
        from nasctl.candidates.shared_pass import shared_pass

        found = self._once(
            "second_gradients", lambda: shared_pass(self.module(), *self.batch(1), frozenset({"gradients"}))
        )
        return _found(found, "gradients")  # type: ignore[no-any-return]

    @property
    def curvature(self) -> Mapping[str, Tensor]:
        """The Hessian of the loss times those weights, restricted to them, by name."""
        return _found(self._evidence, "curvature")  # type: ignore[no-any-return]

    @property
    def saliences(self) -> Mapping[str, Salience]:
        """How the loss depends on the outputs of convolutions and linear layers, by the layer's name."""
        return _found(self._evidence, "saliences")  # type: ignore[no-any-return]

    @cached_property
    def samples(self) -> PerSampleGradients:
        """Gradients of single examples."""
        from nasctl.candidates.per_sample_gradients import PerSampleGradients

        return self._once("samples", lambda: PerSampleGradients(self.module(), *self.batch()))

    def samples_of(self, module: nn.Module, running: bool = False) -> PerSampleGradients:
        """Gradients of single examples of the batch in a module of the caller's own, which is spent afterwards.

        Args:
            module: In training mode.
            running: Let batch norms use their running statistics.
        """
        from nasctl.candidates.per_sample_gradients import PerSampleGradients

        return PerSampleGradients(module, *self.batch(), running)

    @cached_property
    def features(self) -> FeatureMaps:
        """What the blocks of the network put out, one after another, and how gradients pass between them."""
        from nasctl.candidates.feature_maps import FeatureMaps

        given = self.setting
        return self._once(
            "features",
            lambda: FeatureMaps(self.scored, self.module("kaiming"), given.batch, given.seed, given.device),
        )

    @cached_property
    def attention(self) -> Attention:
        """What the layers of a transformer do on the batch."""
        from nasctl.candidates.attention_pass import attention_pass

        weighed = "attention_gradients" in self._needs
        return self._once(
            "attention", lambda: attention_pass(self.scored, self.module(), self.batch()[0], weighed=weighed)
        )

    @property
    def attention_gradients(self) -> Mapping[str, Weight]:
        """The weights of its linear layers, each with the gradient of the sum of all outputs, by name."""
        if self.attention.weights is None:
            raise _undeclared("attention_gradients")
        return self.attention.weights

    @property
    def input_gradients(self) -> Tensor:
        """The gradient of the sum of all logits with respect to the batch, in its shape.

        Raises:
            NasctlError: The space takes tokens, which have none.
        """
        if self.input.kind != "images":
            raise NasctlError("an objective needs gradients of the input, and tokens have none; leave it out")
        return _found(self._evidence, "input_gradients")  # type: ignore[no-any-return]

    @cached_property
    def _reduced(self) -> SearchSpace:
        fidelity = self.setting.fidelity
        return self.space if fidelity.whole else self.space.reduced(fidelity)

    @cached_property
    def _evidence(self) -> SharedPass:
        from nasctl.candidates.shared_pass import shared_pass

        needs = self._needs if self.input.kind == "images" else self._needs - {"input_gradients"}
        return self._once("evidence", lambda: shared_pass(self.module(), *self.batch(), needs))

    def _once(self, name: str, work: Callable[[], T]) -> T:
        """Run a pass; every objective that needs it gets its error, and none runs it again."""
        if name != "evidence" and name not in self._needs:
            raise _undeclared(name)
        if name in self._failures:
            raise without_traceback(self._failures[name])
        try:
            return work()
        except Exception as failure:
            self._failures[name] = without_traceback(failure)
            raise


def _found(evidence: SharedPass, field: str) -> Any:
    """A field of the evidence, or the error that stands in its place."""
    if field in evidence.failures:
        raise without_traceback(evidence.failures[field])
    if (value := getattr(evidence, field)) is None:
        raise _undeclared(field)
    return value


def _undeclared(name: str) -> NasctlError:
    return NasctlError(f"an objective uses candidate.{name} without {name!r} in its `needs`; add it there")
