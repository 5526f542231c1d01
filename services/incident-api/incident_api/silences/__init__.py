"""Silences: list, add, extend, end, and see beforehand what one would hide."""
