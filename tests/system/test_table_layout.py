"""Tables are laid out for a width: aligned decimals, whole numbers and ids, columns left out by priority."""

import csv
import io
import math
import random

import pytest

from nasctl.system import terminal
from nasctl.system.table_layout import TableCell, TableColumn, cells, lay_out_table, plain_columns
from nasctl.system.terminal import table
from nasctl.system.wording import _wilson_middle, plural, share_text, wrapped

COLUMNS = [
    TableColumn("id"),
    TableColumn("params", "parameters"),
    TableColumn("macs", "MACs", priority=1),
    TableColumn("latency@gpu", "ms", priority=2),
    TableColumn("remark", priority=3, prose=True),
]
ROWS = [
    ["mbconv-0000et03x95ztk2d", 4_330_132, 308_123_456, 23.1234, "the best of all networks within the bound"],
    ["mbconv-21veebprnb4w0td0", 12_500_000, 95_231_231, 8.0412, None],
    ["mbconv-0jembx9jma076pg7", 950, 950_000, TableCell(None, "failed", "failed"), "MobileNetV3-Large"],
]


def test_decimals_stand_below_each_other():
    found = lay_out_table(COLUMNS, ROWS, 200)
    assert found.left_out == ()
    assert [line.split()[0] for line in found.body] == [row[0] for row in ROWS]
    assert [line[23:].rstrip() for line in found.body] == [
        "    4.33 M  308.1 M             23.12  the best of all networks within the bound",
        "   12.50 M   95.2 M              8.04",
        "  950       950.0 k            failed  MobileNetV3-Large",
    ]
    assert found.head[0].split() == ["id", "params", "macs", "latency@gpu", "(ms)", "remark"]


@pytest.mark.parametrize(
    ("values", "unit", "texts"),
    [
        ([308_000_000], "MACs", ["308 M"]),
        ([308_200_000], "MACs", ["308 M"]),
        ([308_200_000, 308_400_000], "MACs", ["308.2 M", "308.4 M"]),  # more digits tell them apart
        ([0.91622, 0.91571], "", ["0.9162", "0.9157"]),
        ([0.5, 0.25], "", ["0.50", "0.25"]),
        ([1.0, 20.0], "", [" 1", "20"]),
        ([1543.21, 0.5], "", ["1543.2", "   0.5"]),
        ([1.5e-7, 2.0], "", ["1.50e-07", "2.00e+00"]),
        ([float("nan"), 1.5], "", ["nan", "1.5"]),
        (["~0.885", "0.0123", "-"], "", ["~0.885 ", " 0.0123", "      -"]),
        (["1.7%", "10.9%"], "", [" 1.7%", "10.9%"]),
        (["9.4 ± 2.2", "17.8 ± 12.8"], "", [" 9.4 ± 2.2 ", "17.8 ± 12.8"]),
        (["4.602 M", "7.225 MB"], "", [" 4.602 M", "7.225 MB"]),  # of two units
        ([0, 7_225_344], "bytes", ["0    B ", "7.23 MB"]),
    ],
)
def test_numbers_are_written_alike(values, unit, texts):
    found = lay_out_table([TableColumn("x", unit), TableColumn("end")], [[value, "|"] for value in values], 80)
    assert [line.removesuffix("  |") for line in found.body] == texts


def test_the_largest_priority_goes_first():
    left = [lay_out_table(COLUMNS, ROWS, width).left_out for width in (80, 60, 45, 35)]
    assert left == [
        (),
        ("remark",),
        ("latency@gpu (ms)", "remark"),
        ("macs", "latency@gpu (ms)", "remark"),
    ]


def test_rows_are_turned_if_the_first_columns_do_not_fit():
    found = lay_out_table(COLUMNS, ROWS, 32)
    assert (found.head, found.left_out) == ((), ())
    assert found.body[0].split() == ["id", ROWS[0][0]]
    assert found.body[1].split() == ["params", "4.33", "M"]
    assert sum(line == "" for line in found.body) == len(ROWS) - 1
    assert max(map(len, found.body)) <= 32


def test_columns_without_text_are_not_missed():
    columns = [TableColumn("id"), TableColumn("note", priority=9, prose=True), TableColumn("", prose=True)]
    found = lay_out_table(columns, [["a", None, ""], ["b", "", ""]], 30)
    assert (found.head, found.body, found.left_out) == (("id", "──"), ("a", "b"), ())
    assert lay_out_table(columns[1:2], [[None]], 30).body == ()


