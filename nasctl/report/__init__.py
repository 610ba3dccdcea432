"""One HTML page about a run: its summary, front, settings and reproduction command."""
