"""The scripts that measure supernets: short trainings that are not repeated, the test of a claim, and their tables."""

import sys
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from paths import ROOT
from supernets.stack import Stack

from nasctl import registry
from nasctl.training.recipe import Recipe

sys.path.append(str(ROOT / "perf"))  # scripts import each other as they do on the command line

import supernet_ceilings
import supernet_claims
import supernet_entangled
import supernet_order
import supernet_ranking
import supernet_students
import supernet_trainings

sys.path.pop()

SPACE = "nb201:resolution=8,cells=1,channels=4"


@pytest.mark.parametrize(
    ("differences", "margin", "expected"),
    [
        ([1.0, 1.1, 0.9], 0.0, "holds"),
        ([-1.0, -1.1, -0.9], 0.0, "does not hold"),
        ([-1.0, -1.1, -0.9], -1.5, "holds"),
        ([1.0, -1.2, 0.3], 0.0, "too small to tell"),
        ([1.0], 0.0, "one seed"),
    ],
)
def test_a_claim_is_tested_over_seeds(differences, margin, expected):
    assert supernet_trainings.verdict(differences, margin) == expected


def test_the_top_of_a_score_is_compared_with_the_true_top():
    truth = np.arange(20.0)
    assert supernet_ranking.precision(truth, truth) == 1
    assert supernet_ranking.precision(-truth, truth) == 0
    swapped = truth.copy()
    swapped[[18, 3]] = swapped[[3, 18]]
    assert supernet_ranking.precision(swapped, truth) == 0.5


@pytest.mark.parametrize(("strategy", "epochs"), [("single_path", 20), ("fair", 4), ("sandwich:random=2", 5)])
def test_strategies_train_equally_often(strategy, epochs):
    assert supernet_ranking.epochs_of(strategy, 20, "nb201") == epochs


def test_a_finished_training_is_only_read(tmp_path, monkeypatch):
    recipe = Recipe(evaluate=0, warmup=0.0, flip=False, batch=32)
    setup = supernet_trainings.Setup(SPACE, "digits", recipe, tmp_path, "0.04,0.02,0.05")
    learner, seconds = setup.supernet("single_path", 0, 1)
    network = learner.context.draw(np.random.default_rng(0))
    learner.weights.visits[...] = 1  # two steps train few networks
    examples = supernet_trainings.Examples.held_out(setup.data(), 20)
    found = supernet_trainings.inherited(learner, network, examples)
    monkeypatch.delattr(supernet_trainings, "train")
    again, same_seconds = setup.supernet("single_path", 0, 1)
    again.weights.visits[...] = 1
    assert supernet_trainings.inherited(again, network, examples) == found
    assert same_seconds == seconds > 0


def test_the_table_of_sizes_compares_strategies_of_one_seed():
    rows = [
        {"strategy": name, "seed": seed, "largest": 50 + seed + more, "smallest": 30, "mean": 40}
        | {"hypervolume": 0.5 + more / 100, "seconds": 9}
        for seed in (0, 1, 2)
        for name, more in (("sandwich", 0), ("attentive", 1 + seed / 10))
    ]
    alone = [{"seed": k, "largest": True, "inherited": 50 + k / 10, "alone": 50} for k in (0, 1, 2)]
    alone += [{"seed": k, "largest": False, "inherited": 40 + m, "alone": 45 + m} for k in (0, 1, 2) for m in range(3)]
    alone = [{"strategy": "sandwich", **one} for one in alone]
    text = "\n".join(supernet_claims.sizes_lines({"rows": rows, "alone": alone}))
    assert "at most 1 points worse than alone | 0.1 ± 0.1 points | holds" in text
    assert "9 random networks of `sandwich` at most 1.5 points worse than alone | -5.0 ± 0.0 points | does not" in text
    assert "| `attentive` above `sandwich`: hypervolume | .011 ± .001 | holds |" in text
    assert "| `attentive` above `sandwich`: smallest | 0.0 ± 0.0 |" in text


def test_scores_without_training_order_networks_by_their_size():
    setup = supernet_trainings.Setup("nats_size:resolution=8", "digits", Recipe(), ROOT)
    found = supernet_order.untrained(setup, [(0,) * 5, (3,) * 5, (7,) * 5])
    assert list(found) == ["macs", "params", "swap", "six metrics"]
    assert [list(np.argsort(found[name])) for name in ("macs", "params", "swap")] == [[0, 1, 2]] * 3


def test_the_table_of_orders_compares_judges_with_the_cost():
    rows = [
        {"networks": 20, "lowest": 40.0 + seed, "highest": 46.0, "taus": {"`sandwich`": 0.6 + seed / 100, "macs": 0.5}}
        for seed in (0, 1, 2)
    ]
    lines = supernet_order.lines(rows)
    assert lines[0] == "20 networks a seed, alone from 41.0 ± 1.0% to 46.0 ± 0.0%"
    assert lines[4] == "| `sandwich` | .610 ± .010 | .110 ± .010 | holds |"
    assert lines[5] == "| macs | .500 ± .000 |  |  |"


