"""Benchmarks: searches replayed on tables of trained architectures, and searchers compared by what they found.

A benchmark looks its objectives up in a table. The table also holds the errors by which the results of a search are
judged; no searcher sees them. Benchmarks are plug-ins, one file each in `nasctl/benchmarks`.
"""
