"""Pictures: Pareto fronts, networks and scatter plots as PNG, SVG or PDF, and charts in SVG for the HTML report.

Modules named `..._layout` compute what a picture shows and where, without matplotlib. `canvas` has the style and the
writing of files, `palette` the colours. Importing this package does not import matplotlib.
"""