def test_sums_over_choices_are_found_where_accuracies_are_sums():
    genes, rng = Stack.genes, np.random.default_rng(0)
    effects = [rng.random(len(gene.choices)) for gene in genes]
    genomes = list(product(*(range(len(gene.choices)) for gene in genes)))
    right = np.array([sum(own[choice] for own, choice in zip(effects, one, strict=True)) for one in genomes])
    some = rng.permutation(len(genomes))[:30]
    found = supernet_ceilings.additive(genes, [genomes[k] for k in some], right[some], genomes)
    assert found == pytest.approx(right)
    noisy = -right + rng.normal(0, 0.3, len(right))
    taus = supernet_ceilings.halves(genes, genomes, noisy, right)
    assert taus["sums"] > taus["direct"] > 0.3
    lines = supernet_claims.blocks_lines({"rows": [], "ranked": [{"networks": 48, **taus}]})
    assert lines[0] == "| half of 48 networks judged by | tau |"
    assert lines[-1].endswith("one seed")


@pytest.mark.slow
def test_ceilings_are_scores_that_know_accuracies():
    space, rng = Stack(), np.random.default_rng(0)
    genomes = [one for one in product(range(4), range(2), range(2), range(3)) if space.canonical(one) == one]
    accuracies = np.array([sum(one) for one in genomes]) + rng.normal(0, 0.1, len(genomes))
    column = SimpleNamespace(values=accuracies + rng.normal(0, 0.5, len(genomes)))
    table = SimpleNamespace(labels=accuracies, test=SimpleNamespace(accuracy=accuracies))
    benchmark = SimpleNamespace(genomes=genomes, names=["metric"], column=lambda name: column, trainings={"a": table})
    rows = supernet_ceilings.Ceilings(benchmark, space, accuracies).rows(genomes[::3], labels=(12,))
    taus = {name: np.mean(one) for name, one in rows.items()}
    assert list(taus) == [
        "random",
        "fit to metrics, 12 labels",
        "ceiling of sums over choices",
        "one training beside the benchmark's results",
    ]
    assert taus["ceiling of sums over choices"] > 0.8
    assert taus["one training beside the benchmark's results"] == 1
    assert taus["fit to metrics, 12 labels"] > 0.4


def test_students_have_attention_and_are_small_ones_of_the_teacher():
    space = supernet_students.AttentionEncoders(length=8, vocabulary=100)
    largest = space.canonical(tuple(len(gene.choices) - 1 for gene in space.genes))
    assert {gene.name.rpartition(".")[2] for gene in space.genes} == {"hidden", "layers", "heads", "units"}
    for genome in supernet_trainings.random_genomes(space, 5, 0):
        assert space.canonical(genome) == genome
        names = [node.name for node in space.network(genome).nodes]
        assert sum(name.endswith("query") for name in names) == space.genes[1].choices[genome[1]]
        assert space.network(genome).params <= space.network(largest).params
    assert registry.create("spaces", f"{supernet_students.SPACE}:length=8").input.shape == (8,)


def test_the_table_of_students_compares_losses_of_one_seed():
    rows = [
        {"seed": seed, "steps": 9, "teacher": 5.0, "teacher seconds": 2, "supernet seconds": 4}
        | {"pairs": [{"inherited": 5.5 + seed / 10, "alone": 6.0 + seed / 9, "seconds": 1}]}
        for seed in (0, 1, 2)
    ]
    lines = supernet_claims.distil_lines({"rows": rows})
    assert lines[3] == "| students of the supernet | 5.600 ± .100 | 271.3 ± 27.1 |"
    assert "students of the supernet better than students alone: .511 ± .011 nats, holds" in lines[-2]
    for row in rows:
        row["pairs"][0] |= {"tuned": 5.2, "alone, as long": 5.1 + row["seed"] / 9}
    longer = supernet_claims.distil_lines({"rows": rows})
    assert longer[4] == "| students of the supernet, trained on | 5.200 ± .000 | 181.3 ± 0.0 |"
    assert "trained on better than students alone: .911 ± .111 nats, holds" in longer[-4]
    assert "students alone, for as many steps in all: .011 ± .111 nats, too small" in longer[-2]
    assert lines[-1] == "9 steps; seconds: teacher 2 ± 0, supernet 4 ± 0, a student 1 ± 0"


def test_a_random_network_has_the_cost_of_the_learned_one():
    space, learned = registry.create("spaces", "nats_size:resolution=8"), (3, 4, 2, 5, 1)
    found = supernet_entangled.of_equal_cost(space, learned, 0)
    assert found != learned
    assert space.network(found).macs == pytest.approx(space.network(learned).macs, rel=0.05)


def test_the_table_of_learned_networks_compares_networks_of_one_seed():
    rows = [
        {"seed": seed, "steps": 9, "judged": 99, "seconds": {"learned": 20, "searched": 10}}
        | {name: {"accuracy": 50.0 + more + seed / 10, "macs": 2e6} for name, more in values.items()}
        for seed, values in enumerate(
            [{"learned": 3, "searched": 2, "random": 1}, {"learned": 4, "searched": 3, "random": 3}]
        )
    ]
    lines = supernet_claims.tangle_lines({"rows": rows})
    assert lines[2] == "| learned by `tangle` | 53.5 ± 0.8 | 2.0 ± 0.0 | 20 ± 0 |"
    assert lines[4].endswith("| 2.0 ± 0.0 |  |")
    assert lines[-2].endswith("lowest loss by `single_path`: 1.0 ± 0.0 points, holds")
    assert lines[-1].endswith("1.5 ± 0.7 points, too small to tell")
