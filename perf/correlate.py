"""Tables of docs/metrics.md: rank correlation of every metric with the accuracies of a benchmark, ours and published.

python perf/correlate.py --space nb201 --store scores.db

The tables of accuracies are read from the folder that NASCTL_DATA names. Values in the store are
not computed again, so an interrupted run can be resumed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import torch

from nasctl import registry
from nasctl.analysis import score
from nasctl.analysis.correlate import MetricResult, correlate_metrics, parse_scores, sample_known_values
from nasctl.bench.published import published_path
from nasctl.candidates.setting import Setting
from nasctl.data import source
from nasctl.evaluation.measure import measure
from nasctl.evaluation.task import Task
from nasctl.problem.fidelity import Fidelity
from nasctl.problem.space import Genome, default_fidelity, levels
from nasctl.store.store import Store
from nasctl.system.terminal import counted

IMAGES = "images/cifar10_train_12000.zip"  # path in the folder of published files
TIMED = 5  # architectures on which the time of a metric by itself is measured
TASKS = ("class_scene", "jigsaw", "autoencoder", "normal", "class_object", "segmentsemantic", "room_layout")
TRUTH = {
    "nb201": (
        "nb201/nb201_table.csv.gz",
        ("test_acc_200_cifar10", "test_acc_200_cifar100", "test_acc_200_ImageNet16-120"),
    ),
    "nbmacro": ("nb-macro/nas-bench-macro_cifar10.json.gz", ("mean_acc",)),
    "tnb101_micro": ("tnb101/tnb101_micro.csv.gz", tuple(f"val_{task}" for task in TASKS)),
}
# lga trains, and takes as long as all other metrics together. size orders networks as params does.
LEFT_OUT = ("lga", "size")
AZ = "expressivity+progressivity+trainability+macs"  # Lee & Ham, CVPR 2024, arXiv:2403.19232
COMBINED = (
    "log_rank:synflow+jacov",
    f"log_rank:{AZ}",
    f"log_rank:{AZ}+synflow+jacov",
    "log_rank:jacov+zen+expressivity+gradsign",  # the choice of perf/combine.py by NAS-Bench-201
    "vote:synflow+jacov+snip",
)
# Published Spearman's rho by space and metric, in the order of the columns of TRUTH.
# nb201 (final accuracy on CIFAR-10, CIFAR-100 and ImageNet16-120): Li et al., "ZiCo", ICLR 2023, arXiv:2301.11300,
# table 1. jacov, epe_nas, l2_norm and plain are from NASLib's table of 725 cells. Values marked "tau" are Kendall's tau
# of AZ-NAS and TE-NAS, from notes on the papers.
# tnb101_micro: table 5 of ZiCo, which has the first four tasks. epe_nas is from NASLib's table.
PUBLISHED = {
    "nb201": {
        "grad_norm": (".63", ".63", ".58"),
        "snip": (".63", ".63", ".58"),
        "grasp": (".54", ".51", ".56"),
        "fisher": (".55", ".55", ".50"),
        "synflow": (".73", ".76", ".75"),
        "naswot": (".77", ".80", ".78"),
        "ntk_cond": (".44", ".43", ".63"),
        "gradsign": (".77", ".79", ".78"),
        "zen": (".38", ".36", ".40"),
        "zico": (".80", ".81", ".79"),
        "macs": (".73", ".71", ".67"),
        "params": (".75", ".73", ".69"),
        "jacov": (".77", ".72", ".73"),
        "epe_nas": (".67", ".42", ".10"),
        "l2_norm": (".73", ".75", ".74"),
        "plain": ("-.26", "-.27", "-.26"),
        "expressivity": ("tau .57", "", ""),
        "progressivity": ("tau .52", "", ""),
        "trainability": ("tau .35", "", ""),
        "linear_regions": ("tau .50", "", ""),
    },
    "nbmacro": {},
    "tnb101_micro": {
        "grad_norm": (".65", ".35", ".32", ".36"),
        "snip": (".71", ".41", ".27", ".49"),
        "grasp": (".28", ".11", ".14", ".01"),
        "fisher": (".67", ".30", ".59", ".14"),
        "synflow": (".72", ".47", "0", "0"),
        "naswot": (".60", ".42", ".02", ".57"),
        "zen": (".72", ".50", ".14", ".71"),
        "gradsign": (".46", ".53", ".02", ".40"),
        "params": (".64", ".44", ".01", ".63"),
        "macs": (".65", ".45", ".02", ".64"),
        "zico": (".71", ".52", ".35", ".68"),
        "epe_nas": (".53", ".16", "", "", ".39", "", ".39"),
    },
}


def compared(space: str, objectives: Sequence[str], data: str, fidelity: str, store: str, sample: int) -> str:
    """Return the tables of a space in Markdown, one for each column of accuracies."""
    made = registry.create("spaces", space)
    level = Fidelity.parse(fidelity, levels(made)) if fidelity else default_fidelity(made)
    names = score.expand_specs(objectives or ["all"])
    if not objectives:
        names = [name for name in names if name not in LEFT_OUT]
    task = Task(made, score.make_metrics(names, space), Setting(source(data or str(published_path(IMAGES))), level))
    path, columns = TRUTH[space]
    combined = parse_scores(task, [text for text in COMBINED if set(text.partition(":")[2].split("+")) <= set(names)])
    known = sample_known_values(published_path(path), space, columns, sample, seed=0)
    genomes = list(dict.fromkeys(map(made.canonical, known.genomes)))
    rows = counted(score.score_genomes(task, space, genomes, Store(store)), len(genomes), "scored")
    found = correlate_metrics(task, combined, known, {row.evaluation.genome: row for row in rows}, False, seed=0)
    seconds = seconds_alone(task, genomes[:TIMED])
    text = [f"{len(known.genomes)} architectures; {task.setting}"]
    for place, (column, lines) in enumerate(found.columns.items()):
        text += ["", f"**{column}**", "", *table(lines, PUBLISHED[space], place, seconds)]
    return "\n".join(text)


def seconds_alone(task: Task, genomes: Sequence[Genome]) -> dict[str, float]:
    """Return the median processor seconds of each metric, measured by itself, so that no metric shares a pass."""
    found = {}
    for name, metric in task.metrics.items():
        times = []
        for genome in genomes:
            start = time.process_time()
            measure(replace(task, metrics={name: metric}), genome, {name: name})
            times.append(time.process_time() - start)
        found[name] = median(times)
    return found


def table(
    lines: Sequence[MetricResult], published: dict[str, tuple[str, ...]], place: int, alone: dict[str, float]
) -> list[str]:
    """Return the lines of a Markdown table.

    Args:
        lines: Results of the metrics.
        published: Published figures, by metric.
        place: Index of the column of accuracies.
        alone: Seconds by metric; aggregations have none.
    """
    rows = ["| | Spearman | Kendall | top 10% | published rho | failed | s |", "| --- " * 7 + "|"]
    for line in lines:
        one = line.agreement
        cells = [f"{e.value:.3f} [{e.low:.2f}, {e.high:.2f}]" if e else "-" for e in (one.spearman, one.kendall)]
        top = f"{one.top.value:.2f}" if one.top else "-"
        name = f"**{line.name}**" if line.size or line.seconds is None else f"`{line.name}`"
        seconds = f"{alone[line.name]:.4f}" if line.name in alone else "-"
        theirs = dict(enumerate(published.get(line.name, ()))).get(place, "")
        rows.append(f"| {name} | {cells[0]} | {cells[1]} | {top} | {theirs} | {one.failed} | {seconds} |")
    return rows


def main() -> None:
    """Compute the correlations and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", choices=TRUTH, required=True)
    parser.add_argument(
        "--objective", action="append", default=[], help="metrics, as for nasctl; default: all but lga and size"
    )
    parser.add_argument("--data", default="", help="input data, as for nasctl; default: CIFAR-10 images")
    parser.add_argument("--fidelity", default="", help="fidelity, as for nasctl; default: balanced")
    parser.add_argument("--store", default="nasctl.db")
    parser.add_argument("--sample", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(compared(options.space, options.objective, options.data, options.fidelity, options.store, options.sample))


if __name__ == "__main__":
    main()
