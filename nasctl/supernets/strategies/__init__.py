"""Strategies that train a supernet, one file each."""
