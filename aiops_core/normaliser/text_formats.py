"""The formats of whole text lines, as a table: syslog, firewalls, applications. Pure."""

from __future__ import annotations

from aiops_core.normaliser.app_formats import APP_FIRST, APP_FORMATS
from aiops_core.normaliser.firewalls import Makers
from aiops_core.normaliser.line_format import TextFormat
from aiops_core.normaliser.syslog import Syslog

# Tried in this order, after the format that the sender's newest line has.
FORMATS: tuple[TextFormat, ...] = (*APP_FIRST, Syslog(), Makers(), *APP_FORMATS)
