"""``anomaly.>, incidents.> -> ClickHouse``, and ``HTTP -> incidents.created, incidents.transitioned``.

The one place that remembers: facts are folded into incidents, stored before they are acknowledged, and
served over REST under ``/api/v3``.
"""

__version__ = "3.0.0"
