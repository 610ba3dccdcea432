"""Export of a torch module as an ONNX file that the ONNX checker accepts."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nasctl.errors import NasctlError

if TYPE_CHECKING:
    import onnx


def to_onnx(
    model: nn.Module | torch.export.ExportedProgram,
    inputs: Sequence[Tensor] = (),
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    producer: tuple[str, str] | None = None,
    properties: Mapping[str, str] | None = None,
) -> bytes:
    """Export a module with torch's exporter, check it with the ONNX checker, and return the content of the file.

    Args:
        model: A module, or a program of `torch.export`, whose dynamic shapes stay dynamic.
        inputs: Examples for a module, with the batch as first dimension. The file takes inputs of exactly these shapes.
        input_names: Names of the inputs in the file; "input0", "input1", ... if None.
        output_names: Names of the outputs in the file; torch's own if None.
        producer: Name and version of the program that made the file; torch's if None.
        properties: Metadata properties of the file; none if None.

    Raises:
        NasctlError: torch makes no ONNX program, or the ONNX checker refuses it.
    """
    import onnx

    names: dict[str, Any] = {"input_names": input_names or [f"input{k}" for k in range(len(inputs))]}
    if output_names:
        names["output_names"] = output_names
    with silenced_exporter():
        program = torch.onnx.export(model, tuple(inputs), dynamo=True, verbose=False, external_data=False, **names)
    if program is None:
        raise NasctlError("cannot export the network to ONNX: torch made no program; choose another format or runtime")
    proto = program.model_proto
    for node in proto.graph.node:
        del node.metadata_props[:]  # torch notes how it made each node, with names of folders of this machine
    _drop_shapes_of_initialisers(proto)
    _name_batch(proto)
    if producer is not None:
        proto.producer_name, proto.producer_version = producer
    if properties is not None:
        onnx.helper.set_model_props(proto, dict(properties))
    try:
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:  # the checker and its shape inference have several kinds
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise NasctlError(
            f"cannot export the network to ONNX: the ONNX checker refuses torch's program ({reason});"
            " choose another format or runtime"
        ) from error
    content: bytes = proto.SerializeToString()
    return content


def _drop_shapes_of_initialisers(proto: onnx.ModelProto) -> None:
    """Remove the value infos of initialisers, which repeat the shapes that the initialisers have.

    Tools that replace an initialiser leave its value info as it was. ONNX Runtime's dynamic quantiser transposes the
    weights of Gemm nodes, and its shape inference then refuses the file.
    """
    initialisers = {one.name for one in proto.graph.initializer}
    kept = [one for one in proto.graph.value_info if one.name not in initialisers]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(kept)


def _name_batch(proto: onnx.ModelProto) -> None:
    """Call the first dimension of the inputs "batch" wherever it occurs, if it is not fixed; torch numbers it."""
    dims = [dim for one in proto.graph.input[:1] for dim in one.type.tensor_type.shape.dim[:1]]
    symbol = dims[0].dim_param if dims else ""
    if not symbol:
        return
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(rf"\b{re.escape(symbol)}\b", "batch", dim.dim_param)


@contextmanager
def silenced_exporter() -> Iterator[None]:
    """Send the output of torch's exporters to stderr, and drop their warnings that a user can do nothing about.

    torch's exporters warn about their own use of deprecated functions of torch and Python, and that torchvision is
    not installed.
    """
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = registration.level
    registration.setLevel(logging.ERROR)
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            for category in (DeprecationWarning, FutureWarning):
                warnings.filterwarnings("ignore", category=category)
            yield
    finally:
        registration.setLevel(before)
