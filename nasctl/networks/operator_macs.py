"""Multiply-accumulates of the operators of torch, by their names and the shapes of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

from nasctl.errors import NasctlError

Arguments = Mapping[str, Any]  # arguments of an operator by the names of its schema, defaults included
Formula = Callable[[Arguments, Any], int]  # MACs from the arguments and the result


def _matrices(left: str, right: str) -> Formula:
    """Return the formula of a product of (..., N, K) and (..., K, M): every value on the left meets M on the right."""
    return lambda arguments, out: arguments[left].numel() * arguments[right].shape[-1]


def _vector(matrix: str) -> Formula:
    """Return the formula of a product with one vector: every value of the other operand is used once."""
    return lambda arguments, out: arguments[matrix].numel()


def _rows(rows: str) -> Formula:
    """Return the formula of a product of (..., K) and packed weights, where the result is (..., M)."""
    return lambda arguments, out: arguments[rows].numel() * out.shape[-1]


def _convolution(arguments: Arguments, out: Any) -> int:
    """Count one kernel (I / groups, ...) for each output, or one (O / groups, ...) for each input if transposed."""
    weight = arguments["weight"]
    places = arguments.get("self", arguments.get("input")) if arguments.get("transposed") else out
    return int(places.numel() * prod(weight.shape[1:]))


def _transposed_convolution(arguments: Arguments, out: Any) -> int:
    return _convolution({**arguments, "transposed": True}, out)


def _convolution_tbc(arguments: Arguments, out: Any) -> int:
    """Count a convolution of (T, B, I) with a kernel (taps, I, O)."""
    taps, channels, _ = arguments["weight"].shape
    return int(out.numel() * taps * channels)


def _deformable_convolution(arguments: Arguments, out: Any) -> int:
    return int(out.numel() * prod(arguments["weight"].shape[1:]))


def _grouped_matrices(arguments: Arguments, out: Any) -> int:
    """Count products of groups. Without a dimension of groups, an operand joins rows, columns or the summed index."""
    left, right = arguments["self"], arguments["mat2"]
    groups = left.shape[0] if left.dim() == 3 and right.dim() == 2 else 1
    return int(left.numel() // groups * right.shape[-1])


def _attention(arguments: Arguments, out: Any) -> int:
    """Count queries (..., L, E) times keys (..., S, E), and weights (..., L, S) times values (..., S, V).

    A mask, also a causal one, does not lower the count.
    """
    query, key, value = (arguments[name] for name in ("query", "key", "value"))
    first = out[0] if isinstance(out, tuple | list) else out
    return int(prod(first.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1]))


def _attention_of_positions(arguments: Arguments, out: Any) -> int:
    """Count attention of queries (B, L, heads, E), keys (B, S, heads, E) and values (B, S, heads, V).

    Raises:
        NasctlError: The sequences of a batch are joined, so that their lengths are values.
    """
    if arguments.get("cum_seq_q", arguments.get("cu_seqlens_q")) is not None:
        raise NasctlError(
            "Cannot count the multiply-accumulates of attention on joined sequences: their lengths are values, which"
            " counting does not compute. Pad the sequences to one length"
        )
    query, key, value = (arguments[name] for name in ("query", "key", "value"))
    return int(prod(query.shape[:3]) * key.shape[1] * (query.shape[3] + value.shape[3]))


def _packed_attention(arguments: Arguments, out: Any) -> int:
    """Count projections of (B, L, D) and the attention that follows, in one operator."""
    query, key = (arguments[name] for name in ("query", "key"))
    examples, queries, width = query.shape
    inner = arguments["qkv_weight"].shape[0] // 3
    inside = (queries + 2 * key.shape[1]) * inner * width + 2 * queries * key.shape[1] * inner
    return int(examples * (inside + queries * arguments["proj_weight"].numel()))


def _encoder_layer(arguments: Arguments, out: Any) -> int:
    """Count projections, attention and two linear layers of a transformer's encoder layer on (B, L, D)."""
    examples, length, width = arguments["src"].shape
    names = ("qkv_weight", "proj_weight", "ffn_weight_1", "ffn_weight_2")
    return int(examples * length * (sum(arguments[name].numel() for name in names) + 2 * length * width))


