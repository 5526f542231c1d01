"""Scores of the grouping against known truth: ``aiops eval correlate``.

``strangers`` invents ships, faults and anomalies; ``pipeline`` plays the simulator's voyages
through the real detection and enrichment. Both make a LabelledRun. ``scores`` passes it through the
correlator of production and compares the incidents with the truth.
"""
