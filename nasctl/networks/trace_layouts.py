"""Where the batch is in the values of a trace, and which values become layers of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import nn

from nasctl.networks.function_names import VIEWS, last_part
from nasctl.networks.leaf_modules import torch_class
from nasctl.networks.node import Shape
from nasctl.networks.trace_records import Record, Untraceable

# Examples of two tracings: a number that differs between them depends on the batch. The second is large, so that it
# shows whether large batches take another path.
BATCH, OTHER_BATCH = 2, 67


class Layout(NamedTuple):
    """The place of the batch in a value: dimension `dim` has `times` entries for each example; None if none has."""

    dim: int | None
    times: int = 1


FRONT, ABSENT = Layout(0), Layout(None)

# Layers that compute the same wherever the batch is, unless it is in their last dimension.
LAST_DIMENSION = (nn.Linear, nn.LayerNorm, nn.RMSNorm)
POINTWISE = (
    nn.Embedding, nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Hardswish, nn.Hardsigmoid, nn.LeakyReLU,
    nn.ELU, nn.CELU, nn.SELU, nn.Mish, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.LogSigmoid, nn.Tanhshrink,
)  # fmt: skip
# Layers whose first dimension is the batch, each example of which they compute alone, with their number of dimensions.
POOLS = ("MaxPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool")
ROWS: Mapping[type[nn.Module], int] = {
    **{
        getattr(nn, f"{name}{size}d"): size + 2
        for size in (1, 2, 3)
        for name in ("Conv", "ConvTranspose", "InstanceNorm", *POOLS)
    },
    **{getattr(nn, f"BatchNorm{size}d"): size + 2 for size in (2, 3)},
    **dict.fromkeys((nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle), 4),
    **dict.fromkeys((nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d), 4),
    **dict.fromkeys((nn.ReflectionPad2d, nn.ZeroPad2d, nn.ReplicationPad2d), 4),
    **dict.fromkeys((nn.RNN, nn.LSTM, nn.GRU, nn.MultiheadAttention), 3),
}
ANY_ROWS = (nn.BatchNorm1d, nn.GroupNorm, nn.Upsample, nn.LayerNorm, nn.PReLU)  # the same of several sizes
FIRST_OUTPUT = (nn.RNNBase, nn.MultiheadAttention)  # layers that return a tuple, whose first part is the output
COSTLY = frozenset(("multi_head_attention_forward", "lstm", "gru", "rnn_tanh", "rnn_relu"))  # return tuples
UNUSED_OPTIONS = ("need_weights", "average_attn_weights")  # arguments of attention that change only its second output


class ModuleCall(NamedTuple):
    """A layer of torch.nn that becomes a layer of the network as it is."""

    module: Record
    inputs: tuple[Record, ...]
    result: Record  # of the layer's output
    batch_first: bool | None = None  # True if the network's layer takes the batch in front, unlike the module's
    times: int = 0  # parts of each example that the layer is given as its batch; 0 if it is given examples


class Plan:
    """The values that become layers of the network: all that have the batch in front, and others where it is needed.

    A value without the batch in front is computed inside the layers that use it. If that would repeat work or weights,
    it becomes a layer that arranges it with the batch in front.

    Args:
        records: The values of a trace.
        twins: The same values for another batch.
        result: The module's output.

    Attributes:
        records: The values of the trace.
        needed: Values that the output needs.
        cuts: Values that become layers.
        packs: Values with several parts that become one layer, which joins the parts.
        layers: Layers of torch.nn that become layers, by the records of their outputs.
    """

    def __init__(self, records: Sequence[Record], twins: Sequence[Record], result: Record) -> None:
        self.records, self._twins = records, twins
        self.needed: set[Record] = {result}
        self._users: dict[Record, list[Record]] = {}
        for record in reversed(records):
            if record in self.needed:
                for source in record.sources():
                    self.needed.add(source)
                    self._users.setdefault(source, []).append(record)
        self.cuts: set[Record] = set()
        self.packs: dict[Record, list[Record]] = {}
        self.layers: dict[Record, ModuleCall] = {}
        self._choose(records, result)

    def layout(self, record: Record) -> Layout | None:
        """Return the layout of a value, or None if no dimension alone counts examples."""
        one, other = record.shape, self._twins[record.index].shape
        if one is None or other is None or len(one) != len(other):
            return None
        different = [k for k, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
        if not different:
            return ABSENT
        dim = different[0]
        if len(different) > 1 or one[dim] * OTHER_BATCH != other[dim] * BATCH or one[dim] % BATCH:
            return None
        return Layout(dim, one[dim] // BATCH)

    def shape(self, record: Record) -> Shape:
        """Return the shape of a value for one example when it is arranged with the batch in front."""
        layout, shape = self.layout(record), record.shape
        assert layout is not None
        assert shape is not None
        if layout.dim is None:
            return shape
        rest = shape[: layout.dim] + shape[layout.dim + 1 :]
        return (layout.times, *rest) if layout.times > 1 else rest

    def _choose(self, records: Sequence[Record], result: Record) -> None:
        roots: dict[Record, set[Record]] = {}  # up to two layers that compute with a value
        forced: set[Record] = {result}
        for record in reversed(records):
            if record not in self.needed:
                continue
            users = roots.pop(record, set())
            call = self._layer_call(record)
            if call is not None:
                self.layers[call.result] = call
                forced |= {call.result, *call.inputs}
                self.cuts.add(call.result)
            cut = record.kind == "input" or record in forced or self._is_front(record)
            if not cut and len(users) > 1 and _is_heavy(record):
                cut = self.layout(record) is not None or self._packed(record)
            if cut and record not in self.packs:
                self.cuts.add(record)
            for source in record.sources():
                known = roots.setdefault(source, set())
                if len(known) < 2:
                    known |= {record} if cut else users

    def _is_front(self, record: Record) -> bool:
        return record.depends and self.layout(record) == FRONT

    def _packed(self, record: Record) -> bool:
        """Choose a value with several parts as one layer, if its parts can be joined."""
        parts = self._parts(record)
        weights = record.kind == "module" and any(True for _ in record.function.parameters())
        costly = weights or last_part(record.name) in COSTLY
        if record.shape is not None or not costly:
            return False
        if len({part.dtype for part in parts}) > 1 or any(self.layout(part) is None for part in parts):
            raise Untraceable(f"it uses several outputs of {record.name}, which have different types; use one of them")
        self.packs[record] = parts
        return True

    def _parts(self, record: Record) -> list[Record]:
        """Return the tensors of a tuple that are needed."""
        found: list[Record] = []
        for user in self._users.get(record, ()):
            if user.kind == "item":
                found += [user] if user.shape is not None else self._parts(user)
        return sorted(found, key=lambda one: one.index)

    def _layer_call(self, record: Record) -> ModuleCall | None:
        """Return how a layer of torch.nn becomes a layer of the network, or None if it is no simple call."""
        if record.kind != "module":
            return None
        inputs = [*record.args]
        inputs += [record.options[key] for key in ("input", "query", "key", "value") if key in record.options]
        more = {key for key, value in record.options.items() if value not in inputs and value}
        if more - set(UNUSED_OPTIONS) or not inputs or not all(isinstance(one, Record) for one in inputs):
            return None
        result, layouts = record, {self.layout(one) for one in inputs}
        if record.shape is None:
            users = self._users[record]
            if len(users) > 1 or users[0].args[1:] != (0,) or not isinstance(record.function, FIRST_OUTPUT):
                return None
            result = users[0]
        layout = layouts.pop()
        if layouts or layout is None or not any(one.depends or one.learned or layout == FRONT for one in inputs):
            return None
        call = ModuleCall(record, tuple(inputs), result)
        if isinstance(record.function, FIRST_OUTPUT) and not record.function.batch_first:
            call = call._replace(batch_first=True)
            return self._in_rows(call, layout) if layout.dim == 1 == self._dim(result) else None
        if layout == FRONT:
            return call if self.layout(result) == FRONT and len(result.shape or ()) > 0 else None
        if self._is_free_of_places(call, layout):
            return call
        return self._in_rows(call, layout) if layout.dim in (0, None) else None

    def _dim(self, record: Record) -> int | None:
        layout = self.layout(record)
        return None if layout is None else layout.dim

    def _in_rows(self, call: ModuleCall, layout: Layout) -> ModuleCall | None:
        """Return the call of a layer that is given several parts of each example as its batch."""
        kind = torch_class(call.module.function) or nn.Module
        sizes = {len(one.shape or ()) for one in call.inputs}
        if kind not in ROWS and not issubclass(kind, ANY_ROWS):
            return None
        if (kind in ROWS and sizes != {ROWS[kind]}) or min(sizes) < 2:
            return None
        if layout.dim is None:
            times = {(one.shape or (0,))[0] for one in (*call.inputs, call.result)}
            return call._replace(times=times.pop()) if len(times) == 1 else None
        if self.layout(call.result) != layout:
            return None
        return call._replace(times=layout.times) if layout.times > 1 else call

    def _is_free_of_places(self, call: ModuleCall, layout: Layout) -> bool:
        """Return whether a layer computes the same if its one input is arranged with the batch in front."""
        layer = call.module.function
        if len(call.inputs) != 1 or self.layout(call.result) != layout:
            return False
        size = len(call.inputs[0].shape or ())
        last = size if layout.dim is None else size - layout.dim - 1  # dimensions behind the batch
        if isinstance(layer, LAST_DIMENSION):
            return last >= len(getattr(layer, "normalized_shape", (1,)))
        return isinstance(layer, POINTWISE) or (isinstance(layer, nn.Softmax) and layer.dim == -1 and last > 0)


def _is_heavy(record: Record) -> bool:
    """Return whether computing a value twice would repeat work or weights."""
    if record.kind == "module":
        return True
    return record.kind == "call" and last_part(record.name) not in VIEWS and (record.depends or record.learned)