def _recurrence(arguments: Arguments, out: Any) -> int:
    """Count the weight matrices of all layers and directions once for each step.

    The input is (T, B, I), (B, T, I), (T, I), or (sum of lengths, I) if the sequences are packed.
    """
    steps = prod(arguments["data" if "data" in arguments else "input"].shape[:-1])
    return int(steps * sum(weight.numel() for weight in arguments["params"] if weight.dim() == 2))


def _distances(arguments: Arguments, out: Any) -> int:
    """Count Euclidean distances of (N, D) and (M, D) as one product of matrices, and distances of other norms as 0."""
    points = arguments["x1" if "x1" in arguments else "self"]
    return int(out.numel() * points.shape[-1]) if arguments.get("p", 2) == 2 else 0


def _dots(arguments: Arguments, out: Any) -> int:
    """Count dot products of vectors along one dimension."""
    summed = max(arguments[name].shape[arguments["dim"]] for name in ("x", "y"))
    return int(out.numel() * summed)


def _affine_grid(arguments: Arguments, out: Any) -> int:
    """Count coordinates (N, H W, 3) times matrices (N, 3, 2), or (N, D H W, 4) times (N, 4, 3)."""
    return int(out.numel() * arguments["theta"].shape[-1])


def _three_tensors(arguments: Arguments, out: Any) -> int:
    """Count sums of products of three tensors, of which torch multiplies the first two first.

    The dimensions of the tensors are aligned. Each lacks some of them, which then have size 1.
    """
    first, second, third = ([*arguments[name].shape] for name in ("i1", "i2", "i3"))
    for number, shape in enumerate((first, second, third), 1):
        for place in sorted(arguments[f"expand{number}"]):
            shape.insert(place, 1)
    early = set(arguments["sumdim"]) & set(arguments["expand3"])
    left, between = _pair(first, second, early)
    right, _ = _pair(between, third, set(arguments["sumdim"]) - early)
    return left + right


def _pair(left: Sequence[int], right: Sequence[int], summed: set[int]) -> tuple[int, list[int]]:
    """Return the MACs and the shape of a product of two tensors with aligned dimensions."""
    pairs = list(enumerate(zip(left, right, strict=True)))
    # A summed dimension that one of the two lacks is summed before they are multiplied.
    macs = prod(max(sizes) for dim, sizes in pairs if dim not in summed or sizes[0] == sizes[1])
    return macs, [1 if dim in summed else max(sizes) for dim, sizes in pairs]


def aten_names(text: str) -> tuple[str, ...]:
    """Return the words of a text as names of ATen operators: "mm mv" becomes ("aten::mm", "aten::mv")."""
    return tuple(f"aten::{word}" for word in text.split())


