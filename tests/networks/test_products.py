"""Multiply-accumulates by closed forms, for modules that spell their products in many ways."""

from math import prod

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from networks.product_modules import ATEN, MODULES, OPERATORS, Calls, P, rnn
from torch import library, nn
from torch.utils.flop_counter import flop_registry, register_flop_formula

from nasctl.api import Builder, NasctlError, Network
from nasctl.networks import layers, sequences, token_mixing
from nasctl.networks.node import Layer
from nasctl.networks.operator_macs import FORMULAS, base_name, has_registered_formula
from nasctl.networks.product_free_operators import is_product_free
from nasctl.networks.products import count_macs, count_products


def counted(module, shape, dtype=torch.float32, device="meta"):
    return count_products(module.eval().to(device), [torch.zeros(1, *shape, dtype=dtype, device=device)])


@pytest.mark.parametrize("name", MODULES)
def test_closed_forms(name):
    module, shape, macs = MODULES[name]
    assert counted(module, shape).macs == macs


@pytest.mark.parametrize("name", OPERATORS)
def test_closed_forms_of_operators(name):
    module, shape, macs = OPERATORS[name]
    assert counted(module, shape).macs == macs


def test_steps_of_a_recurrent_layer_do_not_run_one_by_one():
    with torch.profiler.profile() as profile:
        assert counted(rnn(nn.LSTM, 16, 8), (512, 16)).macs == 512 * 4 * 8 * 24
    assert len(profile.events()) < 512


def test_packed_sequences():
    def forward(m, x):
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.full((x.shape[0],), 12), batch_first=True)
        return nn.utils.rnn.pad_packed_sequence(m.a(packed)[0], batch_first=True)[0]

    module = Calls(forward, a=nn.GRU(16, 8, batch_first=True))
    assert counted(module, (12, 16), device="cpu").macs == 12 * 3 * 8 * 24


@pytest.mark.parametrize("name", ["encoder layer", "multi-head attention"])
def test_fused_kernels_count_what_their_parts_count(name):
    module, shape, macs = MODULES[name]
    found = counted(module.to_empty(device="cpu"), shape, device="cpu")  # only on a real device torch takes the kernel
    assert (found.macs, len(found.products)) == (macs, 1)


def test_constant_products_are_told_apart():
    module, shape, macs = MODULES["hypernetwork"]
    found = counted(module, shape)
    assert (found.constant, found.macs) == (5 * 3 * 4, macs)
    assert found.by_operator() == {"aten::mm": macs}
    assert found.by_called() == {"aten::matmul": macs}
    assert found.out.shape == (2, 4)


def test_products_of_a_cache_do_not_count():
    kept = {}

    def forward(m, x):
        if "table" not in kept:
            kept["table"] = m.v @ m.v
        return x @ kept["table"]

    assert counted(Calls(forward, v=P(8, 8)), (8,)).macs == 64


def test_other_products_for_another_batch():
    def forward(m, x):
        return x @ m.w if len(x) == 2 else torch.stack([m.v @ row for row in x])

    assert counted(Calls(forward, w=P(8, 3), v=P(3, 8)), (8,)).macs == 24


def test_the_batch_of_the_inputs_does_not_matter():
    module = Calls(lambda m, x: x @ m.w, w=P(8, 3))
    assert [count_macs(module, [torch.zeros(batch, 8)]) for batch in (1, 2, 7)] == [24, 24, 24]


def test_networks_of_modules_with_these_products():
    for name in ("mv", "bilinear", "hypernetwork", "einsum sublists", "cdist", "einsum dot"):
        module, shape, macs = MODULES[name]
        assert Network.from_module(module.to_empty(device="cpu"), shape).macs == macs


REFUSED = {
    "aten::linalg_inv_ex": Calls(lambda m, x: torch.linalg.inv(x)),
    "aten::linalg_matrix_exp": Calls(lambda m, x: torch.linalg.matrix_exp(x)),
    "aten::_linalg_svd": Calls(lambda m, x: torch.linalg.svdvals(x)),
    "aten::_foreach_mm": Calls(lambda m, x: torch._foreach_mm([x[0]], [x[0]])[0] + x),
    "attention on joined sequences": Calls(
        lambda m, x: ATEN._flash_attention_forward(x[0], x[0], x[0], x[0, 0, 0], x[0, 0, 0], 5, 5, 0.0, False, False)[0]
    ),
    "examples are multiplied with each other": Calls(lambda m, x: (x[:, 0] @ x[:, 0].T) @ x[:, 0]),
    "16 for 2, 36 for 3, 64 for 4": Calls(lambda m, x: torch.cat([x[:, 0] @ x[:, 0].T], 1) @ x[:, 0]),
}


