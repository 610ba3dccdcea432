"""Modules that check types, change values in place or mix the examples of a batch: refused in a sentence, or exact."""

import torch
from torch import Tensor, nn

from .registry import pattern


class Small(nn.Module):
    """A linear layer before and after."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

    def middle(self, x):
        return x

    def forward(self, x):
        return self.b(self.middle(self.a(x)))


def negative(kind):
    return pattern(8, negative=True)(kind)


@negative
class InstanceCheck(Small):
    """A proxy is no Tensor."""

    def middle(self, x):
        return torch.relu(x) if isinstance(x, Tensor) else x


@negative
class TypeCheck(Small):
    def middle(self, x):
        return torch.tanh(x) if type(x) is Tensor else x * 2


@negative
class ClassNameCheck(Small):
    def middle(self, x):
        return x.sigmoid() if x.__class__.__name__ == "Tensor" else x


@negative
class AttributeCheck(Small):
    def middle(self, x):
        return x if hasattr(x, "node") else x.exp()


@negative
class FailureAsBranch(Small):
    """A failing conversion hides a path."""

    def middle(self, x):
        try:
            return x * float(x.abs().sum() > -1)
        except Exception:
            return x - 1


@negative
class OutArgument(Small):
    def middle(self, x):
        y = torch.empty_like(x)
        torch.add(x, 1, out=y)
        return y * 2


@negative
class OutArgumentOverwrites(Small):
    def middle(self, x):
        y = x * 2
        torch.mul(x, 3, out=x)
        return y + x


@negative
class InPlaceOnView(Small):
    def middle(self, x):
        y = x * 1
        y[:, :4].mul_(3)
        return y


@negative
class InPlaceOnChunk(Small):
    def middle(self, x):
        y = x * 1
        first, _ = y.chunk(2, 1)
        first += 1
        return y


@negative
class InPlaceThroughReshape(Small):
    def middle(self, x):
        y = x.clone()
        y.view(-1, 2, 4).transpose(1, 2).zero_()
        return y + x


@negative
class InPlaceOnInput(Small):
    """The input itself changes, and the first layer has read it."""

    def forward(self, x):
        y = self.a(x)
        x.relu_()
        return self.b(y + x)


@negative
class AssignedSlice(Small):
    def middle(self, x):
        y = x.clone()
        y[:, 0] = 0
        return y


@negative
class AssignedByMask(Small):
    def middle(self, x):
        x = x.clone()
        x[x < 0] *= 0.1
        return x


@negative
class CopiedInto(Small):
    def middle(self, x):
        y = torch.zeros(len(x), 16)
        y.narrow(1, 0, 8).copy_(x)
        return y[:, :8] + y[:, 8:]


@negative
class DividedByBatch(Small):
    def middle(self, x):
        return x / x.shape[0]


@negative
class ScaledByNumberOfElements(Small):
    def middle(self, x):
        return x * (x.numel() ** -0.5)


@negative
class FixedBatchView(Small):
    def middle(self, x):
        return x.view(4, -1).view(-1, 8)


@negative
class AveragedOverBatch(Small):
    def middle(self, x):
        return x - x.mean(0)


@negative
class SoftmaxOverBatch(Small):
    def middle(self, x):
        return x.softmax(0)


@negative
class CumulativeOverBatch(Small):
    def middle(self, x):
        return x.cumsum(0)


@negative
class AttentionOverBatch(Small):
    def middle(self, x):
        return (x @ x.t()).softmax(-1) @ x


@negative
class FlippedBatch(Small):
    def middle(self, x):
        return x + x.flip(0)


@negative
class RolledBatch(Small):
    def middle(self, x):
        return torch.roll(x, 1, 0)


@negative
class FirstExample(Small):
    def middle(self, x):
        return x + x[:1]


@negative
class NormOfEverything(Small):
    def middle(self, x):
        return x / x.norm()


@negative
class RollOfAll(Small):
    """Without dims torch.roll goes over the flattened tensor."""

    def middle(self, x):
        return torch.roll(x, 3)
