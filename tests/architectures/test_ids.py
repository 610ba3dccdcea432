"""Ids stand for genomes, and a mistyped one for none."""

import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from nasctl import registry
from nasctl.api import Gene, InvalidGenome, NasctlError
from nasctl.architectures import ids
from nasctl.cli import cli
from nasctl.problem.ids import ALPHABET, decode
from nasctl.search.run import Run
from nasctl.store.store import Store
from nasctl.store.training_table import TrainingRecord
from nasctl.testing import drawn

SMALL = "nb201:channels=4,cells=1"
GENES = st.lists(st.integers(1, 40), min_size=1, max_size=20).map(
    lambda sizes: tuple(Gene(f"gene{k}", tuple(range(size))) for k, size in enumerate(sizes))
)


@st.composite
def addressed(draw):
    genes = draw(GENES)
    return genes, tuple(draw(st.integers(0, len(gene.choices) - 1)) for gene in genes)


@given(addressed())
def test_an_id_is_its_genome(given):
    genes, genome = given
    assert decode(ids.encode("nb201", genes, genome).removeprefix("nb201-"), genes) == genome


@pytest.mark.parametrize("spec", registry.names_without_options("spaces"))
def test_every_substitution_and_swap_is_caught(spec):
    space = registry.create("spaces", spec)
    for genome in drawn(space, 20):
        word = ids.encode(spec, space.genes, genome).removeprefix(f"{spec}-")
        substituted = {word[:k] + c + word[k + 1 :] for k in range(len(word)) for c in ALPHABET + "ilou-."}
        swapped = {word[:k] + word[k + 1] + word[k] + word[k + 2 :] for k in range(len(word) - 1)}
        for wrong in (substituted | swapped) - {word}:
            with pytest.raises(InvalidGenome):
                decode(wrong, space.genes)


def test_the_last_genome_has_the_last_number():
    space = registry.create("spaces", "nb201")
    assert ids.encode("nb201", space.genes, (4,) * 6) == "nb201-f882"  # 5**6 - 1 is 15 * 32**2 + 8 * 32 + 8
    with pytest.raises(InvalidGenome, match="beyond the last genome"):
        decode("f890", space.genes)


def test_options_at_their_default_leave_no_digest():
    assert ids.prefix("nb201:cells=5,channels=16") == "nb201"
    assert ids.prefix("nb201:cells=1,channels=4") == ids.prefix(SMALL) != ids.prefix("nb201:channels=4")


@pytest.mark.parametrize("spec", [SMALL, "nb201:cells=5"])
def test_the_store_resolves_what_pareto_shows(spec, tmp_path):
    store = Store(tmp_path / "store")
    genomes = [visit.evaluation.genome for visit in Run(spec, ("params", "macs"), "random").search(store, 20)]
    shown = CliRunner().invoke(cli, ["pareto", "show", "--json", "--store", str(tmp_path / "store")])
    for row in json.loads(shown.stdout):
        again = CliRunner().invoke(cli, ["show", row["id"], "--json", "--store", str(tmp_path / "store")])
        assert (json.loads(again.stdout)["id"], json.loads(again.stdout)["genome"]) == (row["id"], row["genome"])
    whole = ids.encode(spec, registry.create("spaces", spec).genes, genomes[0])
    head, _, word = whole.partition("-")
    meant = (registry.normal("spaces", spec), genomes[0])
    found = [ids.resolve(f"{head}-{typed}", store) for typed in (word, word.upper(), word[:-1])]
    assert [(registry.normal("spaces", one), genome) for one, genome in found] == [meant] * 3
    with pytest.raises(NasctlError, match=r"20 in the store .* begin so, such as nb201"):
        ids.resolve(f"{head}-", store)


def test_without_the_store_a_digest_needs_its_space(tmp_path):
    whole = ids.encode(SMALL, registry.create("spaces", SMALL).genes, (3, 1, 2, 1, 4, 3))
    with pytest.raises(NasctlError, match="give the space with --space"):
        ids.resolve(whole, Store(tmp_path / "store"))
    spec, genome = ids.resolve(whole, Store(tmp_path / "store"), SMALL)
    assert (registry.normal("spaces", SMALL), (3, 1, 2, 1, 4, 3)) == (spec, genome)
    assert ids.resolve("3,1,2,1,4,3", Store(tmp_path / "store"), SMALL) == (SMALL, genome)


@pytest.mark.parametrize(
    ("spec", "text"), [("tnb101_macro", "64-1111-basic"), ("nb101", "ModelSpec('conv3x3-bn-relu')")]
)
def test_what_a_space_does_not_read_is_not_taken_for_an_id_of_another(spec, text, tmp_path):
    with pytest.raises(NasctlError, match=f"nothing else that {spec} reads"):
        ids.resolve(text, Store(tmp_path / "store"), spec)


