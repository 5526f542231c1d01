"""Scores of the detectors against known truth: ``aiops eval detect``."""
