"""The front of sums over genes: dynamic programming against brute force, and the verdict on additivity."""

from itertools import product

import numpy as np
import pytest

from nasctl import registry
from nasctl.api import BadOption, Gene, Goal
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task
from nasctl.search.loop import search
from nasctl.searchers._additive_model import explained, fitted, kendall
from nasctl.searchers._front_of_sums import front_of_sums
from nasctl.store.store import Store
from nasctl.testing import Chain

SIZES = (2, 3, 4, 3, 2, 3, 2)  # 864 genomes


def whole(tables):
    """All genomes and their sums."""
    genomes = list(product(*(range(len(table)) for table in tables)))
    return genomes, np.array([sum(table[c] for table, c in zip(tables, one, strict=True)) for one in genomes])


def non_dominated(sums):
    return np.array([not ((sums <= row).all(1) & (sums < row).any(1)).any() for row in sums])


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_the_front_of_sums_is_that_of_brute_force(objectives):
    rng = np.random.default_rng(objectives)
    tables = [rng.integers(50, size=(size, objectives)).astype(float) for size in SIZES]
    _, sums = whole(tables)
    found = front_of_sums(tables)
    assert found.error == 0
    assert found.sums.tolist() == np.unique(sums[non_dominated(sums)], axis=0).tolist()
    again = [sum(table[c] for table, c in zip(tables, one, strict=True)).tolist() for one in found.genomes]
    assert again == found.sums.tolist()


@pytest.mark.parametrize("options", [{"epsilon": 0.05}, {"limit": 10}, {"epsilon": 0.02, "limit": 25}])
def test_a_thinned_front_is_as_near_as_it_says(options):
    rng = np.random.default_rng(0)
    scores = rng.random((5, 4, 1))
    tables = list(np.concatenate([scores, 1 - scores + 0.3 * rng.random((5, 4, 1))], axis=2) * [1.0, 1e6])
    _, sums = whole(tables)
    true, found = np.unique(sums[non_dominated(sums)], axis=0), front_of_sums(tables, **options)
    span = np.sum([np.ptp(table, axis=0) for table in tables], axis=0)
    excess = ((found.sums[None] - true[:, None]) / span).max(axis=2).min(axis=1)
    assert len(found.sums) < len(true)
    assert 0 < excess.max() <= found.error
    assert found.error <= 0.05 or "limit" in options


def test_sums_of_many_genes_are_thinned_to_the_limit():
    rng = np.random.default_rng(0)
    found = front_of_sums([rng.random((4, 3)) for _ in range(30)], limit=500)
    assert len(found.sums) <= 500
    assert 0 < found.error < 1


def test_additive_losses_are_recovered_and_unseen_choices_get_the_mean():
    rng, sizes = np.random.default_rng(0), np.array([3, 4, 2])
    tables = [rng.random((size, 1)) for size in sizes]
    genomes, sums = whole(tables)
    seen = [k for k in rng.permutation(len(genomes)).tolist() if genomes[k][1] != 3][:14]
    losses = np.append(sums[seen, 0], np.nan)  # the last one failed
    model = fitted([*(genomes[k] for k in seen), (0, 3, 0)], losses, sizes)
    known = [k for k, one in enumerate(genomes) if one[1] != 3]
    assert model.predict([genomes[k] for k in known]) == pytest.approx(sums[known, 0], abs=1e-4)
    expected = tables[0][0] + tables[1][:3].mean() + tables[2][1]
    assert model.predict([(0, 3, 1)]) == pytest.approx(expected, abs=1e-4)


def test_rank_correlation_and_explained_variance():
    first, second = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0])
    assert kendall(first, second) == pytest.approx(4 / 6)
    assert kendall(first, np.array([1.0, 1.0, 2.0, 2.0])) == pytest.approx(4 / np.sqrt(6 * 4))
    assert kendall(first, np.ones(4)) == explained(np.ones(4), first) == 0.0
    assert explained(first, second) == pytest.approx(1 - 2 / 5)


class Sums:
    """An accuracy and a cost that are sums over genes; with `twist`, the accuracy of two genes is not."""

    def __init__(self, twist=0.0, bound=np.inf):
        rng = np.random.default_rng(1)
        self.space, self._twist, self._bound = self, twist, bound
        self.genes = tuple(Gene(f"g{k}", tuple(f"op{c}" for c in range(size))) for k, size in enumerate(SIZES))
        self.tables = [np.column_stack([-rng.random(size), rng.integers(1, 30, size=size)]) for size in SIZES]
        self.objectives = (Goal("accuracy", "max", "identity", "module"), Goal("macs", "min", "log10", "network"))

    def canonical(self, genome):
        return genome

    def sums(self, genomes):
        return np.array([sum(table[c] for table, c in zip(self.tables, one, strict=True)) for one in genomes])

    def losses(self, genomes):
        found = self.sums(genomes).reshape(len(genomes), 2)
        noise = [np.random.default_rng(genome).normal() for genome in genomes]
        return np.column_stack([found[:, 0] + self._twist * np.array(noise), np.log10(found[:, 1])])

    def cheap_losses(self, genomes):
        return np.column_stack([np.full(len(genomes), np.nan), self.losses(genomes)[:, 1]])

    def violation(self, genomes):
        return np.maximum(self.sums(genomes).reshape(len(genomes), 2)[:, 1] - self._bound, 0.0)


