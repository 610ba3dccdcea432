"""Do the claims of papers on supernets hold at a small size? python perf/supernet_claims.py sizes --seeds 0 1 2.

- `sizes`: on a space whose networks differ in size alone. BigNAS: the largest network of a sandwich is as good as the
  same network trained alone on the same photos, and other networks with inherited weights are as good as trained alone.
  AttentiveNAS, AlphaNet and ShiftNAS: the hypervolume of error and multiply-accumulates over random networks is larger
  than that of `sandwich`, whose steps train as many networks.
- `blocks`: BossNAS. The effects of choices that `blockwise` fits without labels rank networks of NAS-Bench-Macro.
- `fit`: the loss with shared weights as one more column of a predictor of accuracy, on NAS-Bench-Macro. The supernet is
  one that perf/supernet_ranking.py has trained; --judged names the file judged-*.json in its folder.
- `elastic`: InstaTune. Parts of a trained vision transformer with 60% of its multiply-accumulates stay as good as it.

Claims are tested by the t-test over seeds (`fit`: over draws of labels), one-sided at 95%: a claim holds, does not
hold, or the trainings are too small to tell. Networks are judged on the same held-out photos, so differences are
paired. The hypervolume is that of the error, as a share, and of the cost scaled from the smallest to the largest
network, with 1.05 in both as the reference. Trainings lie in the folder --work, and are not repeated.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau
from supernet_ranking import Truth
from supernet_trainings import (
    Examples,
    Setup,
    inherited,
    judged,
    own_quality,
    photos,
    random_genomes,
    spread,
    verdict,
)

from nasctl import registry
from nasctl.pareto.hypervolume import hypervolume
from nasctl.prediction.features import FeatureBuilder
from nasctl.prediction.predictor import AccuracyPredictor
from nasctl.problem.space import Genome
from nasctl.supernets.problem import SupernetProblem
from nasctl.training.recipe import Recipe

STRATEGIES = ("sandwich", "sandwich:distance=alpha", "attentive", "shift:sandwich,random=2")

LARGEST_MARGIN, SUBNET_MARGIN = -1.0, -1.5  # points that BigNAS's networks may be worse than alone, as its paper has

PART = 0.6  # share of the multiply-accumulates of the largest network, of the parts that `elastic` judges

NEAR = 0.03  # share by which the cost of a part may differ from that

ELASTIC_MARGIN = -1.0  # points

LABELS = (32, 128)  # of the predictors that `fit` compares


def small_setup(given: argparse.Namespace, **recipe: Any) -> Setup:
    """Return the setup of a claim on few photos."""
    source, split = (given.data, "0.8,0.1,0.1") if given.data else (str(photos(given.images, given.work)), "0.9,0.1,0")
    chosen = Recipe(**{"evaluate": 0, "cutout": 0.0, "checkpoint": 2.0, "warmup": 0.5, **recipe})
    return Setup(given.space, source, chosen, given.work, split)


def sizes(given: argparse.Namespace) -> dict[str, Any]:
    """Measure the claims of BigNAS, AttentiveNAS, AlphaNet and ShiftNAS."""
    setup = small_setup(given)
    held_out = Examples.held_out(setup.data(), 0)
    few = Examples.held_out(setup.data(), given.judged)
    genomes = random_genomes(setup.searched(), given.networks, 0)
    rows, alone = [], []
    for seed in given.seeds:
        for strategy in given.strategies:
            learner, seconds = setup.supernet(strategy, seed, given.epochs)
            largest, smallest, macs = learner.context.largest, learner.context.smallest, learner.context.macs
            ends = [inherited(learner, one, held_out) for one in (largest, smallest)]
            found = judged(learner, [largest, smallest, *genomes], few)
            costs = (np.array([macs(one) for one in found]) - macs(smallest)) / (macs(largest) - macs(smallest))
            shares = np.array([accuracy for accuracy, _ in found.values()]) / 100
            row = {"strategy": strategy, "seed": seed, "seconds": seconds, "steps": learner.context.steps}
            row |= {"largest": ends[0][0], "smallest": ends[1][0], "mean": 100 * float(shares.mean())}
            rows.append(row | {"hypervolume": hypervolume(np.column_stack([1 - shares, costs]))})
            print(f"  {row}", flush=True)
            if strategy == "sandwich":
                some = [largest, *random_genomes(setup.searched(), given.alone, 1000 + seed)]
                alone += [_beside(setup, learner, one, seed, given.epochs, held_out) for one in some]
    return {"rows": rows, "alone": alone}


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
    for largest, margin in ((True, LARGEST_MARGIN), (False, SUBNET_MARGIN)):
        own = [one for one in found["alone"] if one["largest"] == largest]
        seeds = {one["seed"] for one in own}
        means = [np.mean([e["inherited"] - e["alone"] for e in own if e["seed"] == seed]) for seed in sorted(seeds)]
        if means:
            which = "the largest network" if largest else f"{len(own)} random networks"
            claim = f"BigNAS: {which} of `sandwich` at most {-margin:g} points worse than alone"
            lines.append(f"| {claim} | {spread(means, 1)} points | {verdict(means, margin)} |")
    base = {row["seed"]: row for row in by.get("sandwich", [])}
    for name, own in by.items():
        for column in ("hypervolume", "largest", "smallest"):
            pairs = [row[column] - base[row["seed"]][column] for row in own if row["seed"] in base]
            if name != "sandwich" and pairs:
                shown = spread(pairs, 3 if column == "hypervolume" else 1)
                lines.append(f"| `{name}` above `sandwich`: {column} | {shown} | {verdict(pairs)} |")
    return lines


def blocks(given: argparse.Namespace) -> dict[str, Any]:
    """Measure the claim of BossNAS."""
    setup, truth, rows = small_setup(given), Truth(given.space), []
    macs = truth.baselines(truth.genomes)["macs"]
    for seed in given.seeds:
        learner, seconds = setup.supernet("blockwise", seed, given.epochs)
        scores = np.array([-learner.strategy.score(genome) for genome in truth.genomes])  # type: ignore[attr-defined]
        row = {"seed": seed, "seconds": seconds, "steps": learner.context.steps}
        row |= {"tau": float(kendalltau(scores, truth.accuracies).statistic)}
        rows.append(row | {"macs": float(kendalltau(macs, truth.accuracies).statistic)})
        print(f"  {rows[-1]}", flush=True)
    return {"rows": rows}


def blocks_lines(found: dict[str, Any]) -> list[str]:
    """Return the Markdown of `blocks`."""
    rows = found["rows"]
    taus, macs = [row["tau"] for row in rows], rows[0]["macs"]
    lines = ["| all networks judged by | tau | seconds |", "| --- | --- | --- |"]
    lines.append(f"| block tables | {spread(taus)} | {spread((row['seconds'] for row in rows), 0)} |")
    lines.append(f"| macs | {spread([macs])} | |")
    return [*lines, "", f"BossNAS: block tables above macs: {verdict(one - macs for one in taus)}"]


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
    setup = small_setup(given, optimiser="adamw", rate=1e-3, weight_decay=0.05)
    space, held_out, rows = setup.searched(), Examples.held_out(setup.data(), 0), []
    largest = tuple(len(gene.choices) - 1 for gene in space.genes)
    whole = space.network(largest).macs
    parts = [one for one in random_genomes(space, 2000, 0) if abs(space.network(one).macs / whole - PART) < NEAR]
    for seed in given.seeds:
        own, seconds = setup.alone(largest, seed, given.epochs)
        state = own.state()

        def start(module: Any, state: Any = state) -> object:
            return module.load_state_dict(state)

        learner, more = setup.supernet("elastic", seed, given.tuning, start=start)
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
}

# Space, photos, epochs, seeds: sizes that the tables of docs/supernets.md have.
DEFAULTS: dict[str, dict[str, Any]] = {
    "sizes": {"space": "nats_size:resolution=8", "images": 2000, "epochs": 4, "networks": 40},
    "blocks": {"space": "nbmacro:resolution=8", "images": 0, "epochs": 2},
    "fit": {"space": "nbmacro:resolution=16"},
    "elastic": {"space": "vit:resolution=32,classes=10", "images": 2000, "epochs": 4, "networks": 5},
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
        add("--seeds", nargs="+", type=int, default=[0, 1, 2])
        add("--networks", type=int, default=defaults.get("networks", 0), help="random networks to judge")
        add("--data", help="data in place of the photos")
        add("--work", type=Path, default=Path("supernet-claims"))
        add("--json", type=Path)
        if name == "sizes":
            add("--strategies", nargs="+", default=list(STRATEGIES))
            add("--judged", type=int, default=300, help="held-out photos that random networks are judged on")
            add("--alone", type=int, default=1, help="random networks that are trained alone, for each seed")
        if name == "fit":
            add("--judged", dest="judged_file", type=Path, required=True, help="a file judged-*.json")
            add("--draws", type=int, default=5, help="draws of labels")
        if name == "elastic":
            add("--tuning", type=int, default=2, help="epochs of the elastic training")
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
