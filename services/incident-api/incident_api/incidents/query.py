"""What a list of incidents can be asked for."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from aiops_core.models import Severity, Status, UtcDatetime
from incident_api.store import IncidentFilter

Word = Annotated[str, Query(max_length=200)]


def asked(
    status: Annotated[tuple[Status, ...], Query(description="Any of these.")] = (),
    severity: Annotated[tuple[Severity, ...], Query(description="Any of these.")] = (),
    category: Word = "",
    ship_id: Word = "",
    service: Word = "",
    device_id: Word = "",
    tracking_id: Word = "",
    since: Annotated[
        UtcDatetime | None, Query(description="With anomalies at or after this time.")
    ] = None,
    until: Annotated[
        UtcDatetime | None, Query(description="With anomalies at or before this time.")
    ] = None,
    q: Annotated[
        str, Query(max_length=200, description="Text in the title, a device, a service or the id.")
    ] = "",
) -> IncidentFilter:
    return IncidentFilter(
        status, severity, category, ship_id, service, device_id, tracking_id, since, until, q
    )
