"""Colours are defined in one place, and the HTML report takes them from there."""

import re

from paths import ROOT

from nasctl.drawing import palette

COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")


def test_the_hues_are_those_of_okabe_and_ito():
    # The palette of "Color universal design" in 8-bit RGB, without yellow (240, 228, 66).
    published = [(0, 114, 178), (230, 159, 0), (0, 158, 115), (213, 94, 0), (204, 121, 167), (86, 180, 233), (0, 0, 0)]
    assert list(palette.SERIES) == ["#{:02x}{:02x}{:02x}".format(*hue) for hue in published]


def test_no_other_module_defines_a_colour():
    modules = {
        path for folder in ("nasctl", "spaces", "objectives", "hardware") for path in (ROOT / folder).rglob("*.py")
    }
    modules.remove(ROOT / "nasctl" / "drawing" / "palette.py")
    assert [(path, COLOUR.findall(path.read_text())) for path in modules if COLOUR.search(path.read_text())] == []


def test_the_report_uses_the_hues_as_variables():
    style = (ROOT / "nasctl" / "report" / "page.css").read_text()
    assert not set(COLOUR.findall(style)) & set(palette.SERIES)
    defined = set(re.findall(r"(--[\w-]+):", palette.css_variables() + style))
    assert set(re.findall(r"var\((--[\w-]+)", style)) - {"--share"} <= defined
    assert "--front: var(--blue);" in style
    assert "--blue: #0072b2;" in palette.css_variables()
