"""Silences: list, add, extend, end, preview."""
