"""The API page is what the docstrings say today, and its links lead somewhere."""

import re
import runpy

import pytest
from paths import ROOT

import nasctl

PAGE = ROOT / "docs" / "api.md"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "perf" / "api_page.py"))


def test_the_page_is_up_to_date(script):
    assert PAGE.read_text() == script["page"](), "type: python perf/api_page.py"


def test_every_name_has_a_heading_that_the_index_links_to():
    page = PAGE.read_text()
    headings = re.findall(r"^## nasctl\.(\w+)$", page, re.MULTILINE)
    assert sorted(headings) == sorted(set(nasctl.__all__) - {"__version__"})
    links = dict(re.findall(r"\[(\w+)\]\(#(\w+)\)", page))
    assert links == {name: f"nasctl{name}".lower() for name in headings}


def test_sections_of_a_docstring_become_lists(script):
    def example(first, *, second="a"):
        """Return a number.

        More about it, over
        two lines.

        Args:
            first: One thing, with
                a second line.
            second: Another.

        Raises:
            ValueError: Never.
        """

    assert script["text_of"](example) == [
        *("Return a number.", "", "More about it, over two lines.", ""),
        *("**Args**", "", "- `first`: One thing, with a second line.", "- `second`: Another.", ""),
        *("**Raises**", "", "- `ValueError`: Never.", ""),
    ]
    assert script["signature"]("example", example) == "example(first, *, second = 'a')"
