"""Searches replayed on tables, and compared."""
