"""The interface for plug-ins: every name of nasctl that a plug-in may import. The module defines none of them."""

from typing import TYPE_CHECKING

from nasctl.candidates.applicability import only_attention, only_classes, only_forward, only_maps, only_rectified
from nasctl.candidates.candidate import Candidate
from nasctl.candidates.layer_sum import total
from nasctl.candidates.objective import (
    ChecksApplicability,
    ChecksSetting,
    ChecksSpace,
    FilesTrainings,
    HasLabel,
    HasRemarks,
    HasSharedWeights,
    HasSubstitutes,
    MaybeMonotone,
    Objective,
    VersionedByNetwork,
)
from nasctl.candidates.setting import Setting
from nasctl.candidates.versions import version_of_blocks, version_of_layers, version_of_weights
from nasctl.candidates.weights_source import DrawnWeights, WeightsSource
from nasctl.data import (
    ClassCount,
    Data,
    DataFormat,
    DataSummary,
    ImageContent,
    ImageData,
    ImageSizes,
    KnowsMirrorImages,
    StoredImages,
    Summarized,
    TokenData,
)
from nasctl.errors import BadOption, InvalidGenome, MissingBlock, NasctlError, UnknownDevice, UnknownName
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
from nasctl.networks.custom_calls import calls_functions
from nasctl.networks.early_exit import EarlyExit, running_costs, thresholds_of
from nasctl.networks.graph import Block, Builder, Emission, Network, Span, emission_of
from nasctl.networks.layer_kinds import (
    LayerKind,
    is_batch_norm,
    is_global_pool,
    layer_kind,
    module_kind,
    node_modules,
)
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
    SumTerm,
    Swish,
    Truncate,
    WeightedSum,
    Zero,
)
from nasctl.networks.node import Call, Layer, Node, Shape
from nasctl.networks.one_channel import with_one_channel
from nasctl.networks.quantized_layer import Levels, QuantizedLayer
from nasctl.networks.sequences import (
    GELU,
    AttentionScores,
    ClassToken,
    Embedding,
    FirstToken,
    FlattenMap,
    LayerNorm,
    MeanToken,
    PatchEmbedding,
    PositionEmbedding,
    Softmax,
    Tanh,
    UnflattenMap,
    WeightedValues,
)
from nasctl.networks.sparse_layer import SparseLayer
from nasctl.networks.token_mixing import (
    ConcatFeatures,
    Cosine,
    DynamicConv,
    Fourier,
    HeadLinear,
    RelativeScores,
    SeparableConv1d,
    TokenType,
)
from nasctl.pareto.archive import Archive
from nasctl.problem.chain_blocks import ChainBlock, block_ends, chain_blocks
from nasctl.problem.choice_bandit import ChoiceBandit, drawn_choices
from nasctl.problem.choice_controller import ChoiceController, ControllerOptions
from nasctl.problem.choice_removal import (
    all_but_most_important,
    effective_choices,
    remove_choices,
    trial_removals,
)
from nasctl.problem.choice_strategy import DrawsGenomes, HasController
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.ids import decode
from nasctl.problem.sampling import promising, starting_genomes, unseen
from nasctl.problem.searcher import (
    AcceptsBatch,
    Direction,
    Evaluation,
    Goal,
    HasFindings,
    HasNeeds,
    HasStartingGenomes,
    HasSurvivors,
    MixtureProblem,
    Problem,
    Searcher,
    Transform,
)
from nasctl.problem.space import (
    Gene,
    Genome,
    HasDeclaredForm,
    HasDefaultCost,
    HasFamily,
    HasLevels,
    HasMissingReferences,
    HasNASLibTuples,
    HasPastLevels,
    HasReferences,
    HasShare,
    HasTrainedWeights,
    Input,
    MixableSpace,
    Notation,
    Reference,
    SearchSpace,
    declared_network,
    validate,
)
from nasctl.problem.strategy import (
    ChoosesDistance,
    GivesLosses,
    HasCopies,
    HasMeanTeacher,
    HasModules,
    LearnsChoices,
    MixesCopies,
    MixesSlices,
    Pass,
    ReadsNorms,
    ReadsTeacher,
    ScalesRate,
    ScoresGenomes,
    SplitsExamples,
    StartsAtZero,
    StartsFromSupernet,
    StartsFromWeights,
    Strategy,
    StrategyContext,
)
from nasctl.problem.strategy_step import GeneKind, StepBatch, StepNetworks, TeacherNetwork
from nasctl.system.files import parsed as parse_json

if not TYPE_CHECKING:  # type checkers refuse old names and unknown names
    from nasctl.registry.old_names import api_attribute as __getattr__
