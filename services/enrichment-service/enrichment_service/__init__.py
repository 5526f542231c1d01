"""anomaly.detected -> anomaly.enriched: the anomaly with its context, and a new severity."""

__version__ = "3.0.0"
NAME = "enrichment-service"
