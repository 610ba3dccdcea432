"""Pictures: Pareto fronts, networks and scatter plots, drawn with matplotlib, and SVG for the HTML report."""
