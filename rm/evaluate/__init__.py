"""Evaluation: score every candidate, rank, compare, report."""
