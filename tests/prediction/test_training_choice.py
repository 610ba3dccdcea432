"""The choice of trainings, on a space whose labels have a closed form."""

import numpy as np
import pytest

from nasctl import registry
from nasctl.errors import BadOption
from nasctl.prediction.feature_scale import GENES, METRICS
from nasctl.prediction.training_choice import TrainingChoice, TrainingPlan
from nasctl.problem.sampling import unseen

SPACE = registry.create("spaces", "nbmacro")
GROUPS = (METRICS, *(GENES,) * 24)
PLAN = TrainingPlan(trainings=16, measurements=120)


def genes_of(genomes):
    return np.array(genomes).reshape(-1, 8)


def label_of(genomes):
    return (genes_of(genomes) * np.arange(1, 9)).sum(axis=1) / 72.0


def cost_of(genomes):
    return genes_of(genomes).sum(axis=1, keepdims=True) / 16.0


def features_of(genomes):
    metric = genes_of(genomes).sum(axis=1)[:, None]  # correlates with the label
    return np.concatenate([metric, *(np.eye(3)[gene] for gene in genes_of(genomes).T)], axis=1)


def run(plan=PLAN, label=label_of, space=SPACE, violation=None):
    """All trained genomes in order, the batches, and the choice."""
    choice = TrainingChoice(space, GROUPS, cost_of, plan, violation)
    genomes = [space.canonical(raw) for raw in unseen(space, np.random.default_rng(plan.seed), 60)]
    choice.add(genomes, features_of(genomes), features_of(genomes)[:, 0])
    batches = []
    while batch := choice.ask():
        batches.append(batch)
        choice.tell(label(batch))
        if fresh := choice.proposals():
            choice.add(fresh, features_of(fresh), np.full(len(fresh), np.nan))
    return [genome for batch in batches for genome in batch], batches, choice


def test_the_budgets_hold_and_no_network_is_trained_twice():
    trained, batches, choice = run()
    assert [len(batch) for batch in batches] == [4] + [2] * 6
    assert len(set(trained)) == 16
    assert 100 < choice.measured <= 120
    assert len(cost_of(batches[0])) == len(np.unique(cost_of(batches[0])))  # spread over cost


def test_labels_lead_to_better_networks_than_all_that_were_measured_before():
    trained, batches, _ = run()
    assert label_of(trained).max() > label_of(batches[0]).max()
    start = [SPACE.canonical(raw) for raw in unseen(SPACE, np.random.default_rng(0), 60)]
    assert label_of(trained).max() > label_of(start).max()


def test_equal_seeds_choose_equally():
    assert run()[0] == run()[0]
    assert run()[0] != run(TrainingPlan(16, 120, seed=1))[0]


def test_failed_trainings_are_counted_and_not_repeated():
    def label(genomes):
        return np.where(np.arange(len(genomes)) % 2, np.nan, label_of(genomes))

    trained, _, _ = run(label=label)
    assert len(set(trained)) == 16


def test_without_two_different_labels_the_score_chooses():
    trained, _, choice = run(label=lambda genomes: np.full(len(genomes), 0.5))
    assert len(set(trained)) == 16
    assert choice.measured == 60


def test_a_constraint_is_never_violated():
    trained, _, _ = run(violation=lambda genomes: np.maximum(cost_of(genomes)[:, 0] - 0.5, 0))
    assert cost_of(trained).max() <= 0.5


def test_a_plan_without_trainings_is_refused():
    with pytest.raises(BadOption, match="Cannot plan 0 trainings"):
        TrainingPlan(0, 10)