NASLIB = "(2, 2, 0, 2, 2, 2)"  # (3, 3, 3, 1, 3, 3) of nasctl
CELL = (3, 3, 3, 1, 3, 3)


@pytest.mark.parametrize(
    ("text", "genome"),
    [
        (f"naslib:{NASLIB}", CELL),
        ("naslib:[2,2,0,2,2,2]", CELL),
        ("naslib:2,2,0,2,2,2", CELL),
        ("genome:3,3,3,1,3,3", CELL),
        ("genome:(3, 3, 3, 1, 3, 3)", CELL),
        ("3,3,3,1,3,3", CELL),
    ],
)
def test_a_list_with_the_name_of_its_writer(text, genome):
    assert ids.resolve(text, Store.reading("none"), "nb201") == ("nb201", genome)


@pytest.mark.parametrize(
    ("text", "space", "says"),
    [
        (NASLIB, "nb201", "may be a genome of nasctl or a tuple of NASLib"),
        ("[2, 2, 0, 2, 2, 2]", "nb201", "may be a genome of nasctl or a tuple of NASLib"),
        ("naslib:2,2,0,2,2,5", "nb201", "is 0 to 4, not 5"),
        ("naslib:2,2,0", "nb201", "has 6 genes, not 3"),
        ("[2, 2, 0]", "nb201", "has 6 genes, not 3"),
        ("naslib:0,1,2,0,1,2,0,1", "nbmacro", "does not know NASLib's tuples of this space"),
        (f"naslib:{NASLIB}", None, "may be of any space; give it with --space"),
        (NASLIB, None, "may be of any space; give it with --space"),
    ],
)
def test_a_list_that_stands_for_no_architecture(text, space, says):
    with pytest.raises(NasctlError, match=says):
        ids.resolve(text, Store.reading("none"), space)


def test_a_list_in_brackets_is_a_genome_where_nobody_else_writes_one():
    genome = (0, 1, 2, 0, 1, 2, 0, 1)
    for text in (str(genome), str(list(genome)), f"genome:{genome}"):
        assert ids.resolve(text, Store.reading("none"), "nbmacro") == ("nbmacro", genome)


def test_a_file_of_genomes_says_whose_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cells.txt").write_text(f"{NASLIB}\nnb201-f882\n")
    command = ["objective", "score", "--space", "nb201", "-o", "params", "--json", "--genomes"]
    refused = CliRunner().invoke(cli, [*command, "cells.txt"])
    assert refused.exit_code == 2
    assert "line 1 of the genomes" in refused.stderr
    rows = json.loads(CliRunner().invoke(cli, [*command, "naslib:cells.txt"]).stdout)
    assert [tuple(row["genome"]) for row in rows] == [CELL, (4,) * 6]


@pytest.mark.parametrize(
    ("space", "text"),
    [
        ("rnn", '{"h_new_0": {"op": "linear", "input": ["x", "h_prev_0"], "input": ["x", "x"]}}'),
        ("flexibert", '{"l": 2, "l": 4}'),
        ("bert", '{"hidden_size": 128, "hidden_size": 256, "nas_config": {"encoder_layers": []}}'),
    ],
)
def test_a_key_that_stands_twice_is_no_architecture(space, text):
    assert registry.create("spaces", space).parse(text) is None


def test_the_name_of_a_training_or_a_run_is_no_mistyped_id(tmp_path):
    store, genome = Store(tmp_path / "store"), (0,) * 8
    store.file_training(TrainingRecord("nbmacro-8e7d775e", "nbmacro", genome, {"space": "nbmacro"}))
    store.journal("nbmacro-1234abcd", Run("nbmacro", ("params",)).task.record("nbmacro"))
    network = ids.encode("nbmacro", registry.create("spaces", "nbmacro").genes, genome)
    with pytest.raises(NasctlError) as refused:
        ids.resolve("nbmacro-8e7d775e", store)
    assert str(refused.value) == (
        f"Cannot take 'nbmacro-8e7d775e' as a network: it is the name of a training of {network}. Give the id, or"
        " export the training with `nasctl export --weights nbmacro-8e7d775e`."
    )
    with pytest.raises(
        NasctlError, match=r"it is the name of a run\. .* as `nasctl pareto show --run nbmacro-1234abcd`"
    ):
        ids.resolve("nbmacro-1234abcd", store)
    with pytest.raises(InvalidGenome, match="look for a letter that is mistyped"):
        ids.resolve("nbmacro-8e7d775f", store)
