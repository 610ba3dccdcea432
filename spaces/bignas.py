"""The BigNAS space: width, depth and kernel of each of seven stages with squeeze-and-excitation; 6e7 networks.

References:
    Yu et al., "BigNAS: Scaling up neural architecture search with big single-stage models", ECCV 2020,
    arXiv:2003.11142. The choices are taken from `configs/train.yaml` of github.com/xfey/pytorch-BigNAS, a
    reimplementation.
"""

from __future__ import annotations

from nasctl.api import Builder, ConvNormAct, GlobalAvgPool
from nasctl.spaces._staged import ACT, Stage, StagedSpace

__all__ = ["BigNAS"]

# Widths, depths, kernels, expansions, stride and squeeze-and-excitation of each stage.
STAGES = (
    Stage((16, 24), (1, 2), (3,), (1,), 1, True),
    Stage((24, 32), (2, 3), (3,), (6,), 2, True),
    Stage((40, 48), (2, 3), (3, 5), (6,), 2, True),
    Stage((80, 88), (2, 3, 4), (3, 5), (6,), 2, True),
    Stage((112, 120, 128), (2, 3, 4, 5, 6), (3, 5), (6,), 1, True),
    Stage((192, 200, 208, 216), (2, 3, 4, 5, 6), (3, 5), (6,), 2, True),
    Stage((320, 352), (1, 2), (3, 5), (6,), 1, True),
)
# Choices of the channels before the classifier.
LAST_WIDTHS = (1280, 1408)
FINAL_CONVS = [ConvNormAct(channels, act=ACT) for channels in LAST_WIDTHS]


class BigNAS(StagedSpace):
    """Seven stages of inverted residuals with squeeze-and-excitation, with one width and kernel per stage.

    Every block has a shortcut, even where the shape changes. BigNAS uses images of 192, 224, 288 and 320 pixels a side:
    `resolutions=192,224,288,320`. The blocks of BigNAS-S to BigNAS-XL are not published.

    Departures: the same as in `attentivenas`, which uses the same blocks.

    Args:
        resolution: Height and width of the images in pixels, a multiple of 32.
        classes: Outputs of the classifier.
        resolutions: Choices of a resolution gene, which replaces `resolution`.
    """

    share = "entangled"  # of weights in a supernet: layers differ in size, or operations in name

    name = "bignas"
    stem_widths = (32, 40)
    stages = STAGES
    last_widths = LAST_WIDTHS

    def _head(self, net: Builder, x: int, width: int, last: int) -> int:
        return net.add(GlobalAvgPool(), net.add(FINAL_CONVS[last], x, name="final"), name="pool")
