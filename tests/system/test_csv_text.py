"""Tables as text: any separator, whatever the cells hold."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasctl.system.csv_text import csv_rows

CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
NAMES = st.lists(st.text("abcdefgh ", min_size=1).filter(str.strip), min_size=2, max_size=4, unique_by=str.strip)


@given(NAMES, st.data(), st.sampled_from("\t;,|"))
def test_what_is_written_is_read(names, data, separator):
    rows = data.draw(st.lists(st.lists(CELLS, min_size=len(names), max_size=len(names)), min_size=1, max_size=4))
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([names, *rows])
    expected = [dict(zip(map(str.strip, names), row, strict=True)) for row in rows]
    for first in ("", f"sep={separator}\r\n"):
        assert csv_rows(first + file.getvalue()) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a;b,c\n1;2,3\n", "may separate its cells; begin it with a line such as sep=;"),
        ("a;b\n1;2;3\n", "line 2 has 3 fields, and the header 2; a field with ';' needs quotes"),
        ("sep=;\na;b\n1;2\n1\n", "line 4 has 1 fields"),
        ("sep=#\na#b\n1#2#3\n", "a field with '#' needs quotes"),
        ("a,a \n1,2\n", "two columns have the same name"),
        ("a\n1,2\n", "line 2 has 2 fields, and the header 1"),
    ],
)
def test_a_table_that_is_refused(text, says):
    with pytest.raises(ValueError, match=says):
        csv_rows(text)


@pytest.mark.parametrize("text", ["", "\n\n", "a,b\n", "sep=;\n", "sep=;\na;b\n\n"])
def test_a_table_without_rows(text):
    assert csv_rows(text) == []


def test_a_separator_that_fits_no_line_gives_way():
    assert csv_rows("a|b;c\n1;2\n") == [{"a|b": "1", "c": "2"}]
    assert csv_rows('a,"b;c"\n1,2\n') == [{"a": "1", "b;c": "2"}]
    assert csv_rows("\n\na;b\n\n1;2,5\n") == [{"a": "1", "b": "2,5"}]