CONVOLUTIONS = aten_names("""
    _conv_depthwise2d _convolution _convolution_mode _mps_convolution _nnpack_spatial_convolution _slow_conv2d_forward
    conv_depthwise3d convolution convolution_overrideable cudnn_convolution cudnn_convolution_add_relu
    cudnn_convolution_relu miopen_convolution miopen_convolution_add_relu miopen_convolution_relu
    miopen_depthwise_convolution mkldnn_convolution slow_conv3d_forward slow_conv_dilated2d slow_conv_dilated3d
""")
TRANSPOSED_CONVOLUTIONS = aten_names("""
    _mps_convolution_transpose cudnn_convolution_transpose miopen_convolution_transpose slow_conv_transpose2d
    slow_conv_transpose3d
""")
ATTENTIONS = aten_names("""
    _scaled_dot_product_attention_math _scaled_dot_product_attention_math_for_mps _scaled_dot_product_cudnn_attention
    _scaled_dot_product_efficient_attention _scaled_dot_product_flash_attention
    _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_fused_attention_overrideable
    scaled_dot_product_attention
""")
PACKED_LINEAR = aten_names("""
    _weight_int4pack_mm _weight_int4pack_mm_for_cpu _weight_int4pack_mm_with_scales_and_zeros _weight_int8pack_mm
    mkldnn_linear
""")
RECURRENT_LAYERS = aten_names("rnn_tanh rnn_relu lstm gru")
FORMULAS: Mapping[str, Formula] = {
    **dict.fromkeys(aten_names("mm bmm _int_mm _scaled_mm _scaled_mm_v2"), _matrices("self", "mat2")),
    **dict.fromkeys(aten_names("addmm _addmm_activation"), _matrices("mat1", "mat2")),
    **dict.fromkeys(aten_names("addbmm baddbmm"), _matrices("batch1", "batch2")),
    **dict.fromkeys(aten_names("_grouped_mm _scaled_grouped_mm _scaled_grouped_mm_v2"), _grouped_matrices),
    **dict.fromkeys(PACKED_LINEAR, _rows("self")),
    **dict.fromkeys(aten_names("linear _mixed_dtypes_linear"), _rows("input")),
    "aten::_dyn_quant_matmul_4bit": _rows("inp"),
    **dict.fromkeys(aten_names("mv dot vdot"), _vector("self")),
    "aten::addmv": _vector("mat"),
    "aten::linalg_vecdot": _dots,
    "aten::_trilinear": _three_tensors,
    **dict.fromkeys(aten_names("cdist _cdist_forward _euclidean_dist _pdist_forward"), _distances),
    **dict.fromkeys(aten_names("affine_grid_generator cudnn_affine_grid_generator"), _affine_grid),
    **dict.fromkeys(CONVOLUTIONS, _convolution),
    **dict.fromkeys(TRANSPOSED_CONVOLUTIONS, _transposed_convolution),
    "aten::conv_tbc": _convolution_tbc,
    "torchvision::deform_conv2d": _deformable_convolution,
    **dict.fromkeys(ATTENTIONS, _attention),
    **dict.fromkeys(aten_names("_flash_attention_forward _efficient_attention_forward"), _attention_of_positions),
    "aten::_native_multi_head_attention": _packed_attention,
    "aten::_transformer_encoder_layer_fwd": _encoder_layer,
    **dict.fromkeys(RECURRENT_LAYERS, _recurrence),
}


def _recurrent_outputs(arguments: Arguments) -> tuple[Tensor, ...]:
    """Return tensors like the outputs and the last states of a recurrent layer."""
    data, states = arguments["data" if "data" in arguments else "input"], arguments["hx"]
    states = [states] if isinstance(states, Tensor) else states
    width = states[0].shape[-1] * (2 if arguments["bidirectional"] else 1)
    return (data.new_empty(*data.shape[:-1], width), *(torch.empty_like(state) for state in states))


def _packed_attention_outputs(arguments: Arguments) -> tuple[Tensor, Tensor | None]:
    query, key = arguments["query"], arguments["key"]
    heads = () if arguments["average_attn_weights"] else (arguments["num_head"],)
    needed = arguments["need_weights"]
    weights = query.new_empty(query.shape[0], *heads, query.shape[1], key.shape[1]) if needed else query.new_empty(0)
    return torch.empty_like(query), weights


# Operators that would run one step after another or not at all on the meta device. Their outputs hold no values.
OUTPUTS: Mapping[str, Callable[[Arguments], Any]] = {
    **dict.fromkeys(RECURRENT_LAYERS, _recurrent_outputs),
    "aten::_native_multi_head_attention": _packed_attention_outputs,
    "aten::_transformer_encoder_layer_fwd": lambda arguments: torch.empty_like(arguments["src"]),
}


def has_registered_formula(operator: Any) -> bool:
    """Return whether torch's own registry has a formula for an operator.

    Formulas of custom operators are added with `torch.utils.flop_counter.register_flop_formula`.
    """
    return getattr(operator, "_overloadpacket", operator) in flop_registry


def registered_macs(operator: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    """Return half of the FLOPs by the formula in torch's own registry."""
    formula = flop_registry[getattr(operator, "_overloadpacket", operator)]
    return int(formula(*args, **kwargs, out_val=out)) // 2


@cache
def base_name(operator: Any) -> str:
    """Return "aten::add" for all overloads of add and for add_, which works in place."""
    return str(operator._schema.name).rstrip("_")


def named(operator: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by the names of the operator's schema, defaults included."""
    found = {one.name: one.default_value for one in operator._schema.arguments if one.has_default_value()}
    given = {one.name: value for one, value in zip(operator._schema.arguments, args, strict=False)}
    return {**found, **given, **kwargs}
