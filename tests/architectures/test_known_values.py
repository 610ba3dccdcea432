"""Tables of published values are read by genome, and bad ones are refused in a sentence."""

import csv
import gzip
import json

import pytest

from nasctl import registry
from nasctl.architectures import ids, known_values
from nasctl.errors import BadOption, NasctlError, UnknownName

SPACE = "nb201"
STRING = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
GENOME = (3, 3, 3, 1, 3, 3)  # its own canonical genome
OTHER = (3, 1, 3, 3, 3, 1)


@pytest.fixture
def file(tmp_path):
    def written(content, name="table"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


@pytest.mark.parametrize("spec", ["nb201", "nb201:canonical=off", "nb201:classes=100"])
def test_the_table_of_nasbench201(data, spec, monkeypatch):
    read, architectures = known_values._genome, []
    monkeypatch.setattr(known_values, "_genome", lambda *given: architectures.append(given[0]) or read(*given))
    found = known_values.read(data("nb201") / "nb201_table.csv.gz", spec, "test_acc_200_cifar10")
    assert len(architectures) < 15_625 + 10  # each once, and a few to find their column
    assert (len(found.values), found.rows, found.skipped, found.merged) == (15_625, 15_625, 0, 0)
    assert max(found.values.values()) == pytest.approx(94.3733, abs=1e-4)


def test_the_table_of_nasbench_macro(data):
    path = data("nb-macro") / "nas-bench-macro_cifar10.json.gz"
    found = known_values.read(path, "nbmacro", "mean_acc")
    space = registry.create("spaces", "nbmacro")
    assert len(found.values) == 6_561
    assert space.spell(max(found.values, key=found.values.get)) == "22212220"
    trainings = known_values.read(path, "nbmacro", "test_acc").values
    assert trainings == pytest.approx(found.values)  # the benchmark's mean is that of its three trainings


def test_a_sentinel_is_no_value(data):
    path = data("nb201") / "nb201_table.csv.gz"
    found = known_values.read(path, "nb201:canonical=off", "zen_cifar10")
    assert (found.skipped, len(found.values)) == (341, 15_284)  # the cells without a path, as the benchmark has them


def spellings():
    space = registry.create("spaces", SPACE)
    return {"string": STRING, "genome": ",".join(map(str, GENOME)), "id": ids.encode(SPACE, space.genes, GENOME)}


@pytest.mark.parametrize("kind", ["string", "genome", "id"])
@pytest.mark.parametrize("header", ["Arch", "what it is"])
@pytest.mark.parametrize("delimiter", [",", "\t"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_every_spelling_in_every_csv(file, tmp_path, kind, header, delimiter, pack):
    with open(tmp_path / "plain", "w", encoding="utf-8-sig", newline="") as plain:
        rows = [["index", header, "accuracy"], [0, spellings()[kind], 91.5], [1, "3,1,3,3,3,1", ""]]
        csv.writer(plain, delimiter=delimiter).writerows(rows)
    found = known_values.read(file(pack((tmp_path / "plain").read_bytes())), SPACE, "accuracy")
    assert (found.values, found.rows, found.skipped) == ({GENOME: 91.5}, 2, 1)


@pytest.mark.parametrize(
    "content",
    [
        {STRING: 91.5},
        {STRING: {"value": 91.5, "note": "x"}},
        {STRING: {"value": [91, 92.0], "architecture": 7}},
        [{"genome": GENOME, "value": 91.5, "flag": True}],
        [{"code": STRING, "value": "91.5"}, {"code": STRING, "value": None}, {"code": "what"}],
    ],
)
def test_json(file, content):
    found = known_values.read(file(json.dumps(content)), SPACE)
    assert (found.column, found.values, found.skipped) == ("value", {GENOME: 91.5}, len(content) - 1)


def test_what_objects_in_a_row_hold_are_columns_behind_its_own(file):
    path = file(json.dumps([{"scores": {"glue": 70, "sst": 80}, "arch": STRING, "time": 3}]))
    assert known_values.read(path, SPACE, "scores.glue").values == {GENOME: 70}
    with pytest.raises(BadOption, match=r"name one of time, scores\.glue, scores\.sst$"):
        known_values.read(path, SPACE)


def test_a_list_for_each_column(file):
    content = {"about": ["x"], "cell": [STRING, "3,1,3,3,3,1"], "acc": [91.5, None], "name": "y"}
    found = known_values.read(file(json.dumps(content)), SPACE)
    assert (found.column, found.values, found.skipped) == ("acc", {GENOME: 91.5}, 1)


def test_a_message_does_not_name_thousands_of_columns(file):
    with pytest.raises(BadOption) as error:
        known_values.read(file(json.dumps([{"arch": STRING} | {f"e{k}": k for k in range(9999)}])), SPACE)
    assert len(str(error.value)) < 700


def test_rows_of_one_genome_are_averaged_and_equivalent_ones_are_not(file):
    # The second is the first with its two ways from the input to the output the other way round.
    rows = ["arch,a", '"3,0,0,0,1,0",90', '"0,3,0,0,0,1",91', '"3,0,0,0,1,0",95', f"{STRING},1"]
    found = known_values.read(file("\n".join(rows)), SPACE)
    assert list(found.values.values()) == [92.5, 91, 1]
    assert found.merged == 1


def test_what_is_not_finite_is_skipped(file):
    cells = ["nan", "inf", "-1e999", "-1e8", "-100000000.0", "", "n/a", "-5"]
    rows = "".join(f"{STRING},{cell}\n" for cell in cells)
    found = known_values.read(file(f"arch,a\n{rows}"), SPACE, "a")
    assert (found.values, found.skipped) == ({GENOME: -5}, 7)
    huge = json.dumps([{"arch": STRING, "a": 10**400}, {"arch": STRING, "a": 1}])
    assert known_values.read(file(huge), SPACE, "a").skipped == 1


def test_the_column_is_named_or_the_only_one(file):
    path = file(f"arch,accuracy,loss,note\n{STRING},1,2,good\n")
    with pytest.raises(UnknownName, match=r"column of .*table is called 'acuracy'; did you mean 'accuracy'"):
        known_values.read(path, SPACE, "acuracy")
    with pytest.raises(BadOption, match=r"several columns of numbers; name one of accuracy, loss$"):
        known_values.read(path, SPACE)
    with pytest.raises(BadOption, match="no column of numbers"):
        known_values.read(file(f"arch,note\n{STRING},good\n"), SPACE)
    with pytest.raises(NasctlError, match=r"'note' of .* holds no numbers"):
        known_values.read(path, SPACE, "note")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no table"),
        (b"  \n\n", "holds no table"),
        (b"arch,a\n", "holds no table"),
        (b"[]", "holds no table"),
        (b"{}", "holds no table"),
        (b"\x1f\x8b broken", "cannot read"),
        (gzip.compress(b"arch,a\n" * 99, mtime=0)[:-12], "cannot read"),
        (gzip.compress(b"arch,a\n" * 99, mtime=0)[:15] + bytes(9), "cannot read"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "no text in UTF-8"),
        (bytes(100), "holds no table"),
        (f"{STRING},1\n{STRING},2\n", "no header line"),
        ("x,a\n1,2\n", "no column of .* holds an architecture of nb201 in its first row; its columns: x, a"),
        (f"arch,a,a\n{STRING},1,2\n", "two columns have the same name"),
        ("arch,a\n3,3,3,1,3,3,91\n", "line 2 has 7 fields, and the header 2"),
        (f"arch,a\n{STRING}\n", "line 2 has 1 fields"),
        (f"arch,a\n{STRING},1\nwhat,2\n", "architecture 2: 'what' is no architecture of nb201"),
        (f'arch,a\n{STRING},1\n"3,3,3",2\n', "architecture 2: a genome of this space has 6 genes, not 3"),
        (f"arch,a\n{STRING},1\nnb201-f883,2\n", "architecture 2: 'f883' is not the end of an id"),
        (f"arch,a\n{STRING},1\nnbmacro-f882,2\n", "is no architecture of nb201"),
        (f"arch,a\n{STRING},1\n{'9' * 5000},2\n", "architecture 2: '9+...' is no architecture of nb201"),
        (f"arch,a\n{STRING},1\n{'9' * 200_000},2\n", "cannot be read as a table: field larger"),
        ("[1, 2]", "JSON has to be a list of objects"),
        ("{", "cannot be read as a table"),
        ("[" * 100_000, "cannot be read as a table"),
        ('[{"arch": ' + "9" * 5000 + "}]", "cannot be read as a table"),
        (json.dumps({"cifar10": {"what": {"a": 1}}}), "no column of"),
        (b"PAR1" + bytes(9), r"a Parquet file; write it with pandas.read_parquet"),
        (b"PK\x03\x04" + bytes(9), "a zip archive or an Excel file"),
        (b"\x80\x04K\x01.", "a pickle, which may run any code and is never loaded"),
        (f"arch;a,b\n{STRING};1,2\n", "begin it with a line such as sep=;"),
        (f"sep=;\narch;a\n{STRING};1;2\n", "line 3 has 3 fields, and the header 2; a field with ';' needs quotes"),
        (json.dumps([[STRING, 90.1], [STRING, 1]]), "a list of lists needs the names of columns"),
        (json.dumps([["arch", "a"], [STRING]]), "a row has not 2 values"),
        (json.dumps({"columns": ["arch", "a"], "data": [[STRING]]}), "a row has not 2 values"),
        (json.dumps({"arch": {"0": STRING}, "a": {"1": 5}}), "rows with different labels"),
        (f'{{"arch": "{STRING}", "a": 1}}\n{{"arch": ', "line 2: "),
        (f'{{"arch": "{STRING}", "a": 1}}\n{{"a": 1, "a": 1}}', "line 2: 'a' is there twice"),
        (f"arch,a\n{STRING},93.5%\n", "row 1: '93.5%' is not a number"),
        (f"arch,a\n{STRING},1_000\n", "row 1: '1_000' is not a number"),
        (f"arch,a\n{STRING},90.1 (0.2)\n", "is not a number"),
        (f"arch;a\n{STRING};1.234,5\n", "is not a number"),
        (f"arch;a\n{STRING};1,234\n", "'1,234' may be a fraction or thousands"),
        (f"arch;a\n{STRING};90,1\n{STRING};90.1\n", "'90,1' beside '90.1'"),
    ],
)
def test_bad_files(file, content, says):
    with pytest.raises(NasctlError, match=says) as error:
        known_values.read(file(content), SPACE, "a")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 700


def test_no_file(tmp_path):
    with pytest.raises(NasctlError, match=r"cannot read .*: No such file"):
        known_values.read(tmp_path / "none.csv", SPACE)
    with pytest.raises(NasctlError, match=r"cannot read .*: Is a directory"):
        known_values.read(tmp_path, SPACE)


@pytest.mark.parametrize(
    ("space", "architectures"),
    [
        ("nats_size", ["64:64:56:64:24", "8:8:8:8:8"]),
        ("tnb101_micro", ["(3, 3, 2, 1, 3, 2)", "64-41414-1_02_333"]),
        ("tnb101_macro", ["64-1242-basic", "64-41414-basic"]),
        ("bossnas", ["[11][1111][1101][1011][1101]", "[22][2202][2323][2002][0022]"]),
        ("hytra", ["5433323000100000", "5555555555555555"]),
        ("nb101", ["ModelSpec(matrix=[[0, 1], [0, 0]], ops=['input', 'output'])"]),
    ],
)
def test_tables_name_architectures_as_their_benchmarks_do(space, architectures, file):
    rows = [{"architecture": text, "accuracy": 90.0 + k} for k, text in enumerate(architectures)]
    found = known_values.read(file(json.dumps(rows)), space, "accuracy")
    assert list(found.values.values()) == [90.0 + k for k in range(len(rows))]


def frame(orient):
    """What pandas writes of two rows with `to_json`, as its documentation shows it."""
    return {
        "columns": {"arch": {"0": STRING, "1": TEXT}, "acc": {"0": 91.5, "1": 90.0}},
        "records": [{"arch": STRING, "acc": 91.5}, {"arch": TEXT, "acc": 90.0}],
        "index": {"0": {"arch": STRING, "acc": 91.5}, "1": {"arch": TEXT, "acc": 90.0}},
        "split": {"columns": ["arch", "acc"], "index": [0, 1], "data": [[STRING, 91.5], [TEXT, 90.0]]},
        "table": {
            "schema": {"fields": [{"name": "index"}], "primaryKey": ["index"]},
            "data": [{"index": 0, "arch": STRING, "acc": 91.5}, {"index": 1, "arch": TEXT, "acc": 90.0}],
        },
        "to_dict": {"arch": [STRING, TEXT], "acc": [91.5, 90.0]},
        "indexed columns": {"acc": {STRING: 91.5, TEXT: 90.0}},
        "indexed index": {STRING: {"acc": 91.5}, TEXT: {"acc": 90.0}},
        "indexed split": {"columns": ["acc"], "index": [STRING, TEXT], "data": [[91.5], [90.0]]},
        "indexed table": {
            "schema": {"fields": [{"name": "net"}], "primaryKey": ["net"]},
            "data": [{"net": STRING, "acc": 91.5}, {"net": TEXT, "acc": 90.0}],
        },
        "series split": {"name": "acc", "index": [STRING, TEXT], "data": [91.5, 90.0]},
        "header": [["arch", "acc"], [STRING, 91.5], [TEXT, 90.0]],
        "data set": {"nb201": {"cifar10": {STRING: {"acc": 91.5}, TEXT: {"acc": 90.0}}}},
    }[orient]


TEXT = "3,1,3,3,3,1"
ORIENTS = ["columns", "records", "index", "split", "table", "to_dict", "header", "data set", "series split"]
ORIENTS += [f"indexed {orient}" for orient in ("columns", "index", "split", "table")]


@pytest.mark.parametrize("orient", ORIENTS)
def test_every_json_of_pandas(file, orient):
    found = known_values.read(file(json.dumps(frame(orient))), SPACE)
    assert (found.column, found.values) == ("acc", {GENOME: 91.5, OTHER: 90.0})


@pytest.mark.parametrize("end", ["", "\n", "\r\n\n"])
def test_json_lines(file, end):
    lines = [json.dumps(row) for row in frame("records")]
    assert known_values.read(file("\n".join(lines) + end), SPACE).values == {GENOME: 91.5, OTHER: 90.0}
    assert known_values.read(file(lines[0] + end), SPACE).values == {GENOME: 91.5}


@pytest.mark.parametrize(
    ("content", "column", "value"),
    [
        ({"cifar10": {STRING: 91.5}}, None, 91.5),
        ({"cifar10": {STRING: 91.5}, "cifar100": {STRING: 70}}, "cifar100", 70),
        ({"cifar10": {STRING: [91, 92.0]}}, "cifar10", 91.5),
        ({"cifar10": {STRING: {"acc": 91.5}}}, "acc", 91.5),
        ({"cifar10": {STRING: {"acc": 91.5}}, "cifar100": {STRING: {"acc": 70}}}, "cifar100.acc", 70),
        ({"cifar10": {STRING: {"nwot": {"score": 5, "time": 1}}}, "about": "x"}, "nwot.score", 5),
    ],
)
def test_numbers_under_names_of_data_sets(file, content, column, value):
    assert known_values.read(file(json.dumps(content)), SPACE, column).values == {GENOME: value}


@pytest.mark.parametrize(
    "content",
    [
        f"arch;acc\n{STRING};91.5\n",
        f"arch;acc\n{STRING};91,5\n",
        f"arch\tacc\n{STRING}\t91,5\n",
        f"sep=;\r\narch;acc\r\n{STRING};91,5\r\n",
        f"\ufeffsep=,\narch,acc\n{STRING},91.5\n",
        f"SEP=|\narch|acc\n'{STRING}'|91.5\n".replace("'", '"'),
        f'arch|acc\n"{STRING}"|91.5\n',
        f"arch , acc\n{STRING},  91.5\n",
        f",arch,acc\n0,{STRING},91.5\n",
        f",arch,acc\n7,{STRING},91.5\n3,{STRING},91.5\n",
        f"index,arch,acc\n0,{STRING},91.5\n1,{STRING},91.5\n",
        f",acc\n{STRING},91.5\n",
        f'arch,"acc; top-1, %"\n{STRING},91.5\n',
        f"arch;acc\n{STRING};9,15e1\n{STRING};\n{STRING};nan\n",
        f"arch;acc\n{STRING};91,500\n{STRING};91,5\n",
    ],
)
@pytest.mark.parametrize("coding", ["utf-8", "utf-16"])
def test_every_separator_and_decimal_sign(file, content, coding):
    assert known_values.read(file(content.encode(coding)), SPACE).values == {GENOME: 91.5}


NASLIB = "(2, 2, 0, 2, 2, 2)"  # `GENOME` as NASLib writes it: edges by the node that they leave, operations renumbered


@pytest.mark.parametrize("cell", [f'"{NASLIB}"', '"(2,2,0,2,2,2)"', "[2, 2, 0, 2, 2, 2]", '"[2, 2, 0, 2, 2, 2]"'])
@pytest.mark.parametrize("form", ['[{{"arch": {}, "acc": 91.5}}]', '{{"arch": [{}], "acc": [91.5]}}'])
def test_a_list_that_nasctl_and_naslib_read_differently_is_refused(file, cell, form):
    path = file(form.format(cell))
    with pytest.raises(NasctlError, match=r"a genome of nasctl or a tuple of NASLib.*write genome: or naslib: before"):
        known_values.read(path, SPACE)
    for prefix, values in (("naslib", {GENOME: 91.5}), ("genome", {(2, 2, 0, 2, 2, 2): 91.5})):
        assert known_values.read(type(path)(f"{prefix}:{path}"), SPACE).values == values


@pytest.mark.parametrize(
    ("row", "values"),
    [
        ({"genome": [2, 2, 0, 2, 2, 2]}, (2, 2, 0, 2, 2, 2)),
        ({"genome": "(2, 2, 0, 2, 2, 2)"}, (2, 2, 0, 2, 2, 2)),
        ({"naslib_arch": NASLIB}, GENOME),
        ({"op_indices": [2, 2, 0, 2, 2, 2]}, GENOME),
        ({"arch": f"naslib:{NASLIB}"}, GENOME),
        ({"arch": "naslib:2,2,0,2,2,2"}, GENOME),
        ({"arch": "genome:[2, 2, 0, 2, 2, 2]"}, (2, 2, 0, 2, 2, 2)),
        ({"arch": "2,2,0,2,2,2"}, (2, 2, 0, 2, 2, 2)),
        ({"arch": STRING, "naslib_arch": "(0, 0, 0, 0, 0, 0)"}, GENOME),
        ({"arch": NASLIB, "net": STRING}, GENOME),
    ],
)
def test_a_table_says_whose_list_it_has(file, row, values):
    assert known_values.read(file(json.dumps([{**row, "acc": 1}])), SPACE, "acc").values == {values: 1}


def test_tuples_as_keys_are_refused_until_somebody_says_whose_they_are(file):
    path = file(json.dumps({"cifar10": {NASLIB: {"acc": 91.5}}}))
    with pytest.raises(NasctlError, match="may be a genome of nasctl or a tuple of NASLib"):
        known_values.read(path, SPACE)
    assert known_values.read(type(path)(f"naslib:{path}"), SPACE).values == {GENOME: 91.5}


def test_the_tuples_of_naslib_are_the_cells_that_its_table_says(data):
    path = data("nb201") / "nb201_table.csv.gz"
    rows = known_values._rows(path)[::97]
    space = registry.create("spaces", SPACE)
    for row in rows:
        assert space.from_naslib(eval(row["naslib_arch"])) == space.parse(row["arch_str"])


def test_lists_in_brackets_of_other_spaces_are_genomes(file):
    path = file(json.dumps([{"arch": "(0, 1, 2, 0, 1, 2, 0, 1)", "acc": 1}, {"arch": [0] * 8, "acc": 2}]))
    assert known_values.read(path, "nbmacro").values == {(0, 1, 2, 0, 1, 2, 0, 1): 1, (0,) * 8: 2}
    with pytest.raises(NasctlError, match="does not know NASLib's tuples of nbmacro"):
        known_values.read(type(path)(f"naslib:{path}"), "nbmacro")
