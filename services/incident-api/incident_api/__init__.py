"""``anomaly.>, incidents.> -> ClickHouse``; ``HTTP -> incidents.created, incidents.transitioned``.

It folds facts into incidents, stores them before it acknowledges, and serves them under
``/api/v3``.
"""

__version__ = "3.0.0"
