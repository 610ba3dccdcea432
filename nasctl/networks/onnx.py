"""Conversion of a torch module to ONNX through torch's exporter."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import torch
from torch import Tensor, nn

from nasctl.errors import NasctlError


def to_onnx(module: nn.Module, inputs: list[Tensor]) -> bytes:
    """The module as an ONNX file for inputs of these shapes, batch included.

    Raises:
        NasctlError: torch cannot export it.
    """
    names = [f"input{k}" for k in range(len(inputs))]
    with silenced_exporter():
        program = torch.onnx.export(
            module, tuple(inputs), input_names=names, dynamo=True, verbose=False, external_data=False
        )
    if program is None:
        raise NasctlError("torch made no ONNX program of the network")
    proto = program.model_proto
    for node in proto.graph.node:
        del node.metadata_props[:]  # how torch came to the node, with names of folders of this machine
    content: bytes = proto.SerializeToString()
    return content


@contextmanager
def silenced_exporter() -> Iterator[None]:
    """Keep torch's exporters off stdout, and to themselves what a person can do nothing about.

    They warn about their own use of what torch and Python deprecate, and say that torchvision is not there.
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
