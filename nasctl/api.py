"""All that a plug-in may import; it stands elsewhere, so that nothing here is imported by what it imports."""

from nasctl.candidates.applicability import only_attention, only_classes, only_forward, only_maps, only_rectified
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.layer_sum import total
from nasctl.candidates.objective import Objective
from nasctl.candidates.setting import Setting
from nasctl.errors import BadOption, InvalidGenome, MissingBlock, NasctlError, UnknownName
from nasctl.networks.blocks import (
    ACTIVATIONS,
    ActConvNorm,
    BasicBlock,
    Classifier,
    ConvNormAct,
    FactorizedReduction,
    FeedForward,
    Identity,
    Logits,
    MBConv,
    SelfAttention,
    SqueezeExcite,
    make_divisible,
)
from nasctl.networks.graph import Block, Builder, Emission, Network, Span
from nasctl.networks.layers import (
    Add,
    AvgPool,
    BatchNorm,
    ChannelShuffle,
    Concat,
    Conv,
    Flatten,
    GlobalAvgPool,
    HSigmoid,
    HSwish,
    Linear,
    MaxPool,
    Multiply,
    ReLU,
    ReLU6,
    Shift,
    Sigmoid,
    Swish,
    Truncate,
    Zero,
)
from nasctl.networks.node import Call, Layer, Node, Shape
from nasctl.networks.sequences import (
    GELU,
    Attend,
    AttentionScores,
    ClassToken,
    Embedding,
    FirstToken,
    Image,
    LayerNorm,
    MeanToken,
    Patches,
    Positions,
    Softmax,
    Tanh,
    Tokens,
)
from nasctl.networks.token_mixing import (
    Cosine,
    DynamicConv,
    Fourier,
    HeadLinear,
    Join,
    PlaceConv,
    RelativeScores,
    TokenType,
)
from nasctl.pareto.archive import Archive
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.ids import decode
from nasctl.problem.sampling import promising, unseen
from nasctl.problem.searcher import Direction, Evaluation, Goal, Problem, Searcher, Transform
from nasctl.problem.space import Gene, Genome, Input, Notation, SearchSpace, validate
