"""Measurements: ratios against named alternatives, kept in ``bench/results/``."""
