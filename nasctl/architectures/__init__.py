"""Architectures as people name and describe them: ids, descriptions, JSON files and tables of known values."""

from nasctl.architectures.architecture import Architecture
from nasctl.architectures.ids import encode, prefix, resolve

__all__ = ["Architecture", "encode", "prefix", "resolve"]
