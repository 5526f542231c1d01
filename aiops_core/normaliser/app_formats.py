"""What is read of applications: formats of whole lines, and of messages of a transport. Pure.

A new format is one more row in the module of its family (``app_table`` lists them).
"""

from __future__ import annotations

from aiops_core.normaliser import app_payloads, app_table, system_logs
from aiops_core.normaliser.line_format import TextFormat
from aiops_core.normaliser.parsed import Payload

# Readers of what programs write into the messages of a transport (syslog, Docker).
APP_PAYLOADS: tuple[Payload, ...] = (
    Payload(system_logs.esxi_payload, starts="cdeiftvw", begins=r"[a-z]+ [\w-]+\[|cpu\d"),
    Payload(system_logs.kernel_payload, starts="["),
    Payload(app_payloads.read, guards=app_payloads.guards),
)

APP_FIRST: tuple[TextFormat, ...] = app_table.APP_FIRST
APP_FORMATS: tuple[TextFormat, ...] = app_table.APP_FORMATS

# Formats that read a part of what a more special one reads: never tried before the others.
GENERAL = frozenset({"dated", "level first", "level first in capitals", "pm2", "level in capitals"})
