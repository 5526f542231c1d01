"""logs.ingested, metrics.sampled -> anomaly.detected, anomaly.cleared

What looks abnormal, with the reason in a sentence; and when it has ended.
"""

__version__ = "3.0.0"
NAME = "anomaly-detection"
