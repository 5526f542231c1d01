"""Declarations of operators: the ship's mode, maintenance windows, outages of its links."""
