"""Precisions of latency tables: one name for each, and the bits of those of integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from nasctl.errors import NasctlError

Precision = Literal["float32", "float16", "bfloat16", "int8"]  # precisions that nasctl itself measures

# TF32 stays at the default of torch, because users run with that default too.
TF32 = "float32, TF32 in convolutions where the device has it"

NOT_STATED = "not stated"  # the precision of a table whose source does not state it

INTEGER_BITS: Mapping[str, int] = {"int4": 4, "int8": 8, "int16": 16}  # bits of weights and activations

# Other names of each precision, in small letters without blanks, hyphens and underscores.
NAMES: Mapping[str, tuple[str, ...]] = {
    "float32": ("fp32", "f32", "float", "single"),
    TF32: ("tf32",),
    "float16": ("fp16", "f16", "half"),
    "bfloat16": ("bf16",),
    "int16": ("i16", "w16a16"),
    "int8": ("i8", "s8", "u8", "uint8", "qint8", "quint8", "w8a8"),
    "int4": ("i4", "w4a4"),
    NOT_STATED: ("notstated", "unknown"),
}


def normal_precision(text: str) -> str:
    """Return the one name of a precision, such as "int8" for "INT8" and "w8a8".

    Raises:
        NasctlError: It is none that tables have, such as one with other bits for weights than for activations.
    """
    if (found := known_precision(text)) is None:
        usual = ", ".join(name for name in NAMES if name not in (TF32, NOT_STATED))
        raise NasctlError(
            f"Cannot use the precision {text!r}: rows of a table hold for one of {usual} or tf32. Give one of these, or"
            f" {NOT_STATED!r}."
        )
    return found


def integer_bits(precision: str) -> int | None:
    """Return the bits of the integers that a table's device computes with; None for any other precision.

    Args:
        precision: The precision of a table, which may be any text in files of earlier versions.
    """
    return INTEGER_BITS.get(known_precision(precision) or "")


def known_precision(text: str) -> str | None:
    """Return the one name of a precision, or None if it is none that tables have."""
    if text in NAMES:
        return text
    plain = "".join(one for one in text.lower() if one not in " -_")
    return next((name for name, others in NAMES.items() if plain == name or plain in others), None)
