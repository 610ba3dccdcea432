"""Validation of the options that spaces of networks on square images share."""

from __future__ import annotations

from nasctl.api import BadOption


def checked_resolutions(name: str, resolution: int, resolutions: tuple[int, ...], classes: int) -> tuple[int, ...]:
    """Validate the options of a space whose networks halve the resolution five times.

    Returns:
        Image heights and widths that the genome chooses from: `resolutions`, or `resolution` alone.

    Raises:
        BadOption: An option is out of range, or `resolutions` is not in ascending order.

    Args:
        name: Name of the space, for error messages.
        resolution: Height and width of the images, used when `resolutions` is empty.
        resolutions: Choices of the resolution gene, ascending.
        classes: Outputs of the classifier.
    """
    invalid = [size for size in (resolution, *resolutions) if not 32 <= size <= 4096 or size % 32]
    if invalid:
        raise BadOption(f"resolution must be a multiple of 32 from 32 to 4096, got {invalid[0]} (option of {name})")
    if list(resolutions) != sorted(set(resolutions)):
        given = ",".join(map(str, resolutions))
        raise BadOption(f"resolutions must be distinct and ascending, got {given} (option of {name})")
    if classes < 1:
        raise BadOption(f"classes must be 1 or more, got {classes} (option of {name})")
    return resolutions or (resolution,)
