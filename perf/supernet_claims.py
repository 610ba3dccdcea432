"""Do the claims of papers on supernets hold at a small size? python perf/supernet_claims.py sizes --seeds 0 1 2.

- `sizes`: on a space whose networks differ in size alone. BigNAS: the largest network of a sandwich is as good as the
  same network trained alone on the same photos, and other networks with inherited weights are as good as trained alone.
  AttentiveNAS, AlphaNet and ShiftNAS: the hypervolume of error and multiply-accumulates over random networks is larger
  than that of `sandwich`, whose steps train as many networks.
  With `single_path` among the strategies, its networks are compared with networks alone too. It trains four times as
  many epochs, since its steps train one network.
- `blocks`: BossNAS. The effects of choices that `blockwise` fits without labels rank networks of NAS-Bench-Macro. With
  --judged, files that perf/supernet_ranking.py has written, the losses of a supernet rank networks beside sums over
  choices that are fitted to the losses of other networks. `--seeds` without a number trains nothing.
- `fit`: the loss with shared weights as one more column of a predictor of accuracy, on NAS-Bench-Macro. The supernet is
  one that perf/supernet_ranking.py has trained; --judged names the file judged-*.json in its folder.
- `elastic`: InstaTune. Parts of a trained vision transformer with 60% of its multiply-accumulates stay as good as it.
- `distil`: AutoDistil. Students with half of a teacher's parameters, from a supernet that learns its attention, are
  better than the same students that are trained alone for the same steps. The encoders read rows of 16 words.
- `tangle`: TangleNAS. The network that `tangle` chooses is better, trained alone, than the best of random networks by
  the weights of `single_path`, and than a random network of its cost.

Claims are tested by the t-test over seeds (`fit`: over draws of labels), one-sided at 95%: a claim holds, does not
hold, or the trainings are too small to tell. Networks are judged on the same held-out photos, so differences are
paired. The hypervolume is that of the error, as a share, and of the cost scaled from the smallest to the largest
network, with 1.05 in both as the reference. Trainings lie in the folder --work, and are not repeated.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau
from supernet_ceilings import halves
from supernet_entangled import STRATEGY, tangle, tangle_lines
from supernet_ranking import PASSES, Truth
from supernet_students import SPACE as STUDENTS
from supernet_students import distil, distil_lines
from supernet_trainings import (
    Examples,
    Setup,
    inherited,
    judged,
    own_quality,
    random_genomes,
    small_setup,
    spread,
    verdict,
)

from nasctl import registry
from nasctl.pareto.hypervolume import hypervolume
from nasctl.prediction.features import FeatureBuilder
from nasctl.prediction.predictor import AccuracyPredictor
from nasctl.problem.space import Genome
from nasctl.supernets.problem import SupernetProblem

COMPARED_ALONE = ("sandwich", "single_path")  # strategies whose networks are compared with networks trained alone

STRATEGIES = ("sandwich", "sandwich:distance=alpha", "attentive", "shift:sandwich,random=2")

LARGEST_MARGIN, SUBNET_MARGIN = -1.0, -1.5  # points that BigNAS's networks may be worse than alone, as its paper has

PART = 0.6  # share of the multiply-accumulates of the largest network, of the parts that `elastic` judges

NEAR = 0.03  # share by which the cost of a part may differ from that

ELASTIC_MARGIN = -1.0  # points

RATE = 1e-3  # learning rate of vision transformers

LABELS = (32, 128)  # of the predictors that `fit` compares


def sizes(given: argparse.Namespace) -> dict[str, Any]:
    """Measure the claims of BigNAS, AttentiveNAS, AlphaNet and ShiftNAS."""
    setup = small_setup(given)
    held_out = Examples.held_out(setup.data(), 0)
    few = Examples.held_out(setup.data(), given.judged)
    genomes = random_genomes(setup.searched(), given.networks, 0)
    rows, alone = [], []
    for seed in given.seeds:
        for strategy in given.strategies:
            epochs = given.epochs * (PASSES["sandwich"] if strategy == "single_path" else 1)
            learner, seconds = _shared(setup, given.rate).supernet(strategy, seed, epochs)
            largest, smallest, macs = learner.context.largest, learner.context.smallest, learner.context.macs
            ends = [inherited(learner, one, held_out) for one in (largest, smallest)]
            found = judged(learner, [largest, smallest, *genomes], few)
            costs = (np.array([macs(one) for one in found]) - macs(smallest)) / (macs(largest) - macs(smallest))
            shares = np.array([accuracy for accuracy, _ in found.values()]) / 100
            row = {"strategy": strategy, "seed": seed, "seconds": seconds, "steps": learner.context.steps}
            row |= {"largest": ends[0][0], "smallest": ends[1][0], "mean": 100 * float(shares.mean())}
            rows.append(row | {"hypervolume": hypervolume(np.column_stack([1 - shares, costs]))})
            print(f"  {row}", flush=True)
            if strategy in COMPARED_ALONE:
                some = [largest, *random_genomes(setup.searched(), given.alone, 1000 + seed)]
                beside = (_beside(setup, learner, one, seed, given.epochs, held_out) for one in some)
                alone += [{"strategy": strategy, **one} for one in beside]
    return {"rows": rows, "alone": alone}


def _shared(setup: Setup, rate: float) -> Setup:
    """Return the setup of supernets; the folder names another rate than the usual one."""
    if not rate:
        return setup
    return replace(setup, work=setup.work / f"rate-{rate:g}", recipe=replace(setup.recipe, rate=rate))


def _beside(setup: Setup, learner: Any, genome: Genome, seed: int, epochs: int, examples: Examples) -> dict[str, Any]:
    """Return the accuracy of a network with shared weights, and of the same network trained alone."""
    own, seconds = setup.alone(genome, seed, epochs)
    found = {"genome": genome, "seed": seed, "largest": genome == learner.context.largest, "seconds": seconds}
    found |= {
        "inherited": inherited(learner, genome, examples)[0],
        "alone": own_quality(own, setup.data(), examples)[0],
    }
    print(f"  {found}", flush=True)
    return found


def sizes_lines(found: dict[str, Any]) -> list[str]:
    """Return the Markdown of `sizes`."""
    rows, columns = found["rows"], ("largest", "smallest", "mean", "hypervolume", "seconds")
    lines = ["| strategy | largest | smallest | mean | hypervolume | seconds |", "| --- |" + " --- |" * 5]
    by = {name: [row for row in rows if row["strategy"] == name] for name in dict.fromkeys(r["strategy"] for r in rows)}
    for name, own in by.items():
        digits = {"hypervolume": 3, "seconds": 0}
        cells = [spread((row[one] for row in own), digits.get(one, 1)) for one in columns]
        lines.append("| " + " | ".join([f"`{name}`", *cells]) + " |")
    lines += ["", "| claim | difference | test |", "| --- | --- | --- |"]
    for name in dict.fromkeys(one["strategy"] for one in found["alone"]):
        lines += _alone_lines(name, [one for one in found["alone"] if one["strategy"] == name])
    base = {row["seed"]: row for row in by.get("sandwich", [])}
    for name, own in by.items():
        for column in ("hypervolume", "largest", "smallest"):
            pairs = [row[column] - base[row["seed"]][column] for row in own if row["seed"] in base]
            if name != "sandwich" and pairs:
                shown = spread(pairs, 3 if column == "hypervolume" else 1)
                lines.append(f"| `{name}` above `sandwich`: {column} | {shown} | {verdict(pairs)} |")
    return lines


def _alone_lines(strategy: str, alone: Sequence[dict[str, Any]]) -> list[str]:
    """Return the rows on networks of a strategy beside the same networks alone."""
    lines = []
    for largest, margin in ((True, LARGEST_MARGIN), (False, SUBNET_MARGIN)):
        own = [one for one in alone if one["largest"] == largest]
        seeds = sorted({one["seed"] for one in own})
        means = [np.mean([e["inherited"] - e["alone"] for e in own if e["seed"] == seed]) for seed in seeds]
        if means:
            which = "the largest network" if largest else f"{len(own)} random networks"
            claim = f"BigNAS: {which} of `{strategy}` at most {-margin:g} points worse than alone"
            lines.append(f"| {claim} | {spread(means, 1)} points | {verdict(means, margin)} |")
    return lines


def blocks(given: argparse.Namespace) -> dict[str, Any]:
    """Measure the claim of BossNAS."""
    truth, rows, ranked = Truth(given.space), [], []
    macs = float(kendalltau(truth.baselines(truth.genomes)["macs"], truth.accuracies).statistic)
    for seed in given.seeds:
        learner, seconds = small_setup(given).supernet("blockwise", seed, given.epochs)
        scores = np.array([-learner.strategy.score(genome) for genome in truth.genomes])  # type: ignore[attr-defined]
        row = {"seed": seed, "seconds": seconds, "steps": learner.context.steps}
        rows.append(row | {"tau": float(kendalltau(scores, truth.accuracies).statistic), "macs": macs})
        print(f"  {rows[-1]}", flush=True)
    for file in given.judged_files:
        known = {tuple(one["genome"]): one["loss"] for one in json.loads(file.read_text())}
        genomes = [one for one in truth.genomes if one in known]
        losses = np.array([known[one] for one in genomes])
        ranked.append({"networks": len(genomes), **halves(truth.genes, genomes, losses, truth.of(genomes))})
    return {"rows": rows, "ranked": ranked}


def blocks_lines(found: dict[str, Any]) -> list[str]:
    """Return the Markdown of `blocks`."""
    rows, ranked, lines = found["rows"], found["ranked"], list[str]()
    if rows:
        taus, macs = [row["tau"] for row in rows], rows[0]["macs"]
        lines = ["| all networks judged by | tau | seconds |", "| --- | --- | --- |"]
        lines.append(f"| block tables | {spread(taus)} | {spread((row['seconds'] for row in rows), 0)} |")
        lines.append(f"| macs | {spread([macs])} | |")
        lines += ["", f"BossNAS: block tables above macs: {verdict(one - macs for one in taus)}", ""]
    if ranked:
        lines += [f"| half of {ranked[0]['networks']} networks judged by | tau |", "| --- | --- |"]
        lines.append(f"| their losses with shared weights | {spread(row['direct'] for row in ranked)} |")
        lines.append(f"| sums over choices, fitted to losses of others | {spread(row['sums'] for row in ranked)} |")
        differences = [row["sums"] - row["direct"] for row in ranked]
        lines += ["", f"sums above losses: {spread(differences)}, {verdict(differences)}"]
    return lines


def fit(given: argparse.Namespace) -> dict[str, Any]:
    """Measure what the loss with shared weights adds to a predictor of accuracy."""
    truth = Truth(given.space)
    known = {tuple(one["genome"]): one["loss"] for one in json.loads(given.judged_file.read_text())}
    genomes = [one for one in truth.genomes if one in known]
    right, losses = truth.of(genomes), np.array([known[one] for one in genomes])
    benchmark = registry.create("benchmarks", registry.plugin_of(given.space))
    places = [truth.genomes.index(one) for one in genomes]
    columns = {name: benchmark.column(name).values[places] for name in benchmark.names}
    space, rows = registry.create("spaces", registry.plugin_of(given.space)), []
    metrics = {"metrics": columns, "metrics and supernet": {**columns, "supernet": losses}}
    features = {}
    for name, own in metrics.items():
        builder = FeatureBuilder.of(space, tuple(own), genomes)
        values = [{key: float(column[k]) for key, column in own.items()} for k in range(len(genomes))]
        features[name] = builder.features(genomes, values), builder.groups
    for labels in LABELS:
        for draw in range(given.draws):
            order = np.random.default_rng(draw).permutation(len(genomes))
            few, rest = order[:labels], order[labels:]
            row: dict[str, Any] = {"labels": labels, "draw": draw, "judged": len(rest)}
            for name, (table, groups) in features.items():
                predictor = AccuracyPredictor(groups, sample=table, seed=draw).fit(table[few], right[few])
                row[name] = float(kendalltau(predictor.scores(table[rest])[0], right[rest]).statistic)
            row["loss alone"] = float(kendalltau(-losses[rest], right[rest]).statistic)
            rows.append(row)
            print(f"  {row}", flush=True)
    return {"rows": rows}


def fit_lines(found: dict[str, Any]) -> list[str]:
    """Return the Markdown of `fit`."""
    rows = found["rows"]
    names = [name for name in rows[0] if name not in ("labels", "draw", "judged")]
    lines = ["| labels | " + " | ".join(names) + " | test |", "| --- |" + " --- |" * (len(names) + 1)]
    for labels in dict.fromkeys(row["labels"] for row in rows):
        own = [row for row in rows if row["labels"] == labels]
        test = verdict(row["metrics and supernet"] - row["metrics"] for row in own)
        lines.append(
            "| " + " | ".join([str(labels), *(spread(row[name] for row in own) for name in names), test]) + " |"
        )
    return lines


def elastic(given: argparse.Namespace) -> dict[str, Any]:
    """Measure the claim of InstaTune."""
    setup = small_setup(given, optimiser="adamw", rate=RATE, weight_decay=0.05)
    space, held_out, rows = setup.searched(), Examples.held_out(setup.data(), 0), []
    largest = tuple(len(gene.choices) - 1 for gene in space.genes)
    whole = space.network(largest).macs
    parts = [one for one in random_genomes(space, 2000, 0) if abs(space.network(one).macs / whole - PART) < NEAR]
    for seed in given.seeds:
        own, seconds = setup.alone(largest, seed, given.epochs)
        state = own.state()

        def start(module: Any, state: Any = state) -> object:
            return module.load_state_dict(state)

        # A training is known by its folder and its epochs; this one also depends on what it starts from and its rate.
        tuned = replace(setup, work=given.work / f"from-{given.epochs}-epochs-at-{given.tuning_rate:g}")
        tuned = replace(tuned, recipe=replace(setup.recipe, rate=given.tuning_rate))
        learner, more = tuned.supernet("elastic", seed, given.tuning, start=start)
        assert isinstance(learner._problem, SupernetProblem)
        row = {"seed": seed, "seconds": seconds + more, "given": own_quality(own, setup.data(), held_out)[0]}
        row["largest"] = inherited(learner, learner.context.largest, held_out)[0]
        found = judged(learner, parts[: given.networks], held_out)
        row |= {"parts": float(np.mean([accuracy for accuracy, _ in found.values()])), "networks": len(found)}
        rows.append(row)
        print(f"  {row}", flush=True)
    return {"rows": rows}


def elastic_lines(found: dict[str, Any]) -> list[str]:
    """Return the Markdown of `elastic`."""
    rows = found["rows"]
    lines = ["| network | accuracy |", "| --- | --- |"]
    names = {"given": "as given", "largest": "largest, elastic", "parts": f"mean of {rows[0]['networks']} parts"}
    lines += [f"| {label} | {spread((row[name] for row in rows), 1)} |" for name, label in names.items()]
    for name in ("given", "largest"):
        pairs = [row["parts"] - row[name] for row in rows]
        claim = f"parts at most {-ELASTIC_MARGIN:g} point worse than the network {names[name]}"
        lines += ["", f"{claim}: {spread(pairs, 1)} points, {verdict(pairs, ELASTIC_MARGIN)}"]
    return [*lines, "", f"seconds: {spread((row['seconds'] for row in rows), 0)}"]


CLAIMS: dict[str, tuple[Callable[[argparse.Namespace], dict[str, Any]], Callable[[dict[str, Any]], list[str]]]] = {
    "sizes": (sizes, sizes_lines),
    "blocks": (blocks, blocks_lines),
    "fit": (fit, fit_lines),
    "elastic": (elastic, elastic_lines),
    "distil": (distil, distil_lines),
    "tangle": (tangle, tangle_lines),
}

MBCONV = "mbconv:resolution=32,width=0.5,classes=10"

# Space, photos, epochs, seeds: sizes that the tables of docs/supernets.md have.
DEFAULTS: dict[str, dict[str, Any]] = {
    "sizes": {"space": "nats_size:resolution=8", "images": 2000, "epochs": 4, "networks": 40},
    "blocks": {"space": "nbmacro:resolution=8", "images": 0, "epochs": 2},
    "fit": {"space": "nbmacro:resolution=16"},
    "elastic": {"space": "vit:resolution=32,classes=10", "images": 2000, "epochs": 4, "networks": 5},
    "distil": {"space": STUDENTS, "epochs": 8, "networks": 3},
    "tangle": {"space": MBCONV, "images": 2000, "epochs": 12, "networks": 100},
}


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    claims = parser.add_subparsers(dest="claim", required=True)
    for name, defaults in DEFAULTS.items():
        own = claims.add_parser(name, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        add = own.add_argument
        add("--space", default=defaults["space"])
        add("--images", type=int, default=defaults.get("images", 0), help="training photos; 0: all 12,000")
        add("--epochs", type=int, default=defaults.get("epochs", 1))
        add("--seeds", nargs="*" if name == "blocks" else "+", type=int, default=[0, 1, 2])
        add("--networks", type=int, default=defaults.get("networks", 0), help="random networks to judge")
        add("--data", help="data in place of the photos")
        add("--work", type=Path, default=Path("supernet-claims"))
        add("--json", type=Path)
        if name in ("sizes", "tangle"):
            add("--judged", type=int, default=300, help="held-out photos that random networks are judged on")
        if name == "tangle":
            add("--strategy", default=STRATEGY)
        if name == "sizes":
            add("--strategies", nargs="+", default=list(STRATEGIES))
            add("--rate", type=float, default=0.0, help="learning rate of supernets; 0: as networks alone")
            add("--alone", type=int, default=1, help="random networks that are trained alone, for each seed")
        if name == "blocks":
            add(
                "--judged",
                dest="judged_files",
                type=Path,
                nargs="*",
                default=[],
                help="files judged-*.json, one a seed",
            )
        if name == "fit":
            add("--judged", dest="judged_file", type=Path, required=True, help="a file judged-*.json")
            add("--draws", type=int, default=5, help="draws of labels")
        if name == "distil":
            add("--lines", type=int, default=1000, help="lines of the text that are read")
            add("--batch", type=int, default=32, help="rows of a step")
            add("--tuning", type=int, default=0, help="further epochs of the students; 0: none")
            add("--drawn", type=int, default=60, help="random encoders that students are taken from")
        if name == "elastic":
            add("--tuning", type=int, default=2, help="epochs of the elastic training")
            add("--tuning-rate", type=float, default=RATE, help="its learning rate")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """Measure a claim and print its table."""
    given = arguments(words)
    given.work.mkdir(parents=True, exist_ok=True)
    measure, lines = CLAIMS[given.claim]
    found = measure(given)
    print("", *lines(found), sep="\n")
    if given.json:
        given.json.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
