"""Modules that branch on values, keep state, draw at random or change types: refused in a sentence, or exact."""

import random

import torch
import torch.nn.functional as F
from torch import nn

from .negative import Small, negative
from .registry import pattern


@negative
class BranchOnBatch(Small):
    def middle(self, x):
        return x if x.shape[0] > 1 else -x


@negative
class BranchOnLargeBatch(Small):
    def middle(self, x):
        return x if len(x) < 4 else x * 2


@negative
class BranchOnValues(Small):
    def middle(self, x):
        return x if x.sum() > 0 else -x


@negative
class ValuesAsNumbers(Small):
    def middle(self, x):
        return x * x.max().item()


@negative
class ValuesAsList(Small):
    def middle(self, x):
        return x + torch.tensor(x.detach().tolist())


@negative
class LoopWhileLarge(Small):
    def middle(self, x):
        while x.abs().max() > 0.1:
            x = x / 2
        return x


@negative
class CountedCalls(Small):
    """State between calls, as a number."""

    calls = 0

    def middle(self, x):
        self.calls += 1
        return x * self.calls


@negative
class BufferOfCalls(Small):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def middle(self, x):
        self.calls += 1
        return x * self.calls


@negative
class RunningMemory(Small):
    """The last batch's mean enters the next."""

    def __init__(self):
        super().__init__()
        self.register_buffer("memory", torch.zeros(8))

    def middle(self, x):
        self.memory.mul_(0.9).add_(x.detach().mean(0), alpha=0.1)
        return x - self.memory


COUNTER = {"calls": 0}


@negative
class GlobalCounter(Small):
    def middle(self, x):
        COUNTER["calls"] += 1
        return x * COUNTER["calls"]


@negative
class RandomNoise(Small):
    def middle(self, x):
        return x + torch.randn_like(x)


@negative
class RandomScale(Small):
    def middle(self, x):
        return x * torch.rand(1)


@negative
class RandomOfPython(Small):
    def middle(self, x):
        return x * random.random()


@negative
class RandomOrder(Small):
    def middle(self, x):
        return x[:, torch.randperm(8)]


@negative
class DropoutAlways(Small):
    def middle(self, x):
        return F.dropout(x, 0.5)


@negative
class DropoutTrained(Small):
    """Monte Carlo dropout: the layer stays in training mode."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def middle(self, x):
        return F.feature_alpha_dropout(self.drop.train()(x), 0.5, training=True)


@negative
class RandomRectifier(Small):
    def middle(self, x):
        return F.rrelu(x, training=True)


@negative
class GumbelChoice(Small):
    def middle(self, x):
        return F.gumbel_softmax(x, hard=True)


@negative
class BatchStatistics(Small):
    """Batch norm by statistics of the batch, in evaluation too."""

    def middle(self, x):
        return F.batch_norm(x, None, None, training=True)


@negative
class BatchNormWithoutStatistics(Small):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(8, track_running_stats=False)

    def middle(self, x):
        return self.norm(torch.cat((x, -x, x + 1)))[: len(x)]


@negative
class BatchNormKeptInTraining(Small):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(8)

    def middle(self, x):
        return self.norm.train()(torch.cat((x, x + 1)))[: len(x)]


@negative
class DataDependentShape(Small):
    def middle(self, x):
        return x + x[x > 0].sum() * torch.nonzero(x).shape[0]


@negative
class UniqueValues(Small):
    def middle(self, x):
        return x * torch.unique(x.round()).numel()


@negative
class ChangesType(Small):
    def forward(self, x):
        return self.b(self.a(x)).double()


@negative
class HalfInside(Small):
    def middle(self, x):
        return torch.relu(x.half()).float() + x.to(torch.bfloat16).to(x.dtype)


@negative
class CastInPlace(Small):
    def middle(self, x):
        self.b.double()
        return x.double()


@pattern(8, negative=True, unused=8 * 8 + 8)
class ComplexOutput(Small):
    def forward(self, x):
        return torch.fft.fft(self.a(x))


@negative
class ReturnsTuple(Small):
    def forward(self, x):
        x = self.a(x)
        return x, self.b(x)


@negative
class ReturnsDictionary(Small):
    def forward(self, x):
        return {"out": self.b(self.a(x))}


@negative
class ReturnsNothing(Small):
    def forward(self, x):
        self.b(self.a(x))


@negative
class ReturnsConstant(Small):
    def forward(self, x):
        return self.b(self.a(torch.ones(len(x), 8)))


@negative
class FrozenTable(Small):
    """Frozen values that differ from one another, and a frozen scalar."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.linspace(-2, 2, 8), requires_grad=False)
        self.scale = nn.Parameter(torch.tensor(3.0), requires_grad=False)

    def middle(self, x):
        return x * self.table + self.scale


@negative
class WeightsChangedInForward(Small):
    """Spectral norm by hand: a power iteration that keeps its vector."""

    def __init__(self):
        super().__init__()
        self.register_buffer("u", F.normalize(torch.randn(8), dim=0))

    def middle(self, x):
        with torch.no_grad():
            v = F.normalize(self.b.weight.t().mv(self.u), dim=0)
            self.u.copy_(F.normalize(self.b.weight.mv(v), dim=0))
        return x / torch.dot(self.u, self.b.weight.mv(v))


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return -grad


@negative
class GradientReversal(Small):
    def middle(self, x):
        return Reversed.apply(x)


@negative
class ThroughNumpy(Small):
    def middle(self, x):
        return torch.from_numpy(x.detach().numpy().copy()) + x


@negative
class DataAttribute(Small):
    """x.data shares memory with x and hides a change in place."""

    def middle(self, x):
        y = x + 0
        y.data.mul_(2)
        return y


@negative
class SetData(Small):
    def middle(self, x):
        y = x + 0
        y.data = y.data * 3
        return y


@negative
class ClosureOverInput(Small):
    """A list outside of forward keeps the first input for good."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def middle(self, x):
        self.kept.append(x)
        return self.kept[0][:1] + x


@negative
class HookOfState(Small):
    def __init__(self):
        super().__init__()
        self.seen = []
        self.a.register_forward_hook(lambda module, args, out: self.seen.append(1) or out * len(self.seen))


@negative
class PackedSequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 8, batch_first=True)

    def forward(self, x):
        x = nn.utils.rnn.pack_padded_sequence(x.view(-1, 4, 2), [4] * len(x), batch_first=True)
        return nn.utils.rnn.pad_packed_sequence(self.lstm(x)[0], batch_first=True)[0][:, -1]


@negative
class SortedBatch(Small):
    def middle(self, x):
        return x[x[:, 0].argsort()]