def followed(problem, evaluations, spec="additive_front"):
    searcher, asked, said = registry.create("searchers", spec, problem, np.random.default_rng(0)), [], []
    while len(asked) < evaluations and (batch := searcher.ask()):
        asked += batch
        searcher.tell(problem.losses(batch), problem.violation(batch)[:, None])
        said += searcher.findings()
    return asked, said


def true_front(problem):
    genomes, sums = whole(problem.tables)
    feasible = problem.violation(genomes) == 0
    return {tuple(row) for row in sums[feasible][non_dominated(sums[feasible])].round(9).tolist()}


@pytest.mark.parametrize(("design", "bound"), [("singles", np.inf), ("singles", 60.0), ("random", np.inf)])
def test_the_whole_front_of_sums_is_evaluated_at_the_cost_of_its_tables(design, bound):
    problem = Sums(bound=bound)
    expected = true_front(problem)
    number = 1 + sum(SIZES) - len(SIZES) + 20 + len(expected) + 20  # the last batch may hold others too
    asked, said = followed(problem, number, f"additive_front:design={design}")
    assert expected <= {tuple(row) for row in problem.sums(asked[:number]).round(9).tolist()}
    assert len(asked) == len(set(asked))
    if (design, bound) == ("singles", np.inf):  # one change at a time is feasible
        assert said[0].startswith("additive_front: the first 33 networks fit and test sums over genes")
        assert said[1].endswith("of 20 random networks with Kendall's tau 1.00 and R^2 1.00")
        assert said[2] == f"additive_front: the front of sums has {len(expected)} points, complete"


def test_it_says_where_accuracy_is_no_sum():
    _, said = followed(Sums(twist=2.0), 100)
    assert "prefer a searcher without this assumption, such as guided" in said[1]


def test_a_cost_that_is_no_sum_is_a_guide_only_and_said_so(tmp_path, capsys):
    task = Task(Chain(3), {name: registry.create("objectives", name) for name in ("params", "l2_norm")})
    searcher = registry.create("searchers", "additive_front", SearchProblem(task), np.random.default_rng(0))
    journal = Store(tmp_path / "store").journal("chain", task.record("chain"))
    assert len(list(search(task, searcher, journal, 100))) == 8
    said = capsys.readouterr().err
    assert "params is no sum over genes; a sum explains" in said
    assert "the front of sums is a guide only" in said


def test_it_visits_a_space_to_its_end():
    asked, _ = followed(Sums(), 1000)
    assert len(set(asked)) == len(asked) == np.prod(SIZES)


def written(problem, path, column="accuracy"):
    scores = [-row[0] for table in problem.tables for row in table]
    places = [(gene.name, choice) for gene in problem.genes for choice in gene.choices]
    rows = [f"{gene},{choice},{score}" for (gene, choice), score in zip(places, scores, strict=True)]
    path.write_text("\n".join([f"gene,choice,{column}", *rows]))
    return path


def test_a_block_table_takes_the_place_of_evaluations(tmp_path):
    problem = Sums()
    file = written(problem, tmp_path / "blocks.csv")
    expected = true_front(problem)
    asked, said = followed(problem, len(expected), f"additive_front:table={file},held_out=0,batch=1000")
    assert {tuple(row) for row in problem.sums(asked).round(9).tolist()} == expected
    _, said = followed(problem, 40, f"additive_front:table={file}")
    assert said[1].endswith("predict accuracy of 20 random networks with Kendall's tau 1.00")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda text: text.replace("accuracy", "error"),
            "has the column 'error', which is no objective of this search",
        ),
        (lambda text: text.rpartition("\n")[0], "has no score of choice 'op1' of gene 'g6'"),
        (lambda text: text + "\ng9,op0,1", "has choice 'op0' of gene 'g9', which this space does not have"),
        (lambda text: text + "\ng6,op1,1", "no block table with one finite score for each choice"),
        (lambda text: text + "\ng6,op2,nan", "no block table with one finite score for each choice"),
        (lambda text: text + "\ng6,op2", "no block table with one finite score for each choice"),
        (lambda text: text + "\ng6,op2,high", "is no block table"),
        (lambda text: "", "is no block table"),
    ],
)
def test_a_file_that_is_no_block_table_of_the_search_is_refused(tmp_path, change, said):
    file = written(Sums(), tmp_path / "blocks.csv")
    file.write_text(change(file.read_text()))
    with pytest.raises(BadOption, match=said):
        followed(Sums(), 1, f"additive_front:table={file}")


@pytest.mark.parametrize(
    "option", ["table=none.csv", "design=star", "held_out=-1", "batch=0", "epsilon=1.0", "states=0"]
)
def test_options_that_mean_nothing_are_refused(option):
    with pytest.raises(BadOption, match=option.partition("=")[0]):
        followed(Sums(), 1, f"additive_front:{option}")


def test_a_batch_of_another_machine_takes_the_place_of_the_searchers_own():
    problem = Sums()
    for name in ("additive_front", "coarse_to_fine", "grid_archive"):
        searcher, rng = registry.create("searchers", name, problem, np.random.default_rng(0)), np.random.default_rng(1)
        told = set()
        for _ in range(8):
            batch = searcher.ask()
            assert not told & set(batch)
            if len(told) < 100:
                drawn = {tuple(row) for row in rng.integers(SIZES, size=(15, len(SIZES))).tolist()}
                batch = sorted(drawn - told) + [one for one in batch[:5] if one not in drawn]
                searcher.replace_batch(batch)
            searcher.tell(problem.losses(batch), np.zeros((len(batch), 1)))
            told |= set(batch)
