"""Block tables of supernets: known sums, the file that a search reads, and the score of a strategy as an objective."""

import json
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner
from supernets.trained import SPACE, supernet

from nasctl.analysis import block_table as module
from nasctl.analysis.block_table import balanced_genomes, block_table
from nasctl.cli import cli
from nasctl.errors import BadOption, NasctlError
from nasctl.search.metrics import make_objective
from nasctl.searchers._block_table import read_block_table
from nasctl.supernets.trained_supernet import TrainedSupernet

BLOCKWISE = "blockwise:paths=2,hidden=8,width=4"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("table") / "nasctl.db"


@pytest.fixture(scope="module")
def short(store):
    return TrainedSupernet(supernet(store, "short", strategy="single_path", steps=1))


@pytest.fixture(scope="module")
def rated(store):
    return supernet(store, "rated", strategy=BLOCKWISE, steps=40)


def test_a_table_has_the_effects_of_an_additive_loss(short, monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    effects = [rng.random(len(gene.choices)) for gene in short.space.genes]

    def loss(supernet, genome):
        return 3 + sum(one[choice] for one, choice in zip(effects, genome, strict=True))

    monkeypatch.setattr(module, "_loss", loss)
    found = block_table(short, 120)
    assert (found.column, found.networks, found.left_out) == ("loss@short", 120, 0)
    assert (found.tau, found.share) == pytest.approx((1, 1))
    for genome in balanced_genomes(short, 20, 1):
        sums = sum(one[choice] for one, choice in zip(found.losses, genome, strict=True))
        assert sums == pytest.approx(loss(None, genome), rel=1e-5)
    found.write(tmp_path / "t.csv")
    read = read_block_table(str(tmp_path / "t.csv"), short.space.genes, ["loss@short", "macs"])
    assert read["loss@short"].tolist() == np.concatenate(found.losses).tolist()


def test_choices_are_in_equally_many_networks(short, monkeypatch):
    monkeypatch.setattr(type(short.space), "canonical", lambda self, genome: genome)
    genomes = balanced_genomes(short, 40, 0)
    for gene, choices in zip(short.space.genes, zip(*genomes, strict=True), strict=True):
        counts = Counter(choices)
        assert len(counts) == len(gene.choices)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_networks_without_trained_weights_are_left_out(short):
    with pytest.raises(BadOption, match=r"Cannot fit a table of 30 choices to 5 networks.*Give --networks 25 or more"):
        block_table(short, 5)
    with pytest.raises(NasctlError, match="of 25 random networks 9 have trained weights, and 25 are needed"):
        block_table(short, 25)


@pytest.mark.slow
def test_a_search_finds_the_front_of_the_scores_of_blocks(rated, tmp_path):
    path = tmp_path / "scores.csv"
    block_table(TrainedSupernet(rated)).write(path)
    trained = TrainedSupernet(rated)
    scores = read_block_table(str(path), trained.space.genes, ["score@rated"])["score@rated"]
    starts = np.cumsum([0, *(len(gene.choices) for gene in trained.space.genes[:-1])])
    for genome in balanced_genomes(trained, 20, 1):
        assert scores[starts + genome].sum() == pytest.approx(trained.score(genome), rel=1e-5)
    found = tmp_path / "found.db"
    words = ["search", SPACE, "-o", f"score@{rated},macs", "--searcher", f"additive_front:table={path}"]
    done = CliRunner().invoke(cli, [*words, "--budget", "60", "--store", str(found), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    assert "the front of sums has" in done.stderr
    assert json.loads(done.stdout)


def test_scores_are_an_objective_of_scoring_strategies_alone(store, short, rated):
    objective = make_objective(f"score@{rated}")[1]
    assert (objective.label, objective.direction) == ("score@rated", "min")
    assert objective.version == TrainedSupernet(rated).digest
    with pytest.raises(BadOption, match=r"single_path, trains networks and scores none. Give loss@"):
        make_objective(f"score@{short.path}")
    with pytest.raises(BadOption, match=r"Give score@"):
        make_objective(f"loss@{rated}")
    early = supernet(store, "early", strategy=BLOCKWISE, steps=5)
    with pytest.raises(BadOption, match="too short to rate all blocks"):
        make_objective(f"score@{early}")
