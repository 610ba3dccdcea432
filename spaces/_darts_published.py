"""The published networks of cells of DARTS, and the options that they are published with."""

from __future__ import annotations

from collections.abc import Mapping

DATA = {"cifar": "CIFAR-10", "imagenet": "ImageNet"}  # by stem
# Options of the networks that the papers train, by stem.
OPTIONS: Mapping[str, Mapping[str, object]] = {
    "cifar": {"channels": 36, "cells": 20, "classes": 10, "resolution": 32},
    "imagenet": {"channels": 48, "cells": 14, "classes": 1000, "resolution": 224},
}
# Name -> edges of the normal and of the reduction cell, source, and accuracy by stem. An edge is two digits: the value
# that it reads, and the number of its operation. Nodes 2 to 5 sum two edges each.
NETWORKS: Mapping[str, tuple[str, str, Mapping[str, float]]] = {
    "darts-v1": (
        "13 03 02 13 02 13 03 22 | 00 10 22 00 00 22 22 01",
        "Liu et al., ICLR 2019, table 1, first order",
        {"cifar": 0.9700},
    ),
    "darts-v2": (
        "03 13 03 13 13 02 02 25 | 00 10 22 10 00 22 22 10",
        "Liu et al., ICLR 2019, tables 1 and 3, second order",
        {"cifar": 0.9724, "imagenet": 0.733},
    ),
    "p-darts": (
        "02 15 02 13 13 33 03 46 | 01 14 03 26 00 15 15 36",
        "Chen et al., ICCV 2019, tables 1 and 2; genotypes.py of github.com/chenxin061/pdarts",
        {"cifar": 0.9750, "imagenet": 0.756},
    ),
    "pc-darts-cifar": (
        "13 02 03 15 04 13 01 15 | 14 00 14 24 03 33 13 23",
        "Xu et al., ICLR 2020, tables 1 and 2; genotypes.py of github.com/yuhuixu1993/PC-DARTS",
        {"cifar": 0.9743, "imagenet": 0.749},
    ),
    "pc-darts-imagenet": (
        "12 03 03 12 13 33 13 46 | 03 12 26 10 23 13 04 33",
        "Xu et al., ICLR 2020, table 2; genotypes.py of github.com/yuhuixu1993/PC-DARTS",
        {"imagenet": 0.758},
    ),
}
