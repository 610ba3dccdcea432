"""Tabular benchmarks as plug-ins, one file each."""
