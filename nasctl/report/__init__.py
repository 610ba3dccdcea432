"""The picture of a run's front, and its report: one HTML page with networks, front, convergence and settings."""
