"""Operators of torch that multiply no matrices: elementwise functions, sums, norms, pools, views, copies and so on."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from nasctl.networks.operator_macs import aten_names, base_name

# Tags of torch with which an operator has no product of matrices. FORMULAS come first, for operators with both.
TAGS = (torch.Tag.pointwise, torch.Tag.reduction, torch.Tag.view_copy, torch.Tag.inplace_view)

# Beginnings of names under which torch has operators of one kind.
PREFIXES = aten_names("""
    _adaptive_ _amp_ _assert _batch_norm_with_update _batch_norm_no_update _convert_indices_ _convert_weight_
    _embedding_bag _empty_ _fake_quantize_ _fft_ _foreach_ _functional_ _histogramdd_ _jagged_to_ _log_softmax
    _masked_softmax _native_batch_norm_ _nested_ _philox_ _resize_ _sparse_csr_ _sparse_log_softmax
    _sparse_mask_projection _sparse_softmax _sparse_sum _test_ _thnn_fused_ _to_ _unique _unsafe_ _upsample_
    _weight_norm_interface adaptive_ avg_pool batch_norm_ binary_cross_entropy
    cudnn_batch_norm cudnn_grid embedding fake_quantize_ fractional_max_pool grid_sampler_ hardswish huber_loss
    index_ log_sigmoid max_pool max_unpool miopen_batch_norm mkldnn_adaptive_ mkldnn_max_pool mkldnn_reorder_ mse_loss
    multi_margin_loss multilabel_margin_loss native_batch_norm native_dropout native_group_norm native_layer_norm
    new_ nll_loss nonzero normal q_ quantize_per_ quantized_batch_norm quantized_max_pool rand randint reflection_pad
    replication_pad resize_as rrelu scatter smooth_l1_loss soft_margin_loss sparse_resize unique_ unsafe_split upsample_
""")
NAMES = {
    *aten_names("""
    __irshift __lshift __rshift _add_relu _aminmax _chunk_cat _coalesce _coalesced _copy_from _copy_from_and_resize
    _ctc_loss _cudnn_ctc_loss _cudnn_rnn_flatten_weight _cummax_helper _cummin_helper _dimI _dimV _dirichlet_grad
    _dyn_quant_pack_4bit_weight _fill_mem_eff_dropout_mask _fused_dropout _fused_moving_avg_obs_fq_helper
    _fused_moving_avg_obs_fq_helper_functional _fused_sdp_choice _grid_sampler_2d_cpu_fallback _has_same_storage_numel
    _index_put_impl _is_all_true _is_any_true _lazy_clone _linalg_check_errors _local_scalar_dense _logcumsumexp
    _make_per_channel_quantized_tensor _make_per_tensor_quantized_tensor _masked_scale _mkldnn_reshape
    _mkldnn_transpose _new_zeros_with_same_feature_meta _nnz _pack_padded_sequence _padded_dense_to_jagged_forward
    _pin_memory _prelu_kernel _reshape_copy _safe_softmax _sample_dirichlet _softmax
    _sparse_coo_tensor_with_dims_and_tensors _spdiags _stack _standard_gamma _standard_gamma_grad
    _transform_bias_rescale_qkv _use_cudnn_ctc_loss _use_miopen_ctc_loss _validate_compressed_sparse_indices addr
    allclose as_strided_scatter bernoulli bincount binomial block_diag bucketize cat cauchy channel_shuffle col2im
    complex constant_pad_nd copy copy_sparse_to_sparse cummax cummin cumprod cumsum dense_dim dequantize diag_embed
    diagonal_scatter dist empty_like empty_quantized exponential fill flip floor_divide full_like gather geometric glu
    hash_tensor histc histogram im2col index int_repr is_coalesced is_pinned is_same_size is_set_to isin kthvalue lift
    linalg_cross linspace log_normal log_softmax logcumsumexp logspace lu_unpack masked_scatter masked_select median
    miopen_ctc_loss mode multinomial nanmedian native_norm ones_like pixel_shuffle pixel_unshuffle poisson polar put
    qscheme random record_stream renorm repeat repeat_interleave resize roll rot90 searchsorted segment_reduce
    select_scatter set softmax sort sparse_compressed_tensor sparse_coo_tensor sparse_dim sparse_mask stack take
    to_mkldnn to_padded_tensor topk trace tril triu uniform zero zeros_like
"""),
    *(f"torchvision::{name}" for name in ("nms", "ps_roi_align", "ps_roi_pool", "roi_align", "roi_pool")),
}
NAMESPACES = ("prim", "prims", "profiler")  # queries of sizes, elementwise functions of decomposed graphs, and marks
WITH_PRODUCTS = ("aten::_foreach_mm", "prims::svd")  # operators whose names begin as those of others without products


@cache
def is_product_free(operator: Any) -> bool:
    """Return whether an operator of torch multiplies no matrices.

    A Fourier transform is product-free by the convention of the field's counters: it is no product of matrices.

    Args:
        operator: An overload of an operator. A backward operator of a known one is not known.
    """
    schema, name = operator._schema, base_name(operator)
    if name in WITH_PRODUCTS or "_backward" in name:
        return False
    if schema.name.split("::")[0] in NAMESPACES or name in NAMES or name.startswith(PREFIXES):
        return True
    return _has_tag(operator) or _is_view(schema) or not _reads_tensors(schema)


def _has_tag(operator: Any) -> bool:
    """Return whether an overload has one of the tags; torch leaves them out for some that work in place."""
    namespace, _, name = base_name(operator).partition("::")
    plain = getattr(getattr(torch.ops, namespace), name, None)
    overloads = [] if plain is None else [getattr(plain, one) for one in plain.overloads()]
    return any(tag in one.tags for one in (operator, *overloads) for tag in TAGS)


def _is_view(schema: Any) -> bool:
    """Return whether all results share the memory of an argument that is not written."""
    aliases = [one.alias_info for one in schema.returns]
    return bool(aliases) and all(one is not None and not one.is_write for one in aliases)


def _reads_tensors(schema: Any) -> bool:
    """Return whether a tensor is among the arguments; results that an `out` argument takes are not read."""
    return any("Tensor" in str(one.type) for one in schema.arguments if not one.is_out)
