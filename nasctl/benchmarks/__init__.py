"""Tabular benchmarks: plug-ins, one file each, with the tables of scores that nasctl ships."""
