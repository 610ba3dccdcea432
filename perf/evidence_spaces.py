"""Spaces with published results, for perf/evidence.py."""

from __future__ import annotations

import ast
import csv
from dataclasses import dataclass

from combine import genome

from nasctl import registry
from nasctl.architectures.known_values import read_columns
from nasctl.bench.published import published_path
from nasctl.problem.space import Genome

IMAGES = "images/cifar10_train_12000.zip"  # path in the folder of published files
# Published runs of searches on Once-for-All. The first 50 networks of each are random, and several runs share them.
OFA_RUNS = ("evounsga3_acc_macs_params", "linasnsga2_acc_macs", "evoga_acc", "linasga_acc", "evonsga2_acc_macs")
OFA_RANDOM = 50


@dataclass(frozen=True)
class Result:
    """A column of known results.

    Args:
        column: Name of the column.
        task: What the networks were trained for.
        dataset: Data set and result, for people.
        lower: Whether lower results are better.
    """

    column: str
    task: str
    dataset: str
    lower: bool = False


@dataclass(frozen=True)
class KnownSpace:
    """A space with published results.

    Args:
        spec: Spec of the space.
        file: Path of the results within the folder of data.
        source: Public source of the results.
        licence: Licence of the source.
        results: The columns.
        tabulated: Whether nasctl ships the values of all metrics.
        networks: Largest number of networks to measure; 0 for the number that a script is given.
        left_out: Metrics that are not measured.
        page: Page of the documentation that shows the correlations.
    """

    spec: str
    file: str
    source: str
    licence: str
    results: tuple[Result, ...]
    tabulated: bool = False
    networks: int = 0
    left_out: tuple[str, ...] = ()
    page: str = "docs/metrics.md"


# Metrics of single examples, which take most of the time of a network.
SLOW = ("epe_nas", "gradsign", "ntk_cond", "ntk_trace")
# Metrics of the gradients of the loss, which are slow on the logits of many words or places.
GRADIENTS = ("fisher", "grad_norm", "grasp", "plain", "snip", "zico")


def _tnb101(task: str, kind: str, measure: str) -> Result:
    return Result(f"val_{task}", kind, f"Taskonomy {task}, validation {measure}")


SPACES = (
    KnownSpace(
        "nb201",
        "nb201/nb201_table.csv.gz",
        "NAS-Bench-201 (github.com/automl/NASLib)",
        "Apache-2.0",
        (
            Result("test_acc_200_cifar10", "classification", "CIFAR-10, test accuracy"),
            Result("test_acc_200_cifar100", "classification", "CIFAR-100, test accuracy"),
            Result("test_acc_200_ImageNet16-120", "classification", "ImageNet16-120, test accuracy"),
        ),
        tabulated=True,
    ),
    KnownSpace(
        "tnb101_micro",
        "tnb101/tnb101_micro.csv.gz",
        "TransNAS-Bench-101 (github.com/automl/NASLib)",
        "Apache-2.0",
        (
            _tnb101("class_scene", "classification", "accuracy"),
            _tnb101("class_object", "classification", "accuracy"),
            _tnb101("jigsaw", "self-supervised", "accuracy"),
            _tnb101("autoencoder", "reconstruction", "SSIM"),
            _tnb101("normal", "dense", "SSIM"),
            _tnb101("segmentsemantic", "dense", "pixel accuracy"),
            _tnb101("room_layout", "layout", "negative loss"),
        ),
        networks=80,
        left_out=SLOW,
    ),
    KnownSpace(
        "darts",
        "nb301-darts/zc_nasbench301_725.json.gz",
        "NAS-Bench-301 surrogate (github.com/automl/NASLib)",
        "Apache-2.0",
        (Result("val_accuracy", "classification", "CIFAR-10, predicted accuracy"),),
    ),
    KnownSpace(
        "nbmacro",
        "nb-macro/nas-bench-macro_cifar10.json.gz",
        "NAS-Bench-Macro (github.com/xiusu/NAS-Bench-Macro)",
        "Apache-2.0",
        (Result("mean_acc", "classification", "CIFAR-10, test accuracy"),),
        tabulated=True,
    ),
    KnownSpace(
        "mbconv:width=1.0",
        "ofa-latency",
        "DyNAS-T, random subnets of Once-for-All (github.com/IntelLabs/DyNAS-T)",
        "Apache-2.0",
        (Result("top1", "classification", "ImageNet, accuracy with shared weights"),),
        networks=100,
        page="docs/evidence-mbconv.md",
    ),
    KnownSpace(
        "bert",
        "rnn-bert-trainingfree/BERT_benchmark.json.gz",
        "NAS-Bench-BERT (github.com/aaronserianni/training-free-nas)",
        "CC-BY-4.0",
        (Result("scores.glue", "classification", "GLUE, mean score"),),
        left_out=(*SLOW, *GRADIENTS, "naswot", "swap"),
    ),
    KnownSpace(
        "flexibert",
        "flexibert/dataset_small_{}.json.gz",
        "FlexiBERT (github.com/jha-lab/txf_design-space)",
        "BSD-3-Clause",
        (
            Result("accuracies.SST-2", "classification", "SST-2, accuracy"),
            Result("accuracies.QNLI", "classification", "QNLI, accuracy"),
        ),
        left_out=SLOW,
    ),
    KnownSpace(
        "rnn",
        "rnn-bert-trainingfree/nasbenchnlp_wikitext2.csv.gz",
        "NAS-Bench-NLP (github.com/fmsnew/nas-bench-nlp-release)",
        "Apache-2.0",
        (Result("test_loss_last", "language", "WikiText-2, test loss", lower=True),),
        networks=100,
        left_out=GRADIENTS,
    ),
)


def known_results(known: KnownSpace) -> dict[str, dict[Genome, float]]:
    """Return the results of a space by column and genome."""
    if known.file == "ofa-latency":
        return {"top1": _random_subnets(known.spec)}
    found = {}
    for result in known.results:
        file = known.file.format(result.column.rpartition(".")[2].replace("-", "").lower())
        (truth,) = read_columns(published_path(file), known.spec, [result.column])
        found[result.column] = dict(truth.values)
    return found


def _random_subnets(spec: str) -> dict[Genome, float]:
    """Return the ImageNet accuracies in % of the random networks of Once-for-All, means over repeated evaluations."""
    space, found, random = registry.create("spaces", spec), dict[Genome, list[float]](), set[Genome]()
    for run in OFA_RUNS:
        with open(published_path(f"ofa-latency/dynast_mbnv3w10_{run}.csv"), encoding="utf-8", newline="") as file:
            for k, row in enumerate(csv.DictReader(file)):
                one = genome(ast.literal_eval(row["Sub-network"]), space)
                found.setdefault(one, []).append(float(row["Top-1 Acc (%)"]))
                if k < OFA_RANDOM:
                    random.add(one)
    return {one: sum(values) / len(values) for one, values in found.items() if one in random}
