"""logs.ingested, metrics.sampled -> anomaly.detected: what looks wrong, and why, in a sentence."""

__version__ = "3.0.0"
