"""Architectures as users name and describe them: ids, descriptions, free architectures and tables of known values.

An `Architecture` is a genome with its id, its space with all options, and its network. `ids` converts between genomes
and ids. `from_json` reads networks that need not belong to a search space, and `known_values` reads tables of published
values such as accuracies.
"""

from nasctl.architectures.architecture import Architecture
from nasctl.architectures.ids import encode, prefix, resolve

__all__ = ["Architecture", "encode", "prefix", "resolve"]
