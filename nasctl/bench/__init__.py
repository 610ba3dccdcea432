"""Benchmarks: searchers compared on tables of trained architectures."""
