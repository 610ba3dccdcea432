"""Architectures in files: exports as JSON, lists as JSON, and lines."""

import json

import pytest
from click.testing import CliRunner

from nasctl.architectures.listed import resolve_all
from nasctl.cli import cli
from nasctl.errors import NasctlError
from nasctl.store.store import Store

FIRST, SECOND = (0, 0, 0, 0, 0, 0, 0, 0), (1, 0, 2, 1, 0, 2, 1, 0)


@pytest.fixture
def store(tmp_path):
    return Store.reading(tmp_path / "none.db")


def genomes(texts, store, spec="nbmacro"):
    return [genome for _, genome in resolve_all(texts, store, spec)]


def test_an_export_as_json_is_the_network_that_was_exported(store, tmp_path):
    path = tmp_path / "net.json"
    words = ["export", "--space=nbmacro:classes=7", "--arch=1,0,2,1,0,2,1,0", "--format=json", f"--output={path}"]
    assert CliRunner().invoke(cli, words).exit_code == 0
    ((spec, genome),) = resolve_all([str(path)], store)
    assert genome == SECOND
    assert "classes=7" in spec


@pytest.mark.parametrize(
    "content",
    [
        "0,0,0,0,0,0,0,0\n\n1,0,2,1,0,2,1,0\n0,0,0,0,0,0,0,0\n",
        json.dumps([list(FIRST), "1,0,2,1,0,2,1,0"]),
        json.dumps([{"space": "nbmacro", "genome": list(FIRST)}, list(SECOND)]),
        "[0,0,0,0,0,0,0,0]\n[1,0,2,1,0,2,1,0]\n",
    ],
)
def test_a_list_of_architectures(content, store, tmp_path):
    path = tmp_path / "list.txt"
    path.write_text(content)
    assert genomes([str(path)], store) == [FIRST, SECOND]


def test_texts_and_files_may_be_mixed_and_repeated(store, tmp_path):
    path = tmp_path / "one.json"
    path.write_text(json.dumps(list(SECOND)))
    assert genomes(["0,0,0,0,0,0,0,0", str(path), "1,0,2,1,0,2,1,0"], store) == [FIRST, SECOND]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "lists no architecture"),
        (b"\xff\xfe", "is no text file"),
        (b'{"genes": 3}', 'entry 1 of .* needs "space" and "genome"'),
        (b"[1.5]", "neither an id nor a genome"),
        (b"0,0,0,0,0,0,0,0\nnbmacro-zzz", "entry 2 of"),
        (b'{"space": "nbmacro", "genome": [0, 9]}', "entry 1 of"),
    ],
)
def test_what_is_no_list_is_one_sentence(content, message, store, tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(NasctlError, match=message):
        genomes([str(path)], store)


def test_a_file_that_is_not_there_is_one_sentence(store):
    with pytest.raises(NasctlError, match="cannot be read"):
        genomes(["none.json"], store)