@pytest.mark.parametrize("message", REFUSED)
def test_unknown_products_are_refused(message):
    with pytest.raises(NasctlError, match=r"^Cannot count the multiply-accumulates .*\. .*") as error:
        counted(REFUSED[message], (4, 4, 4) if "joined" in message else (4, 4))
    assert message in str(error.value)


@pytest.fixture
def custom_operator():
    made = library.Library("nasctl_test", "DEF")
    made.define("twice(Tensor x, Tensor w) -> Tensor")
    made.impl("twice", lambda x, w: x.new_empty(x.shape[0], w.shape[1]), "Meta")
    made.define("thrice(Tensor x, Tensor w) -> Tensor")
    made.impl("thrice", lambda x, w: 3 * x @ w, "CompositeImplicitAutograd")
    yield torch.ops.nasctl_test
    flop_registry.pop(torch.ops.nasctl_test.twice, None)
    made._destroy()


def test_custom_operators(custom_operator):
    assert counted(Calls(lambda m, x: custom_operator.thrice(x, m.w), w=P(4, 5)), (4,)).macs == 20
    module = Calls(lambda m, x: custom_operator.twice(x, m.w), w=P(4, 5))
    with pytest.raises(NasctlError, match=r"nasctl_test::twice.*register_flop_formula"):
        counted(module, (4,))
    register_flop_formula(custom_operator.twice)(lambda x, w, out_shape=None, **_: 2 * prod(out_shape) * x[1])
    assert counted(module, (4,)).macs == 20


# Operators that are refused although a forward pass may call them. Those of backward passes are refused as well.
UNKNOWN = """
    _cholesky_solve_helper _compute_linear_combination _cslt_compress _cslt_sparse_mm _cslt_sparse_mm_search
    _cudnn_attention_forward _cudnn_rnn _flash_attention_forward_no_dropout_inplace _foobar _foreach_mm _fused_adagrad
    _fused_adam _fused_adamw _fused_sgd _linalg_det _linalg_eigh _linalg_eigvals _linalg_slogdet _linalg_solve_ex
    _linalg_svd _lstm_mps _sparse_addmm _sparse_mm_reduce_impl _sparse_semi_structured_addmm
    _sparse_semi_structured_apply _sparse_semi_structured_apply_dense _sparse_semi_structured_linear
    _sparse_semi_structured_mm _sparse_semi_structured_tile _sparse_sparse_matmul _spsolve _triton_multi_head_attention
    _triton_scaled_dot_attention cholesky cholesky_inverse cholesky_solve geqrf glu_jvp hspmm linalg_cholesky_ex
    linalg_eig linalg_eigvals linalg_householder_product linalg_inv_ex linalg_ldl_factor_ex linalg_ldl_solve
    linalg_lstsq linalg_lu linalg_lu_factor_ex linalg_lu_solve linalg_matrix_exp linalg_pinv linalg_qr
    linalg_solve_triangular miopen_rnn mkldnn_rnn_layer ormqr quantized_gru quantized_lstm sparse_sampled_addmm
    sspaddmm triangular_solve
"""


@pytest.mark.skipif(not torch.__version__.startswith("2.13."), reason="the list of operators is that of torch 2.13")
def test_every_operator_of_torch_is_known_or_refused():
    refused, free = set(), set()
    for full in torch._C._dispatch_get_all_op_names():
        plain, _, overload = full.partition(".")
        packet = getattr(torch.ops.aten, plain.removeprefix("aten::"), None) if plain.startswith("aten::") else None
        if packet is None or "_backward" in plain or (overload or "default") not in packet.overloads():
            continue
        operator = getattr(packet, overload or "default")
        name = base_name(operator)
        if torch._C._dispatch_has_kernel_for_dispatch_key(full, "CompositeImplicitAutograd"):
            continue
        if is_product_free(operator):
            free.add(name)
        elif name not in FORMULAS and not has_registered_formula(operator):
            refused.add(name.removeprefix("aten::"))
    assert refused == set(UNKNOWN.split())
    assert not free & (FORMULAS.keys() | {str(one).replace(".", "::") for one in flop_registry})


SIZES = {"b": 1, "i": 3, "j": 4, "k": 5, "l": 6}


@st.composite
def equations(draw):
    """Equations of two operands that keep the batch, in letters or sublists."""
    kept, left, right, shared = draw(st.permutations("ijkl"))
    inputs = [
        "b" + "".join(draw(st.permutations(left + shared + kept))),
        "".join(draw(st.permutations(shared + right))),
    ]
    inputs[1] += kept * draw(st.booleans())
    out = "b" + "".join(draw(st.permutations(left + right + kept)))
    return inputs, out


