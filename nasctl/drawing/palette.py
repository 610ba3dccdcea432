"""The colours of all pictures and of the HTML report.

The hues are those of Okabe and Ito ("Color universal design", 2008), which colour-blind readers can tell apart.
"""

from __future__ import annotations

BLUE = "#0072b2"  # Pareto fronts, shortcuts, increases
ORANGE = "#e69f00"  # points that a picture labels
GREEN = "#009e73"
VERMILLION = "#d55e00"  # the highlighted candidate of a report, decreases
PURPLE = "#cc79a7"
SKY = "#56b4e9"  # BLUE on a dark page
BLACK = "#000000"

# Curves and fronts of several runs or searchers, in the order in which they are taken. Okabe and Ito's yellow is too
# pale for lines on white.
SERIES = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, BLACK)

INK = "#222222"  # outlines and text of a network
SUBTITLE = "#444444"  # text below a title
LEADER = "#555555"  # lines from a number to its point
CAPTION = "#777777"  # shapes and stages of a network, text of its legend
BASELINE = "#8c8c8c"  # the curve that the others are compared with
FRAME_EDGE = "#bbbbbb"  # outline of a stage of a network
FRAME_FILL = "#f6f6f6"  # area of a stage of a network
EVALUATED = "#c4c4c4"  # candidates that are not on the front
GRID = "#ececec"  # grid lines, and bands around a line

# Fills of the kinds of blocks in a network, in the order in which they are taken; black text can be read on each.
FILLS = ("#cfe3f3", "#fbe3c0", "#d5ecd4", "#f3d6e4", "#e3dcf1", "#f7efb4", "#d9d9d9", "#cdecea", "#f6d3c8")


def css_variables() -> str:
    """Return a style sheet's rule that defines the hues as variables: "--blue", "--kind0" and so on."""
    hues = {"blue": BLUE, "orange": ORANGE, "vermillion": VERMILLION, "sky": SKY, "purple": PURPLE}
    hues |= {f"kind{k}": fill for k, fill in enumerate(FILLS)}
    return f":root {{ {' '.join(f'--{name}: {value};' for name, value in hues.items())} }}\n"
