"""logs.ingested, metrics.sampled -> anomaly.detected, anomaly.cleared: what looks wrong, and why, in a
sentence; and when it is over."""

__version__ = "3.0.0"
