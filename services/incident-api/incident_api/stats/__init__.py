"""Counts and latencies of a span of time."""