@settings(max_examples=60, deadline=None)
@given(equations(), st.booleans())
@example((["bijk", "jl"], "bikl"), True)
def test_an_einsum_of_two_counts_the_product_of_all_sizes(equation, in_sublists):
    (left, right), out = equation
    weight = P([SIZES[letter] for letter in right])

    def forward(module, x):
        if in_sublists:
            lists = [["bijkl".index(letter) for letter in word] for word in (left, right, out)]
            return torch.einsum(x, lists[0], module.w, *lists[1:])
        return torch.einsum(f"{left}, {right} -> {out}", x, module.w)

    macs = prod(SIZES[letter] for letter in set(left + right) - {"b"})
    assert counted(Calls(forward, w=weight), [SIZES[letter] for letter in left[1:]]).macs == macs


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_an_einsum_of_several_counts_from_left_to_right(data):
    words = ["b" + "".join(data.draw(st.sets(st.sampled_from("ijk"), min_size=1)))]
    words += ["".join(data.draw(st.sets(st.sampled_from("ijkl"), min_size=1))) for _ in range(2)]
    kept = data.draw(st.sets(st.sampled_from(sorted(set("".join(words[1:]))))))
    macs, left = 0, set(words[0])
    for k, word in enumerate(words[1:], 1):
        later = kept | set("b").union(*words[k + 1 :])
        alone = (left ^ set(word)) - later  # torch sums an index of one operand before it multiplies
        if left & set(word) - later:  # otherwise nothing is summed, and the product is elementwise
            macs += prod(SIZES[letter] for letter in (left | set(word)) - alone - {"b"})
        left = (left | set(word)) & later

    def forward(module, x):
        return torch.einsum(f"{','.join(words)}->b{''.join(sorted(kept))}", x, module.v, module.w)

    v, w = (P([SIZES[letter] for letter in word]) for word in words[1:])
    assert counted(Calls(forward, v=v, w=w), [SIZES[letter] for letter in words[0][1:]]).macs == macs


def test_the_order_of_an_einsum_does_not_depend_on_installed_packages():
    def forward(m, x):
        return ATEN.einsum("bi,ij,jk->bk", [x, m.v, m.w], path=[1, 2, 0, 1])  # as opt_einsum would have torch do it

    assert counted(Calls(forward, v=P(5, 6), w=P(6, 2)), (5,)).macs == 5 * 6 + 6 * 2


T, D = 6, 8
LAYERS = {
    layers: {
        "Conv": ((12, 3, 2, 2, 1, True), (6, 9, 9)),
        "AvgPool": ((3, 2), (6, 9, 9)), "MaxPool": ((2, 2), (6, 9, 9)), "Linear": ((5,), (T, D)),
        "Multiply": ((), (6, 9, 9), (6, 1, 1)), "Add": ((), (6, 9, 9), (6, 9, 9)), "Concat": ((), (6, 9, 9), (2, 9, 9)),
        "ChannelShuffle": ((3,), (6, 9, 9)), "Truncate": ((2,), (6, 9, 9)),
        "WeightedSum": (((layers.SumTerm("a"), layers.SumTerm("b")),), (6, 9, 9), (6, 9, 9)),
    },
    sequences: {
        "PatchEmbedding": ((5, 4), (3, 8, 8)), "FlattenMap": ((), (3, 8, 8)), "UnflattenMap": ((2, 3), (T, D)),
        "AttentionScores": ((2,), (T, D), (5, D)), "WeightedValues": ((), (2, T, 5), (5, D)),
    },
    token_mixing: {
        "Fourier": ((2,), (T, D)), "Cosine": ((2,), (T, D)), "SeparableConv1d": ((5, 3), (T, D)),
        "DynamicConv": ((2,), (T, D), (T, 6)), "ConcatFeatures": ((), (T, D), (T, 3)), "HeadLinear": ((2,), (T, D)),
        "RelativeScores": ((2,), (T, D)),
    },
}  # fmt: skip
KINDS = [
    (module, name)
    for module in LAYERS
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, Layer) and kind.__module__ == module.__name__ and name != "Embedding"
]


@pytest.mark.parametrize(("module", "name"), KINDS, ids=[name for _, name in KINDS])
def test_the_closed_form_of_each_layer_is_the_count(module, name):
    arguments, *shapes = LAYERS[module].get(name, ((), (6, 9, 9) if module is layers else (T, D)))
    net = Builder(*shapes)
    network = net.build(net.add(getattr(module, name)(*arguments), *net.inputs, name="layer"))
    with torch.device("meta"):
        found = count_products(network.module().eval(), [torch.zeros(1, *shape) for shape in shapes])
    assert found.macs == network.macs
    assert tuple(found.out.shape[1:]) == network.out_shape
