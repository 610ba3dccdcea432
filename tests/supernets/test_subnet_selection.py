"""One network of a trained supernet is selected: by draws, by what was learned, or by removing choices."""

import json
import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from supernets.trained import SPACE, supernet

from nasctl import registry
from nasctl.analysis.subnet_selection import select_by_removal, select_learned
from nasctl.cli import cli
from nasctl.errors import NasctlError
from nasctl.supernets.context import TrainingContext
from nasctl.supernets.mixture_loss import MixtureLoss
from nasctl.supernets.step_networks import SharedNetworks
from nasctl.supernets.subnet_draws import distribution_of, drawn_genomes
from nasctl.supernets.trained_supernet import TrainedSupernet
from nasctl.supernets.validation import evaluate_subnet, stored_batches


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("selected") / "nasctl.db"


@pytest.fixture(scope="module")
def path(store):
    return supernet(store)


@pytest.fixture
def trained(path):
    return TrainedSupernet(path)


def select(store, *words):
    return CliRunner().invoke(cli, ["supernet", "select", "tiny", *map(str, words), "--store", str(store)])


@pytest.mark.parametrize(
    "words",
    [
        ("--images", 60, "--by", "argmax"),
        ("--seed", 1, "--by", "argmax"),
        ("--workers", 2, "--by", "perturbation"),
        ("--data", "digits", "--by", "perturbation"),
        ("--images", 60, "--by", "perturbation", "-o", "macs"),
        ("--images", 60, "--by", "top-samples", "-o", "macs"),
    ],
)
def test_an_option_without_effect_is_refused(words, store):
    done = select(store, *words)
    assert done.exit_code == 2
    given = " with -o" if "-o" in words else ""
    assert f"Cannot use {words[0]} with --by {words[3]}{given}: it has no effect. Leave it out." in done.stderr


class Taught:
    """A strategy whose distribution and choice are known."""

    def __init__(self, probabilities, chosen):
        self._probabilities, self._chosen = probabilities, chosen

    def probabilities(self):
        return self._probabilities

    def chosen(self):
        return self._chosen


@pytest.mark.slow
def test_the_best_of_the_draws_has_the_lowest_loss_and_is_found_again_without_measuring(store, trained):
    done = select(store, "--by", "top-samples", "--samples", 3, "--images", 60, "--json")
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    drawn = drawn_genomes(trained, 3, 0)
    losses = [evaluate_subnet(trained, one, stored_batches(trained, 60)).loss for one in drawn]
    assert facts["genome"] == list(drawn[int(np.argmin(losses))])
    assert facts["losses"] == pytest.approx([min(losses)])
    again = select(store, "--by", "top-samples", "--samples", 3, "--images", 60)
    assert again.stdout.strip() == facts["id"]
    assert f"nasctl export --arch {facts['id']} --weights tiny --store" in again.stderr


def test_a_learned_distribution_is_drawn_from_and_its_choice_taken(trained):
    certain = [np.eye(5)[3] if place % 2 else np.full(5, 0.2) for place in range(6)]
    trained.__dict__["strategy"] = Taught(certain, (3,) * 6)
    assert select_learned(trained).genome == (3,) * 6
    drawn = drawn_genomes(trained, 20, 0)
    assert len(set(drawn)) == 20
    full = [one for one in drawn if all(one)]  # a canonical genome may drop edges
    assert full
    assert sum(one[1::2] == (3, 3, 3) for one in full) > len(full) / 2  # the cell's edges 1 and 2 can change places
    assert distribution_of(trained)[1].tolist() == np.eye(5)[3].tolist()
    few = drawn_genomes(trained, 3, 0, uniform=True)
    assert len(few) == 3
    trained.__dict__["strategy"] = Taught([np.eye(5)[3]] * 6, (3,) * 6)
    assert drawn_genomes(trained, 5, 0) == [(3,) * 6]


def test_each_gene_keeps_the_choice_whose_removal_hurts_most(trained, monkeypatch):
    asked = []
    wanted = (1, 2, 3, 4, 1, 2)

    def mixed(networks, allowed, weights, inputs, copy=0, frozen=False):
        """Return outputs whose loss falls with the number of wanted choices that are left."""
        asked.append((allowed, weights))
        right = sum(choice in choices for choice, choices in zip(wanted, allowed, strict=True))
        labels = torch.cat([labels for _, labels in stored_batches(trained, 60)])
        return right * torch.nn.functional.one_hot(labels, 10).float()

    monkeypatch.setattr(SharedNetworks, "mixed", mixed, raising=False)
    found = select_by_removal(trained, 0, None, 60)
    assert found.genome == trained.space.canonical(wanted)
    assert len(asked) == 6 * 4  # "none" adds nothing to a sum
    first, factors = asked[0]
    (gene,) = [place for place, choices in enumerate(first) if len(choices) == 3]
    assert factors[gene].tolist() == pytest.approx([0.2] * 3)  # that of the removed choice is given to no other
    last, factors = asked[-1]
    assert sorted(map(len, last)) == [1] * 5 + [3]
    assert len(factors) == 1  # a decided gene has the factor 1


