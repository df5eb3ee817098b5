"""Benchmarks: every target measured side by side with the peers, in one run.

Run by ``propense bench`` and ``make bench``.
"""