def test_random_tables_fit_and_keep_numbers_and_words():
    draw = random.Random(0)
    words = ["MBConv", "inverted residual", "squeeze-and-excitation", "of", "all", "networks", "308 M", "中文名字"]
    for _ in range(300):
        number = draw.randint(1, 6)
        columns, values = [], []
        for _ in range(number):
            kind = draw.choice(["number", "quantity", "id", "prose"])
            name = draw.choice(["x", "latency@pixel4 (ms, batch 1)", "Spearman", "held out"])
            columns.append(TableColumn(name, "MACs" * (kind == "quantity"), draw.randint(0, 3), kind == "prose"))
            values.append(
                [
                    {
                        "number": draw.uniform(-1, 1) * 10 ** draw.randint(-6, 6),
                        "quantity": draw.randint(0, 10 ** draw.randint(1, 12)),
                        "id": f"nb201-{draw.randrange(10**6)}",
                        "prose": " ".join(draw.choices(words, k=draw.randint(0, 9))),
                    }[kind]
                    for _ in range(3)
                ]
            )
        rows = list(zip(*values, strict=True))
        width = draw.randint(40, 120)
        found = lay_out_table(columns, rows, width)
        assert all(cells(line) <= width for line in (*found.head, *found.body))
        for k, column in enumerate(columns):
            if column.terminal_heading in found.left_out:
                continue
            for text in lay_out_table([column], [[row[k]] for row in rows], 10_000).body:
                parts = text.split() if column.prose else [text.strip()]
                assert all(any(part in line for line in found.body) for part in parts)


def test_names_are_enough_for_a_table():
    columns = plain_columns(["run", "seed", "objectives"], [["a b", 1, "swap macs"], ["c", 2, "macs"]])
    assert [(one.priority, one.prose) for one in columns] == [(0, False), (1, False), (2, True)]


def test_csv_is_rfc_4180(capfdbinary, monkeypatch):
    rows = [[TableCell(0.1 + 0.2, "0.3", "0.3"), 'say "a",\nb', None], [3.0, "ü", TableCell(None, "failed")]]
    table([TableColumn("macs", "MACs", pipe="m"), "what, else", TableColumn("MACs", "MACs")], rows, as_csv=True)
    text = capfdbinary.readouterr().out.decode()
    assert text == 'macs (MACs),"what, else",MACs\r\n0.30000000000000004,"say ""a"",\nb",\r\n3,ü,\r\n'
    assert list(csv.reader(io.StringIO(text, newline="")))[1][1] == 'say "a",\nb'


def test_a_pipe_has_tabs(capsys):
    cell = TableCell(0.1234567, "~0.123", "~0.12")
    table([TableColumn("a", pipe="A"), TableColumn("b", "ms")], [[cell, 1 / 3], [None, 5.0]])
    assert capsys.readouterr().out == "A\tb (ms)\n~0.123\t0.333333\n\t5\n"


@pytest.mark.parametrize(("asked", "width"), [("60", 60), ("", 80), ("x", 80), ("0", 80), ("5", 20)])
def test_the_width_is_asked_for(asked, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", asked)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert terminal.terminal_width() == width


def test_lines_are_broken_at_spaces_and_long_words_after_commas():
    assert wrapped("costs 308 M in all", 9) == ["costs", "308 M in", "all"]  # a number stays with its unit
    assert wrapped("genome 0,1,10,2,0,1", 8) == ["genome", "0,1,10,", "2,0,1"]
    assert wrapped("abcdefghij", 4) == ["abcd", "efgh", "ij"]
    assert wrapped("", 4) == [""]
    assert wrapped("a\nb", 4) == ["a", "b"]
    assert wrapped("1,000 random networks", 12) == ["1,000 random", "networks"]


def test_one_is_singular():
    assert plural(1, "epoch") == "1 epoch"
    assert plural(0, "epoch") == "0 epochs"
    assert plural(2000, "class", "classes") == "2,000 classes"
    assert plural(1, "is enlarged", "are enlarged") == "1 is enlarged"


def test_a_share_never_leaves_its_range():
    assert share_text(0.713, 0.012) == "71.3% ± 1.2%"
    assert share_text(0.713, 0.012, percent=False) == "0.7130 ± 0.0120"
    assert share_text(1.0, 0.0625) == "100.0% (87.5% to 100.0%)"  # Wilson's interval of 7 of 7: 1 / (1 + 1 / 7)
    assert share_text(0.0, 0.0625) == "0.0% (0.0% to 12.5%)"
    n, p = 10, 0.9
    middle, half = (p + 1 / (2 * n)) / (1 + 1 / n), math.sqrt(p * (1 - p) / n + 1 / (4 * n * n)) / (1 + 1 / n)
    assert share_text(0.97, 0.06, percent=False).startswith("0.9700 (0.")
    assert _wilson_middle(p, half) == pytest.approx(middle)
    assert share_text(1.0, 0.0) == "100.0% ± 0.0%"
