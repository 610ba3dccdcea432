"""The report of a run: one HTML page with its configuration, front, convergence, correlations and failures."""
