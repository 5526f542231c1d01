"""The answer of ``/api/v3/digest``."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, Field

from aiops_core.models import Severity, UtcDatetime


class DigestEntry(BaseModel):
    """One message of one device, as often as it was found on that day."""

    ship_id: str
    device: str
    service: str
    component: str
    anomaly_type: str = Field(examples=["log_error"])
    template: str = Field(description="The message without its variable parts.")
    msg: str = Field(description="The newest of them, word for word.")
    number: int = Field(examples=[73])
    first: UtcDatetime
    last: UtcDatetime
    severity: Severity = Field(description="The highest.")
    reason: str = Field(description="Why the newest opened no incident.")
    tracking_id: str = Field(description="Of the newest, for `/api/v3/trace`.")


class DigestView(BaseModel):
    """What was found on a day (UTC, by the time of the lines) and opened no incident."""

    day: date
    device: str = Field(description="The device that was asked for; empty: all.")
    number: int = Field(description="Findings, also those of entries that are not listed.")
    messages: int = Field(description="Entries; the most frequent are listed.")
    items: list[DigestEntry]
