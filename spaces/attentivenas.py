"""The AttentiveNAS and AlphaNet space: width, depth, kernel and expansion of each of seven stages; 1e11 networks.

References:
    Wang et al., "AttentiveNAS: Improving neural architecture search via attentive sampling", CVPR 2021,
    arXiv:2011.09011; `configs/eval_attentive_nas_models.yml` and `models/` of
    github.com/facebookresearch/AttentiveNAS.
    Wang et al., "AlphaNet: Improved training of supernets with alpha-divergence", ICML 2021, arXiv:2102.07954, which
    searches the same space.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from nasctl.api import Builder, ConvNormAct, GlobalAvgPool, Reference
from nasctl.spaces._staged import ACT, Stage, StagedNetwork, StagedSpace

__all__ = ["AttentiveNAS"]

# Widths, depths, kernels, expansions, stride and squeeze-and-excitation of each stage.
STAGES = (
    Stage((16, 24), (1, 2), (3, 5), (1,), 1, False),
    Stage((24, 32), (3, 4, 5), (3, 5), (4, 5, 6), 2, False),
    Stage((32, 40), (3, 4, 5, 6), (3, 5), (4, 5, 6), 2, True),
    Stage((64, 72), (3, 4, 5, 6), (3, 5), (4, 5, 6), 2, False),
    Stage((112, 120, 128), (3, 4, 5, 6, 7, 8), (3, 5), (4, 5, 6), 1, True),
    Stage((192, 200, 208, 216), (3, 4, 5, 6, 7, 8), (3, 5), (6,), 2, True),
    Stage((216, 224), (1, 2), (3, 5), (6,), 1, True),
)
# Choices of the channels before the classifier.
LAST_WIDTHS = (1792, 1984)
FINAL_EXPANSION = 6  # output channels per input channel of the convolution behind the last stage
FINAL_CONVS = [ConvNormAct(FINAL_EXPANSION * channels, act=ACT) for channels in STAGES[-1].widths]
MIX_CONVS = [ConvNormAct(channels, act=ACT, norm=False) for channels in LAST_WIDTHS]

PUBLISHED = Reference((), "Wang et al., CVPR 2021, and the README of github.com/facebookresearch/AttentiveNAS")
# Resolution, stem, widths, depths, kernels, expansions and last width of A0 to A6, and their accuracies.
NETWORKS = tuple(
    StagedNetwork(size, stem, widths, depths, kernels, expansions, last, replace(PUBLISHED, accuracy=accuracy))
    for size, stem, widths, depths, kernels, expansions, last, accuracy in (
        (192, 16, (16, 24, 32, 64, 112, 192, 216), "1333331", "3333333", "1444466", 1792, 0.773),
        (224, 16, (16, 24, 32, 64, 112, 192, 216), "1333331", "3335353", "1444466", 1984, 0.784),
        (224, 16, (16, 24, 32, 64, 112, 200, 224), "1333341", "3333353", "1454466", 1984, 0.788),
        (224, 16, (16, 24, 32, 64, 112, 208, 224), "2334351", "3335333", "1444466", 1984, 0.791),
        (256, 16, (16, 24, 32, 64, 112, 192, 216), "1334351", "3335353", "1445466", 1984, 0.798),
        (256, 16, (16, 24, 32, 72, 112, 192, 216), "1333461", "3335333", "1454466", 1792, 0.801),
        (288, 16, (16, 24, 32, 64, 112, 216, 224), "1334461", "3333353", "1465466", 1984, 0.807),
    )
)


class AttentiveNAS(StagedSpace):
    """Seven stages of inverted residuals, with one width, kernel and expansion for all blocks of a stage.

    Every block has a shortcut, even where the shape changes. Parameters and MACs equal those of AttentiveNAS, except
    for shortcut weights that its modules hold and never use. With `resolutions=192,224,256,288` the space contains the
    published networks A0 to A6.

    Departures: dropout before the classifier and stochastic depth are omitted. Both add no parameters or MACs and only
    regularise training. A stride of 2 meets images of odd size only at reduced fidelity. There the shortcut averages
    3x3 values instead of 2x2 values with zero padding.

    Args:
        resolution: Height and width of the images in pixels, a multiple of 32.
        classes: Outputs of the classifier.
        resolutions: Choices of a resolution gene, which replaces `resolution`.
    """

    share = "entangled"  # of weights in a supernet: layers differ in size, or operations in name

    name = "attentivenas"
    stem_widths = (16, 24)
    stages = STAGES
    last_widths = LAST_WIDTHS
    networks: ClassVar[Mapping[str, StagedNetwork]] = {
        f"attentivenas-a{k}": network for k, network in enumerate(NETWORKS)
    }

    def _head(self, net: Builder, x: int, width: int, last: int) -> int:
        x = net.add(FINAL_CONVS[width], x, name="final")
        x = net.add(GlobalAvgPool(), x, name="pool")
        return net.add(MIX_CONVS[last], x, name="mix")
