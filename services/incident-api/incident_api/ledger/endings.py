"""What the tables say of where anomalies ended. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from aiops_core.models import Stages


class Totals(NamedTuple):
    """Anomalies by where they ended; *open* ended nowhere yet, *doubled* stand in two places."""

    members: int
    duplicates: int
    suppressed: int
    open: int
    doubled: int


class OpenAnomaly(NamedTuple):
    """An anomaly without an end, as far as one table says."""

    anomaly_id: str
    tracking_id: str
    device_id: str
    service: str
    anomaly_type: str
    seen_at: datetime
    stages: Stages


class Place(NamedTuple):
    """Where an anomaly ended: *role* as last stored, *places* all of them."""

    anomaly_id: str
    tracking_id: str
    role: str
    places: Sequence[str]
