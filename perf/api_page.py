"""The page docs/api.md: signatures and docstrings of all names that `import nasctl` offers.

    python perf/api_page.py [--output FILE]

Without an option, the page is written to docs/api.md. `pytest tests/facade/test_api_page.py` checks that the page
is up to date.
"""

import argparse
import dataclasses
import inspect
import re
import textwrap
from pathlib import Path

import nasctl

PAGE = Path(__file__).parent.parent / "docs" / "api.md"
HEAD = """# API

All names that `import nasctl` offers, from their docstrings by `python perf/api_page.py`. [library.md](library.md)
shows how to use them.
"""
SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "References")
WIDTH = 120  # characters of a line of the page
FUNCTIONS = ("search", "export")  # packages that can be called


def page():
    """Return the page as Markdown."""
    names = [name for name in nasctl.__all__ if not name.startswith("_")]
    first = [name for name in FUNCTIONS if name in names]
    names = first + [name for name in names if name not in FUNCTIONS]
    index = textwrap.fill(" · ".join(f"[{name}](#{anchor(name)})" for name in names), WIDTH, break_on_hyphens=False)
    return "\n".join([HEAD, index, "", *(section(name) for name in names)]).rstrip() + "\n"


def anchor(name):
    """Return the anchor of the heading of a name."""
    return f"nasctl{name}".lower()


def section(name):
    """Return the part of the page on one name."""
    found = getattr(nasctl, name)
    if name in FUNCTIONS:  # the function behind the package
        found = type(found).__call__.fget(found)
    lines = [f"## nasctl.{name}", "", *described(name, found)]
    if inspect.isclass(found):
        for attribute, member in sorted(own_members(found).items()):
            if isinstance(member, property) or hasattr(member, "func"):
                lines += [f"### {name}.{attribute}", "", *text_of(getattr(member, "fget", None) or member.func)]
            else:
                lines += [f"### {name}.{attribute}", "", *described(f"{name}.{attribute}", member)]
    return "\n".join(lines)


def own_members(kind):
    """Return the public methods and properties that a class defines itself, with documentation."""
    found = {}
    for name, member in vars(kind).items():
        member = getattr(member, "__func__", member)  # of class methods and static methods
        shown = inspect.isfunction(member) or isinstance(member, property) or cached(member)
        if shown and not name.startswith("_") and inspect.getdoc(getattr(member, "func", member)):
            found[name] = member
    return found


def cached(member):
    """Return whether a member of a class is a cached property."""
    return type(member).__name__ == "cached_property"


def described(name, found):
    """Return the signature and the docstring of a function or a class."""
    return ["```python", signature(name, found), "```", "", *text_of(found)]


def signature(name, found):
    """Return a signature as a person would type it, an argument a line if it is long."""
    if inspect.isclass(found) and not dataclasses.is_dataclass(found) and "__init__" not in vars(found):
        return name
    parameters = list(inspect.signature(found).parameters.values())
    words = [written(one) for one in parameters if one.name not in ("self", "cls")]
    keyword = next((k for k, one in enumerate(parameters) if one.kind is inspect.Parameter.KEYWORD_ONLY), None)
    if keyword is not None:
        words.insert(keyword - (parameters[0].name in ("self", "cls")), "*")
    answer = inspect.signature(found).return_annotation
    arrow = "" if inspect.isclass(found) or answer in (None, "None", inspect.Signature.empty) else f" -> {answer}"
    line = f"{name}({', '.join(words)}){arrow}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {word}," for word in words), f"){arrow}"])


def written(parameter):
    """Return a parameter with its annotation and its default."""
    annotation = parameter.annotation
    text = f"{parameter.name}: {annotation}" if isinstance(annotation, str) else parameter.name
    if parameter.default is inspect.Parameter.empty:
        return text
    default = repr(parameter.default)
    if dataclasses.is_dataclass(parameter.default):  # with the defaults of its own fields
        default = f"{type(parameter.default).__name__}()"
    return f"{text} = {'...' if default.startswith('<') else default}"


def text_of(found):
    """Return the lines of a docstring in Google style as Markdown."""
    lines, doc = [], inspect.getdoc(found) or ""
    parts = re.split(rf"^({'|'.join(SECTIONS)}):\n", doc, flags=re.MULTILINE)
    lines += [*paragraphs(parts[0]), ""]
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        lines += [f"**{title}**", ""]
        body, _, after = body.partition("\n\n")
        entries = re.split(r"\n(?=\S)", textwrap.dedent(body).rstrip())
        lines += [entry_line(one, title) for one in entries]
        lines += ["", *([*paragraphs(textwrap.dedent(after)), ""] if after.strip() else [])]
    return lines


def paragraphs(text):
    """Return text with its paragraphs unwrapped; indented code stays."""
    found = []
    for block in text.strip().split("\n\n"):
        found += [block if block.startswith("    ") else " ".join(block.split()), ""]
    return found[:-1]


def entry_line(entry, title):
    """Return an entry of a section as a line of a list, its name as code."""
    text = " ".join(entry.split())
    name, colon, rest = text.partition(": ")
    if title in ("Args", "Attributes", "Raises") and colon:
        return f"- `{name}`: {rest}"
    return f"- {text}" if title == "References" else text


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=PAGE, metavar="FILE")
    parser.parse_args().output.write_text(page(), encoding="utf-8")
