"""Tabular benchmarks: what a search may see of every architecture of a space, and what they are judged by."""