def test_a_choice_on_trial_keeps_its_factor_where_it_is_the_only_one_left(trained, monkeypatch):
    loss, asked = MixtureLoss(trained, 20), []

    def mixed(networks, allowed, weights, inputs, copy=0, frozen=False):
        asked.append(weights)
        return torch.zeros(20, 10)

    monkeypatch.setattr(SharedNetworks, "mixed", mixed)
    loss([[1], [2], [0, 1], [1], [1], [1]], {1, 3, 4, 5})
    assert {gene: own.tolist() for gene, own in asked[0].items()} == {
        0: pytest.approx([0.2]),
        2: pytest.approx([0.2, 0.2]),
    }


def test_genes_that_cannot_be_mixed_keep_what_was_learned_and_the_rest_has_masks(trained, monkeypatch):
    class Masked(Taught):
        mixes_slices = True

    asked, shares = [], np.array([0.1, 0.4, 0.2, 0.2, 0.1])
    trained.__dict__["strategy"] = Masked([shares] * 6, (3,) * 6)
    monkeypatch.setattr(TrainingContext, "gene_kinds", lambda context: ("sliced", "other", "free", *["sliced"] * 3))

    def entangled(networks, weights, inputs, copy=0, frozen=False):
        """Return outputs whose loss falls with the factor of the second choice."""
        asked.append(weights)
        labels = torch.cat([labels for _, labels in stored_batches(trained, 60)])
        return sum(float(own[1]) for own in weights.values()) * torch.nn.functional.one_hot(labels, 10).float()

    monkeypatch.setattr(SharedNetworks, "entangled", entangled)
    found = select_by_removal(trained, 0, None, 60)
    assert found.genome == trained.space.canonical((1, 3, 3, 1, 1, 1))
    names = [gene.name for gene in trained.space.genes]
    assert list(found.facts["not_mixed"]) == names[1:3]
    assert re.search(rf"cannot be mixed keep the choices that .*{names[1]}", found.about[-1])
    assert len(asked) == 4 * 4
    for factors in asked:
        assert sorted(factors) == [0, 2, 3, 4, 5]
        assert factors[2].tolist() == [0, 0, 0, 1, 0]
    first = [own for gene, own in asked[0].items() if gene != 2 and own[1:].count_nonzero() == 3]
    (own,) = first
    assert float(own.sum()) == pytest.approx(0.9 - shares[[one for one in range(1, 5) if not own[one]]].sum())
    monkeypatch.setattr(TrainingContext, "gene_kinds", lambda context: ("other",) * 6)
    with pytest.raises(NasctlError, match=r"no choice of a gene .* --by top-samples, which needs no mixture"):
        select_by_removal(trained, 0, None, 60)


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "whose"), [("tangle:others=keep", "tangle"), ("sandwich", "the largest network")])
def test_a_space_with_genes_that_are_no_slices_is_selected_by_the_others(store, strategy, whose):
    path = supernet(store, f"widths_{strategy[:3]}", "nats_size:resolution=8", strategy, steps=2)
    found = select_by_removal(TrainedSupernet(path), 0, None, 40)
    assert found.genome[1:] == (7, 7, 7, 7)
    assert [one["gene"] for one in found.facts["decided"]] == ["cell1.channels"]
    assert whose in found.about[-1]


def test_the_genes_are_decided_by_any_objective_without_training(store):
    done = select(store, "--by", "perturbation", "-o", "params", "--fidelity", "fast", "--json")
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    space = registry.create("spaces", SPACE)
    cheapest = {"skip_connect", "avg_pool_3x3"}
    # The loss is the number of parameters, so that the removal of a free operation hurts most.
    assert {one["kept"] for one in facts["decided"]} <= cheapest
    assert {one["gene"] for one in facts["decided"]} == {gene.name for gene in space.genes}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--by", "argmax"), r"sandwich\S*, learns none"),
        ((), r"sandwich\S*, learns none"),
        (("--by", "argmax", "-o", "macs"), "Cannot use -o with --by argmax"),
        (("--by", "perturbation", "--samples", "3"), "Cannot use --samples with --by perturbation"),
        (("--by", "top-samples", "-o", "no_such"), "no_such"),
    ],
)
def test_what_cannot_be_selected_is_refused_in_one_sentence(store, path, words, reason):
    done = select(store, *words)
    assert done.exit_code == 2
    assert re.search(reason, done.stderr)


def test_objectives_are_not_dropped_where_the_strategy_scores_networks(store, path, monkeypatch):
    class Scored:
        def score(self, genome):
            return float(sum(genome))

    monkeypatch.setattr(TrainedSupernet, "strategy", property(lambda supernet: Scored()))
    done = select(store, "--by", "top-samples", "--samples", 2, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["objectives"] == ["score"]
    both = select(store, "--by", "top-samples", "--samples", 2, "-o", "loss@tiny,images=20", "-o", "macs", "--json")
    assert both.exit_code == 0, both.stderr
    loss, macs = json.loads(both.stdout)["objectives"]
    assert (loss.partition(",")[0], macs) == ("loss@tiny", "macs")


def test_a_supernet_with_untrained_weights_has_no_mixture(trained):
    trained.weights.visits = np.zeros_like(trained.weights.visits)
    with pytest.raises(NasctlError, match="no step of its training has reached some weights"):
        select_by_removal(trained, 0, None, 60)
