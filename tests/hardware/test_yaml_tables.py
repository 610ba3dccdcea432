"""Latency tables in YAML 1.2 and JSON: numbers are what their writer meant, and what could be two things is refused."""

import pytest
from click.testing import CliRunner

from nasctl.cli import cli
from nasctl.hardware.importers import dialect, read_source, recognise_dialect

STEM = "Conv-input:224x224x3-output:112x112x24"
BLOCK = "expanded_conv-input:56x56x32-output:56x56x32-expand:96-kernel:3-stride:1-idskip:1-se:0-hs:0"
BAD = {
    "twice.yaml": (f"{STEM}: 1\n{STEM}: 2", "is there twice"),
    "twice.json": (f'{{"{STEM}": 1, "{STEM}": 2}}', "is there twice"),
    "twice-in-json.yaml": (f'{{"{STEM}": 1, "{STEM}": 2}}', "is there twice"),
    "twice-inside.yaml": (f"{BLOCK}: {{mean: 1, mean: 2}}", "is there twice"),
    "grouped.yaml": (f"{BLOCK}: 1_000", "is '1_000', not a number"),
    "minutes.yaml": (f"{BLOCK}: 1:30", "is '1:30', not a number"),
    "yes.yaml": (f"{BLOCK}: yes", "is 'yes', not a number"),
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("exponents.yaml", "{stem}: 7e-07\n{block}: {{mean: 584e-2, std: .5, count: 5}}"),
        ("flow.yml", "{{{stem}: 7.0e-7, {block}: {{mean: 5.84, std: 5e-1, count: 0o5}}}}"),
        ("json.yaml", '{{"{stem}": 7E-7, "{block}": {{"mean": 5.84, "std": 0.5, "count": 5, "\\ud83d\\ude00": 1}}}}'),
        ("plain.json", '{{"{stem}": 0.0000007, "{block}": {{"mean": 5.84, "std": 0.5, "count": 5}}}}'),
        ("mark.json", '\ufeff{{"{stem}": 7e-07, "{block}": {{"mean": 58.4e-1, "std": 0.5, "count": 5}}}}'),
    ],
)
def test_numbers_are_what_their_writer_meant(tmp_path, name, content):
    (tmp_path / name).write_text(content.format(stem=STEM, block=BLOCK), encoding="utf-8")
    source = read_source(tmp_path / name)
    reading = dialect(recognise_dialect(source)).read(source.content, None)
    assert [(entry.ms, entry.iqr, entry.n) for entry in reading.entries] == [(7e-7, None, 0), (5.84, 1.349 * 0.5, 5)]


@pytest.mark.parametrize("name", BAD)
def test_a_table_that_could_be_two_is_refused(tmp_path, name):
    content, message = BAD[name]
    (tmp_path / name).write_text(content)
    command = ["device", "import", str(tmp_path / name), "--name", "made", "-o", str(tmp_path / "made.json")]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "made.json").exists()
