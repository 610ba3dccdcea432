"""docs/training.md has every field of the recipe with its default for each task."""

import json

from paths import ROOT

from nasctl.training.recipe import ABOUT, usual

TASKS = ("classes", "next words", "masked words")


def table():
    """Return the lines of the page's table of the recipe."""
    recipes = [usual(task).asdict() for task in TASKS]
    rows = [["field", *(f"`{task}`" for task in TASKS), "meaning"], ["---"] * 5]
    for name, about in ABOUT.items():
        values = [json.dumps(recipe[name]).strip('"') for recipe in recipes]
        rows.append([f"`{name}`", *values, about.help])
    return [f"| {' | '.join(row)} |" for row in rows]


def test_the_page_has_the_recipe():
    page = (ROOT / "docs" / "training.md").read_text()
    assert "\n".join(table()) in page, "\n".join(["the table is now:", *table()])
