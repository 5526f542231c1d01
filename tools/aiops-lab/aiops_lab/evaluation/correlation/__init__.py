"""How good the grouping is, against known truth: ``aiops eval correlate``.

``strangers`` invents ships and faults in words of its own, ``pipeline`` plays the simulator's through the
real detection and enrichment; both end in the correlator that production runs. ``scores`` compares.
"""
