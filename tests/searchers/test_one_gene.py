"""A space of one gene, or of one genome, is searched to its end, or refused in a sentence that is true."""

import numpy as np
import pytest
from click.testing import CliRunner

from nasctl import registry
from nasctl.api import BadOption
from nasctl.architectures import known_values
from nasctl.cli import cli
from nasctl.errors import NasctlError
from nasctl.evaluation.search_problem import SearchProblem
from nasctl.evaluation.task import Task
from nasctl.search.loop import search
from nasctl.searchers import _pool
from nasctl.store.store import Store
from nasctl.testing import Chain

CODE = """
from nasctl.testing import Chain

class OneGene(Chain):
    def __init__(self, choices: int = 6) -> None:
        super().__init__(1, tuple(range(1, 1 + choices)))
"""


@pytest.fixture
def nasctl(tmp_path, monkeypatch):
    """Run a command where another distribution has added the space `one_gene`."""
    info = tmp_path / "one_gene-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: one_gene\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nasctl.spaces]\none_gene = one_gene_plugin:OneGene\n")
    (tmp_path / "one_gene_plugin.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, arguments)


@pytest.mark.parametrize("searcher", ["robot", "hnas", "robot:metrics=params"])
def test_no_table_is_of_a_space_that_its_numbers_happen_to_fit(nasctl, searcher):
    done = nasctl("search", "--space", "one_gene", "--searcher", searcher, "-o", "params,macs", "--budget", "5")
    assert done.exit_code == 2
    assert "nasctl ships no scores of this space; make one with nasctl objective score" in done.stderr


def test_a_table_is_made_and_used_as_the_message_says(nasctl):
    done = nasctl(
        "objective", "score", "--space", "one_gene", "--sample", "2000", "-o", "depth,params", "--output", "p.csv"
    )
    assert done.exit_code == 0, done.stderr
    spec = "robot:pool=p.csv,metrics=depth,params"
    done = nasctl("search", "--space", "one_gene", "--searcher", spec, "-o", "params,macs", "--budget", "9")
    assert done.exit_code == 0, done.stderr
    assert "6 candidates" in done.stderr


@pytest.mark.parametrize("text", ["00000010", "0b1", "1_0", "+1", "6", "-1", "1.0", "nb201-f882", "1,1"])
def test_a_text_that_is_no_genome_of_one_gene(text):
    assert _pool._try_parse(text, Chain(1, (1, 2, 3, 4, 5, 6))) is None


def test_an_id_of_another_space_is_no_architecture():
    space = registry.create("spaces", "nbmacro")
    assert _pool._try_parse("nbmacro-0000", space) == (0,) * 8
    assert _pool._try_parse("nbmacro.abc-0000", space) == (0,) * 8
    assert _pool._try_parse("proxyless-0000", space) is None


@pytest.mark.parametrize("widths", [(2, 5, 7), (4,)])
@pytest.mark.parametrize("name", registry.trusted("searchers"))
def test_every_searcher_visits_all_of_it_or_says_what_it_lacks(name, widths, tmp_path):
    task = Task(Chain(1, widths), {one: registry.create("objectives", one) for one in ("params", "macs")})
    try:
        searcher = registry.create("searchers", name, SearchProblem(task), np.random.default_rng(0))
    except BadOption as error:
        said = {"pool": "nasctl ships no scores of this space", "supernet": "needs a space with a supernet"}
        (need,) = registry.load("searchers", name).needs
        if said[need] not in str(error):
            raise
        return
    journal = Store(tmp_path / "store").journal("chain", task.record("chain"))
    assert len({visit.evaluation.genome for visit in search(task, searcher, journal, 1000)}) == len(widths)


@pytest.mark.parametrize(
    ("content", "values"),
    [
        ("epochs,genome,acc\n3,0,90.5\n3,1,91\n", {(0,): 90.5, (1,): 91}),
        ('[{"genome": 0, "acc": 90.5}, {"genome": 1, "acc": 91}]', {(0,): 90.5, (1,): 91}),
        ('{"genome": {"0": 1, "1": 0}, "acc": {"0": 90.5, "1": 91}}', None),
    ],
)
def test_whole_numbers_are_architectures_only_where_the_column_says_so(nasctl, tmp_path, content, values):
    path = tmp_path / "table"
    path.write_text(content)
    if values:
        assert known_values.read(path, "one_gene", "acc").values == values
    path.write_text(content.replace("genome", "seed"))
    with pytest.raises(NasctlError, match=r"no column of .* holds an architecture of one_gene"):
        known_values.read(path, "one_gene", "acc")
